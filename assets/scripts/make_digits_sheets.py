#!/usr/bin/env python3
"""Make digits_train and digits_test from scikit-learn's 8x8 handwritten digits.

    pip download --no-deps scikit-learn
    make_digits_sheets.py --wheel scikit_learn-*.whl --out assets

Each digit is enlarged to 20x20 (bilinear, pixel centres aligned) and set in the middle of a black
28x28 image, the size the Fashion-MNIST network reads. Needs numpy, PyTorch and Pillow.
"""

import argparse
import gzip
import zipfile
from pathlib import Path

import numpy as np
import sheet
import torch
import torch.nn.functional as F

MEMBER = "sklearn/datasets/data/digits.csv.gz"
TRAIN = 1000
COLS = 50


def load(wheel):
    """`(images (N, 8, 8) float32 in [0, 1], labels (N,))`."""
    with zipfile.ZipFile(wheel) as archive:
        text = gzip.decompress(archive.read(MEMBER)).decode()
    table = np.loadtxt(text.splitlines(), delimiter=",")
    return (table[:, :64].reshape(-1, 8, 8) / 16).astype(np.float32), table[:, 64].astype(int)


def enlarge(images):
    """(N, 8, 8) in [0, 1] to (N, 28, 28) bytes."""
    images = torch.from_numpy(images)[:, None]
    images = F.interpolate(images, size=(20, 20), mode="bilinear", align_corners=False)
    images = F.pad(images, (4, 4, 4, 4))
    return (images[:, 0] * 255).round().to(torch.uint8).numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", type=Path, required=True, help="the scikit-learn wheel")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    images, labels = load(arguments.wheel)
    images = enlarge(images)
    order = np.random.RandomState(arguments.seed).permutation(len(images))
    names = [str(digit) for digit in range(10)]
    for stem, chosen in [("digits_train", order[:TRAIN]), ("digits_test", order[TRAIN:])]:
        sheet.write(arguments.out / stem, images[chosen], labels[chosen], names, COLS)
        print(f"{stem}: {len(chosen)} images")


if __name__ == "__main__":
    main()
