#!/usr/bin/env python3
"""The steps of `frostline bench` in PyTorch on the first CUDA device: milliseconds, as JSON.

Networks are torchvision's where it is installed. f32 is strict (no TF32), TF32 and f16 (autocast with
a gradient scaler) are separate rows. A step is forward, loss, backward and the update by SGD with
momentum, on a batch that is already on the device; time is the median of blocks of steps between two
synchronisations.
"""

import argparse
import json
import statistics
import sys
import time

import torch
from torch import nn


class BasicBlock(nn.Module):
    """The block of ResNet-10 and -20, which torchvision does not have (1x1 convolutions as shortcuts)."""

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


def small_resnet(blocks, width, channels, classes):
    """A ResNet for small images: a 3x3 stem of stride 1 and basic blocks."""
    layers = [nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(True)]
    c_in = width
    for number, count in enumerate(blocks):
        c_out = width << number
        for block in range(count):
            layers.append(BasicBlock(c_in, c_out, 2 if number > 0 and block == 0 else 1))
            c_in = c_out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c_in, classes))


def network(name):
    if name == "resnet20":
        return small_resnet((3, 3, 3), 16, 3, 10), 3
    if name == "resnet10":
        return small_resnet((1, 1, 1, 1), 16, 1, 10), 1
    import torchvision

    return getattr(torchvision.models, name)(weights=None), 3


def median_ms(step, seconds):
    """Milliseconds of a step, by blocks of 4, after 5 to warm up."""
    for _ in range(5):
        step()
    torch.cuda.synchronize()
    times, start = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        for _ in range(4):
            step()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - begin) * 250)
    return statistics.median(times)


def measure(name, batch, size, precision, seconds):
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = True
    model, channels = network(name)
    model = model.cuda()
    if precision == "f16":
        model = model.to(memory_format=torch.channels_last)
    x = torch.rand(batch, channels, size, size, device="cuda") - 0.5
    labels = torch.arange(batch, device="cuda") % 10
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    scaler = torch.amp.GradScaler("cuda", enabled=precision == "f16")

    def forward():
        with torch.autocast("cuda", torch.float16, enabled=precision == "f16"):
            return model(x)

    def train():
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(nn.functional.cross_entropy(forward(), labels)).backward()
        scaler.step(optimizer)
        scaler.update()

    model.eval()
    with torch.inference_mode():
        infer = median_ms(forward, seconds)
    model.train()
    full = median_ms(train, seconds)
    torch.cuda.synchronize()
    return {"model": name, "batch": batch, "size": size, "precision": precision, "infer": infer, "full": full}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workloads", nargs="+", help="MODEL:BATCH:SIZE, such as resnet50:4:224")
    parser.add_argument("--precisions", default="f32,tf32,f16")
    parser.add_argument("--seconds", type=float, default=0.5, help="for each kind of step")
    parser.add_argument("--out", help="the file of JSON to write")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("PyTorch reports no CUDA device: nothing to compare with")
    rows = []
    device = torch.cuda.get_device_properties(0)
    described = {"device": device.name, "torch": torch.__version__, "cuda": torch.version.cuda, "rows": rows}
    for workload in arguments.workloads:
        name, batch, size = workload.split(":")
        for precision in arguments.precisions.split(","):
            row = measure(name, int(batch), int(size), precision, arguments.seconds)
            rows.append(row)
            print("{model:>10} {batch:>4} x {size:<4} {precision:<5} infer {infer:8.3f} ms  full {full:8.3f} ms".format(**row))
            sys.stdout.flush()
            if arguments.out:  # after every row, because the caller may run out of time
                with open(arguments.out, "w", encoding="utf-8") as file:
                    json.dump(described, file, indent=2)


if __name__ == "__main__":
    main()
