#!/usr/bin/env python3
"""Makes the files beside this script. Needs Pillow, numpy and torch; made with 9.4, 1.24, 1.13.

    cd loader/tests/golden && python3 make.py

resize.json   cases of ../resize.rs: source image, operation, expected image. The resizing is
              Pillow's own; crop margins and side lengths are the expressions of
              torchvision.transforms.functional (center_crop, _compute_resized_output_size).
normalize.bin what torch makes of the bytes 0..255 with ImageNet's mean and deviation: f32,
              little-endian, (256, 3).
grey.bin      Pillow's convert("L") of noise.png, 37 x 23 bytes.
decode_*      one small file for each kind of pixel the decoder must bring to RGB: the quarters are
              red, green / blue, half-transparent or white.
"""
import json
import numpy as np
import torch
from PIL import Image

random = np.random.RandomState(0)
cases = []


def source(name, width, height, mode):
    """Noise over a gradient: every pixel differs from its neighbours, so a shifted window shows."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), (x * 7 + y * 13) % 256]
    image = np.stack(channels, 2)[..., : 3 if mode == "RGB" else 1]
    image = np.clip(image + random.randint(-90, 91, image.shape), 0, 255).astype(np.uint8)
    image = Image.fromarray(image if mode == "RGB" else image[..., 0], mode)
    image.save(f"{name}.png", optimize=True)
    return name, image


def case(name, operation, expected):
    path = f"{name}_{operation['op']}_{expected.width}x{expected.height}.png"
    expected.save(path, optimize=True)
    cases.append({"source": f"{name}.png", "expected": path, **operation})


def resize(named, width, height):
    name, image = named
    case(name, {"op": "resize", "width": width, "height": height}, image.resize((width, height), Image.BILINEAR))


def bicubic(named, width, height):
    name, image = named
    case(name, {"op": "bicubic", "width": width, "height": height}, image.resize((width, height), Image.BICUBIC))


def shorter_side(named, size):
    name, image = named
    w, h = image.size
    new = (size, int(size * h / w)) if w <= h else (int(size * w / h), size)
    case(name, {"op": "shorter_side", "size": size}, image.resize(new, Image.BILINEAR))


def center_crop(named, width, height):
    name, image = named
    w, h = image.size
    if width > w or height > h:
        left, top = (width - w) // 2 if width > w else 0, (height - h) // 2 if height > h else 0
        padded = Image.new(image.mode, (max(w, width), max(h, height)))
        padded.paste(image, (left, top))
        image, (w, h) = padded, padded.size
    top, left = int(round((h - height) / 2.0)), int(round((w - width) / 2.0))
    cropped = image.crop((left, top, left + width, top + height))
    case(name, {"op": "center_crop", "width": width, "height": height}, cropped)


noise = source("noise", 37, 23, "RGB")
wide = source("wide", 101, 64, "RGB")
grey = source("grey", 41, 29, "L")
column = source("column", 1, 9, "RGB")
for size in [(16, 16), (37, 11), (9, 23), (1, 1), (74, 46), (61, 5), (5, 61), (36, 24), (37, 23)]:
    resize(noise, *size)
for size in [(64, 41), (100, 63), (32, 20)]:
    resize(wide, *size)
for size in [(28, 28), (7, 50), (83, 58)]:
    resize(grey, *size)
for size in [(4, 4), (1, 3)]:
    resize(column, *size)
for named, size in [(noise, (16, 16)), (noise, (74, 46)), (noise, (5, 61)), (wide, (32, 20)), (column, (4, 4))]:
    bicubic(named, *size)
shorter_side(noise, 14)
shorter_side(wide, 30)
shorter_side(column, 3)
for size in [(16, 16), (36, 22), (34, 20), (35, 21), (40, 11), (10, 30), (50, 40), (37, 23)]:
    center_crop(noise, *size)
json.dump(cases, open("resize.json", "w"), indent=0)

np.asarray(noise[1].convert("L")).tofile("grey.bin")
x = torch.arange(256, dtype=torch.uint8).view(256, 1, 1).expand(256, 3, 1).to(torch.float32).div(255)
mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
x = x.sub(mean.view(1, 3, 1)).div(std.view(1, 3, 1))
x.numpy().astype("<f4").tofile("normalize.bin")

quarters = np.zeros((16, 24, 4), np.uint8)
quarters[:8, :12] = 255, 0, 0, 255
quarters[:8, 12:] = 0, 255, 0, 255
quarters[8:, :12] = 0, 0, 255, 255
quarters[8:, 12:] = 0, 0, 0, 128
rgba = Image.fromarray(quarters, "RGBA")
opaque = quarters[..., :3].copy()
opaque[8:, 12:] = 255
opaque = Image.fromarray(opaque, "RGB")
rgba.save("decode_rgba.png")
rgba.save("decode_rgba.webp", lossless=True, exact=True)
opaque.save("decode_rgb.webp", quality=95)
opaque.save("decode_rgb.jpg", quality=95, subsampling=0)
opaque.convert("CMYK").save("decode_cmyk.jpg", quality=95)
palette = opaque.quantize(4)
palette.save("decode_palette.png")
opaque.convert("L").save("decode_grey.png")
opaque.convert("L").save("decode_grey.jpg", quality=95)
rgba.convert("LA").save("decode_grey_alpha.png")
opaque.convert("L").point(lambda v: 255 * (v > 140), "1").save("decode_1bit.png")
Image.fromarray(np.asarray(opaque.convert("L")).astype(np.uint16) * 257).save("decode_grey16.png")
# Orientation 6: stored rotated; it must be rotated a quarter clockwise for display.
exif = Image.Exif()
exif[0x0112] = 6
opaque.transpose(Image.ROTATE_90).save("decode_exif6.jpg", quality=95, subsampling=0, exif=exif)
