#!/usr/bin/env python3
"""Odd JPEGs, and what Pillow decodes them to: jpeg.safetensors.

Needs Pillow and NumPy, and `cjpeg` of libjpeg-turbo (Debian: libjpeg-turbo-progs). A tensor NAME.jpg holds
a file's bytes, NAME.rgb the pixels (height, width, 3) that Pillow makes of them. The names say sampling,
coding and size. Made with Pillow 13.0.0 (libjpeg-turbo 3.2.0) and cjpeg of libjpeg-turbo 2.1.5.
"""

import io
import json
import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageOps

HERE = Path(__file__).parent

SAMPLINGS = {
    "444": "1x1", "422": "2x1", "420": "2x2", "440": "1x2", "411": "4x1", "410": "4x2", "14": "1x4",
    "31": "3x1", "24": "2x4", "22-11-21": "2x2,1x1,2x1", "22-21-12": "2x2,2x1,1x2",
    # Colours finer than brightness.
    "11-22-22": "1x1,2x2,2x2", "21-12-11": "2x1,1x2,1x1",
}
SCANS = {
    "apart": "0;\n1;\n2;\n",
    "backwards": "2;\n1;\n0;\n",
    "y_cc": "0;\n1 2;\n",
    "yc_c": "0 1;\n2;\n",
    "progressive-apart": "0: 0-0, 0, 0;\n1: 0-0, 0, 0;\n2: 0-0, 0, 0;\n"
    "0: 1-63, 0, 0;\n1: 1-63, 0, 0;\n2: 1-63, 0, 0;\n",
    # Valid but coarse: its last scans are missing.
    "means-only": "0,1,2: 0-0, 0, 1;\n",
    "colours-coarse": "0,1,2: 0-0, 0, 0;\n0: 1-63, 0, 0;\n",
}
CODINGS = {
    "baseline": [], "optimized": ["-optimize"], "progressive": ["-progressive"],
    "restart-row": ["-restart", "1"], "restart-block": ["-restart", "1B"],
    "progressive-restart": ["-progressive", "-restart", "3B"],
    "arithmetic": ["-arithmetic"], "arithmetic-progressive": ["-arithmetic", "-progressive"],
    **{name: ["-scans", name] for name in SCANS},
}
FEW = ["baseline", "progressive", "restart-block", "arithmetic", "apart", "y_cc"]


def picture(width, height, mode="RGB"):
    y, x = np.mgrid[0:height, 0:width]
    waves = [128 + 100 * np.sin(x / 5 + y / 11), 128 + 100 * np.cos(x / 7 - y / 3), (x * 3 + y * 2) % 256]
    noise = np.random.default_rng(width * 1000 + height).normal(0, 8, (height, width, 3))
    return Image.fromarray((np.stack(waves, -1) + noise).clip(0, 255).astype("uint8")).convert(mode)


def cjpeg(folder, image, *flags):
    source = folder / "in.pnm"
    image.save(source, "PPM")
    for name, script in SCANS.items():
        (folder / name).write_text(script)
    command = ["cjpeg", "-quality", "85", *flags, str(source)]
    return subprocess.run(command, capture_output=True, check=True, cwd=folder).stdout


def pillow(image, **options):
    data = io.BytesIO()
    image.save(data, "JPEG", quality=90, **options)
    return data.getvalue()


def adobe(jpeg, transform):
    """Another colour transform in Adobe's marker, or no such marker."""
    start = jpeg.index(b"Adobe") - 4
    end = start + 2 + int.from_bytes(jpeg[start + 2:start + 4], "big")
    marker = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([transform or 0])
    return jpeg[:start] + (b"" if transform is None else marker) + jpeg[end:]


def files(folder):
    small, odd = picture(17, 13), picture(33, 31)
    for name, sampling in SAMPLINGS.items():
        for coding, flags in CODINGS.items():
            if name in ("420", "444") or coding in FEW:
                yield f"{name} {coding} 17x13", cjpeg(folder, small, "-sample", sampling, *flags)
    for width, height in [(1, 1), (1, 17), (17, 1), (2, 3), (8, 8), (16, 16), (33, 31)]:
        image = picture(width, height)
        yield f"420 baseline {width}x{height}", cjpeg(folder, image, "-sample", "2x2")
        yield f"422 progressive {width}x{height}", cjpeg(folder, image, "-sample", "2x1", "-progressive")
    for quality in ["3", "100"]:
        yield f"420 quality-{quality} 33x31", cjpeg(folder, odd, "-quality", quality)
    for coding in ["baseline", "progressive", "arithmetic"]:
        yield f"grey {coding} 17x13", cjpeg(folder, small.convert("L"), *CODINGS[coding])
        yield f"rgb {coding} 17x13", cjpeg(folder, small, "-rgb", *CODINGS[coding])
    yield "grey sampled-2x2 17x13", cjpeg(folder, small.convert("L"), "-sample", "2x2")
    cmyk = pillow(odd.convert("CMYK"))
    yield "cmyk baseline 33x31", cmyk
    yield "cmyk progressive 33x31", pillow(odd.convert("CMYK"), progressive=True)
    yield "cmyk 420 33x31", pillow(odd.convert("CMYK"), subsampling=2)
    yield "cmyk ycck 33x31", adobe(cmyk, 2)
    yield "cmyk without-adobe 33x31", adobe(cmyk, None)
    plain = pillow(small)
    marker = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0"
    yield "ycc adobe-says-rgb 17x13", plain[:2] + marker + b"\0" + plain[20:]
    yield "ycc adobe-says-ycc 17x13", plain[:2] + marker + b"\1" + plain[20:]
    yield "ycc no-jfif 17x13", plain[:2] + plain[20:]
    yield "ycc fill-bytes 17x13", plain[:2] + b"\xff\xff\xff" + plain[2:]
    yield "ycc after-the-end 17x13", plain + b"more \xff\xd8\xff"
    yield "ycc comment 17x13", plain[:2] + b"\xff\xfe\0\x06\xff\xd9hi" + plain[2:]
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[274] = orientation
        yield f"exif {orientation} 17x13", pillow(small, exif=exif)


def reference(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def main():
    header, body = {"__metadata__": {"pillow": PIL.__version__}}, b""

    def add(name, shape, data):
        nonlocal body
        header[name] = {"dtype": "U8", "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data

    with tempfile.TemporaryDirectory() as folder:
        for name, data in files(Path(folder)):
            pixels = reference(data)
            add(f"{name}.jpg", [len(data)], data)
            add(f"{name}.rgb", list(pixels.shape), pixels.tobytes())
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (HERE / "jpeg.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + body)
    print(len(header) - 1, "tensors,", len(body), "bytes")


if __name__ == "__main__":
    main()
