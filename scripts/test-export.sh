#!/bin/sh
# Compares exported models with frostline itself: tests/golden/exported.py, in a virtual environment that
# includes Debian's PyTorch if it is installed. Skipped with a message if Python or onnxruntime is not
# available.
#
#   scripts/test-export.sh FROSTLINE OUT
set -eu
python=${PYTHON:-/usr/bin/python3}
venv=$2/venv
skip() {
    echo "test-export: SKIPPED, $1"
    exit 0
}
[ -x "$python" ] || skip "there is no $python (set PYTHON)"
mkdir -p "$2"
if [ ! -x "$venv/bin/python" ]; then
    "$python" -m venv --system-site-packages "$venv" >/dev/null 2>&1 || skip "$python makes no virtual environment (python3-venv)"
fi
pip="$venv/bin/python -m pip install --quiet --disable-pip-version-check"
# numpy 1, for which Debian's PyTorch was built.
$pip onnxruntime onnx pillow "numpy<2" >/dev/null 2>&1 || skip "onnxruntime cannot be installed"
# timm's own requirements would fetch another PyTorch.
if "$venv/bin/python" -c 'import torch, torchvision' >/dev/null 2>&1; then
    $pip safetensors >/dev/null 2>&1 && $pip --no-deps timm >/dev/null 2>&1 || true
fi
"$venv/bin/python" "$(dirname "$0")/../tests/golden/exported.py" "$1" "$2/models"
