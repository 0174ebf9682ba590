#!/usr/bin/env python3
"""What Pillow and NumPy make of some of the files in ../cases: case_*.png. Made with Pillow 13.0.0."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

HERE = Path(__file__).parent
CASES = HERE.parent / "cases"
# The side that an extreme shape is resized to, and the crop from its middle.
RESIZE, CROP = 36, 32


def cut(name, width, height):
    """torchvision's Resize and CenterCrop, by Pillow's own filter over the whole, enormous image."""
    image = Image.open(CASES / f"{name}.png").convert("RGB").resize((width, height), Image.BILINEAR)
    left, top = round((width - CROP) / 2), round((height - CROP) / 2)
    image.crop((left, top, left + CROP, top + CROP)).save(HERE / f"case_{name}.png", optimize=True)


def main():
    cut("4000x1", 4000 * RESIZE, RESIZE)
    cut("1x4000", RESIZE, 4000 * RESIZE)
    # 12 bits, black to white 0 to 4095.
    grey = np.asarray(Image.open(CASES / "g12in16.png")).astype(np.float64)
    assert grey.max() < 4096
    Image.fromarray(np.round(grey * 255 / 4095).astype(np.uint8)).save(HERE / "case_g12in16.png", optimize=True)
    # libjpeg shows the complete picture of a file whose end marker is missing.
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    for name in ["no_eoi", "noninterleaved", "ni_y_then_c", "ni1x2", "arith"]:
        image = Image.open(CASES / f"{name}.jpg").convert("RGB")
        image.save(HERE / f"case_{name}.png", optimize=True)


if __name__ == "__main__":
    main()
