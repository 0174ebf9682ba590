#!/usr/bin/env python3
"""Make the golden files: PyTorch's results, with which frostline is compared.

    python3 tests/golden/make.py [NAME ...]

Without names, all of them: about a minute on two cores. Needs numpy, PyTorch (1.13 made the
files in the repository) and Pillow; `augment` also torchvision (0.14),
`regression` scikit-learn (1.2), `label_issues` cleanlab (2.9),
`timm_lite0` also timm (1.0).
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
ASSETS = HERE.parent.parent / "assets"
sys.path.insert(0, str(ASSETS / "scripts"))  # the file format and Lite0 are the assets' own

import inference
import ops
import roundtrip
import safetensors_file
import training

PHOTO = ASSETS / "photos" / "animal" / "panda.jpg"


def lite0():
    weights, _ = safetensors_file.read(ASSETS / "efficientnet_lite0.safetensors")
    return inference.lite0(weights, PHOTO)


def augmentation():
    import augment  # the only one that needs torchvision

    return augment.golden()


def regressions():
    import regression  # the only one that needs scikit-learn

    return regression.golden()


def label_issues():
    import label_issues  # the only one that needs cleanlab

    return label_issues.golden()


def timm_lite0():
    import timm_lite0  # the only one that needs timm

    return timm_lite0.golden()


MAKERS = {"ops": ops.golden, "augment": augmentation, "lite0": lite0, "roundtrip": roundtrip.golden}
MAKERS["timm_lite0"], MAKERS["regression"] = timm_lite0, regressions
MAKERS["label_issues"] = label_issues
for stem, network in inference.NETWORKS.items():
    MAKERS[stem] = lambda network=network: inference.resnet_224(network)
for case in training.CASES:
    MAKERS[f"resnet18_64_{case}"] = lambda case=case: training.golden(case)


def as_stored(value):
    """float32, whatever it was computed in; F16 stays, because it only contains exact values."""
    value = np.asarray(value)
    value = value if value.dtype == np.float16 else value.astype(np.float32)
    if not np.isfinite(value).all():
        raise ValueError("a golden contains a value that is not finite")
    return value


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MAKERS))
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(MAKERS)
    if unknown:
        parser.error(f"no golden is called {', '.join(sorted(unknown))}")

    for name in arguments.names or MAKERS:
        tensors, metadata = MAKERS[name]()
        metadata["torch"] = torch.__version__
        path = HERE / f"{name}.safetensors"
        stored = {key: as_stored(value) for key, value in tensors.items()}
        safetensors_file.write(path, stored, metadata)
        print(f"{path.name}: {len(tensors)} tensors, {path.stat().st_size:,} bytes", flush=True)


if __name__ == "__main__":
    main()
