#!/usr/bin/env python3
"""Does an exported model give the same predictions in other programs as in frostline?

    python3 tests/golden/exported.py FROSTLINE OUT        (`make test-export` runs it)

trains three small models on photos of assets/, exports each, and compares on 150 photos of odd sizes:
onnxruntime on the ONNX file against `frostline predict`, and, if PyTorch, torchvision and timm are
installed, the Python file of `export --format pytorch`. Exit code 1 unless each photo has the same class
and probabilities within 1e-4. Needs onnxruntime, numpy and Pillow; with onnx, its checker checks the
file as well.
"""

import argparse
import importlib.util
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent.parent
ASSETS = ROOT / "assets" / "photos"
# The commands in the README.
CLASSIFY = ROOT / "examples" / "onnx" / "classify.py"
PHOTOS = 150
TOLERANCE = 1e-4
PER_CLASS = 5
QUICK = ["--freeze-below", "fc", "--augment", "none", "--epochs", "1", "--batch", "4"]
# Name, flags of `train`, and whether torchvision or timm has the network.
MODELS = [
    ("efficientnet_lite0", [*QUICK, "--lr", "0.001"], "timm"),
    ("resnet10_photo", ["--weights", "embedded-resnet10", *QUICK, "--lr", "0.001"], None),
    (
        "resnet18",
        ["--model", "resnet18", "--weights", "none", "--size", "64", "--augment", "none", "--epochs", "1"]
        + ["--batch", "4", "--lr", "0.001"],
        "torchvision",
    ),
]


def odd_photos(folder, count):
    """Photos at sizes that are unusual in training: wide, tall, tiny, of whole ratios, grey, transparent. They
    are PNG, which every decoder decodes to the same bytes."""
    folder.mkdir(parents=True)
    rng = random.Random(0)
    files = sorted(ASSETS.rglob("*.jpg"))
    shapes = [(1, 1), (2, 3), (1, 40), (40, 1), (900, 31), (31, 900), (224, 224), (448, 448), (1344, 672)]
    for i in range(count):
        image = Image.open(files[i * len(files) // count]).convert("RGB")
        if i < len(shapes):
            size = shapes[i]
        elif i % 5 == 0:
            short, ratio = rng.randint(20, 150), rng.uniform(3, 9)
            size = (int(short * ratio), short)
            size = size if i % 2 else size[::-1]
        else:
            size = (rng.randint(5, 700), rng.randint(5, 700))
        image = image.resize(size, Image.Resampling.BICUBIC)
        if i % 7 == 0:
            image = image.convert("L")
        elif i % 7 == 1:
            # Half of it is transparent, over colours that must not be visible.
            image.putalpha(Image.linear_gradient("L").resize(size))
        image.save(folder / f"{i:03}.png")


def few_photos(folder):
    """A folder of class folders to train on."""
    for group in sorted(path for path in ASSETS.iterdir() if path.is_dir()):
        (folder / group.name).mkdir(parents=True)
        for photo in sorted(group.glob("*.jpg"))[:PER_CLASS]:
            shutil.copy(photo, folder / group.name)


def run(*command):
    return subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout


def frostlines_own(frostline, model, folder):
    """(photos, classes), and the names of photos and classes in that order."""
    rows = json.loads(run(frostline, "predict", model, folder, "--top", 1000, "--json"))
    names = sorted(one["class"] for one in rows[0]["predictions"])
    table = [{one["class"]: one["probability"] for one in row["predictions"]} for row in rows]
    return [Path(row["image"]) for row in rows], names, np.array([[row[name] for name in names] for row in table])


def module(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def onnx(path, photos, names):
    if importlib.util.find_spec("onnx"):
        from onnx import checker, load

        checker.check_model(load(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    order = [classes.index(name) for name in names]
    decoded = module(CLASSIFY).decoded
    return np.array([session.run(None, {"image": decoded(photo)})[0][order] for photo in photos])


def pytorch(folder, photos, names):
    """By the Python file itself."""
    predict = module(folder / "predict.py").predict
    tables = [dict(predict(photo)) for photo in photos]
    return np.array([[table[name] for name in names] for table in tables])


def same(what, ours, theirs, photos, began):
    """Prints and judges."""
    off = np.abs(ours - theirs).max(1)
    agree = (ours.argmax(1) == theirs.argmax(1)).mean()
    worst = int(off.argmax())
    classes = len(set(ours.argmax(1)))
    print(
        f"{what}: {len(photos)} photos of {classes} classes, the same on {100 * agree:.1f}%, probabilities off by "
        f"{off[worst]:.1e} at most ({photos[worst].name}); {time.time() - began:.0f} s",
        flush=True,
    )
    # A model with a constant prediction would agree with itself.
    return agree == 1 and off[worst] <= TOLERANCE and classes > 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("frostline", type=Path)
    parser.add_argument("out", type=Path, help="a folder for runs and photos, created again")
    arguments = parser.parse_args()
    frostline, out = arguments.frostline.resolve(), arguments.out
    shutil.rmtree(out, ignore_errors=True)
    odd_photos(out / "odd", PHOTOS)
    few_photos(out / "photos")
    failed = []
    for name, flags, library in MODELS:
        began = time.time()
        model = out / name
        run(frostline, "train", out / "photos", "--out", model, *flags)
        report = run(frostline, "export", model, out / f"{name}.onnx")
        print(f"{name}: {report.strip().splitlines()[-1]}", flush=True)
        photos, names, ours = frostlines_own(frostline, model, out / "odd")
        theirs = onnx(out / f"{name}.onnx", photos, names)
        what = f"{name} in onnxruntime {onnxruntime.__version__}"
        failed += [] if same(what, ours, theirs, photos, began) else [what]
        if library is None:
            continue
        missing = [m for m in ("torch", "torchvision", "safetensors", library) if not importlib.util.find_spec(m)]
        if missing:
            print(f"{name} in PyTorch: skipped, no {', '.join(missing)} here", flush=True)
            continue
        run(frostline, "export", model, out / f"{name}-torch", "--format", "pytorch")
        what = f"{name} in {library}"
        began = time.time()
        theirs = pytorch(out / f"{name}-torch", photos, names)
        failed += [] if same(what, ours, theirs, photos, began) else [what]
    for what in failed:
        print(f"FAILED: {what}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
