"""Goldens of augmentation: torchvision's functional transforms on given parameters, in float64."""

import json

import torch
import torchvision.transforms.functional as F
from filler import fill
from torchvision.transforms import InterpolationMode

MODES = {"nearest": InterpolationMode.NEAREST, "bilinear": InterpolationMode.BILINEAR}
JITTER = {
    "brightness": F.adjust_brightness,
    "contrast": F.adjust_contrast,
    "saturation": F.adjust_saturation,
    "hue": F.adjust_hue,
}
WHOLE = [0, 0, 11, 13]


def transform(window=WHOLE, horizontal=False, vertical=False, angle=0.0, shift=(0, 0), jitter=()):
    """The changes of one image: window [top, left, height, width], flips, and so on in order."""
    return {
        "window": list(window),
        "flip_horizontal": horizontal,
        "flip_vertical": vertical,
        "angle": angle,
        "shift": list(shift),
        "jitter": [list(step) for step in jitter],
    }


# No quarter turns: on 9 x 10 pixels they fall between pixels, where rounding determines the nearest.
EVERYTHING = [
    transform([2, 3, 7, 9], True, False, 25.0, (0, 0), [("hue", 0.25), ("contrast", 0.5), ("brightness", 1.5), ("saturation", 0.25)]),
    transform([0, 1, 11, 5], False, True, -140.0, (2, -1), [("saturation", 1.75), ("contrast", 1.5), ("hue", -0.375)]),
    transform([4, 0, 3, 13], True, True, 80.0, (0, 0), [("contrast", 0.75)]),
]

# Each case is a batch of filler images in 0..1 with one transform each.
CASES = {
    "crop": {
        "size": [9, 8],
        "transforms": [transform(), transform([2, 3, 7, 9]), transform([10, 12, 1, 1]), transform([0, 0, 3, 13]), transform([1, 2, 9, 8])],
    },
    "shrink": {"size": [4, 3], "transforms": [transform(), transform([1, 0, 10, 13]), transform([3, 2, 5, 11])]},
    "flip": {"size": [11, 13], "transforms": [transform(horizontal=True), transform(vertical=True), transform(horizontal=True, vertical=True)]},
    "rotate_nearest": {
        "size": [11, 13],
        "fill": 0.25,
        "transforms": [transform(angle=angle) for angle in (0.0, 33.0, -71.0, 90.0, 180.0)] + [transform(angle=12.0, shift=(3, -2))],
    },
    "rotate_bilinear": {
        "size": [11, 13],
        "interpolation": "bilinear",
        "fill": 0.25,
        "transforms": [transform(angle=angle) for angle in (0.0, 33.0, -71.0, 90.0, 180.0)] + [transform(angle=12.0, shift=(3, -2))],
    },
    "jitter": {
        "size": [11, 13],
        "transforms": [
            transform(jitter=[(name, factor)])
            for name, factors in {
                "brightness": (0.0, 0.5, 1.75),
                "contrast": (0.0, 0.5, 1.75),
                "saturation": (0.0, 0.5, 1.75),
                "hue": (-0.5, -0.125, 0.375),
            }.items()
            for factor in factors
        ],
    },
    "everything": {"size": [9, 10], "interpolation": "bilinear", "mean": [0.5, 0.25, 0.375], "std": [0.25, 0.5, 0.125], "transforms": EVERYTHING},
    "everything_nearest": {"size": [10, 9], "mean": [0.25, 0.5, 0.75], "std": [0.5, 0.25, 0.5], "fill": 0.5, "transforms": EVERYTHING},
    "grey": {"size": [9, 10], "channels": 1, "interpolation": "bilinear", "mean": [0.25], "std": [0.5], "transforms": EVERYTHING},
}
DEFAULTS = {"channels": 3, "interpolation": "nearest", "fill": 0.0}


def apply(image, case, step):
    """One image (C, H, W) through torchvision, in the kernel's order."""
    top, left, height, width = step["window"]
    image = F.resized_crop(image, top, left, height, width, case["size"], InterpolationMode.BILINEAR, antialias=True)
    if step["flip_horizontal"]:
        image = F.hflip(image)
    if step["flip_vertical"]:
        image = F.vflip(image)
    mode, filler = MODES[case["interpolation"]], [case["fill"]]
    if any(step["shift"]):
        # affine turns clockwise, rotate counter-clockwise.
        image = F.affine(image, -step["angle"], step["shift"], 1.0, [0.0, 0.0], mode, filler)
    elif step["angle"]:
        image = F.rotate(image, step["angle"], mode, fill=filler)
    for name, factor in step["jitter"]:
        image = JITTER[name](image, factor)
    return F.normalize(image, case["mean"], case["std"])


def golden():
    """(tensors, metadata) of every case."""
    tensors, table = {}, []
    for name, case in CASES.items():
        case = DEFAULTS | case
        channels, steps = case["channels"], case["transforms"]
        case = {"mean": [0.0] * channels, "std": [1.0] * channels} | case
        shape = (len(steps), channels, *WHOLE[2:])
        x = torch.from_numpy(fill(f"{name}.x", shape, 0.0, 1.0)).double()
        y = torch.stack([apply(image, case, step) for image, step in zip(x, steps)])
        tensors[f"{name}.y"] = y.numpy()
        table.append({"name": name, "shape": list(shape)} | case)
    return tensors, {"cases": json.dumps(table)}
