#!/usr/bin/env python3
"""What plain PyTorch makes of ref.png with the weights beside this script: golden.json.

Needs PyTorch, NumPy and Pillow (Debian 12: python3-torch, python3-pil). A Bottleneck ResNet is written out
here, with its stride on the 3x3 convolution (torchvision's, "v1.5") or on the first 1x1 (the paper's, and
Hugging Face's `downsample_in_bottleneck: true`).
"""

import json
import re
import struct
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

HERE = Path(__file__).parent
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def read(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8:8 + length]), data[8 + length:]
    state = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = entry["data_offsets"]
            values = np.frombuffer(body[begin:end], "<f4").reshape(entry["shape"])
            state[plain(name)] = torch.from_numpy(values.astype(np.float64))
    return state


def plain(name):
    """torchvision's name of a tensor that Hugging Face or a wrapper names."""
    name = re.sub(r"^(model|backbone|net)\.", "", name)
    name = name.removeprefix("resnet.").replace("embedder.embedder.convolution", "conv1")
    name = name.replace("embedder.embedder.normalization", "bn1")
    stage = re.compile(r"encoder\.stages\.(\d)\.layers\.(\d+)\.")
    name = stage.sub(lambda m: f"layer{int(m[1]) + 1}.{m[2]}.", name)
    name = re.sub(r"layer\.(\d)\.convolution", lambda m: f"conv{int(m[1]) + 1}", name)
    name = re.sub(r"layer\.(\d)\.normalization", lambda m: f"bn{int(m[1]) + 1}", name)
    name = name.replace("shortcut.convolution", "downsample.0").replace("shortcut.normalization", "downsample.1")
    return re.sub(r"^(classifier\.1|linear)\.", "fc.", name)


def norm(state, name, x):
    leaves = [state[f"{name}.{leaf}"] for leaf in ("running_mean", "running_var", "weight", "bias")]
    return F.batch_norm(x, *leaves, training=False, eps=1e-5)


def resnet(state, x, stride_first):
    x = F.relu(norm(state, "bn1", F.conv2d(x, state["conv1.weight"], stride=2, padding=3)))
    x = F.max_pool2d(x, 3, 2, 1)
    bottleneck = "layer1.0.conv3.weight" in state
    for stage in range(1, 5):
        block = 0
        while f"layer{stage}.{block}.conv1.weight" in state:
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            strides = [stride, 1, 1] if stride_first or not bottleneck else [1, stride, 1]
            y = x
            for number in range(1, 4 if bottleneck else 3):
                weight = state[f"{name}.conv{number}.weight"]
                y = F.conv2d(y, weight, stride=strides[number - 1], padding=weight.shape[-1] // 2)
                y = norm(state, f"{name}.bn{number}", y)
                y = F.relu(y) if number < (3 if bottleneck else 2) else y
            if f"{name}.downsample.0.weight" in state:
                x = norm(state, f"{name}.downsample.1", F.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride))
            x, block = F.relu(x + y), block + 1
    return F.linear(x.mean((2, 3)), state["fc.weight"], state["fc.bias"])


def photo(side, crop, filter):
    image = Image.open(HERE / "ref.png").convert("RGB")
    width, height = image.size
    short = min(width, height)
    image = image.resize((int(side * width / short), int(side * height / short)), filter)
    left, top = round((image.width - crop) / 2), round((image.height - crop) / 2)
    pixels = np.asarray(image.crop((left, top, left + crop, top + crop))) / 255.0
    return torch.from_numpy(((pixels - MEAN) / STD).transpose(2, 0, 1)[None])


def main():
    golden = {}
    # floor(64 / 0.95); the bare files contain no preprocessing, so torchvision's is used.
    hub, bare = photo(67, 64, Image.BICUBIC), photo(256, 224, Image.BILINEAR)
    for name, x, first in [
        ("hub_resnet50", hub, False), ("hf_bottleneck_False", hub, False), ("hf_bottleneck_True", hub, True),
        ("r18.safetensors", bare, False), ("linear_head.safetensors", bare, False),
        ("prefix_model_.safetensors", bare, False), ("prefix_backbone_.safetensors", bare, False),
        ("prefix_net_.safetensors", bare, False),
    ]:
        path = HERE / name
        state = read(path if path.is_file() else path / "model.safetensors")
        golden[name] = torch.softmax(resnet(state, x, first), 1)[0].tolist()
    (HERE / "golden.json").write_text(json.dumps(golden, indent=2) + "\n")
    print(json.dumps(golden, indent=2))


if __name__ == "__main__":
    main()
