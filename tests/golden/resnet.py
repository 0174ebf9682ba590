"""ResNet-18 and ResNet-50 in PyTorch, names and arithmetic as in torchvision.

BasicBlock for 18, Bottleneck "v1.5" for 50 (the stride is that of the 3x3 convolution).
"""

import torch
from filler import fill, parameter_range
from torch import nn


def convolution(c_in, c_out, kernel, stride=1):
    return nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)


class BasicBlock(nn.Module):
    expansion = 1
    last_bn = "bn2"

    def __init__(self, c_in, width, stride, downsample):
        super().__init__()
        self.conv1, self.bn1 = convolution(c_in, width, 3, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = convolution(width, width, 3), nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.downsample = downsample

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + shortcut)


class Bottleneck(nn.Module):
    expansion = 4
    last_bn = "bn3"

    def __init__(self, c_in, width, stride, downsample):
        super().__init__()
        c_out = width * self.expansion
        self.conv1, self.bn1 = convolution(c_in, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = convolution(width, width, 3, stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = convolution(width, c_out, 1), nn.BatchNorm2d(c_out)
        self.relu = nn.ReLU()
        self.downsample = downsample

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.relu(self.bn3(self.conv3(x)) + shortcut)


class ResNet(nn.Module):
    def __init__(self, block, blocks, classes, width=64):
        super().__init__()
        self.block = block
        self.conv1, self.bn1 = convolution(3, width, 7, 2), nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.c_in = width
        self.layer1 = self.stage(width, blocks[0], 1)
        self.layer2 = self.stage(2 * width, blocks[1], 2)
        self.layer3 = self.stage(4 * width, blocks[2], 2)
        self.layer4 = self.stage(8 * width, blocks[3], 2)
        self.fc = nn.Linear(self.c_in, classes)

    def stage(self, width, blocks, stride):
        c_out = width * self.block.expansion
        downsample = None
        if stride != 1 or self.c_in != c_out:
            downsample = nn.Sequential(
                convolution(self.c_in, c_out, 1, stride), nn.BatchNorm2d(c_out)
            )
        layers = [self.block(self.c_in, width, stride, downsample)]
        layers += [self.block(c_out, width, 1, None) for _ in range(blocks - 1)]
        self.c_in = c_out
        return nn.Sequential(*layers)

    def stages(self, x):
        """Yield (name, activation) after the stem's pooling, each stage, the mean, the linear."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        yield "stem", x
        for name in ("layer1", "layer2", "layer3", "layer4"):
            x = getattr(self, name)(x)
            yield name, x
        x = x.mean((2, 3))
        yield "avgpool", x
        yield "logits", self.fc(x)

    def forward(self, x):
        return dict(self.stages(x))["logits"]


def resnet18(classes, dtype):
    return filled(ResNet(BasicBlock, [2, 2, 2, 2], classes), dtype)


def resnet50(classes, dtype):
    return filled(ResNet(Bottleneck, [3, 4, 6, 3], classes), dtype)


def filled(network, dtype):
    """The network with every parameter and running statistic from the filler."""
    state = network.state_dict()
    for name, tensor in state.items():
        if not name.endswith("num_batches_tracked"):
            bounds = parameter_range(name, tensor.shape, network.block.last_bn)
            state[name] = torch.from_numpy(fill(name, tuple(tensor.shape), *bounds))
    network.load_state_dict(state)
    return network.to(dtype)
