"""Contact sheets: a labelled set of small grey images as one PNG and one JSON.

The images stand in a grid `cols` wide, row by row; cells past the last image are black. The JSON
says {"height", "width", "cols", "classes": [name, ...], "labels": [index, ...]}.
"""

import json

import numpy as np
from PIL import Image


def write(stem, images, labels, classes, cols):
    """Write `<stem>.png` and `<stem>.json`; `images` is (N, H, W) u8."""
    count, height, width = images.shape
    rows = -(-count // cols)
    grid = np.zeros((rows * cols, height, width), np.uint8)
    grid[:count] = images
    page = grid.reshape(rows, cols, height, width).swapaxes(1, 2)
    page = Image.fromarray(page.reshape(rows * height, cols * width))
    page.save(f"{stem}.png", optimize=True)
    sidecar = {
        "height": height,
        "width": width,
        "cols": cols,
        "classes": list(classes),
        "labels": [int(label) for label in labels],
    }
    with open(f"{stem}.json", "w", encoding="utf-8") as file:
        file.write(json.dumps(sidecar, separators=(",", ":")) + "\n")


def read(stem):
    """`(images (N, H, W) u8, labels (N,), classes)` of a sheet written by `write`."""
    with open(f"{stem}.json", encoding="utf-8") as file:
        sidecar = json.load(file)
    height, width, cols = sidecar["height"], sidecar["width"], sidecar["cols"]
    page = np.array(Image.open(f"{stem}.png"))
    cells = page.reshape(-1, height, cols, width).swapaxes(1, 2).reshape(-1, height, width)
    labels = np.array(sidecar["labels"])
    return cells[: len(labels)], labels, sidecar["classes"]
