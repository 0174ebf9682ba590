#!/usr/bin/env python3
"""Train a ResNet-10 for photos to tell EfficientNet-Lite0's features of random crops.

    distil.py --shards SHARDS --minutes 60 --photos assets/photos --log run.jsonl --out student.pt
    distil.py ... --resume        goes on where the last checkpoint of --out was written

The loss is the mean squared error on the teacher's 1,280 features, each standardised: the share of
their variance that the student misses. Needs no labels, so pictures of anything do. The rate rises
for 200 steps and falls to zero along a cosine of the time spent; a run ends after --minutes of
training however busy the machine is, and how many steps that makes is in the log. Shards that
appear while it trains are taken in.
"""

import argparse
import math
import os
from pathlib import Path

import common
import numpy as np
import photos
import torch
import torch.nn.functional as F
from network import PhotoResNet10, multiply_adds

STATISTICS_FROM = 16_000  # crops


class Crops:
    """All shards in a folder, mapped into memory."""

    def __init__(self, folder):
        self.folder = folder
        self.shards = {}
        self.look()

    def look(self):
        """Take in new shards."""
        for path in sorted(self.folder.glob("*.features.npy")):
            if path not in self.shards:
                images = path.with_name(path.name.replace("features", "images"))
                self.shards[path] = (np.load(images, "r"), np.load(path, "r"))
        self.pairs = list(self.shards.values())
        self.starts = np.cumsum([0] + [len(features) for _, features in self.pairs])

    def __len__(self):
        return int(self.starts[-1])

    def take(self, indices, mirrored):
        """(images, features) of these crops, the images with `mirrored[i]` mirrored."""
        shards = np.searchsorted(self.starts, indices, side="right") - 1
        images, features = [], []
        for shard, index, mirror in zip(shards, indices - self.starts[shards], mirrored):
            image = self.pairs[shard][0][index]
            images.append(image[:, ::-1] if mirror else image)
            features.append(self.pairs[shard][1][index])
        return np.stack(images), np.stack(features).astype(np.float32)

    def statistics(self):
        """Mean and deviation of every feature; a rare feature's deviation counts as 0.05 more."""
        features = np.concatenate([features[:] for _, features in self.pairs[:4]])
        features = torch.from_numpy(features[:STATISTICS_FROM].astype(np.float32))
        return features.mean(0), features.std(0) + 0.05


def rate_at(step, share, peak):
    """The learning rate at this step, when `share` of the time is spent."""
    return peak * min(1, (step + 1) / 200) * 0.5 * (1 + math.cos(math.pi * min(share, 1)))


class Run:
    """Network, optimizer and everything else that a checkpoint holds."""

    def __init__(self, arguments):
        self.arguments = arguments
        torch.manual_seed(arguments.seed)
        network = PhotoResNet10(arguments.width, arguments.kernel, common.FEATURES)
        self.network = network.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(
            self.network.parameters(),
            lr=arguments.rate,
            momentum=0.9,
            nesterov=True,
            weight_decay=arguments.decay,
        )
        self.random = np.random.RandomState(arguments.seed)
        self.crops = Crops(arguments.shards)
        self.mean, self.deviation = self.crops.statistics()
        self.step, self.before = 0, 0.0
        if arguments.resume:
            self.load(arguments.out)
        self.watch = common.Stopwatch()

    def seconds(self):
        """Spent on training, earlier processes included."""
        return self.before + self.watch.seconds()

    def load(self, path):
        state = torch.load(path)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.random.set_state(state["random"])
        self.mean, self.deviation = state["mean"], state["deviation"]
        self.step, self.before = state["step"], state["seconds"]

    def save(self, path):
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": self.random.get_state(),
            "mean": self.mean,
            "deviation": self.deviation,
            "step": self.step,
            "seconds": self.seconds(),
            "width": self.arguments.width,
            "kernel": self.arguments.kernel,
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, path)

    def train_step(self, share):
        """One batch; its loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate_at(self.step, share, self.arguments.rate)
        indices = self.random.randint(len(self.crops), size=self.arguments.batch)
        mirrored = self.random.rand(self.arguments.batch) < 0.5
        images, features = self.crops.take(indices, mirrored)
        features = torch.from_numpy(features)
        wanted = ((features - self.mean) / self.deviation).clamp(-6, 6)
        inputs = common.normalized(images)
        with torch.autocast("cpu", torch.bfloat16):
            told = self.network(inputs)
        loss = F.mse_loss(told.float(), wanted)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.step += 1
        return float(loss)


def probes(network, inputs, labels, seeds):
    """{photos to learn from: [mean, deviation]} of a logistic regression on the features."""
    network.eval()
    with torch.no_grad():
        features = network.features(inputs).numpy()
    network.train()
    return {
        count: photos.summary(photos.probe(lambda _: features, labels, count, seeds))
        for count in photos.SIZES
    }


def train(run):
    arguments = run.arguments
    inputs, labels, _ = photos.load(arguments.photos, run.crops.pairs[0][0].shape[1])
    total, losses = 60 * arguments.minutes, []
    saved, probed = run.seconds(), run.seconds()
    run.network.train()
    while run.seconds() < total:
        losses.append(run.train_step(run.seconds() / total))
        now = run.seconds()
        if run.step % 200 == 0:
            run.crops.look()
            common.append_line(
                arguments.log,
                step=run.step,
                seconds=round(now),
                loss=round(float(np.mean(losses)), 4),
                rate=round(rate_at(run.step, now / total, arguments.rate), 4),
                crops=len(run.crops),
            )
            losses = []
        if now - saved > 240:
            run.save(arguments.out)
            saved = now
        if now - probed > arguments.probe_every:
            found = probes(run.network, inputs, labels, 5)
            common.append_line(arguments.log, step=run.step, seconds=round(now), probe=found)
            probed = now
    run.save(arguments.out)
    found = probes(run.network, inputs, labels, 10)
    common.append_line(arguments.log, step=run.step, seconds=round(run.seconds()), probe=found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True, help="folder a class, to look at")
    parser.add_argument("--out", type=Path, required=True, help="the checkpoint")
    parser.add_argument("--log", type=Path, help="JSON lines")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--kernel", type=int, default=7, help="of the stem")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--decay", type=float, default=1e-4)
    parser.add_argument("--probe-every", type=float, default=300, help="seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    run = Run(arguments)
    side = run.crops.pairs[0][0].shape[1]
    common.append_line(
        arguments.log,
        width=arguments.width,
        kernel=arguments.kernel,
        side=side,
        million_multiply_adds=round(multiply_adds(arguments.width, arguments.kernel, side) / 1e6, 1),
        batch=arguments.batch,
        rate=arguments.rate,
        decay=arguments.decay,
        minutes=arguments.minutes,
        crops=len(run.crops),
        resumed_at=run.step,
    )
    train(run)


if __name__ == "__main__":
    main()
