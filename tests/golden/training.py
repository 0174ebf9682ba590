"""Goldens of training: resnet18, batch 4 at 64x64, 10 classes, under several freezes."""

import json

import numpy as np
import torch
import torch.nn.functional as F
from filler import fill, labels
from resnet import resnet18
from torch import nn

BATCH, SIZE, CLASSES, STEPS = 4, 64, 10, 10
SGD = {"momentum": 0.9, "weight_decay": 1e-4}
WHOLE = 2048  # the most elements of a gradient that is stored whole
SAMPLES = 512
GROUPS = ["stem", "layer1", "layer2", "layer3", "layer4", "fc"]
STATISTICS = ["bn1", "layer4.1.bn2"]


def group_of(name):
    """The group of a parameter or module: its first part, with conv1 and bn1 as the stem."""
    first = name.split(".")[0]
    return "stem" if first in ("conv1", "bn1") else first


def at_or_above(group):
    return lambda name: GROUPS.index(group_of(name)) >= GROUPS.index(group)


# case: (is this parameter trainable?, does this batch norm use the batch's statistics?, rate).
# Without batch statistics the features that fc reads are large, and at a rate of 0.01 its loss diverges:
# float32 and float64 then differ within ten steps, and the golden would be useless.
CASES = {
    "train": (lambda name: True, lambda name: True, 0.01),
    "frozen_bn": (lambda name: not is_batch_norm(name), lambda name: False, 0.0005),
    "below_layer3": (at_or_above("layer3"), at_or_above("layer3"), 0.01),
    "below_layer4": (at_or_above("layer4"), at_or_above("layer4"), 0.01),
    "below_fc": (at_or_above("fc"), at_or_above("fc"), 0.0005),
    "conv1_only": (lambda name: name == "conv1.weight", lambda name: False, 0.01),
}


def is_batch_norm(parameter):
    module = parameter.split(".")[:-1]
    return module[-1].startswith("bn") or module[-2:] == ["downsample", "1"]


def prepare(case, dtype):
    """The filled network with this case's freeze applied, its inputs and labels."""
    trainable, batch_statistics, _ = CASES[case]
    network = resnet18(CLASSES, dtype)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(trainable(name))
    network.train()
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train(batch_statistics(name))
    inputs = torch.from_numpy(fill("input", (BATCH, 3, SIZE, SIZE), -2, 2)).to(dtype)
    return network, inputs, torch.tensor(labels(BATCH, CLASSES))


def train(case, dtype):
    """(losses before each step, logits and gradients at step 0, the network after all steps)."""
    network, inputs, wanted = prepare(case, dtype)
    parameters = {name: p for name, p in network.named_parameters() if p.requires_grad}
    optimiser = torch.optim.SGD(parameters.values(), CASES[case][2], **SGD)
    losses = []
    for step in range(STEPS):
        optimiser.zero_grad()
        logits = network(inputs)
        loss = F.cross_entropy(logits, wanted)
        loss.backward()
        if step == 0:
            first_logits = logits.detach().numpy()
            gradients = {name: p.grad.numpy().copy() for name, p in parameters.items()}
        losses.append(loss.item())
        optimiser.step()
    return losses, first_logits, gradients, network


def gradient_entries(name, exact, rounded):
    """The golden's data about one gradient: its values or a sample, and its sums."""
    flat = exact.reshape(-1)
    if flat.size <= WHOLE:
        yield f"grad.{name}", exact
    else:
        stride = flat.size // SAMPLES
        yield f"grad.{name}.samples", flat[: stride * SAMPLES : stride]
    probe = fill(f"probe.{name}", flat.shape, -1, 1).astype(np.float64)
    norm = np.linalg.norm(flat)
    yield f"grad.{name}.summary", np.array([norm, flat.sum(), flat @ probe])
    yield f"grad.{name}.f32_error", np.linalg.norm(rounded.reshape(-1) - flat) / norm


def golden(case):
    """(tensors, metadata) of one case."""
    losses, logits, gradients, network = train(case, torch.float64)
    losses_f32, logits_f32, gradients_f32, _ = train(case, torch.float32)
    tensors = {
        "loss": losses[0],
        "logits": logits,
        "logits_f32": logits_f32,
        "losses": np.array(losses),
        "losses_f32": np.array(losses_f32),
    }
    state = network.state_dict()
    for module in STATISTICS:
        for statistic in ("running_mean", "running_var"):
            tensors[f"after.{module}.{statistic}"] = state[f"{module}.{statistic}"].numpy()
    for name, exact in gradients.items():
        tensors.update(gradient_entries(name, exact, gradients_f32[name]))
    batch_norms = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.BatchNorm2d) and module.training
    ]
    metadata = {
        "case": case,
        "trainable": json.dumps(list(gradients)),
        "batch_statistics": json.dumps(batch_norms),
        "sgd": json.dumps({"lr": CASES[case][2], **SGD}),
    }
    return tensors, metadata
