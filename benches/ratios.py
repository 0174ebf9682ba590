#!/usr/bin/python3
"""Reads lines of examples/step.rs and torch_step.py from standard input; prints medians and ratios."""

import json
import statistics
import sys


def main():
    runs = {}
    for line in map(json.loads, filter(str.strip, sys.stdin)):
        for name, rate in line["images_per_second"].items():
            runs.setdefault(line["engine"].split()[0], {}).setdefault(name, []).append(rate)
    ours, peer = runs.get("frostline", {}), runs.get("pytorch", {})
    print(f"{'images/s':<12} {'frostline':>10} {'PyTorch':>10} {'ratio':>7}   (median of {len(next(iter(ours.values()), []))} runs each)")
    for name, rates in ours.items():
        mine = statistics.median(rates)
        if name in peer:
            other = statistics.median(peer[name])
            print(f"{name:<12} {mine:>10.1f} {other:>10.1f} {mine / other:>7.2f}")
        else:
            print(f"{name:<12} {mine:>10.1f} {'-':>10} {'-':>7}")


if __name__ == "__main__":
    main()
