"""Fashion-MNIST: its files, its classes, and the split that the lessons use."""

import gzip
from pathlib import Path

import numpy as np

DEFAULT_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # Debian: dataset-fashion-mnist

CLASSES = [
    "t-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
]  # fmt: skip
SOURCE = [0, 1, 3, 5, 7, 8]  # what the pretrained network has seen
TARGET = [2, 4, 6, 9]  # what the lessons transfer to

MEAN, STD = 0.2860, 0.3530  # of the pixels in [0, 1], over the whole training file


def load(folder, part):
    """`(images (N, 28, 28) u8, labels (N,) u8)` of the "train" or "t10k" part."""
    return (
        read_idx(Path(folder) / f"{part}-images-idx3-ubyte.gz"),
        read_idx(Path(folder) / f"{part}-labels-idx1-ubyte.gz"),
    )


def read_idx(path):
    """One gzipped IDX file of unsigned bytes, the format of MNIST."""
    content = gzip.decompress(path.read_bytes())
    zeros, element_type, rank = content[:2], content[2], content[3]
    if zeros != b"\0\0" or element_type != 8:
        raise ValueError(f"{path}: not an IDX file of unsigned bytes")
    shape = np.frombuffer(content, ">u4", count=rank, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


def select(images, labels, classes):
    """The images of `classes`, labelled by their place in that list."""
    place = np.full(256, -1)
    place[classes] = np.arange(len(classes))
    keep = place[labels] >= 0
    return images[keep], place[labels[keep]]
