"""What the scripts of this folder share: the modules of the folder above, batches, one line of log."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

TEACHER_SIDE = 128  # of the crops that the teacher gets
FEATURES = 1280  # of the teacher

# ImageNet's usual statistics of pixels in [0, 1], as for torchvision's networks.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def normalized(images):
    """Bytes (N, H, W, 3) to a (N, 3, H, W) tensor of floats whose channels are last in memory."""
    pixels = torch.from_numpy(images.astype(np.float32))
    pixels -= 255 * torch.tensor(MEAN)
    pixels /= 255 * torch.tensor(STD)
    return pixels.permute(0, 3, 1, 2)


def append_line(path, **fields):
    """Append `fields` to a JSON-lines log, and print them."""
    line = json.dumps(fields)
    print(line, flush=True)
    if path is not None:
        with open(path, "a", encoding="utf-8") as file:
            file.write(line + "\n")


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self):
        self.start = time.monotonic()

    def seconds(self):
        return time.monotonic() - self.start


def half(tensor):
    """A tensor as an F16 array."""
    return tensor.detach().cpu().numpy().astype(np.float16)
