#!/usr/bin/env python3
"""Pretrain the lessons' ResNet-10 on six classes of Fashion-MNIST; minutes on two cores.

    apt install dataset-fashion-mnist
    pretrain_resnet10.py --out resnet10_fashion.f32.safetensors

Nesterov SGD over four epochs of the 36,000 images, with a cosine schedule after a short warm-up and
mild random affine distortion. Needs numpy and PyTorch. `pack_resnet10.py` makes the shipped file.
"""

import argparse
import math
import time
from pathlib import Path

import fashion
import safetensors_file
import torch
import torch.nn.functional as F
from resnet10 import ResNet10

EPOCHS, BATCH, WARM_UP = 4, 128, 50
RATE, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 5e-4
ROTATION, ZOOM, SHIFT = 10.0, (0.9, 1.1), 0.06  # degrees, factor, fraction of the width


def to_tensors(images, labels):
    """Bytes to (N, 1, 28, 28) in [0, 1] and labels to int64."""
    return torch.from_numpy(images).float()[:, None] / 255, torch.from_numpy(labels).long()


def normalise(images):
    return (images - fashion.MEAN) / fashion.STD


def distort(images, generator):
    """A random rotation, zoom, shift and mirror of each image; what comes in from outside is 0."""
    count = len(images)
    uniform = lambda *shape: torch.rand(*shape, generator=generator)
    angle = (uniform(count) * 2 - 1) * ROTATION * math.pi / 180
    scale = 1 / (uniform(count) * (ZOOM[1] - ZOOM[0]) + ZOOM[0])
    mirror = torch.where(uniform(count) < 0.5, -1.0, 1.0)
    shift = (uniform(count, 2) * 2 - 1) * SHIFT * 2  # the grid spans [-1, 1]
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    rows = [
        torch.stack([cos * mirror, -sin, shift[:, 0]], 1),
        torch.stack([sin * mirror, cos, shift[:, 1]], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), images.shape, align_corners=False)
    return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)


def batches(count, generator):
    """Endless batches of indices; a batch that straddles two epochs takes from both."""
    order = torch.randperm(count, generator=generator)
    while True:
        while len(order) < BATCH:
            order = torch.cat([order, torch.randperm(count, generator=generator)])
        yield order[:BATCH]
        order = order[BATCH:]


def rate_at(step, steps):
    cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
    return RATE * cosine * min(1.0, (step + 1) / WARM_UP)


def train(network, images, labels, seed):
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.SGD(
        network.parameters(), RATE, MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True
    )
    steps = EPOCHS * len(images) // BATCH
    network.train()
    for step, batch in zip(range(steps), batches(len(images), generator)):
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, steps)
        inputs = normalise(distort(images[batch], generator))
        loss = F.cross_entropy(network(inputs), labels[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 100 == 0:
            print(f"step {step:5} of {steps}  loss {loss.item():.3f}", flush=True)


@torch.no_grad()
def count_correct(network, images, labels):
    """How many of these images the network, in evaluation mode, gets right."""
    network.eval()
    right = 0
    for inputs, wanted in zip(images.split(500), labels.split(500)):
        right += int((network(normalise(inputs)).argmax(1) == wanted).sum())
    return right


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fashion", type=Path, default=fashion.DEFAULT_FOLDER)
    parser.add_argument("--out", type=Path, required=True, help="a safetensors file, in F32")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    load = lambda part: to_tensors(
        *fashion.select(*fashion.load(arguments.fashion, part), fashion.SOURCE)
    )
    torch.manual_seed(arguments.seed)
    network = ResNet10(classes=len(fashion.SOURCE))
    start = time.time()
    train(network, *load("train"), arguments.seed)
    images, labels = load("t10k")
    right = count_correct(network, images, labels)
    print(f"{right} of {len(labels)} test images right, {time.time() - start:.0f} s")
    weights = {
        name: tensor.numpy()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    safetensors_file.write(arguments.out, weights, {"architecture": "resnet10"})


if __name__ == "__main__":
    main()
