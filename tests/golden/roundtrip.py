#!/usr/bin/env python3
"""Does a network that frostline trained give the same logits in PyTorch?

    frostline convert RUN weights.safetensors --to torchvision
    frostline features RUN PHOTOS --stage fc -o logits.safetensors
    python3 tests/golden/roundtrip.py weights.safetensors logits.safetensors

loads the weights by `load_state_dict` into torchvision's own ResNet (of the usual width) or into
the one of resnet.py (of any width), reads the photos as torchvision's transforms do, and compares.
Exit code 1 if the difference of the logits is larger than f32 explains. `make.py roundtrip` writes the
golden.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from filler import fill
from resnet import BasicBlock, Bottleneck, ResNet

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "assets" / "scripts"))
import safetensors_file

# Norm of the difference over the norm: as for all logits of the goldens (models/tests/golden).
TOLERANCE = 1e-5
SHAPE = (2, 3, 64, 64)


def network(state, torchvision_too=True):
    """The network of a state dict, with its weights; every name must fit, and none may be missing."""
    stages = range(1, 5)
    blocks = [len({n.split(".")[1] for n in state if n.startswith(f"layer{s}.")}) for s in stages]
    width, classes = state["conv1.weight"].shape[0], state["fc.weight"].shape[0]
    deep = "layer1.0.conv3.weight" in state
    if width == 64 and torchvision_too:
        from torchvision.models import resnet as theirs

        body = theirs.ResNet(theirs.Bottleneck if deep else theirs.BasicBlock, blocks, classes)
    else:
        body = ResNet(Bottleneck if deep else BasicBlock, blocks, classes, width)
    body.load_state_dict({name: torch.from_numpy(a.copy()) for name, a in state.items()}, strict=True)
    return body.eval()


@torch.no_grad()
def logits(state, inputs):
    """In float64, and in float32."""
    exact = network(state).double()(inputs.double()).numpy()
    return exact, network(state)(inputs).numpy()


def golden():
    """(tensors, metadata) of the trained network in roundtrip_weights.safetensors."""
    state, _ = safetensors_file.read(HERE / "roundtrip_weights.safetensors")
    exact, rounded = logits(state, torch.from_numpy(fill("input", SHAPE, -2, 2)))
    return {"logits": exact, "logits_f32": rounded}, {"input": json.dumps(SHAPE)}


def rgb(image):
    """Transparent pixels are blended over white, as in frostline; Pillow would show the hidden colours."""
    from PIL import Image

    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def photos(files, preprocessing):
    """Photos, converted by torchvision's transforms to the input that `preprocessing` describes."""
    from PIL import Image
    from torchvision import transforms

    modes = transforms.InterpolationMode
    mode = {"bilinear": modes.BILINEAR, "bicubic": modes.BICUBIC}[preprocessing["interpolation"]]
    steps = [transforms.Resize(preprocessing["resize"], mode)] if preprocessing["resize"] else []
    steps += [transforms.CenterCrop(preprocessing["crop"]), transforms.ToTensor()]
    steps += [transforms.Normalize(preprocessing["mean"], preprocessing["std"])]
    transform = transforms.Compose(steps)
    return torch.stack([transform(rgb(Image.open(file))) for file in files])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", help="written by `frostline convert --to torchvision`")
    parser.add_argument("logits", help="written by `frostline features --stage fc`")
    arguments = parser.parse_args()
    state, metadata = safetensors_file.read(arguments.weights)
    ours, about = safetensors_file.read(arguments.logits)
    inputs = photos(json.loads(about["files"]), json.loads(metadata["frostline.preprocessing"]))
    exact, rounded = logits(state, inputs)
    ours = ours["features"].astype(np.float64)
    norm = np.linalg.norm(exact)
    error, theirs = np.linalg.norm(ours - exact) / norm, np.linalg.norm(rounded - exact) / norm
    same = (ours.argmax(1) == exact.argmax(1)).mean()
    print(f"{type(network(state)).__module__}, {len(state)} tensors, {len(exact)} photos:")
    print(f"frostline's logits are off by {error:.1e} of their norm, PyTorch's in f32 by {theirs:.1e}")
    print(f"the same class on {100 * same:.0f} % of the photos")
    return 0 if error < TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
