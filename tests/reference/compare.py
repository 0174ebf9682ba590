#!/usr/bin/env python3
"""Compares our engine's runs with PyTorch's: does any cell of the lesson differ?

    python3 tests/reference/compare.py                              docs/results/ch*.runs.jsonl
    python3 tests/reference/compare.py out/ch0/runs.jsonl out/ch4/runs.jsonl
    python3 tests/reference/compare.py --write                      and puts the table into README.md

Prints a Markdown table of all cells that both have. Runs are paired by seed: both trained on the same images
and are tested on the same images, so that only first weights, order of batches and rounding differ. PyTorch
has several runs of a seed. The model is: accuracy = effect of the seed's images + effect of the engine +
noise, and its least squares give the difference between the engines and its standard error. With
one run a seed on either side that is the paired t test. A cell is marked if the difference is more than
two standard errors. Some are by chance; the lines below the table state how many to expect, and whether
the largest exceeds what chance explains.

Needs nothing but Python.
"""

import argparse
import json
import math
import sys
from collections import defaultdict, namedtuple
from pathlib import Path
from statistics import mean, stdev

HERE = Path(__file__).resolve().parent
README = HERE / "README.md"
# --write replaces the text between these lines.
BEGIN, END = "<!-- compare.py: begin -->\n", "<!-- compare.py: end -->\n"
RESULTS = HERE.parent.parent / "docs" / "results"
FIELDS = ["steps", "batch", "lr"]

# One test of one cell, a seed after the other: `ours` has an accuracy in % for each, `theirs` a list of them.
Row = namedtuple("Row", ["chapters", "task", "images", "condition", "test", "ours", "theirs"])


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def our_runs(paths):
    """{(chapter, task, images, condition): {seed: run}} of our runs."""
    cells = defaultdict(dict)
    for path in paths:
        for run in read(path):
            setting = run["setting"]
            cell = (setting["study"], setting["task"], setting["images"], setting["condition"])
            cells[cell][setting["seed"]] = run
    return cells


def our_accuracy(run, test):
    """In %; a dot marks a right answer."""
    marks = run["answers"][test]["marks"]
    return 100 * marks.count(".") / len(marks)


def rows(ours, theirs):
    """A row for each cell and test that both have. Chapters that share runs share a row."""
    cells = defaultdict(lambda: defaultdict(list))
    for run in theirs:
        for chapter, condition in run["conditions"].items():
            cells[chapter, run["task"], run["images"], condition][run["seed"]].append(run)
    found = []
    for cell, reference in cells.items():
        chapter, task, images, condition = cell
        seeds = sorted(set(reference) & set(ours.get(cell, {})))
        if not seeds:
            continue
        other = other_settings(ours[cell], reference, seeds)
        if other:
            print(f"left out: {chapter}, {task}, {images} images, {condition}: {other}", file=sys.stderr)
            continue
        for test in ["test", "old classes"]:
            both = [s for s in seeds if test in reference[s][0] and test in ours[cell][s]["answers"]]
            if not both:
                continue
            pair = (
                [our_accuracy(ours[cell][s], test) for s in both],
                [[run[test] for run in reference[s]] for s in both],
            )
            same = [row for row in found if (row.task, row.images, row.test) == (task, images, test)]
            same = [row for row in same if (row.ours, row.theirs) == pair]
            if same:
                same[0].chapters.append(chapter)
            else:
                found.append(Row([chapter], task, images, condition, test, *pair))
    return found


def other_settings(ours, reference, seeds):
    """The differences between the settings of both sides, if any: such runs cannot be compared."""
    for seed in seeds:
        for field in FIELDS:
            here, there = ours[seed]["setting"][field], reference[seed][0][field]
            if not math.isclose(here, there, rel_tol=1e-5):
                return f"{field} is {here} here, {there} in PyTorch's runs"
    return ""


def difference(row):
    """This engine's accuracy less PyTorch's, its standard error, and its degrees of freedom; an error of 0 if
    there are none, or if nothing varies."""
    pairs = [(a - mean(b), len(b) / (len(b) + 1)) for a, b in zip(row.ours, row.theirs)]
    weight = sum(w for _, w in pairs)
    by = sum(w * d for d, w in pairs) / weight
    rest = sum(w * (d - by) ** 2 for d, w in pairs)
    rest += sum((value - mean(b)) ** 2 for b in row.theirs for value in b)
    degrees = sum(map(len, row.theirs)) - 1
    error = math.sqrt(rest / degrees / weight) if degrees else 0.0
    return by, error, degrees


def beyond(t, degrees, parts=2000):
    """The probability that |t| of Student's distribution exceeds this: 1 - the integral from -t to t, by
    Simpson's rule in the angle whose tangent is t over the root of the degrees."""
    end = math.atan(abs(t) / math.sqrt(degrees))
    width = end / parts
    values = [math.cos(i * width) ** (degrees - 1) for i in range(parts + 1)]
    area = width / 3 * (values[0] + values[-1] + 4 * sum(values[1:-1:2]) + 2 * sum(values[2:-1:2]))
    scale = math.gamma((degrees + 1) / 2) / (math.sqrt(math.pi) * math.gamma(degrees / 2))
    return max(0.0, 1 - 2 * scale * area)


def spread(values):
    return f"{mean(values):.1f}" + (f" ± {stdev(values):.1f}" if len(values) > 1 else "")


def table(found):
    """The table and a summary of all its cells, as Markdown."""
    columns = ["cell", "chapters", "seeds x runs", "this engine, %", "PyTorch, %"]
    columns += ["difference", "its standard error", "in standard errors"]
    lines = [f"| {' | '.join(columns)} |", "|---|---|" + "---:|" * 6]
    judged = []
    for row in sorted(found, key=lambda row: (row.task, row.images)):
        by, error, degrees = difference(row)
        name = f"{row.task}, {row.images} images: {row.condition}"
        name += "" if row.test == "test" else f", {row.test}"
        if error:
            judged.append((name, by, by / error, degrees))
        errors = f"{by / error:+.1f}" + (" **!**" if abs(by) > 2 * error else "") if error else "–"
        counts = sorted({len(runs) for runs in row.theirs})
        counts = f"{len(row.ours)} x {'-'.join(map(str, counts))}"
        # Of PyTorch, too, the deviation is that of single runs over seeds.
        theirs = f"{mean(map(mean, row.theirs)):.1f}"
        if len(row.theirs) > 1:
            firsts = [[runs[i] for runs in row.theirs] for i in range(min(map(len, row.theirs)))]
            theirs += f" ± {math.sqrt(mean(stdev(values) ** 2 for values in firsts)):.1f}"
        chapters = " ".join(chapter.removeprefix("ch") for chapter in row.chapters)
        parts = [name, chapters, counts, spread(row.ours), theirs]
        parts += [f"{by:+.2f}", f"{error:.2f}" if error else "–", errors]
        lines.append(f"| {' | '.join(parts)} |")
    return "\n".join(lines + [""] + [f"- {line}" for line in summary(judged)])


def summary(judged):
    """The effect of chance in this number of cells."""
    if len(judged) < 2:
        return [f"{len(judged)} cells with more than one run."]
    count = sum(abs(t) > 2 for _, _, t, _ in judged)
    expected = sum(beyond(2, degrees) for *_, degrees in judged)
    by = [by for _, by, _, _ in judged]
    name, _, t, degrees = min(judged, key=lambda cell: beyond(cell[2], cell[3]))
    largest = min(1.0, len(judged) * beyond(t, degrees))
    return [
        f"{len(judged)} cells; {count} beyond two standard errors, {expected:.1f} expected by chance "
        "(Student's distribution: an error that is itself taken from few runs is often too small).",
        f"Farthest: {name}, at {t:+.1f}; chance puts one of {len(judged)} cells that far or farther with a "
        f"probability of at most {largest:.2f} (Bonferroni).",
        f"Mean difference over all cells: {mean(by):+.2f} ± {stdev(by) / math.sqrt(len(by)):.2f} points.",
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ours", type=Path, nargs="*", help="runs.jsonl of chapters; default: docs/results/")
    parser.add_argument("--theirs", type=Path, default=HERE / "lesson.jsonl", help="default: %(default)s")
    parser.add_argument("--write", action="store_true", help="also put the table into README.md")
    arguments = parser.parse_args()
    paths = arguments.ours or sorted(RESULTS.glob("ch*.runs.jsonl"))
    found = rows(our_runs(paths), read(arguments.theirs))
    if not found:
        raise SystemExit("no cell that both have: name the runs.jsonl of chapters that have run")
    text = table(found)
    print(text)
    if arguments.write:
        before, rest = README.read_text(encoding="utf-8").split(BEGIN)
        after = rest.split(END)[1]
        README.write_text(f"{before}{BEGIN}{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
