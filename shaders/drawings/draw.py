#!/usr/bin/env python3
"""Draws the SVG files of this folder: python3 shaders/drawings/draw.py

Sizes come from the `const` lines of the kernels, and who computes or loads what from the kernels' own
expressions, written out below. Needs nothing but Python.
"""

import re
from html import escape
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
INK, GREY, PALE = "#1a1a1a", "#767676", "#f2f2f2"
BLUE, ORANGE, GREEN, PURPLE = "#a9cdf0", "#f8cf9a", "#b5dfb0", "#d9c3ea"
LANES = ["#a9cdf0", "#f8cf9a", "#b5dfb0", "#f0b4b4", "#d9c3ea", "#e3d19b", "#a8dcd9", "#d6d6d6"]


def constants(name):
    """The unsigned `const` lines of a kernel, evaluated as naga does."""
    values = {}
    text = (FOLDER.parent / name).read_text()
    for left, right in re.findall(r"^const (\w+)(?:: u32)? = ([^;]+);", text, re.M):
        expression = re.sub(r"(\d)u\b", r"\1", right).replace("/", "//")
        if re.fullmatch(r"[\w\s()+*/-]+", expression):
            values[left] = eval(expression, {}, values)
    return values


class Drawing:
    def __init__(self, width, height):
        self.size, self.parts = (width, height), []

    def rect(self, x, y, w, h, fill="none", stroke=INK, width=1.0):
        self.parts.append(f'<rect x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" '
                          f'fill="{fill}" stroke="{stroke}" stroke-width="{width:g}"/>')

    def line(self, x1, y1, x2, y2, stroke=INK, width=1.0, arrow=False):
        end = ' marker-end="url(#arrow)"' if arrow else ""
        self.parts.append(f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{stroke}" '
                          f'stroke-width="{width:g}"{end}/>')

    def circle(self, x, y, r, fill):
        self.parts.append(f'<circle cx="{x:g}" cy="{y:g}" r="{r:g}" fill="{fill}"/>')

    def text(self, x, y, words, size=13, anchor="start", fill=INK, bold=False):
        weight = ' font-weight="bold"' if bold else ""
        self.parts.append(f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" '
                          f'fill="{fill}"{weight}>{escape(words)}</text>')

    def lines(self, x, y, *words, size=13):
        for i, line in enumerate(words):
            self.text(x, y + 1.4 * size * i, line, size)

    def brace(self, x1, x2, y, words):
        """A measure from x1 to x2 with words above it."""
        self.line(x1, y, x2, y)
        for x in [x1, x2]:
            self.line(x, y - 4, x, y + 4)
        self.text((x1 + x2) / 2, y - 7, words, anchor="middle")

    def write(self, name):
        width, height = self.size
        head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
                f'viewBox="0 0 {width} {height}" font-family="sans-serif">\n'
                '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
                f'markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="{INK}"/></marker></defs>\n'
                f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n')
        (FOLDER / name).write_text(head + "\n".join(self.parts) + "\n</svg>\n")


def conv2d_strip():
    c = constants("conv2d.wgsl")
    pw, kw, stride, span, s, tm4, ci = (c[name] for name in ["PW", "KW", "STRIDE", "SPAN", "S", "TM4", "CI"])
    d = Drawing(860, 716)
    title = f"conv2d.forward: a lane computes a strip of PW = {pw} pixels, TM = {c['TM']} channels each"
    d.text(30, 34, title, 16, bold=True)

    # Who computes what: `item` of the kernel.
    width_out, cell = 4 * pw, 13
    d.text(30, 66, f"1. The WG = {c['WG']} invocations of a workgroup compute {c['WG']} neighbouring strips "
           f"of y. Here: rows of {width_out} pixels, strips_per_row = 4.")
    for item in range(c["WG"]):
        x, y = 30 + item % 4 * pw * cell, 78 + item // 4 * 30
        d.rect(x, y, pw * cell, 24, ORANGE if item == 5 else PALE, width=1.6)
        for q in range(1, pw):
            d.line(x + q * cell, y + 19, x + q * cell, y + 24, GREY)
        d.text(x + pw * cell / 2, y + 16, f"{item}", anchor="middle")
    d.lines(30 + width_out * cell + 24, 94, "strip = workgroup · WG + invocation,",
            "oh = strip / strips_per_row % h_out,",
            f"ow = strip % strips_per_row · PW: 5 is row 1, pixel {pw}", size=13)

    # The window.
    d.text(30, 178, f"2. For a row of KW = {kw} taps and 4 input channels, an invocation loads the "
           f"SPAN = {span} pixels of x under its strip, once.")
    cell, x0, y_y, y_x = 64, 62, 214, 330
    chosen = 2
    middle = (kw - 1) / 2
    for q in range(pw):
        x = x0 + (q * stride + middle) * cell
        d.rect(x, y_y, cell, 36, ORANGE if q == chosen else PALE)
        d.text(x + cell / 2, y_y + 23, f"q = {q}", anchor="middle")
    for i in range(span):
        under = chosen * stride <= i < chosen * stride + kw
        d.rect(x0 + i * cell, y_x, cell, 36, BLUE if under else PALE)
        d.text(x0 + (i + 0.5) * cell, y_x + 23, f"xs[{i}]", anchor="middle")
    target = x0 + (chosen * stride + middle + 0.5) * cell
    for tap in range(kw):
        x = x0 + (chosen * stride + tap + 0.5) * cell
        d.line(x, y_x - 1, target + (tap - middle) * 16, y_y + 38, width=1.3, arrow=True)
        d.text(x + (4 if tap < middle else 5 if tap == middle else 0), y_x - 24, f"kw={tap}", 12,
               "end" if tap < middle else "start")
    right = x0 + span * cell + 14
    d.lines(right, y_y + 15, "y: the sums acc[m][q]", "in registers")
    d.lines(right, y_x + 15, "x: one vec4f a pixel,", "4 input channels")
    d.text(right - 160, (y_y + y_x) / 2 + 26, "acc[m][q] += ws[i] · xs[q·STRIDE + kw][i]", 13)
    d.text(x0, y_x + 60, f"A pixel of x is used for up to KW = {kw} pixels of y: {span} loads instead of "
           f"PW·KW = {pw * kw}.")

    # The block of weights.
    top = 434
    d.text(30, top, f"3. All lanes need the same weights of a tap, {ci} × TM. Each of the S = {s} lanes "
           f"of a subgroup loads X_LOADS = {c['X_LOADS']} vec4f.")
    cell_w, cell_h, x0 = 92, 38, 130
    for m in range(tm4):
        d.text(x0 + (m + 0.5) * cell_w, top + 30, f"m = {m}", anchor="middle")
    for i in range(ci):
        y = top + 40 + i * cell_h
        d.text(x0 - 10, y + 24, f"i = {i}", anchor="end")
        for m in range(tm4):
            e = i * tm4 + m
            d.rect(x0 + m * cell_w, y, cell_w, cell_h, LANES[e % s % len(LANES)])
            d.text(x0 + (m + 0.5) * cell_w, y + 24, f"lane {e % s}: v[{e // s}]", anchor="middle")
    below = top + 40 + ci * cell_h
    d.text(x0, below + 22, "A cell is a vec4f: w for input channel i and the output channels 4m to 4m + 3.")
    e = 2 * tm4 + 1
    x = x0 + tm4 * cell_w + 28
    d.lines(x, top + 54, "share(v[e / S], e % S) gives all lanes",
            f"vec4f e = i·TM4 + m, S = {s}, TM4 = {tm4}.", "",
            f"i = 2, m = 1: e = {e}, which is v[{e // s}]", f"of lane {e % s}. All lanes multiply it with",
            "component 2 of their own xs.")
    d.lines(30, below + 56, f"A tap costs a lane {c['X_LOADS']} loads of weights for {ci}·TM·PW = "
            f"{ci * c['TM'] * pw} multiply-adds. In the portable variant, S = 1, every lane",
            f"loads all {ci * tm4} vec4f itself.")
    d.write("conv2d_strip.svg")


def tile():
    c = constants("conv2d_tiled.wgsl")
    bm, bn, bk, tx, ty, rm, rn = (c[name] for name in ["BM", "BN", "BK", "TX", "TY", "RM", "RN"])
    rm4, rn4 = c["RM4"], c["RN4"]
    local = 2 * tx + 5
    # sum_at of shared/product.1.wgsl: the row and the vec4f of columns of each sum.
    sums = [((local // tx + i // rn4 // 4 * ty) * 4 + i // rn4 % 4, local % tx + i % rn4 * tx)
            for i in range(c["SUMS"])]
    rows, fours = sorted({row for row, _ in sums}), sorted({four for _, four in sums})
    assert (len(rows), 4 * len(fours)) == (rm, rn)

    scale, slices = 5, 3
    depth = slices * bk * scale
    left, top, gap = 80, 92, 26
    cx, cy = left + depth + gap, top + depth + gap
    d = Drawing(cx + bn * scale + 50, cy + bm * scale + 160)
    d.text(30, 34, "conv2d_tiled: a workgroup's tile C[m,n] = Σ_k A[m,k]·B[k,n]", 16, bold=True)
    d.text(30, 58, "forward: m counts pixels of y, n output channels, k = (kh, kw, C_in)")

    for index in range(slices):
        fill = BLUE if index == 1 else PALE
        d.rect(left + index * bk * scale, cy, bk * scale, bm * scale, fill)
        d.rect(cx, top + index * bk * scale, bn * scale, bk * scale, fill)
    for row in rows:
        d.rect(left + bk * scale, cy + row * scale, bk * scale, scale, ORANGE, ORANGE, 0.3)
    for four in fours:
        d.rect(cx + 4 * four * scale, top + bk * scale, 4 * scale, bk * scale, ORANGE, ORANGE, 0.3)
    d.rect(left + bk * scale, cy, bk * scale, bm * scale, width=2)
    d.rect(cx, top + bk * scale, bn * scale, bk * scale, width=2)

    d.rect(cx, cy, bn * scale, bm * scale, PALE)
    for row, four in sums:
        d.rect(cx + 4 * four * scale, cy + row * scale, 4 * scale, scale, ORANGE, ORANGE, 0.3)
    for i in range(4, bm, 4):
        d.line(cx, cy + i * scale, cx + bn * scale, cy + i * scale, GREY, 0.4)
    for i in range(4, bn, 4):
        d.line(cx + i * scale, cy, cx + i * scale, cy + bm * scale, GREY, 0.4)
    d.rect(cx, cy, bn * scale, bm * scale, width=2)

    d.brace(cx, cx + bn * scale, top - 10, f"B: BN = {bn} columns")
    d.brace(left + bk * scale, left + 2 * bk * scale, cy - 10, f"BK = {bk} of k")
    d.text(left + bk * scale / 2, cy + bm * scale + 18, "done", anchor="middle")
    d.text(left + 1.5 * bk * scale, cy + bm * scale + 18, "this slice", anchor="middle")
    d.text(left + 2.5 * bk * scale, cy + bm * scale + 18, "next", anchor="middle")
    d.text(cx - 8, top + 0.5 * bk * scale + 5, "done", anchor="end")
    d.text(cx - 8, top + 1.5 * bk * scale + 5, "this slice", anchor="end")
    d.text(cx - 8, top + 2.5 * bk * scale + 5, "next", anchor="end")
    d.text(left - 8, cy + bm * scale / 2 - 8, "A:", anchor="end")
    d.text(left - 8, cy + bm * scale / 2 + 10, f"BM = {bm}", anchor="end")
    d.text(left - 8, cy + bm * scale / 2 + 28, "rows", anchor="end")
    d.text(cx + bn * scale - 8, cy + bm * scale - 10, "C", 16, "end", bold=True)
    d.text(30, 104, "blue: in workgroup memory")
    d.text(30, 124, "orange: what one thread uses")

    bottom = cy + bm * scale + 50
    ranges = " and ".join(f"{rows[i]} to {rows[i + 3]}" for i in range(0, rm, 4))
    columns = " and ".join(f"{4 * four} to {4 * four + 3}" for four in fours)
    d.lines(30, bottom,
            f"Of every slice, TX·TY = {tx}·{ty} = {c['THREADS']} threads load {c['BLOCKS_A']} blocks of "
            f"4 × 4 of A and {c['BLOCKS'] - c['BLOCKS_A']} of B: {c['LOADS']} a thread.",
            f"A thread computes RM × RN = {rm} × {rn} of C (a fine square is 4 × 4) and keeps them in "
            "registers.",
            f"Thread {local} = 2·TX + 5 has rows {ranges} and columns {columns}: rows of a thread",
            "are TY vec4f apart and columns TX, so that neighbouring threads read neighbouring vec4f.",
            f"For a k it reads RM + RN = {rm + rn} numbers from workgroup memory for RM·RN = {rm * rn} "
            "multiply-adds.",
            f"A number read from memory is used BN = {bn} times (A) or BM = {bm} times (B).")
    d.write("tile.svg")


def winograd_tile():
    c = constants("winograd.wgsl")
    m, a = c["M"], c["A"]
    overlap, taps = a - m, a - m + 1
    d = Drawing(860, 0)
    d.text(30, 34, f"winograd: a tile of F({m}×{m}, {taps}×{taps})", 16, bold=True)

    # Two neighbouring tiles over x.
    d.text(30, 64, f"1. Tiles of M × M = {m} × {m} pixels of y adjoin. The A × A = {a} × {a} pixels of x "
           f"under them overlap by A − M = {overlap}.")
    cell, x0, y0 = 34, 100, 108
    for row in range(a):
        for column in range(m + a):
            fill = GREEN if m <= column < a else BLUE if column < a else ORANGE
            d.rect(x0 + column * cell, y0 + row * cell, cell, cell, fill, GREY, 0.6)
    for first, dot in [(0, "#1f5fa8"), (m, "#b35c00")]:
        for row in range(m):
            for column in range(m):
                d.circle(x0 + (first + column + 1.5) * cell, y0 + (row + 1.5) * cell, 6, dot)
    d.rect(x0 + cell, y0 + cell, m * cell, m * cell, stroke="#1f5fa8", width=2.5)
    d.rect(x0 + (m + 1) * cell, y0 + cell, m * cell, m * cell, stroke="#b35c00", width=2.5)
    d.brace(x0, x0 + a * cell, y0 - 12, "x of tile t")
    d.line(x0 + m * cell, y0 + a * cell + 14, x0 + (m + a) * cell, y0 + a * cell + 14)
    for x in [x0 + m * cell, x0 + (m + a) * cell]:
        d.line(x, y0 + a * cell + 10, x, y0 + a * cell + 18)
    d.text(x0 + (m + a / 2) * cell, y0 + a * cell + 32, "x of tile t + 1", anchor="middle")
    side = x0 + (m + a) * cell + 30
    d.lines(side, y0 + 30, "A dot is a pixel of y, drawn on the pixel of x",
            "at the same place (top = left = 1).", "",
            f"Green: the {overlap} columns that both tiles read.",
            "The tiles above and below overlap likewise.", "",
            "A tile is transformed with all its A × A pixels,", "so what tiles have in common is done twice.")

    # The algorithm.
    top = y0 + a * cell + 74
    d.text(30, top, f"2. For one input and one output channel: {a * a} products instead of "
           f"{m}·{m}·{taps}·{taps} = {m * m * taps * taps}.")
    small = 24

    def grid(x, y, rows, columns, fill, numbers=False):
        for row in range(rows):
            for column in range(columns):
                d.rect(x + column * small, y + row * small, small, small, fill, GREY, 0.6)
                if numbers:
                    d.text(x + (column + 0.5) * small, y + (row + 0.5) * small + 4.5,
                           f"{row * a + column}", 12, "middle")
        d.rect(x, y, columns * small, rows * small, width=1.6)

    y = top + 48
    big = a * small
    x_x, x_v, x_m, x_y = 30, 210, 452, 662
    grid(x_x, y, a, a, BLUE)
    d.text(x_x + big / 2, y - 10, f"x: {a} × {a}", anchor="middle")
    d.line(x_x + big + 4, y + big / 2, x_v - 6, y + big / 2, arrow=True)
    grid(x_v, y, a, a, BLUE, True)
    d.text(x_v + big / 2, y - 10, "v = Bᵀ·x·B", anchor="middle")

    y_w = y + big + 62
    grid(x_x + (a - taps) / 2 * small, y_w + (a - taps) / 2 * small - 18, taps, taps, PURPLE)
    d.text(x_x + big / 2, y_w + (a - taps) / 2 * small - 28, f"w: {taps} × {taps}", anchor="middle")
    d.line(x_x + (a + taps) / 2 * small + 4, y_w + big / 2 - 18, x_v - 6, y_w + big / 2 - 18, arrow=True)
    grid(x_v, y_w - 18, a, a, PURPLE, True)
    d.text(x_v + big / 2, y_w - 28, "u = G·w·Gᵀ", anchor="middle")

    y_m = (y + y_w - 18) / 2
    centre = y_m + big / 2
    d.line(x_v + big + 4, y + big / 2, x_m - 36, centre - 8, arrow=True)
    d.line(x_v + big + 4, y_w - 18 + big / 2, x_m - 36, centre + 8, arrow=True)
    d.text(x_m - 20, centre + 7, "⊙", 20, "middle")
    grid(x_m, y_m, a, a, GREEN, True)
    d.text(x_m + big / 2, y_m - 28, "m[z,n,t] =", anchor="middle")
    d.text(x_m + big / 2, y_m - 10, "Σ_k v[z,k,t]·u[z,k,n]", anchor="middle")
    d.lines(x_m, y_m + big + 22, "numbers: z = row·A + column", f"⊙: {a * a} products, then Σ over",
            "the input channels k")
    d.line(x_m + big + 4, centre, x_y - 6, centre, arrow=True)
    grid(x_y, centre - m * small / 2, m, m, ORANGE)
    d.text(x_y + m * small / 2, centre - m * small / 2 - 10, "y = Aᵀ·m·A", anchor="middle")
    d.text(x_y + m * small / 2, centre + m * small / 2 + 20, f"{m} × {m}", anchor="middle")
    d.size = (860, int(y_w + big + 10))
    d.write("winograd_tile.svg")


conv2d_strip()
tile()
winograd_tile()
