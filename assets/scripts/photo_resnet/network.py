"""The student: a ResNet-10 for photos with torchvision's parameter names, and its files."""

import common  # noqa: F401, makes the folder above importable
import numpy as np
import safetensors_file
import torch
import torch.nn.functional as F
from resnet10 import BasicBlock
from torch import nn


class PhotoResNet10(nn.Module):
    """A stem of stride 2, 3x3 max pooling of stride 2, four stages of one BasicBlock, mean, linear.

    Stages have w, 2w, 4w, 8w channels; from the second on they begin with stride 2. So layer1 works
    on a quarter of the image's side and layer4 on a 32nd, as in the larger ResNets.
    """

    def __init__(self, width, kernel, outputs):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, kernel, 2, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = nn.Sequential(BasicBlock(width, width, 1))
        self.layer2 = nn.Sequential(BasicBlock(width, 2 * width, 2))
        self.layer3 = nn.Sequential(BasicBlock(2 * width, 4 * width, 2))
        self.layer4 = nn.Sequential(BasicBlock(4 * width, 8 * width, 2))
        self.fc = nn.Linear(8 * width, outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def before_layer4(self, x):
        """(N, 3, H, W) to layer3's output (N, 4 w, H/16, W/16)."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.max_pool2d(x, 3, 2, 1)
        return self.layer3(self.layer2(self.layer1(x)))

    def features(self, x):
        """(N, 3, H, W) to (N, 8 w): the mean over the last maps."""
        return self.layer4(self.before_layer4(x)).mean((2, 3))

    def forward(self, x):
        return self.fc(self.features(x))


def multiply_adds(width, kernel, side):
    """Multiplications of the convolutions for one image."""
    network = PhotoResNet10(width, kernel, 1).eval()
    counted = []

    def count(module, _inputs, output):
        weights_of_a_channel = module.weight[0].numel()
        counted.append(output.numel() * weights_of_a_channel)

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(1, 3, side, side))
    return sum(counted)


def body_tensors(network):
    """The parameters and running statistics without `fc`, as F16 arrays by name."""
    return {
        name: common.half(tensor)
        for name, tensor in network.state_dict().items()
        if not name.startswith("fc.") and not name.endswith("num_batches_tracked")
    }


def from_file(path, outputs):
    """A network with the weights of the safetensors file at `path`, and the file's metadata.

    `fc` is random.
    """
    tensors, metadata = safetensors_file.read(path)
    width, _, kernel, _ = tensors["conv1.weight"].shape
    network = PhotoResNet10(width, kernel, outputs)
    weights = {name: torch.from_numpy(array.astype(np.float32)) for name, array in tensors.items()}
    report = network.load_state_dict(weights, strict=False)
    missing = [
        name
        for name in report.missing_keys
        if not name.startswith("fc.") and not name.endswith("num_batches_tracked")
    ]
    if missing or report.unexpected_keys:
        raise SystemExit(f"{path}: missing {missing}, unexpected {report.unexpected_keys}")
    return network, metadata
