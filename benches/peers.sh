#!/bin/sh
# Steps of ResNet-18, -20 and -10 here and in PyTorch on the CPU, in turns on the same machine, and
# the ratios. ROUNDS=5 takes five turns. A pattern is given to our benchmark: benches/peers.sh resnet18/
#
# For PyTorch: apt-get install python3-torch libopenblas0-pthread. Without it, ours alone is shown. Inference is
# also compared with onnxruntime where PYTHON has that too (benches/ort_step.py).
# Nothing else should run meanwhile.
set -eu
cd "$(dirname "$0")/.."
CARGO=${CARGO:-cargo}
PYTHON=${PYTHON:-/usr/bin/python3}
rounds=${ROUNDS:-3}

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
torch=yes
"$PYTHON" -c 'import torch' 2>/dev/null || { torch=; echo "PyTorch is not installed for $PYTHON: showing frostline alone." >&2; }
ort=
[ -z "$torch" ] || ! "$PYTHON" -c 'import onnxruntime' 2>/dev/null || ort=yes
round=1
while [ "$round" -le "$rounds" ]; do
    echo "round $round of $rounds" >&2
    $CARGO bench --bench step -- "$@" >&2
    cp out/bench/step.json "$results/ours.$round.json"
    [ -z "$torch" ] || "$PYTHON" benches/torch_step.py "$results/torch.$round.json" >&2
    [ -z "$ort" ] || "$PYTHON" benches/ort_step.py "$results/ort.$round.json" >&2
    round=$((round + 1))
done
peers=
[ -z "$torch" ] || peers="$results/torch."*
# shellcheck disable=SC2086 # one word a file
"$PYTHON" benches/ratios.py "$results/ours."* -- $peers
if [ -n "$ort" ]; then
    echo
    "$PYTHON" benches/ratios.py --common "$results/ours."* -- "$results/ort."*
fi
