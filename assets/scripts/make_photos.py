#!/usr/bin/env python3
"""Make photos/<class>/*.jpg and photos/LICENSES.csv from GCompris's photographs.

    apt download gcompris-qt-data && dpkg-deb -x gcompris-qt-data_*.deb gcompris
    make_photos.py --rcc gcompris/usr/share/gcompris-qt/rcc --out assets/photos

A photo is taken only if the README beside it in the package says CC0 or public domain. It is
cropped to the central square and reduced to 128x128. Needs Pillow with WebP.
"""

import argparse
import csv
import io
from pathlib import Path, PurePosixPath

import qt_resources
from PIL import Image

FREE = ("CC0-1.0", "Public Domain")
QUALITY = 88

CATEGORIES = "activities/categorization/resource/images"
# class: (resource file, folder inside, what a file's name must hold)
SOURCES = {
    "fish": [("categorization", f"{CATEGORIES}/fishes", "")],
    "monument": [("categorization", f"{CATEGORIES}/monuments", "")],
    "windmill": [("categorization", f"{CATEGORIES}/renewable", "windmill")],
    "tool": [("categorization", f"{CATEGORIES}/tools", "")],
    "animal": [
        ("explore_world_animals", "activities/explore_world_animals/resource/animals", ""),
        ("explore_farm_animals", "activities/explore_farm_animals/resource/animals", ""),
    ],
    "household": [("categorization", f"{CATEGORIES}/others", "")],
}
EXCLUDED = {"igloo.webp"}  # filed under household objects, but no such thing


def parse_readme(text):
    """{file: {"Copyright", "Source", "License"}} of a GCompris README.

    It is a list of paragraphs, each of three such fields and the files they hold for.
    """
    entries, current = {}, {}
    for line in text.splitlines():
        line = line.strip()
        field, colon, value = line.partition(":")
        if colon and field in ("Copyright", "Source", "License"):
            if field == "Copyright":
                current = {}
            current[field] = value.strip()
        elif line.endswith(".webp"):
            entries[line] = current
    return entries


def photos(rcc):
    """Yield `(class, path inside the package, WebP bytes, README entry)` of every free photo."""
    packs = {}
    for name, sources in SOURCES.items():
        for resource, folder, part in sources:
            if resource not in packs:
                packs[resource] = dict(qt_resources.files(rcc / f"{resource}.rcc"))
            pack = packs[resource]
            folder = f"gcompris/src/{folder}"
            readme = parse_readme(pack[f"{folder}/README"].decode("utf-8", "replace"))
            for path in sorted(pack):
                inside = PurePosixPath(path)
                if str(inside.parent) != folder or inside.suffix != ".webp":
                    continue
                if part not in inside.name or inside.name in EXCLUDED:
                    continue
                entry = readme.get(inside.name, {})
                if entry.get("License") in FREE:
                    yield name, f"{resource}.rcc:{path}", pack[path], entry
                else:
                    print(f"left out, licence {entry.get('License')}: {path}")


def reduce(webp):
    """The central square at 128x128, by way of 224x224 as the reported accuracies were."""
    image = Image.open(io.BytesIO(webp)).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    image = image.resize((224, 224), Image.LANCZOS)
    return image.resize((128, 128), Image.LANCZOS)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rcc", type=Path, required=True, help="folder of the .rcc files")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()

    rows = []
    for name, source, webp, entry in photos(arguments.rcc):
        folder = arguments.out / name
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{PurePosixPath(source).stem}.jpg"
        reduce(webp).save(file, quality=QUALITY)
        row = [f"{name}/{file.name}", name, entry["License"], entry["Copyright"]]
        rows.append(row + [entry.get("Source", ""), source])
    with open(arguments.out / "LICENSES.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "class", "licence", "author", "origin", "source"])
        writer.writerows(rows)
    print(f"{len(rows)} photos")


if __name__ == "__main__":
    main()
