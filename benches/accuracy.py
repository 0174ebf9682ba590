#!/usr/bin/env python3
"""How good `frostline train` is beside scikit-learn's logistic regression on the features that it exports.

    python3 benches/accuracy.py run FOLDER... [--splits 10] [--each 10,20,all] [--frostline PATH] [--out FILE]
    python3 benches/accuracy.py table FILE

Every FOLDER has one folder of photos a class. A split keeps a fifth of every class (at least one photo) to
test with; of the rest, so many photos of each class are learned from. Compared on the same photos:

    default      frostline train
    probe        frostline train --freeze-below fc
    regression   LogisticRegressionCV on the exported features, standardised feature by feature, C from 1e-4
                 to 1 by 5-fold cross-validation (fewer where a class has fewer photos), on all photos to learn
                 from: `train` keeps a fifth of them for validation

Results go to FILE, a line a run; what is there is not run again. `table` prints means and paired intervals
over the splits (Student's t, 95%). Needs numpy, scikit-learn and scipy (Debian's python3-sklearn).
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "assets" / "scripts"))
import safetensors_file

STRENGTHS = 10.0 ** np.arange(-4, 0.1, 0.5)
CONDITIONS = {"probe": ["--freeze-below", "fc"], "default": []}


def photos(folder):
    kinds = (".jpg", ".jpeg", ".png", ".webp")
    classes = [c for c in sorted(folder.iterdir()) if c.is_dir()]
    return {c.name: sorted(p for p in c.iterdir() if p.suffix.lower() in kinds) for c in classes}


def split(classes, each, seed):
    """(learn, test): lists of (class, path)."""
    learn, test = [], []
    for name, files in classes.items():
        files = files[:]
        random.Random(f"{name} {seed}").shuffle(files)
        kept = max(1, round(len(files) / 5))
        test += [(name, file) for file in files[:kept]]
        learn += [(name, file) for file in files[kept:][:each]]
    return learn, test


def exported(frostline, folder):
    """The features of every photo of `folder`, by path."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "features.safetensors"
        subprocess.run([frostline, "features", "embedded", folder, "-o", file], check=True, stdout=subprocess.DEVNULL)
        tensors, metadata = safetensors_file.read(file)
    return dict(zip(map(Path, json.loads(metadata["files"])), tensors["features"].astype(np.float64)))


def regression(features, learn, test, seed):
    x, y = np.stack([features[path] for _, path in learn]), np.array([name for name, _ in learn])
    mean, deviation = x.mean(0), np.sqrt(x.var(0) + 1e-5)
    folds = min(5, min(np.unique(y, return_counts=True)[1]))
    cross = StratifiedKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LogisticRegressionCV(Cs=STRENGTHS, cv=cross, max_iter=1000).fit((x - mean) / deviation, y)
    new = np.stack([features[path] for _, path in test])
    return int((model.predict((new - mean) / deviation) == np.array([name for name, _ in test])).sum())


def linked(place, rows):
    for i, (name, path) in enumerate(rows):
        (place / name).mkdir(parents=True, exist_ok=True)
        os.symlink(path.resolve(), place / name / f"{i:05}{path.suffix}")
    return place


def trained(frostline, flags, learn, test, seed):
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        linked(place / "learn", learn)
        linked(place / "test", test)
        command = [frostline, "train", place / "learn", "--out", place / "run", "--seed", str(seed), "--json", *flags]
        told = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        command = [frostline, "evaluate", place / "run", place / "test", "--json"]
        found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        report = told["report"]
        return round(found["accuracy"] * len(test)), report["step"], report.get("settled")


def run(arguments):
    out = Path(arguments.out)
    lines = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    done = {(r["set"], r["each"], r["seed"], r["condition"]) for r in lines}
    wanted = [c for c in ("regression", *CONDITIONS) if c in arguments.conditions.split(",")]
    features = {}
    for each, seed, folder in ((e, s, f) for e in arguments.each.split(",") for s in range(arguments.splits)
                               for f in arguments.folders):
        folder = Path(folder)
        learn, test = split(photos(folder), None if each == "all" else int(each), seed)
        for condition in wanted:
            if (folder.name, each, seed, condition) in done:
                continue
            start, row = time.time(), {}
            if condition == "regression":
                if folder not in features:
                    features[folder] = exported(arguments.frostline, folder)
                right = regression(features[folder], learn, test, seed)
            else:
                flags = CONDITIONS[condition]
                right, step, settled = trained(arguments.frostline, flags, learn, test, seed)
                row = {"step": step, "settled": settled}
            row = {"set": folder.name, "each": each, "seed": seed, "condition": condition, "learn": len(learn),
                   "test": len(test), "right": right, "seconds": round(time.time() - start, 1), **row}
            with out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(row, flush=True)


def interval(differences):
    mean, count = np.mean(differences), len(differences)
    if count < 2:
        return f"{mean:+.1f}"
    half = student.ppf(0.975, count - 1) * np.std(differences, ddof=1) / np.sqrt(count)
    return f"{mean:+.1f} ({mean - half:+.1f} to {mean + half:+.1f})"


def table(arguments):
    rows = [json.loads(line) for line in Path(arguments.file).read_text().splitlines()]
    found = {(r["set"], r["each"], r["seed"], r["condition"]): 100 * r["right"] / r["test"] for r in rows}
    print("| photos | each | learned from, tested on | splits | regression | probe | default | probe − regression "
          "| default − regression | fine-tuned kept |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for name, each in dict.fromkeys((r["set"], r["each"]) for r in rows):
        here = [r for r in rows if (r["set"], r["each"]) == (name, each)]
        mean = lambda condition: np.mean([100 * r["right"] / r["test"] for r in here if r["condition"] == condition])
        paired = lambda condition: [found[name, each, s, condition] - found[name, each, s, "regression"]
                                    for s in range(1000) if (name, each, s, condition) in found
                                    and (name, each, s, "regression") in found]
        counts = {c: sum(r["condition"] == c for r in here) for c in ("regression", *CONDITIONS)}
        cells = [f"{mean(c):.1f}" if counts[c] else "" for c in counts]
        gains = [interval(paired(c)) if paired(c) else "" for c in ("probe", "default")]
        kept = sum(bool(r.get("settled")) and r["settled"]["kept"] for r in here if r["condition"] == "default")
        splits = "/".join(str(count) for count in counts.values() if count)
        print(f"| {name} | {each} | {here[0]['learn']}, {here[0]['test']} | {splits} | " + " | ".join(cells + gains)
              + f" | {kept} of {counts['default']} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("run")
    one.add_argument("folders", nargs="+")
    one.add_argument("--splits", type=int, default=10)
    one.add_argument("--each", default="10,20,all")
    one.add_argument("--conditions", default="regression,default,probe")
    one.add_argument("--frostline", default=shutil.which("frostline") or "target/release/frostline")
    one.add_argument("--out", default="out/accuracy.jsonl")
    one.set_defaults(run=run)
    two = commands.add_parser("table")
    two.add_argument("file")
    two.set_defaults(run=table)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
