#!/usr/bin/env python3
"""Cut random crops out of the sources and ask the teacher, EfficientNet-Lite0, for their features.

    make_crops.py --packages FOLDER --teacher assets/efficientnet_lite0.safetensors --out SHARDS --shards 30

A crop is a piece of a background; on two thirds of them one or two cut-outs are pasted, because
wallpapers alone hold few objects. The teacher gets it at 128x128, the student's file keeps it at
96x96. Shard i is the pair `i.images.npy` (N, 96, 96, 3) u8 and `i.features.npy` (N, 1280) f16, made
from seed i; a shard that is there already is left as it is, so the command can be stopped and
repeated. The teacher computes in bfloat16, which moves its features by 0.2 % of their variance.
"""

import argparse
import math
import os
import random
from pathlib import Path

import common
import numpy as np
import safetensors_file
import sources
import torch
from efficientnet_lite0 import EfficientNetLite0
from PIL import Image, ImageEnhance

SIDE = common.TEACHER_SIDE
BATCH = 32

WITH_CUTOUTS = 0.67  # of the crops
SECOND_CUTOUT = 0.25  # of those
PLAIN_GROUND = 0.2  # of those: one colour instead of a piece of a background
CUTOUT_KINDS = {"photographed": 0.5, "drawn": 0.35, "textured": 0.15}
FLAT = 10  # a piece whose grey levels deviate by less is drawn again
BLENDED = 0.08  # of the crops: the mean of two


class Sampler:
    """Draws crops."""

    def __init__(self, packages, seed):
        self.random = random.Random(seed)
        loaded = sources.load(packages)
        self.backgrounds, self.weights, self.photographed, self.drawn = loaded

    def seed(self, seed):
        self.random = random.Random(seed)

    def piece(self):
        """A random rectangle of a background; others are tried if it shows next to nothing."""
        for _ in range(4):
            image = self.rectangle()
            if np.asarray(image.convert("L").resize((16, 16), Image.BOX)).std() > FLAT:
                break
        return image

    def rectangle(self):
        """A random rectangle of a random background, squeezed to the crop's size."""
        levels = self.random.choices(self.backgrounds, self.weights)[0]
        width, height = levels[0].size
        side = min(width, height) * math.exp(self.random.uniform(math.log(0.1), 0))
        aspect = math.exp(self.random.uniform(-0.3, 0.3))
        wide = min(width, max(48, side * math.sqrt(aspect)))
        high = min(height, max(48, side / math.sqrt(aspect)))
        left = self.random.uniform(0, width - wide)
        top = self.random.uniform(0, height - high)
        # The smallest level that still has a pixel for each of ours.
        divisor, level = 1, levels[0]
        for next_divisor, next_level in zip((2, 4), levels[1:]):
            if min(wide, high) / next_divisor >= SIDE:
                divisor, level = next_divisor, next_level
        limits = level.size * 2
        box = [value / divisor for value in (left, top, left + wide, top + high)]
        box = [min(value, limit) for value, limit in zip(box, limits)]
        return level.resize((SIDE, SIDE), Image.BICUBIC, box=box)

    def cutout(self):
        """An object as RGBA, turned at random, 45 to 130 % of the crop long."""
        kinds, weights = zip(*CUTOUT_KINDS.items())
        kind = self.random.choices(kinds, weights)[0]
        image = self.random.choice(self.photographed if kind == "photographed" else self.drawn)
        scale = SIDE * self.random.uniform(0.45, 1.3) / max(image.size)
        stretch = math.exp(self.random.uniform(-0.15, 0.15))
        size = (image.width * scale * stretch, image.height * scale / stretch)
        image = image.resize([max(6, round(side)) for side in size], Image.BICUBIC)
        if kind == "textured":  # the outline of a drawing, filled with a piece of a background
            filling = self.piece().resize(image.size).convert("RGBA")
            filling.putalpha(image.getchannel("A"))
            image = filling
        if self.random.random() < 0.5:
            angle = self.random.uniform(-30, 30)
            image = image.rotate(angle, expand=True, resample=Image.BICUBIC)
        return image

    def place(self, image):
        """Where the top left corner goes: in the middle more often than anywhere."""
        free = (SIDE - image.width, SIDE - image.height)
        if self.random.random() < 0.6:
            return tuple(side // 2 + self.random.randint(-12, 12) for side in free)
        lengths = image.size
        return tuple(
            round(self.random.uniform(-0.4 * length, SIDE - 0.6 * length)) for length in lengths
        )

    def ground(self):
        """One colour, white half of the time."""
        white = self.random.random() < 0.5
        colour = (255,) * 3 if white else tuple(self.random.randint(0, 255) for _ in range(3))
        return Image.new("RGB", (SIDE, SIDE), colour)

    def scene(self):
        """A piece of a background, perhaps with cut-outs on it."""
        if self.random.random() >= WITH_CUTOUTS:
            return self.piece()
        image = self.ground() if self.random.random() < PLAIN_GROUND else self.piece()
        for _ in range(2 if self.random.random() < SECOND_CUTOUT else 1):
            cutout = self.cutout()
            image.paste(cutout, self.place(cutout), cutout)
        return image

    def crop(self):
        """(SIDE, SIDE, 3) bytes."""
        image = self.scene()
        if self.random.random() < BLENDED:
            image = Image.blend(image, self.scene(), 0.5)
        if self.random.random() < 0.5:
            image = image.transpose(Image.FLIP_LEFT_RIGHT)
        if self.random.random() < 0.8:
            for kind in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
                image = kind(image).enhance(self.random.uniform(0.65, 1.35))
        return image


def load_teacher(path):
    tensors, _ = safetensors_file.read(path)
    network = EfficientNetLite0()
    weights = {name: torch.from_numpy(array.astype(np.float32)) for name, array in tensors.items()}
    network.load_state_dict(weights, strict=False)
    return network.eval().to(memory_format=torch.channels_last)


@torch.no_grad()
def teacher_features(teacher, images):
    """(N, 1280) f16 of images (N, 128, 128, 3)."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    with torch.autocast("cpu", torch.bfloat16):
        features = teacher((pixels - 127) / 128)
    return common.half(features.float())


def make_shard(sampler, teacher, count, side):
    images = np.zeros((count, side, side, 3), np.uint8)
    features = np.zeros((count, common.FEATURES), np.float16)
    for start in range(0, count, BATCH):
        batch = [sampler.crop() for _ in range(min(BATCH, count - start))]
        stop = start + len(batch)
        features[start:stop] = teacher_features(teacher, np.stack([np.asarray(c) for c in batch]))
        small = [crop.resize((side, side), Image.BILINEAR) for crop in batch]
        images[start:stop] = np.stack([np.asarray(crop) for crop in small])
    return images, features


def save(path, array):
    """Write all or nothing."""
    partial = path.with_suffix(".partial")
    with open(partial, "wb") as file:
        np.save(file, array)
    os.replace(partial, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", type=Path, required=True, help="unpacked packages")
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the shards")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--shards", type=int, default=30)
    parser.add_argument("--crops", type=int, default=8000, help="in a shard")
    parser.add_argument("--side", type=int, default=96, help="of the student's images")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    sampler = Sampler(arguments.packages, 0)
    print(
        f"{len(sampler.backgrounds)} backgrounds, {len(sampler.photographed)} photographed and "
        f"{len(sampler.drawn)} drawn cut-outs",
        flush=True,
    )
    teacher = load_teacher(arguments.teacher)
    for index in range(arguments.first, arguments.first + arguments.shards):
        features_path = arguments.out / f"{index:03}.features.npy"
        if features_path.exists():
            continue
        watch = common.Stopwatch()
        sampler.seed(index)
        images, features = make_shard(sampler, teacher, arguments.crops, arguments.side)
        save(arguments.out / f"{index:03}.images.npy", images)
        save(features_path, features)
        print(f"shard {index}: {arguments.crops} crops in {watch.seconds():.0f} s", flush=True)


if __name__ == "__main__":
    main()
