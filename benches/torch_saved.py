#!/usr/bin/python3
"""What PyTorch saves for the backward pass of ResNet-50, by what trains: the last column of
benches/README.md's table of memory. Needs Debian's python3-torch.

Counts every storage that autograd saves, once, parameters and running statistics aside.
"""

import torch
from torch import nn

MIB = 1 << 20


class Bottleneck(nn.Module):
    def __init__(self, c_in, width, stride):
        super().__init__()
        c_out = 4 * width
        self.branch = nn.Sequential(
            *(nn.Conv2d(c_in, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(True)),
            *(nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(True)),
            *(nn.Conv2d(width, c_out, 1, bias=False), nn.BatchNorm2d(c_out)),
        )
        shortcut = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))
        self.downsample = nn.Identity() if c_in == c_out and stride == 1 else shortcut

    def forward(self, x):
        return self.branch(x).add_(self.downsample(x)).relu_()


def resnet50():
    """conv1, bn1, the pool, four stages, the head."""
    stages, c_in = [], 64
    for number, count in enumerate((3, 4, 6, 3)):
        width = 64 << number
        blocks = [Bottleneck(c_in if block == 0 else 4 * width, width, 2 if number and not block else 1) for block in range(count)]
        stages.append(nn.Sequential(*blocks))
        c_in = 4 * width
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.Sequential(nn.ReLU(True), nn.MaxPool2d(3, 2, 1))]
    return nn.Sequential(*stem, *stages, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000)))


def saved_bytes(model, batch):
    own = {tensor.data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
    storages = {}

    def keep(tensor):
        if tensor.data_ptr() not in own:
            storage = tensor.storage()
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = nn.functional.cross_entropy(model(torch.rand(batch, 3, 224, 224)), torch.arange(batch))
    assert loss.requires_grad  # keeps what was saved alive until here
    return sum(storages.values())


def main():
    cases = [
        ("nothing frozen, batch statistics", 0, False),
        ("batch norms frozen", 0, True),
        ("layer3, layer4, fc without batch norms", 5, True),
        ("conv1 alone", None, True),
        ("layer4, fc without batch norms", 6, True),
        ("fc alone", 7, True),
    ]
    for batch in (1, 8):
        for name, first, norms_frozen in cases:
            model = resnet50().train()
            for number, part in enumerate(model):
                part.requires_grad_(number == 0 if first is None else number >= first)
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d) and norms_frozen:
                    module.eval().requires_grad_(False)
            print(f"batch {batch}: {name:<40} {saved_bytes(model, batch) / MIB:9.3f} MiB", flush=True)


if __name__ == "__main__":
    main()
