#!/bin/sh
# Steps of ResNet-18 here and in PyTorch on the CPU, in turns on the same machine, and the ratios.
# More arguments go to both: benches/peers.sh --batch 4 --size 64. ROUNDS=5 takes five turns.
#
# For PyTorch: apt-get install python3-torch libopenblas0-pthread. Without it, ours alone is shown.
# Nothing else should run meanwhile.
set -eu
cd "$(dirname "$0")/.."
CARGO=${CARGO:-cargo}
PYTHON=${PYTHON:-/usr/bin/python3}
rounds=${ROUNDS:-3}

$CARGO build --release --example step
target=${CARGO_TARGET_DIR:-target}
results=$(mktemp)
trap 'rm -f "$results"' EXIT
torch=yes
"$PYTHON" -c 'import torch' 2>/dev/null || { torch=; echo "PyTorch is not installed for $PYTHON: showing frostline alone." >&2; }
round=0
while [ "$round" -lt "$rounds" ]; do
    "$target/release/examples/step" --json "$@" >>"$results"
    [ -z "$torch" ] || "$PYTHON" benches/torch_step.py "$@" >>"$results"
    round=$((round + 1))
done
"$PYTHON" benches/ratios.py <"$results"
