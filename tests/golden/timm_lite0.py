"""The golden of EfficientNet-Lite0 under timm's names: the results of timm's class.

Needs timm (1.0 made the file): a virtual environment with `--system-site-packages` and
`pip install --no-deps timm` is enough beside Debian's python3-torch and python3-torchvision.
"""

import json
from pathlib import Path

import numpy as np
import timm
import torch
from filler import fill
from safetensors_file import read

ASSETS = Path(__file__).resolve().parent.parent.parent / "assets"
CLASSES = 6
SHAPE = (1, 3, 64, 64)


@torch.no_grad()
def golden():
    """(tensors, metadata): logits of the shipped body with a head from the filler.

    Names are paired by their order, which is that of the network in both files, so that no table of
    names is needed here.
    """
    ours, _ = read(ASSETS / "efficientnet_lite0.safetensors")
    for leaf, shape in [("weight", (CLASSES, 1280)), ("bias", (CLASSES,))]:
        ours[f"_fc.{leaf}"] = fill(f"_fc.{leaf}", shape, -0.05, 0.05)
    network = timm.create_model("tf_efficientnet_lite0", num_classes=CLASSES).eval()
    theirs = [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]
    if len(theirs) != len(ours):
        raise ValueError(f"{len(ours)} tensors here, {len(theirs)} in timm")
    names = dict(zip(ours, theirs))
    state = {names[name]: torch.from_numpy(a.astype(np.float32)) for name, a in ours.items()}
    network.load_state_dict(state, strict=True)
    inputs = torch.from_numpy(fill("input", SHAPE, -2, 2))
    rounded = network(inputs).numpy()
    exact = network.double()(inputs.double()).numpy()
    metadata = {"names": json.dumps(names), "timm": timm.__version__, "input": json.dumps(SHAPE)}
    return {"logits": exact, "logits_f32": rounded}, metadata
