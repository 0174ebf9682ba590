"""Goldens of single operations: forward, and the gradient of every input, in float64."""

import json

import torch
import torch.nn.functional as F
from filler import fill, labels

UNIT = (-1.0, 1.0)
SCALE = (0.5, 1.5)


class Case:
    """One operation on filler inputs, named "<case>.<input>"."""

    def __init__(self, name, op, inputs, attributes, forward, ranges=None, gradients=True):
        self.name, self.op, self.inputs, self.attributes = name, op, inputs, attributes
        self.gradients = gradients
        self.forward = forward
        self.ranges = {key: (ranges or {}).get(key, UNIT) for key in inputs}

    def run(self):
        """`{"<case>.<tensor>": array}`: the output y, each d<input>, and the op's other results."""
        values = {
            key: torch.from_numpy(fill(f"{self.name}.{key}", shape, *self.ranges[key])).double()
            for key, shape in self.inputs.items()
        }
        differentiable = [key for key in values if self.gradients and not key.startswith("running_")]
        for key in differentiable:
            values[key].requires_grad_()
        y = self.forward(*values.values())
        grad_output = torch.from_numpy(fill(f"{self.name}.grad_output", tuple(y.shape), *UNIT))
        wanted = [values[key] for key in differentiable]
        gradients = torch.autograd.grad(y, wanted, grad_output.double()) if wanted else []
        results = {"y": y.detach()}
        results |= {f"d{key}": gradient for key, gradient in zip(differentiable, gradients)}
        # batch_norm updated these in place; in evaluation they are unchanged.
        results |= {f"{key}_after": values[key] for key in values if key.startswith("running_")}
        self.outputs = {key: list(value.shape) for key, value in results.items()}
        return {f"{self.name}.{key}": value.numpy() for key, value in results.items()}

    def describe(self):
        return {
            "name": self.name,
            "op": self.op,
            "inputs": {
                key: {"shape": list(shape), "range": self.ranges[key]}
                for key, shape in self.inputs.items()
            },
            "attributes": self.attributes,
            "outputs": self.outputs,
        }


def conv(name, x, w, stride, padding, groups=1):
    """`padding` is [top, left, bottom, right]."""
    top, left, bottom, right = padding

    def forward(x, w):
        return F.conv2d(F.pad(x, (left, right, top, bottom)), w, stride=stride, groups=groups)

    attributes = {"stride": stride, "padding": padding, "groups": groups}
    op = "conv2d" if groups == 1 else "depthwise_conv2d"
    return Case(name, op, {"x": x, "w": w}, attributes, forward)


def batch_norm(name, training):
    momentum, eps = 0.1, 1e-5

    def forward(x, gamma, beta, running_mean, running_var):
        return F.batch_norm(x, running_mean, running_var, gamma, beta, training, momentum, eps)

    channels = (5,)
    inputs = {"x": (3, 5, 3, 5)}
    inputs |= {key: channels for key in ("gamma", "beta", "running_mean", "running_var")}
    attributes = {"training": training, "momentum": momentum, "eps": eps}
    ranges = {"x": (-2.0, 3.0), "gamma": SCALE, "running_var": SCALE}
    return Case(name, "batch_norm", inputs, attributes, forward, ranges)


def cross_entropy(name, smoothing, ignored):
    rows, classes = 5, 9
    wanted = labels(rows, classes)
    for row in ignored:
        wanted[row] = -100  # PyTorch's mark for "not counted"

    def forward(x):
        return F.cross_entropy(x, torch.tensor(wanted), label_smoothing=smoothing)

    attributes = {"label_smoothing": smoothing, "labels": wanted}
    ranges = {"x": (-4.0, 4.0)}
    return Case(name, "cross_entropy", {"x": (rows, classes)}, attributes, forward, ranges)


def weighted_cross_entropy(name, smoothing, ignored, mixed=False):
    """Classes have weights; mixed: rows have a partner, and the loss is the mixture of two."""
    rows, classes = 5, 9
    wanted = labels(rows, classes)
    for row in ignored:
        wanted[row] = -100
    weights = [0.25 + 0.5 * ((4 * k + 1) % classes) for k in range(classes)]
    partners, share = [3, 0, 4, 1, 2], 0.71875  # exact in float32

    def forward(x):
        def loss(of):
            return F.cross_entropy(
                x, torch.tensor(of), torch.tensor(weights).double(), label_smoothing=smoothing
            )

        if not mixed:
            return loss(wanted)
        return share * loss(wanted) + (1 - share) * loss([wanted[row] for row in partners])

    attributes = {"label_smoothing": smoothing, "labels": wanted, "weights": weights}
    if mixed:
        attributes |= {"partners": partners, "share": share}
    ranges = {"x": (-4.0, 4.0)}
    return Case(name, "cross_entropy", {"x": (rows, classes)}, attributes, forward, ranges)


def mixup(name, partners, share):
    """As in the authors' code: `lam * x + (1 - lam) * x[index]`."""
    attributes = {"partners": partners, "share": share}

    def forward(x):
        return share * x + (1 - share) * x[partners]

    shape = (len(partners), 5, 3, 4)
    return Case(name, "mixup", {"x": shape}, attributes, forward, gradients=False)


def multi_margin(name, margin):
    rows, classes = 5, 9
    wanted = labels(rows, classes)

    def forward(x):
        return F.multi_margin_loss(x, torch.tensor(wanted), margin=margin)

    attributes = {"margin": margin, "labels": wanted}
    ranges = {"x": (-4.0, 4.0)}
    return Case(name, "multi_margin", {"x": (rows, classes)}, attributes, forward, ranges)


X = (2, 5, 7, 9)

CASES = [
    conv("conv2d_3x3_s1", X, (6, 5, 3, 3), 1, [1, 1, 1, 1]),
    conv("conv2d_3x3_s2", X, (6, 5, 3, 3), 2, [1, 1, 1, 1]),
    conv("conv2d_1x1_s1", X, (6, 5, 1, 1), 1, [0, 0, 0, 0]),
    conv("conv2d_1x1_s2", X, (6, 5, 1, 1), 2, [0, 0, 0, 0]),
    conv("conv2d_7x7_s2", (2, 3, 11, 13), (4, 3, 7, 7), 2, [3, 3, 3, 3]),
    conv("conv2d_3x3_s2_same", (2, 3, 8, 10), (4, 3, 3, 3), 2, [0, 0, 1, 1]),
    conv("depthwise_3x3_s1", X, (5, 1, 3, 3), 1, [1, 1, 1, 1], groups=5),
    conv("depthwise_5x5_s2", X, (5, 1, 5, 5), 2, [2, 2, 2, 2], groups=5),
    conv("depthwise_5x5_s2_same", (2, 5, 8, 10), (5, 1, 5, 5), 2, [1, 1, 2, 2], groups=5),
    batch_norm("batch_norm_train", True),
    batch_norm("batch_norm_eval", False),
    Case("relu", "relu", {"x": X}, {}, F.relu),
    Case("relu6", "relu6", {"x": X}, {}, F.relu6, {"x": (-4.0, 10.0)}),
    Case("silu", "silu", {"x": X}, {}, F.silu, {"x": (-8.0, 8.0)}),
    Case("add", "add", {"a": X, "b": X}, {}, torch.add),
    Case(
        "max_pool2d",
        "max_pool2d",
        {"x": X},
        {"kernel": 3, "stride": 2, "padding": 1},
        lambda x: F.max_pool2d(x, 3, 2, 1),
    ),
    Case(
        "global_avg_pool",
        "global_avg_pool",
        {"x": X},
        {},
        lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1),
    ),
    Case("linear", "linear", {"x": (3, 13), "w": (7, 13), "b": (7,)}, {}, F.linear),
    cross_entropy("cross_entropy", 0.0, []),
    cross_entropy("cross_entropy_smoothed", 0.1, []),
    cross_entropy("cross_entropy_ignored", 0.1, [1, 4]),
    weighted_cross_entropy("cross_entropy_weighted", 0.0, []),
    weighted_cross_entropy("cross_entropy_weighted_smoothed", 0.1, [1, 4]),
    weighted_cross_entropy("cross_entropy_mixed", 0.1, [], mixed=True),
    mixup("mixup", [2, 0, 3, 1], 0.71875),
    multi_margin("multi_margin", 1.0),
    multi_margin("multi_margin_wide", 2.5),
]


# Three steps on a vector of 37; the gradient of step k is "<case>.grad.<k>", not a function of it.
LENGTH, STEPS = 37, 3
OPTIMISERS = {
    "sgd": (torch.optim.SGD, {"lr": 0.1}),
    "sgd_momentum": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    "sgd_nesterov": (
        torch.optim.SGD,
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True},
    ),
    "adamw": (
        torch.optim.AdamW,
        {"lr": 0.01, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.1},
    ),
}


def run_optimiser(name):
    """`{"<case>.param.<k>": after step k, "<case>.<slot>": the state after the last}`."""
    kind, settings = OPTIMISERS[name]
    start = torch.from_numpy(fill(f"{name}.param", (LENGTH,), *UNIT))
    parameter = torch.nn.Parameter(start.double())
    optimiser = kind([parameter], **settings)
    results = {}
    for step in range(STEPS):
        gradient = torch.from_numpy(fill(f"{name}.grad.{step}", (LENGTH,), *UNIT))
        parameter.grad = gradient.double()
        optimiser.step()
        results[f"{name}.param.{step}"] = parameter.detach().numpy().copy()
    for slot, value in optimiser.state[parameter].items():
        if torch.is_tensor(value) and value.shape == parameter.shape:
            results[f"{name}.{slot}"] = value.numpy()
    return results


def golden():
    """(tensors, metadata) of every case."""
    tensors = {}
    for case in CASES:
        tensors |= case.run()
    for name in OPTIMISERS:
        tensors |= run_optimiser(name)
    return tensors, {
        "cases": json.dumps([case.describe() for case in CASES]),
        "optimisers": json.dumps({name: settings for name, (_, settings) in OPTIMISERS.items()}),
    }
