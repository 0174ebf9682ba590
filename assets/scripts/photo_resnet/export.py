#!/usr/bin/env python3
"""Write a checkpoint of distil.py as resnet10_photos.safetensors in F16, and a golden of it.

    export.py --checkpoint student.pt --out assets/resnet10_photos.safetensors \\
        --photos assets/photos --golden assets/scripts/photo_resnet/golden.safetensors

The golden holds two photos as bytes (`images`, (2, side, side, 3)) and what PyTorch makes of them in
F32 with the file's F16 weights: `stem` (after the pooling, one number a channel: the mean over the
map), `layer1` ... `layer4` likewise, the last being the pooled features.
"""

import argparse
import json
from pathlib import Path

import common
import network
import numpy as np
import photos
import safetensors_file
import torch
import torch.nn.functional as F

GOLDEN_PHOTOS = (0, 100)


def metadata_of(width, kernel, side):
    """What the file says about itself."""
    preprocessing = {
        "resize": side,
        "interpolation": "bilinear",
        "crop": side,
        "channels": 3,
        "mean": list(common.MEAN),
        "std": list(common.STD),
    }
    return {
        "architecture": "resnet10_photo",
        "width": str(width),
        "blocks": "[1, 1, 1, 1]",
        "stem_kernel": str(kernel),
        "stem_stride": "2",
        "stem_max_pool": "3x3, stride 2, padding 1",
        "in_channels": "3",
        "input": str(side),
        "mean": json.dumps(common.MEAN),
        "std": json.dumps(common.STD),
        "batch_norm_eps": "1e-05",
        "licence": "MIT OR Apache-2.0; distilled from EfficientNet-Lite0 (Apache-2.0), see LICENSES.md",
        "frostline.preprocessing": json.dumps(preprocessing),
    }


@torch.no_grad()
def stage_means(student, inputs):
    """{stage: (N, channels) mean over the map}."""
    means = {}
    x = F.relu(student.bn1(student.conv1(inputs)))
    x = F.max_pool2d(x, 3, 2, 1)
    means["stem"] = x.mean((2, 3))
    for name in ("layer1", "layer2", "layer3", "layer4"):
        x = getattr(student, name)(x)
        means[name] = x.mean((2, 3))
    return means


def write_golden(weights, folder, path):
    student, metadata = network.from_file(weights, 1)
    side = int(metadata["input"])
    images, _, _ = photos.load_images(folder, side)
    images = images[list(GOLDEN_PHOTOS)]
    inputs = common.normalized(images).contiguous()
    tensors = {"images": images}
    means = stage_means(student.eval(), inputs)
    tensors.update({name: mean.numpy().astype(np.float32) for name, mean in means.items()})
    with torch.no_grad():
        assert torch.equal(student.features(inputs), means["layer4"])
    safetensors_file.write(path, tensors, {"torch": torch.__version__})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--side", type=int, default=96, help="of the images it was trained on")
    parser.add_argument("--photos", type=Path, help="for the golden")
    parser.add_argument("--golden", type=Path)
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    state = torch.load(arguments.checkpoint)
    width, kernel = state["width"], state["kernel"]
    student = network.PhotoResNet10(width, kernel, common.FEATURES)
    student.load_state_dict(state["network"])
    tensors = network.body_tensors(student)
    for name, array in tensors.items():
        assert np.isfinite(array).all(), name
    safetensors_file.write(arguments.out, tensors, metadata_of(width, kernel, arguments.side))
    print(f"{len(tensors)} tensors, {arguments.out.stat().st_size} bytes, step {state['step']}")
    if arguments.golden:
        write_golden(arguments.out, arguments.photos, arguments.golden)


if __name__ == "__main__":
    main()
