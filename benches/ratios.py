#!/usr/bin/python3
"""Prints images/s of two engines and their ratio, from one JSON file a round: [--common] OURS... -- PEERS...

A ratio is taken within a round, where both saw the same machine; the median is over the rounds. With --common only
rows are printed that both have.
"""

import json
import statistics
import sys


def load(paths):
    runs = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            runs.append(json.load(file))
    return runs


def main():
    common = "--common" in sys.argv
    files = [argument for argument in sys.argv[1:] if argument != "--common"]
    at = files.index("--")
    ours, peers = load(files[:at]), load(files[at + 1 :])
    print(f"frostline: {ours[0]['adapter']}")
    if peers:
        print(f"peer: {peers[0]['adapter']}")
    print(f"\n{'images/s':<20} {'frostline':>10} {'peer':>10} {'ratio':>7}   lowest to highest ratio of {len(ours)} rounds")
    for name in (key for key, value in ours[0].items() if "/" in key and isinstance(value, float)):
        mine = statistics.median(run[name] for run in ours)
        if not all(name in run for run in peers) or not peers:
            if common:
                continue
            print(f"{name:<20} {mine:>10.1f} {'-':>10} {'-':>7}")
            continue
        other = statistics.median(run[name] for run in peers)
        ratios = [run[name] / peer[name] for run, peer in zip(ours, peers)]
        print(f"{name:<20} {mine:>10.1f} {other:>10.1f} {statistics.median(ratios):>7.2f}   {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()
