#!/usr/bin/env python3
"""Checks the matrices printed in shared/winograd.{2,4}.wgsl: python3 shaders/drawings/check_winograd.py

1. Every printed matrix is what the function below it computes.
2. Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A is the convolution of random d and g, and Gᵀ[(A g Aᵀ) ⊙ (Bᵀ d B)]G that with M×M
   taps, the gradient of its weights.
3. Every matrix of a backward pass is the transpose of one of the forward pass; the neighbours' places in E are
   those whose pixels overlap.
4. Rows of G, Bᵀ and columns of Aᵀ belong to the points as the comments say.
Needs nothing but Python. Ends with an error if something differs by more than 10⁻¹².
"""

import random
import re
from math import sqrt
from pathlib import Path

SHARED = Path(__file__).resolve().parent.parent / "shared"
H, R = 1 / sqrt(2), sqrt(2)
INFINITY = "∞"
POINTS = {2: [0, 1, -1, INFINITY], 4: [0, H, -H, R, -R, INFINITY]}
FUNCTION = re.compile(r"((?://[^\n]*\n)+)fn (\w+)\((\w+): array<vec4f, (\d)>\)[^{]*\{(.*?)\n\}", re.S)
ENTRY = re.compile(r"−?\d+(/\d+)?(·[hr])?|−?[hr]")


def entry(word):
    return eval(word.replace("−", "-").replace("·", "*"), {"h": H, "r": R})


def printed(comment):
    """The matrix of a comment: its lines that hold nothing but numbers, h and r."""
    lines = [re.sub(r"^//\s*(\w+ᵀ?\s+=)?", "", line).split() for line in comment.splitlines()]
    return [list(map(entry, words)) for words in lines if words and all(map(ENTRY.fullmatch, words))]


def computed(argument, size, body):
    """The matrix that a function multiplies by, from what it makes of the unit vectors."""
    body = re.sub(r"array<vec4f, \d>", "array", body.replace("let ", "")).replace("return ", "result = ")
    code = " ".join(line.strip() for line in body.splitlines()).replace(";", "\n").replace("\n ", "\n")
    columns = []
    for unit in range(size):
        names = {argument: [float(i == unit) for i in range(size)], "array": lambda *values: values}
        exec(code.strip(), {"HALF_ROOT": H, "ROOT": R}, names)
        columns.append(names["result"])
    return [list(row) for row in zip(*columns)]


def times(a, b):
    return [[sum(x * y for x, y in zip(row, column)) for column in zip(*b)] for row in a]


def transposed(matrix):
    return [list(column) for column in zip(*matrix)]


def both(matrix, x):
    """matrix · x · matrixᵀ"""
    return times(times(matrix, x), list(zip(*matrix)))


def same(a, b, what):
    assert len(a) == len(b) and all(len(x) == len(y) for x, y in zip(a, b)), what
    difference = max(abs(x - y) for row, other in zip(a, b) for x, y in zip(row, other))
    assert difference < 1e-12, f"{what}: differs by {difference}"


def filtered(bt, g, at, taps, outputs, what):
    def matrix(size):
        return [[random.uniform(-1, 1) for _ in range(size)] for _ in range(size)]

    d, k = matrix(outputs + taps - 1), matrix(taps)
    products = [[x * y for x, y in zip(*rows)] for rows in zip(both(g, k), both(bt, d))]
    direct = [[sum(d[i + a][j + b] * k[a][b] for a in range(taps) for b in range(taps)) for j in range(outputs)]
              for i in range(outputs)]
    same(both(at, products), direct, what)
    print(f"{what}: {len(products) ** 2} products instead of {outputs ** 2 * taps ** 2}")


def at_point(row, point):
    return row[-1] if point == INFINITY else sum(value * point**power for power, value in enumerate(row))


def check_points(points, bt, g, at, what):
    for i, point in enumerate(points):
        for other in points[:-1]:
            assert other == point or abs(at_point(bt[i], other)) < 1e-12, f"{what}: row {i} of Bᵀ at {other}"
        powers = [0] * len(g[0]) if point == INFINITY else [point**power for power in range(len(g[0]))]
        powers[-1] = 1 if point == INFINITY else powers[-1]
        same([g[i]], [[power / at_point(bt[i], point) for power in powers]], f"{what}: row {i} of G")
        powers = [0] * len(at) if point == INFINITY else [point**power for power in range(len(at))]
        powers[-1] = 1 if point == INFINITY else powers[-1]
        same([[row[i] for row in at]], [powers], f"{what}: column {i} of Aᵀ")


def check(m):
    path = SHARED / f"winograd.{m}.wgsl"
    matrices = {}
    for comment, name, argument, size, body in FUNCTION.findall(path.read_text()):
        matrices[name] = computed(argument, int(size), body)
        same(printed(comment), matrices[name], f"{path.name}: {name}")
    bt, g, at, a, gt, e = (matrices[f"transform_{name}_1d"]
                           for name in ["input", "filter", "output", "grad", "weight", "overlap"])
    filtered(bt, g, at, 3, m, f"F({m}×{m}, 3×3)")
    filtered(bt, a, gt, m, 3, f"F(3×3, {m}×{m})")
    check_points(POINTS[m], bt, g, at, f"F({m}, 3)")
    same(a, transposed(at), f"F({m}, 3): A")
    same(gt, transposed(g), f"F({m}, 3): Gᵀ")
    b = transposed(bt)
    # Pixel 0 of a tile is value 0 alone, and its last pixel is its last value.
    unit = [1.0] + [0.0] * (m + 1)
    same([b[0], b[-1]], [unit, unit[::-1]], f"F({m}, 3): the border of B")
    side = [[float(i == 0)] for i in range(m)]
    same(e, [left + row + right for left, row, right in zip(side, b[1:-1], side[::-1])], f"F({m}, 3): E")


random.seed(0)
for size in POINTS:
    check(size)
