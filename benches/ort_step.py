#!/usr/bin/python3
"""Inference of the networks of torch_step.py in onnxruntime on the CPU; writes the same keys to a file of JSON.

Needs a Python that has both: `/usr/bin/python3 -m venv --system-site-packages VENV`, `VENV/bin/pip install
onnxruntime`, and PYTHON=VENV/bin/python3 for `make bench-peers`.
"""

import argparse
import io
import json
import os

import onnxruntime
import torch

from torch_step import NETWORKS, median_step


def session(model, x, threads):
    """`model`, exported for images of x's shape."""
    file = io.BytesIO()
    torch.onnx.export(model.eval(), x, file, opset_version=13)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", help="the file to write")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    torch.manual_seed(0)
    rates, milliseconds = {}, {}
    for name, make, batch, channels, size in NETWORKS:
        x = torch.rand(batch, channels, size, size) - 0.5
        running = session(make(), x, arguments.threads)
        feed = {running.get_inputs()[0].name: x.numpy()}
        median = median_step(lambda: running.run(None, feed), arguments.steps)
        step = f"{name}/infer"
        rates[step], milliseconds[step] = batch * 1e3 / median, median
        print(f"{step:<20} {median:>10.2f} ms", flush=True)
    adapter = f"onnxruntime {onnxruntime.__version__}, CPU, {arguments.threads} threads"
    with open(arguments.out, "w", encoding="utf-8") as file:
        json.dump({**rates, "adapter": adapter, "milliseconds": milliseconds}, file, indent=2)


if __name__ == "__main__":
    main()
