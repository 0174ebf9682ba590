#!/usr/bin/env python3
"""Count what PyTorch gets right with resnet10_fashion.safetensors, as a second opinion.

    check_resnet10.py --weights assets/resnet10_fashion.safetensors

The weights are made by `examples/pretrain.rs`, on this engine. Needs numpy, PyTorch, Pillow, and
Debian's `dataset-fashion-mnist` for all 6,000 test images of the six classes.
"""

import argparse
from pathlib import Path

import fashion
import numpy as np
import safetensors_file
import sheet
import torch
from resnet10 import ResNet10


def count_correct(network, images, labels):
    """How many of these images, bytes (N, 28, 28), the network gets right in evaluation mode."""
    network.eval()
    inputs = (torch.from_numpy(images).float()[:, None] / 255 - fashion.MEAN) / fashion.STD
    wanted = torch.from_numpy(labels).long()
    with torch.no_grad():
        return sum(
            int((network(x).argmax(1) == y).sum())
            for x, y in zip(inputs.split(500), wanted.split(500))
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fashion", type=Path, default=fashion.DEFAULT_FOLDER)
    parser.add_argument("--weights", type=Path, required=True)
    arguments = parser.parse_args()

    tensors, _ = safetensors_file.read(arguments.weights)
    network = ResNet10(classes=len(fashion.SOURCE))
    weights = {name: torch.from_numpy(array.astype(np.float32)) for name, array in tensors.items()}
    missing = network.load_state_dict(weights, strict=False).missing_keys
    assert all(name.endswith("num_batches_tracked") for name in missing), missing

    stem = arguments.weights.parent / "fashion_source_test"
    images, labels, _ = sheet.read(stem)
    print(f"{stem.name}: {count_correct(network, images, labels)} of {len(labels)}")
    images, labels = fashion.select(*fashion.load(arguments.fashion, "t10k"), fashion.SOURCE)
    print(f"all source test images: {count_correct(network, images, labels)} of {len(labels)}")


if __name__ == "__main__":
    main()
