#!/usr/bin/python3
"""The steps of benches/step.rs in PyTorch on the CPU; writes the same keys to a file of JSON.

Needs Debian's python3-torch, and libopenblas0-pthread: without it matrix products run on the
reference BLAS and PyTorch would look five times slower than it is.
"""

import argparse
import json
import os
import statistics
import time

import torch
from torch import nn


class BasicBlock(nn.Module):
    def __init__(self, c_in, c_out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        same = stride == 1 and c_in == c_out
        shortcut = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))
        self.downsample = nn.Identity() if same else shortcut

    def forward(self, x):
        y = self.bn1(self.conv1(x)).relu_()
        return self.bn2(self.conv2(y)).add_(self.downsample(x)).relu_()


def resnet(stem, blocks, c_in, classes):
    """Stages, the stem first, and the head: one nn.Sequential each."""
    stages = [nn.Sequential(*stem)]
    for number, count in enumerate(blocks):
        c_out = c_in if number == 0 else 2 * c_in
        stride = 1 if number == 0 else 2
        stages.append(nn.Sequential(BasicBlock(c_in, c_out, stride), *(BasicBlock(c_out, c_out, 1) for _ in range(count - 1))))
        c_in = c_out
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c_in, classes))
    return nn.Sequential(*stages, head)


def resnet18():
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(True), nn.MaxPool2d(3, 2, 1)]
    return resnet(stem, (2, 2, 2, 2), 64, 1000)


def resnet20():
    """He et al.'s for CIFAR, with 1x1 convolutions as shortcuts."""
    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(True)]
    return resnet(stem, (3, 3, 3), 16, 10)


def resnet10():
    """The lesson's: grey images of 28x28."""
    stem = [nn.Conv2d(1, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(True)]
    return resnet(stem, (1, 1, 1, 1), 16, 10)


# Name, network, images of a batch, their channels and side.
NETWORKS = [
    ("resnet18", resnet18, 8, 3, 224),
    ("resnet20", resnet20, 64, 3, 32),
    ("resnet10", resnet10, 32, 1, 28),
]


def freeze_below(model, stage):
    """A frozen stage gets no gradients and, as ours, uses its running statistics."""
    model.train()
    for frozen in model[:stage]:
        frozen.eval()
        frozen.requires_grad_(False)


def median_step(step, steps):
    times = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[1:])  # the first fills caches


def training_step(model, x, labels):
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01, momentum=0.9)

    def step():
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(model(x), labels).backward()
        optimizer.step()

    return step


def rows(name, make, batch, channels, size, arguments):
    """Milliseconds of each step of a network."""
    steps = arguments.steps
    x = torch.rand(batch, channels, size, size) - 0.5
    labels = torch.arange(batch) % 10
    model = make().eval()
    with torch.inference_mode():
        yield f"{name}/infer", median_step(lambda: model(x), steps)
    last = len(model) - 2
    for step, stage in [("full", 0), (f"layer{last}", last), ("head", last + 1)]:
        model = make()
        freeze_below(model, stage)
        yield f"{name}/{step}", median_step(training_step(model, x, labels), steps)
    linear = make()[-1][-1]
    features = torch.rand(batch, linear.in_features)
    yield f"{name}/features", median_step(training_step(linear, features, labels), steps)


def measure(doc, adapter, rows):
    """Writes the milliseconds of the steps that `rows(*network, arguments)` gives for each network."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("out", help="the file to write")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    rates, milliseconds = {}, {}
    for network in NETWORKS:
        _, _, batch, *_ = network
        for step, median in rows(*network, arguments):
            rates[step], milliseconds[step] = batch * 1e3 / median, median
            print(f"{step:<20} {median:>10.2f} ms", flush=True)
    described = {"adapter": f"{adapter}, CPU, {arguments.threads} threads", "milliseconds": milliseconds}
    with open(arguments.out, "w", encoding="utf-8") as file:
        json.dump({**rates, **described}, file, indent=2)


if __name__ == "__main__":
    measure(__doc__, f"PyTorch {torch.__version__}", rows)
