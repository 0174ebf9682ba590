#!/usr/bin/env python3
"""Make fashion_train, fashion_test and fashion_source_test from the Fashion-MNIST files.

    apt install dataset-fashion-mnist
    make_fashion_sheets.py --out assets

Needs numpy and Pillow.
"""

import argparse
from pathlib import Path

import fashion
import numpy as np
import sheet

COLS = 50


def sample(labels, per_class, generator):
    """`per_class` images of each class, as indices in file order.

    They are drawn at random, or the first in the file where `generator` is None. File order mixes
    the classes, so that the first few images contain all classes.
    """
    chosen = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if generator is not None:
            members = generator.permutation(members)
        chosen.append(members[:per_class])
    return np.sort(np.concatenate(chosen))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fashion", type=Path, default=fashion.DEFAULT_FOLDER)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    generator = np.random.RandomState(arguments.seed)
    for stem, part, classes, per_class, order in [
        ("fashion_train", "train", fashion.TARGET, 375, generator),
        ("fashion_test", "t10k", fashion.TARGET, 375, None),
        ("fashion_source_test", "t10k", fashion.SOURCE, 100, None),
    ]:
        images, labels = fashion.select(*fashion.load(arguments.fashion, part), classes)
        chosen = sample(labels, per_class, order)
        names = [fashion.CLASSES[index] for index in classes]
        sheet.write(arguments.out / stem, images[chosen], labels[chosen], names, COLS)
        print(f"{stem}: {len(chosen)} images of {', '.join(names)}")


if __name__ == "__main__":
    main()
