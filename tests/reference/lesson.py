#!/usr/bin/env python3
"""The central results of the lesson, repeated with PyTorch.

The chapters draw their conclusions from runs on this repository's engine. A mistake in the engine, the
trainer or the harness could change them without failing a test of one kernel. So the runs behind the
most important claims are repeated here: PyTorch's layers, gradients, first weights, order of
batches, optimiser and schedule, on the same training and test images, for the same steps at the same rates.
`compare.py` compares the two; `README.md` states what is shared and what is not.

    python3 tests/reference/lesson.py                    all that is missing in lesson.jsonl, cheapest first
    python3 tests/reference/lesson.py --only "clothes 50"
    python3 tests/reference/lesson.py --only "clothes 50 layer4" --repeats 16
    python3 tests/reference/lesson.py --list

Each finished run is one line of `lesson.jsonl`; an existing run is not repeated. Needs PyTorch, numpy
and Pillow (python3-torch, python3-numpy, python3-pil of Debian 12). One core; about 15 minutes of it in all.
"""

import argparse
import json
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

HERE = Path(__file__).resolve().parent
ASSETS = HERE.parent.parent / "assets"
sys.path.insert(0, str(ASSETS / "scripts"))
import safetensors_file  # noqa: E402
import sheet  # noqa: E402
from resnet10 import ResNet10  # noqa: E402

MEAN, STD = 0.2860, 0.3530
BATCH = 32
SEEDS = 5
SHEETS = {"clothes": "fashion", "digits": "digits"}
# What trains, and from where: a softmax head on standardised features; layer4 and the head; all layers from
# the pretrained weights; all layers from random weights.
HEAD, LAYER4, EVERYTHING, SCRATCH = "head", "layer4", "everything", "scratch"
# The names of these in the chapters, with the numbers of training images.
CHAPTERS = {
    "ch0": ({SCRATCH: "from scratch", LAYER4: "pretrained"}, {"clothes": [50, 200, 1000]}),
    "ch3": ({HEAD: "head only", LAYER4: "partial", EVERYTHING: "full at {lr}"}, {"clothes": [200]}),
    "ch4": (
        {
            HEAD: "head only",
            LAYER4: "layer4 on",
            EVERYTHING: "everything",
            SCRATCH: "everything, from scratch",
        },
        {"clothes": [50, 1000], "digits": [50, 500]},
    ),
    "ch8": (
        {HEAD: "head only", LAYER4: "partial", EVERYTHING: "full", SCRATCH: "scratch"},
        {"clothes": [50, 200, 500, 1000], "digits": [50, 200, 500]},
    ),
}
RATES = {HEAD: 0.1, LAYER4: 0.02, EVERYTHING: 0.02, SCRATCH: 0.05}
# Rates of chapter 3's full fine-tuning, after which the old classes are tested as well.
FORGETTING = [0.003, 0.03, 0.3]
# The cells that are repeated.
REPEATED = {
    ("clothes", 50): [HEAD, LAYER4, EVERYTHING, SCRATCH],
    ("clothes", 200): [HEAD, LAYER4, SCRATCH],
    ("clothes", 1000): [HEAD, LAYER4, EVERYTHING, SCRATCH],
    ("digits", 50): [HEAD, LAYER4, EVERYTHING],
    ("digits", 500): [HEAD, LAYER4, EVERYTHING, SCRATCH],
}

# Everything that determines a run. Repeats have the same images, but other first weights and another order.
Run = namedtuple("Run", ["task", "trains", "images", "seed", "repeat", "steps", "batch", "lr"])


def planned(repeats):
    """All runs: one of each cell and seed, then the repeats; those with the least to compute first."""
    cells = []
    for (task, images), kinds in REPEATED.items():
        cells += [(task, images, kind, RATES[kind]) for kind in kinds]
    cells += [("clothes", 200, EVERYTHING, lr) for lr in FORGETTING]
    runs = [
        Run(task, kind, images, seed, repeat, 500 if images >= 1000 else 150, BATCH, lr)
        for task, images, kind, lr in cells
        for seed in range(SEEDS)
        for repeat in range(repeats)
    ]
    cost = {HEAD: 0, LAYER4: 1, EVERYTHING: 10, SCRATCH: 10}
    return sorted(runs, key=lambda run: (run.repeat, cost[run.trains] * run.steps, run.seed))


def conditions(run):
    """The names of this run's condition in the chapters that have it: {"ch0": "pretrained", ...}."""
    names = {}
    for chapter, (words, tasks) in CHAPTERS.items():
        swept = run.trains == EVERYTHING and "{lr}" in words.get(EVERYTHING, "")
        usual = swept or run.lr == RATES[run.trains]
        if run.trains in words and run.images in tasks.get(run.task, []) and usual:
            names[chapter] = words[run.trains].format(lr=run.lr)
    return names


class Network(ResNet10):
    """The network, in parts."""

    def below_layer4(self, x):
        """The part before layer4."""
        return self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))

    def from_layer4(self, x):
        """Logits, from the output of the part before layer4."""
        return self.fc(self.pooled(x))

    def pooled(self, x):
        """The input features of the head, from the output of the part before layer4."""
        return self.layer4(x).mean((2, 3))


def is_head(name):
    return name.startswith("fc.")


def load(network, tensors):
    """Loads weights and running statistics; all must be there except the counts, which are not used."""
    difference = network.load_state_dict(tensors, strict=False)
    missing = [name for name in difference.missing_keys if not name.endswith("num_batches_tracked")]
    assert not missing and not difference.unexpected_keys, difference


def in_batches(function, inputs):
    """`function` of all inputs, without gradients."""
    with torch.no_grad():
        return torch.cat([function(x) for x in inputs.split(100)])


def accuracy(function, inputs, labels):
    """Share of the images that are recognised, in %."""
    found = in_batches(function, inputs).argmax(1) == labels
    return 100 * found.double().mean().item()


class Data:
    """The images as input of the network, or changed by `change`, and the images that each run draws."""

    def __init__(self, change=lambda inputs: inputs):
        self.splits = json.loads((HERE / "splits.json").read_text(encoding="utf-8"))
        self.change = change
        self.sheets = {}

    def sheet(self, name):
        """(changed inputs, labels) of a sheet."""
        if name not in self.sheets:
            images, labels, _ = sheet.read(ASSETS / name)
            inputs = (torch.from_numpy(images).float()[:, None] / 255 - MEAN) / STD
            self.sheets[name] = (self.change(inputs), torch.from_numpy(labels).long())
        return self.sheets[name]

    def train(self, run):
        """The training images of this run: the first of the images that its seed draws."""
        split = self.splits[run.task]
        drawn = torch.tensor(split["seeds"][run.seed][: run.images])
        assert len(drawn) == run.images, f"splits.json has fewer than {run.images} images of {run.task}"
        inputs, labels = self.sheet(split["sheet"])
        return inputs[drawn], labels[drawn]

    def test(self, run):
        """The test images of this run."""
        return self.sheet(f"{SHEETS[run.task]}_test")


class Lesson:
    """The images, the pretrained weights, and the outputs of the layers below layer4 for the images."""

    def __init__(self):
        tensors, _ = safetensors_file.read(ASSETS / "resnet10_fashion.safetensors")
        self.tensors = {name: torch.from_numpy(array.astype(np.float32)) for name, array in tensors.items()}
        self.images = Data()
        # In evaluation mode, as frozen stages are: their batch norms use the running statistics and keep
        # them. So each image's outputs are the same at every step of every run.
        frozen = self.old_network().eval()
        self.outputs = Data(lambda inputs: in_batches(frozen.below_layer4, inputs))

    def old_network(self):
        """The network as it was pretrained, with its old head."""
        network = Network(classes=len(self.tensors["fc.bias"]))
        load(network, self.tensors)
        return network

    def new_network(self, run, classes):
        """A network with PyTorch's first weights; below its new head the pretrained ones, unless the run is
        one from scratch."""
        network = Network(classes=classes)
        if run.trains != SCRATCH:
            head = {name: tensor for name, tensor in network.state_dict().items() if is_head(name)}
            load(network, {**self.tensors, **head})
        return network


def fit(function, parameters, inputs, labels, run):
    """Trains with the lesson's recipe: SGD with Nesterov's momentum, the rate along half a cosine, batches
    out of an order that is new in every epoch, without images that do not fill a batch. Returns whether
    the loss overflowed; as in the engine, the weights then stay those before it."""
    optimizer = torch.optim.SGD(parameters, lr=run.lr, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=run.steps)
    order = []
    for _ in range(run.steps):
        if not order:
            shuffled = torch.randperm(len(labels))
            order = [part for part in shuffled.split(run.batch) if len(part) == run.batch]
        batch = order.pop(0)
        optimizer.zero_grad()
        loss = F.cross_entropy(function(inputs[batch]), labels[batch])
        if not torch.isfinite(loss):
            return True
        loss.backward()
        optimizer.step()
        schedule.step()
    return False


def head_on_features(network, run, data):
    """A softmax head on standardised features, the body in evaluation mode; (overflow, accuracy)."""
    network.eval()
    (train, labels), (test, answers) = data.train(run), data.test(run)
    train, test = in_batches(network.pooled, train), in_batches(network.pooled, test)
    mean, deviation = train.mean(0), (train.var(0, unbiased=False) + 1e-5).sqrt()
    train, test = (train - mean) / deviation, (test - mean) / deviation
    overflow = fit(network.fc, network.fc.parameters(), train, labels, run)
    return overflow, accuracy(network.fc, test, answers)


def layer4_and_head(network, run, data):
    """Trains from layer4 on, with the batch's statistics there; (overflow, accuracy)."""
    network.train()
    trained = [*network.layer4.parameters(), *network.fc.parameters()]
    overflow = fit(network.from_layer4, trained, *data.train(run), run)
    network.eval()
    return overflow, accuracy(network.from_layer4, *data.test(run))


def whole_network(network, run, data):
    """Trains everything, with the batch's statistics everywhere; (overflow, accuracy)."""
    network.train()
    overflow = fit(network, network.parameters(), *data.train(run), run)
    network.eval()
    return overflow, accuracy(network, *data.test(run))


def on_old_classes(network, lesson):
    """Accuracy on the classes that the weights were pretrained for: the trained network's body, running
    statistics included, under the old head."""
    body = {name: tensor for name, tensor in network.state_dict().items() if not is_head(name)}
    old = lesson.old_network()
    load(old, {**body, **{name: tensor for name, tensor in lesson.tensors.items() if is_head(name)}})
    return accuracy(old.eval(), *lesson.images.sheet("fashion_source_test"))


def perform(run, lesson):
    """One run; returns the record that is kept of it."""
    start = time.time()
    torch.manual_seed(1000 * run.repeat + run.seed)
    classes = int(lesson.images.test(run)[1].max()) + 1
    network = lesson.new_network(run, classes)
    if run.trains == HEAD:
        overflow, test = head_on_features(network, run, lesson.outputs)
    elif run.trains == LAYER4:
        overflow, test = layer4_and_head(network, run, lesson.outputs)
    else:
        overflow, test = whole_network(network, run, lesson.images)
    found = {"conditions": conditions(run), **run._asdict(), "test": round(test, 3)}
    if run.trains == EVERYTHING and run.lr in FORGETTING:
        found["old classes"] = round(on_old_classes(network, lesson), 3)
    if overflow:
        found["diverged"] = True
    found["seconds"] = round(time.time() - start, 1)
    return found


def finished(path):
    """The runs that the file has."""
    if not path.exists():
        return set()
    lines = path.read_text(encoding="utf-8").splitlines()
    return {Run(*(json.loads(line)[field] for field in Run._fields)) for line in lines}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE / "lesson.jsonl", help="default: %(default)s")
    parser.add_argument("--only", default="", help="only runs whose name contains this text")
    words = "runs of each cell and seed (default: 1, as in the chapters): more separate chance from a mistake"
    parser.add_argument("--repeats", type=int, default=1, help=words)
    parser.add_argument("--list", action="store_true", help="name the runs that are missing, and do none")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    lesson, done = Lesson(), finished(arguments.out)
    for run in planned(arguments.repeats):
        name = f"{run.task} {run.images} {run.trains} at {run.lr} seed {run.seed} repeat {run.repeat}"
        if run in done or arguments.only not in name:
            continue
        if arguments.list:
            print(name)
            continue
        found = perform(run, lesson)
        with open(arguments.out, "a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")
        print(f"{name}: {found['test']:.1f}%, {found['seconds']} s", flush=True)


if __name__ == "__main__":
    main()
