#!/usr/bin/env python3
"""Make resnet10_fashion.safetensors: F16, with the metadata that a checkpoint wants.

    pack_resnet10.py --weights resnet10_fashion.f32.safetensors \\
        --out assets/resnet10_fashion.safetensors

Prints what rounding to F16 costs on the test images of the six source classes, and on the small
sheet of them beside the output where there is one. Needs numpy, PyTorch and Pillow.
"""

import argparse
import json
from pathlib import Path

import fashion
import numpy as np
import safetensors_file
import sheet
import torch
from pretrain_resnet10 import count_correct, to_tensors
from resnet10 import ResNet10

METADATA = {
    "architecture": "resnet10",
    "width": "16",
    "in_channels": "1",
    "classes": json.dumps([fashion.CLASSES[index] for index in fashion.SOURCE]),
    "mean": f"{fashion.MEAN:.4f}",
    "std": f"{fashion.STD:.4f}",
    "input": "28",
}


def network_of(tensors):
    network = ResNet10(classes=len(fashion.SOURCE))
    weights = {name: torch.from_numpy(array.astype(np.float32)) for name, array in tensors.items()}
    missing = network.load_state_dict(weights, strict=False).missing_keys
    assert all(name.endswith("num_batches_tracked") for name in missing), missing
    return network


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fashion", type=Path, default=fashion.DEFAULT_FOLDER)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    full, _ = safetensors_file.read(arguments.weights)
    safetensors_file.write(
        arguments.out, {name: array.astype(np.float16) for name, array in full.items()}, METADATA
    )
    half, _ = safetensors_file.read(arguments.out)

    sets = {}
    part = fashion.load(arguments.fashion, "t10k")
    sets["source test"] = to_tensors(*fashion.select(*part, fashion.SOURCE))
    stem = arguments.out.parent / "fashion_source_test"
    if stem.with_suffix(".png").exists():
        images, labels, _ = sheet.read(stem)
        sets[stem.name] = to_tensors(images, labels)
    for name, (images, labels) in sets.items():
        f32 = count_correct(network_of(full), images, labels)
        f16 = count_correct(network_of(half), images, labels)
        print(f"{name}: of {len(labels)} images, F32 gets {f32} right, F16 {f16}")


if __name__ == "__main__":
    main()
