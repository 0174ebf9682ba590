"""Goldens of whole networks in evaluation mode: logits at 224x224, and EfficientNet-Lite0."""

import json

import numpy as np
import torch
from efficientnet_lite0 import EfficientNetLite0
from filler import fill
from PIL import Image
from resnet import resnet18, resnet50


@torch.no_grad()
def run(make_network, inputs):
    """Activations by stage in float64, and the last of them in float32."""
    exact = {
        name: value.numpy()
        for name, value in make_network(torch.float64).eval().stages(inputs.double())
    }
    rounded = make_network(torch.float32).eval()(inputs).numpy()
    return exact, rounded


def mean_abs(activations):
    return {f"mean_abs.{name}": np.abs(value).mean() for name, value in activations.items()}


def resnet_224(make_network):
    """(tensors, metadata) for one image and 1,000 classes."""
    inputs = torch.from_numpy(fill("input", (1, 3, 224, 224), -2, 2))
    exact, rounded = run(lambda dtype: make_network(1000, dtype), inputs)
    tensors = {"logits": exact["logits"], "logits_f32": rounded, **mean_abs(exact)}
    return tensors, {"input": json.dumps([1, 3, 224, 224])}


def lite0(weights, photo):
    """(tensors, metadata) of the shipped body on a filler input and on a photo.

    `weights` are the shipped F16 tensors; `photo` is the path of a JPEG.
    """

    def network(dtype):
        body = EfficientNetLite0()
        state = {name: torch.from_numpy(a.astype(np.float32)) for name, a in weights.items()}
        body.load_state_dict(state, strict=False)
        return body.to(dtype)

    pixels = np.array(Image.open(photo).convert("RGB"))
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    tensors = {"photo.pixels": pixels.astype(np.float16)}  # whole numbers to 255: exact
    for prefix, inputs in [
        ("filler", torch.from_numpy(fill("input", (1, 3, 64, 64), -2, 2))),
        ("photo", (image - 127) / 128),
    ]:
        exact, rounded = run(network, inputs)
        values = {"features": exact["features"], "features_f32": rounded, **mean_abs(exact)}
        tensors.update({f"{prefix}.{name}": value for name, value in values.items()})
    return tensors, {"photo": "/".join(photo.parts[-2:])}


NETWORKS = {"resnet18_224": resnet18, "resnet50_224": resnet50}
