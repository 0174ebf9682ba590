#!/usr/bin/env python3
"""What the distilled ResNet-10 is worth on the embedded photos, against the same network from scratch.

    evaluate.py --weights assets/resnet10_photos.safetensors --photos assets/photos --log evaluation.jsonl

Learns the six classes from 30, 60 and 90 of the 147 photos and tests on the others, on several
random splits: a logistic regression on the features of the distilled and of a random network, then
fine-tuning of layer4 and fc, of everything, of everything with the batch norms' running statistics,
and training from scratch (150 steps, batches of 32 photos mirrored at random, cosine). `--teacher`
adds the teacher's own features at 128x128. One JSON line a row: mean accuracy and standard
deviation over the splits in %.
"""

import argparse
import math
from pathlib import Path

import common
import make_crops
import network
import numpy as np
import photos
import torch
import torch.nn.functional as F

BATCH = 32
# "layer4" trains layer4 and fc on the outputs of layer3, which are computed once; in "frozen-bn" all
# batch norms keep their running statistics.
KINDS = ("layer4", "full", "frozen-bn", "scratch")


@torch.no_grad()
def pooled(student, inputs):
    return student.eval().features(inputs).numpy()


class Evaluation:
    def __init__(self, arguments):
        self.arguments = arguments
        self.student, metadata = network.from_file(arguments.weights, 1)
        self.side = int(metadata["input"])
        self.inputs, self.labels, self.classes = photos.load(arguments.photos, self.side)
        with torch.no_grad():
            body = self.student.eval().before_layer4
            self.before_layer4 = body(self.inputs), body(self.inputs.flip(3))

    def new_student(self, pretrained, seed):
        classes = len(self.classes)
        torch.manual_seed(1000 + seed)
        if pretrained:
            student, _ = network.from_file(self.arguments.weights, classes)
        else:
            width, _, kernel, _ = self.student.conv1.weight.shape
            student = network.PhotoResNet10(width, kernel, classes)
        return student.to(memory_format=torch.channels_last)

    def probe(self, name, features_of):
        """`features_of(seed)` gives the features that split `seed` learns from."""
        splits = self.arguments.splits
        row = {
            count: photos.summary(photos.probe(features_of, self.labels, count, splits))
            for count in photos.SIZES
        }
        common.append_line(self.arguments.log, method=name, splits=splits, accuracy=row)

    def probes(self):
        splits = range(self.arguments.splits)
        random = [pooled(self.new_student(False, seed), self.inputs) for seed in splits]
        self.probe("probe, random network", lambda seed: random[seed])
        distilled = pooled(self.student, self.inputs)
        self.probe("probe, distilled", lambda _: distilled)
        if self.arguments.teacher:
            teacher = make_crops.load_teacher(self.arguments.teacher)
            images, _, _ = photos.load_images(self.arguments.photos, common.TEACHER_SIDE)
            told = make_crops.teacher_features(teacher, images).astype(np.float32)
            self.probe("probe, teacher at 128x128", lambda _: told)

    def fine_tuned(self, student, count, seed, kind, rate):
        """Accuracy in % after training as `kind` says."""
        torch.manual_seed(seed)
        student.fc.reset_parameters()
        if kind == "layer4":
            plain, mirrored = self.before_layer4
            trained = torch.nn.ModuleList([student.layer4, student.fc])

            def network_of(x):
                return student.fc(student.layer4(x).mean((2, 3)))

        else:
            plain, mirrored = self.inputs, self.inputs.flip(3)
            trained = network_of = student
        optimizer = torch.optim.SGD(
            trained.parameters(), lr=rate, momentum=0.9, nesterov=True, weight_decay=5e-4
        )
        learn, test = photos.split(self.labels, count, seed)
        wanted = torch.from_numpy(self.labels)
        generator = np.random.RandomState(seed)
        student.train()
        for module in student.modules():
            if kind == "frozen-bn" and isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
        for step in range(self.arguments.steps):
            for group in optimizer.param_groups:
                group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / self.arguments.steps))
            chosen = torch.from_numpy(generator.choice(learn, BATCH, replace=len(learn) < BATCH))
            mirror = torch.from_numpy(generator.rand(BATCH) < 0.5)[:, None, None, None]
            batch = torch.where(mirror, mirrored[chosen], plain[chosen])
            with torch.autocast("cpu", torch.bfloat16, enabled=self.arguments.bfloat16):
                told = network_of(batch.contiguous(memory_format=torch.channels_last))
            loss = F.cross_entropy(told.float(), wanted[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        student.eval()
        with torch.no_grad():
            told = network_of(plain[test]).argmax(1)
        return 100 * float((told == wanted[test]).float().mean())

    def train(self, kind, rate):
        """One line of log for every number of photos."""
        for count in self.arguments.sizes:
            watch, accuracies = common.Stopwatch(), []
            for seed in range(self.arguments.fine_tuning_splits):
                student = self.new_student(kind != "scratch", seed)
                accuracies.append(self.fine_tuned(student, count, seed, kind, rate))
            common.append_line(
                self.arguments.log,
                method=kind,
                rate=rate,
                steps=self.arguments.steps,
                splits=self.arguments.fine_tuning_splits,
                accuracy={count: photos.summary(accuracies)},
                seconds=round(watch.seconds()),
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True, help="folder a class")
    parser.add_argument("--teacher", type=Path, help="efficientnet_lite0.safetensors")
    parser.add_argument("--log", type=Path, help="JSON lines")
    parser.add_argument("--splits", type=int, default=10, help="of a logistic regression")
    parser.add_argument("--fine-tuning-splits", type=int, default=5)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--rates", type=float, nargs="*", default=[0.01], help="of fine-tuning")
    parser.add_argument("--scratch-rates", type=float, nargs="*", default=[0.05])
    parser.add_argument("--only", nargs="*", default=["probe", *KINDS])
    parser.add_argument("--sizes", type=int, nargs="*", default=photos.SIZES, help="of fine-tuning")
    parser.add_argument("--bfloat16", action="store_true", help="train in mixed precision: faster")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    evaluation = Evaluation(arguments)
    if "probe" in arguments.only:
        evaluation.probes()
    for kind in [name for name in arguments.only if name in KINDS]:
        for rate in arguments.scratch_rates if kind == "scratch" else arguments.rates:
            evaluation.train(kind, rate)


if __name__ == "__main__":
    main()
