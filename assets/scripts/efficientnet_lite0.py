"""The body of EfficientNet-Lite0 in PyTorch, with the parameter names of the published weights."""

import math

import torch.nn.functional as F
from torch import nn

# blocks, kernel, stride of the first, expansion, output channels (Tan and Le, 2019, table 1)
STAGES = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's "SAME" padding: ceil(size / stride) outputs, and of an odd
    amount of padding the larger part below and to the right."""

    def forward(self, x):
        kernel, stride = self.kernel_size[0], self.stride[0]
        total = [max((math.ceil(n / stride) - 1) * stride + kernel - n, 0) for n in x.shape[2:]]
        (top, bottom), (left, right) = [(n // 2, n - n // 2) for n in total]
        x = F.pad(x, (left, right, top, bottom))
        return F.conv2d(x, self.weight, stride=stride, groups=self.groups)


def convolution(c_in, c_out, kernel=1, stride=1, groups=1):
    return SameConv2d(c_in, c_out, kernel, stride, groups=groups, bias=False)


def batch_norm(channels):
    return nn.BatchNorm2d(channels, eps=1e-3)


class InvertedResidual(nn.Module):
    """Widen, filter each channel, project; a shortcut where shapes allow (Sandler et al., 2018)."""

    def __init__(self, c_in, c_out, kernel, stride, expansion):
        super().__init__()
        wide = c_in * expansion
        if expansion > 1:
            self._expand_conv = convolution(c_in, wide)
            self._bn0 = batch_norm(wide)
        self._depthwise_conv = convolution(wide, wide, kernel, stride, groups=wide)
        self._bn1 = batch_norm(wide)
        self._project_conv = convolution(wide, c_out)
        self._bn2 = batch_norm(c_out)
        self.expands = expansion > 1
        self.shortcut = stride == 1 and c_in == c_out

    def forward(self, x):
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.shortcut else y


class EfficientNetLite0(nn.Module):
    """(N, 3, H, W), already (255 x - 127) / 128, to (N, 1280) pooled features."""

    def __init__(self):
        super().__init__()
        self._conv_stem = convolution(3, 32, 3, 2)
        self._bn0 = batch_norm(32)
        blocks, channels = [], 32
        for count, kernel, first_stride, expansion, c_out in STAGES:
            for index in range(count):
                stride = first_stride if index == 0 else 1
                blocks.append(InvertedResidual(channels, c_out, kernel, stride, expansion))
                channels = c_out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = convolution(320, 1280)
        self._bn1 = batch_norm(1280)

    def stages(self, x):
        """Yield (name, activation) after the stem, each block, the head and the pooling."""
        x = F.relu6(self._bn0(self._conv_stem(x)))
        yield "stem", x
        for index, block in enumerate(self._blocks):
            x = block(x)
            yield f"blocks.{index}", x
        x = F.relu6(self._bn1(self._conv_head(x)))
        yield "head", x
        yield "features", x.mean((2, 3))

    def forward(self, x):
        return dict(self.stages(x))["features"]
