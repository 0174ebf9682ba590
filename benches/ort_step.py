#!/usr/bin/python3
"""Inference of the networks of torch_step.py in onnxruntime on the CPU; writes the same keys to a file of JSON.

Needs a Python that has both: `/usr/bin/python3 -m venv --system-site-packages VENV`, `VENV/bin/pip install
onnxruntime`, and PYTHON=VENV/bin/python3 for `make bench-peers`.
"""

import io

import onnxruntime
import torch

from torch_step import measure, median_step


def session(model, x, threads):
    """`model`, exported for images of x's shape."""
    file = io.BytesIO()
    torch.onnx.export(model.eval(), x, file, opset_version=13)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])


def rows(name, make, batch, channels, size, arguments):
    """Milliseconds of inference."""
    x = torch.rand(batch, channels, size, size) - 0.5
    running = session(make(), x, arguments.threads)
    feed = {running.get_inputs()[0].name: x.numpy()}
    yield f"{name}/infer", median_step(lambda: running.run(None, feed), arguments.steps)


if __name__ == "__main__":
    measure(__doc__, f"onnxruntime {onnxruntime.__version__}", rows)
