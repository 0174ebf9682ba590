#!/usr/bin/env python3
"""The pictures that crops are cut from: which Debian packages, which files of them, which licences.

    sources.py --packages FOLDER --table assets/scripts/photo_resnet/SOURCES.md

FOLDER holds each package unpacked under its name (README.md has the commands). Backgrounds are
wallpapers and other whole pictures; cut-outs are pictures of one object on a transparent ground.

Kept out: GCompris's pictures, since the embedded photos come from there, and of Tux Paint's stamps
the folders that `scripts/own-photos.sh` takes, since people try the network on those.
"""

import argparse
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

PLASMA = "GPL-2+; by each one's own metadata LGPL-3 or CC-BY-SA-4.0"
PICTURES = {".jpg", ".jpeg", ".png", ".webp"}

# (package, folder inside, licences of these files according to the package's copyright file, how
# often a picture of it is drawn: photographs more often than patterns)
BACKGROUNDS = [
    ("plasma-workspace-wallpapers", "usr/share/wallpapers", PLASMA, 1.0),
    ("gnome-backgrounds", "usr/share/backgrounds", "GPL-2+, CC-BY-SA-3.0", 0.5),
    ("mate-backgrounds", "usr/share/backgrounds", "GPL-2+, CC-BY-SA-4.0", 1.0),
    ("ukui-wallpapers", "usr/share/backgrounds", "CC-BY-SA-3.0", 1.0),
    ("lomiri-wallpapers", "usr/share/backgrounds", "CC-BY-SA-3.0", 1.0),
    ("lomiri-wallpapers-16.04", "usr/share/backgrounds", "CC-BY-4.0, CC-BY-SA-4.0, CC0-1.0", 2.5),
    ("lomiri-wallpapers-20.04", "usr/share/backgrounds", "CC-BY-SA-3.0", 2.5),
    ("lxqt-themes", "usr/share/lxqt/wallpapers", "LGPL-2.1+, LGPL-3", 0.7),
    ("palapeli-data", "usr/share/palapeli/collection", "GPL-2+", 3.0),
    ("tuxpaint-data", "usr/share/tuxpaint/templates", "GPL-2+", 2.5),
    ("opencv-doc", "usr/share/doc/opencv-doc/examples", "Apache-2.0, BSD-3-Clause", 1.2),
    ("darknet", "usr/share/darknet/data", "GPL-3.0+ or MIT or WTFPL", 3.0),
]
PHOTO_CUTOUTS = ("tuxpaint-stamps-default", "usr/share/tuxpaint/stamps", "GPL-2")
DRAWN_CUTOUTS = ("openclipart-png", "usr/share/openclipart/png", "public domain")

# Tux Paint's folders that scripts/own-photos.sh takes.
OWN_PHOTOS = (
    "animals/birds",
    "animals/mammals",
    "plants/flowers",
    "food/fruit",
    "food/vegetables",
    "vehicles",
)
# Open Clip Art's folders of objects; the others hold flags, signs, maps, icons and playing cards.
OBJECTS = (
    "animals",
    "buildings",
    "containers",
    "decorations",
    "education",
    "electronics",
    "food",
    "office",
    "people",
    "plants",
    "recreation",
    "science",
    "tools",
    "transportation",
)

BACKGROUND_BYTES = 60_000  # smaller files are thumbnails
STAMP_BYTES = 15_000
CLIPART_BYTES = 8_000
BACKGROUND_SIDE = 1600  # the longer side is reduced to this
CUTOUT_SIDE = 300


def pictures(folder, least_bytes):
    """The picture files under `folder`, links left out, in order of their paths."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PICTURES
        and path.is_file()
        and not path.is_symlink()
        and path.stat().st_size >= least_bytes
    )


def background_files(packages):
    """[(package, path)] of all backgrounds, one of several sizes of the same wallpaper."""
    found = []
    for package, folder, _, _ in BACKGROUNDS:
        for path in pictures(packages / package / folder, BACKGROUND_BYTES):
            if path.stem == "screenshot" or "_3840x" in path.stem or "_5640x" in path.stem:
                continue
            found.append((package, path))
    return found


def cutout_files(packages):
    """(photographed, drawn): lists of (package, path)."""
    package, folder, _ = PHOTO_CUTOUTS
    stamps = packages / package / folder
    photographed = []
    for path in pictures(stamps, STAMP_BYTES):
        inside = str(path.relative_to(stamps))
        drawing = any(word in inside for word in ("cartoon", "_mirror", "_flip", "mirror", "flip"))
        if not inside.startswith(OWN_PHOTOS) and not drawing:
            photographed.append((package, path))
    package, folder, _ = DRAWN_CUTOUTS
    cliparts = packages / package / folder
    drawn = [
        (package, path)
        for path in pictures(cliparts, CLIPART_BYTES)
        if PurePosixPath(path.relative_to(cliparts)).parts[0] in OBJECTS
        and "card" not in str(path.relative_to(cliparts))
    ]
    return photographed, drawn


def reduced(image, side):
    """The image with its longer side at most `side`."""
    scale = min(1, side / max(image.size))
    size = [max(8, round(length * scale)) for length in image.size]
    return image.resize(size, Image.BICUBIC, reducing_gap=3)


def load_background(path):
    """The picture at full, half and quarter size, so that large crops are cheap to reduce."""
    image = reduced(Image.open(path).convert("RGB"), BACKGROUND_SIDE)
    levels = [image]
    for divisor in (2, 4):
        levels.append(image.resize([max(8, side // divisor) for side in image.size], Image.BOX))
    return levels


def load_cutout(path):
    """The object alone, as RGBA; None if hardly anything of the picture is transparent or opaque."""
    image = reduced(Image.open(path).convert("RGBA"), 2 * CUTOUT_SIDE)
    box = image.getchannel("A").getbbox()
    if box is None:
        return None
    image = reduced(image.crop(box), CUTOUT_SIDE)
    share = np.asarray(image.getchannel("A")).mean() / 255
    return image if min(image.size) >= 24 and 0.08 < share else None


def load(packages):
    """(backgrounds, their weights, photographed cut-outs, drawn cut-outs), as images."""
    Image.MAX_IMAGE_PIXELS = None
    files = background_files(packages)
    backgrounds = [load_background(path) for _, path in files]
    often = {package: weight for package, _, _, weight in BACKGROUNDS}
    weights = [often[package] for package, _ in files]
    photographed, drawn = [
        [image for image in (load_cutout(path) for _, path in files) if image is not None]
        for files in cutout_files(packages)
    ]
    return backgrounds, weights, photographed, drawn


def version(packages, name):
    """The version in the file FOLDER/versions, lines of `package version`."""
    lines = (packages / "versions").read_text(encoding="utf-8").splitlines()
    return dict(line.split() for line in lines)[name]


def table(packages):
    """The table of sources in Markdown."""
    photographed, drawn = cutout_files(packages)
    files = background_files(packages) + photographed + drawn
    rows = ["| package | version | files | licence of these files | use |", "|---|---|---:|---|---|"]
    uses = [(source[:3], "background") for source in BACKGROUNDS]
    uses += [(PHOTO_CUTOUTS, "cut-outs, photographed"), (DRAWN_CUTOUTS, "cut-outs, drawn")]
    for (package, folder, licence), use in uses:
        count = sum(name == package for name, _ in files)
        rows.append(f"| `{package}` | {version(packages, package)} | {count} | {licence} | {use} |")
    return "\n".join(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", type=Path, required=True)
    parser.add_argument("--table", type=Path, help="write the Markdown table here")
    arguments = parser.parse_args()
    text = table(arguments.packages)
    print(text)
    if arguments.table:
        arguments.table.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
