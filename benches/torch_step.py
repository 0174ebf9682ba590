#!/usr/bin/python3
"""The steps of examples/step.rs in PyTorch on the CPU; prints the same line of JSON.

Needs Debian's python3-torch, and libopenblas0-pthread: without it matrix products run on the
reference BLAS and PyTorch would look five times slower than it is.
"""

import argparse
import json
import statistics
import time

import torch
from torch import nn

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}


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


def resnet(blocks):
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(True), nn.MaxPool2d(3, 2, 1)]
    stages, c_in = [nn.Sequential(*stem)], 64
    for number, count in enumerate(blocks):
        c_out = 64 << number
        stride = 1 if number == 0 else 2
        stages.append(nn.Sequential(BasicBlock(c_in, c_out, stride), *(BasicBlock(c_out, c_out, 1) for _ in range(count - 1))))
        c_in = c_out
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c_in, 1000))
    return nn.Sequential(*stages, head)


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="resnet18", choices=BLOCKS)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--steps", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    x = torch.rand(arguments.batch, 3, arguments.size, arguments.size) - 0.5
    labels = torch.arange(arguments.batch) % 10

    def network():
        return resnet(BLOCKS[arguments.model])

    milliseconds = {}
    model = network().eval()
    with torch.inference_mode():
        milliseconds["inference"] = median_step(lambda: model(x), arguments.steps)
    for name, stage in [("full", 0), ("layer4+fc", 4), ("fc", 5)]:
        model = network()
        freeze_below(model, stage)
        milliseconds[name] = median_step(training_step(model, x, labels), arguments.steps)
    head = nn.Linear(512, 1000)
    milliseconds["features"] = median_step(training_step(head, torch.rand(arguments.batch, 512), labels), arguments.steps)
    rates = {name: arguments.batch * 1e3 / time for name, time in milliseconds.items()}
    line = {"engine": "pytorch " + torch.__version__, "model": arguments.model, "batch": arguments.batch, "size": arguments.size}
    print(json.dumps({**line, "steps": arguments.steps, "milliseconds": milliseconds, "images_per_second": rates}))


if __name__ == "__main__":
    main()
