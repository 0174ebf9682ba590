"""The filler: numbers that PyTorch and frostline both compute from a tensor's name.

The goldens contain only results. Weights and inputs are computed on both sides by this rule,
whose Rust version is tests/twin/src/filler.rs; README.md describes it. Every step is exact or a single
IEEE rounding, so the two sides agree to the last bit.
"""

import math

import numpy as np

GOLDEN_RATIO = 0x9E3779B97F4A7C15  # 2^64 / phi, the increment of splitmix64
MASK = (1 << 64) - 1


def name_hash(name):
    """FNV-1a, 64 bits, of the name's UTF-8 bytes."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = ((state ^ byte) * 0x100000001B3) & MASK
    return state


def fill(name, shape, low, high):
    """A float32 array of `shape`, uniform over [low, high), in row-major PyTorch order.

    Element i is the i-th output of splitmix64 (Steele, Lea and Flood, 2014) seeded with the
    name's hash; its top 24 bits become an exact float32 fraction.
    """
    steps = np.arange(1, math.prod(shape) + 1, dtype=np.uint64)
    z = np.uint64(name_hash(name)) + steps * np.uint64(GOLDEN_RATIO)  # wraps, as it should
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    fraction = (z >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)
    low, high = np.float32(low), np.float32(high)
    return (low + fraction * (high - low)).reshape(shape)


def labels(count, classes):
    """Labels for a batch: (7 i + 3) mod classes; all alike if 7 divides `classes`."""
    return [(7 * i + 3) % classes for i in range(count)]


def parameter_range(name, shape, last_bn):
    """(low, high) of one ResNet parameter or running statistic, by its torchvision name.

    `last_bn` is the last batch norm of a residual branch: "bn2" in a BasicBlock, "bn3" in a
    Bottleneck. Its small scale keeps activations of a 50-layer random net near one.
    """
    leaf = name.rsplit(".", 1)[-1]
    module = name.rsplit(".", 2)[-2]
    if name == "fc.weight":
        bound = 1.0 / math.sqrt(shape[1])
    elif name == "fc.bias":
        bound = 0.1
    elif len(shape) == 4:
        bound = math.sqrt(6.0 / math.prod(shape[1:]))
    elif leaf == "weight":
        inside_block = name.startswith("layer")
        return (0.1, 0.4) if inside_block and module == last_bn else (0.5, 1.5)
    elif leaf == "running_var":
        return 0.5, 1.5
    elif leaf in ("bias", "running_mean"):
        bound = 0.2
    else:
        raise ValueError(f"{name}: no filler range for a tensor of this name, shape {shape}")
    return -bound, bound
