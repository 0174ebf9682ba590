#!/usr/bin/env python3
"""The linear probe's regression beside scikit-learn's LogisticRegression: time, weights, probabilities.

    cargo bench --bench regression -- out/regression 150 2000 10000 100000
    /usr/bin/python3 benches/regression.py out/regression

Both standardise with every feature's mean and one deviation, minimise the same objective, and stop at a largest
derivative of the mean objective of 1e-6. The strength is chosen from the same eight by as many stratified folds;
scikit-learn gets one process a core for these, and a core's BLAS otherwise as it likes. Needs numpy and
scikit-learn (Debian's python3-sklearn).
"""

import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "assets" / "scripts"))
import safetensors_file

STRENGTHS = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0]


def softmax(logits):
    logits = np.exp(logits - logits.max(1, keepdims=True))
    return logits / logits.sum(1, keepdims=True)


warnings.simplefilter("ignore")
print("| rows | seconds | scikit-learn's | weights differ by | probabilities differ by | with the strength's choice, s "
      "| scikit-learn's |\n|---:|---:|---:|---:|---:|---:|---:|")
for path in sorted(Path(sys.argv[1]).glob("*.safetensors"), key=lambda path: int(path.stem)):
    tensors, told = safetensors_file.read(path)
    x, y = tensors["features"].astype(np.float64), tensors["labels"].astype(int)
    start = time.time()
    mean = x.mean(0)
    deviation = np.sqrt(x.var(0).mean())
    z = (x - mean) / deviation
    model = LogisticRegression(C=float(told["c"]), tol=1e-6, max_iter=10_000).fit(z, y)
    seconds = time.time() - start
    weight = model.coef_ / deviation
    bias = model.intercept_ - weight @ mean
    bias, ours = bias - bias.mean(), tensors["bias"] - tensors["bias"].mean()
    few = x[:1000]
    apart = np.abs(softmax(few @ weight.T + bias) - softmax(few @ tensors["weight"].T.astype(float) + ours)).max()
    apart_weight = np.abs(weight - tensors["weight"]).max() * deviation
    cells = ["", ""]
    if "chosen" in told:
        start = time.time()
        # Many rows: one fold of five is held out.
        folds = list(StratifiedKFold(5).split(x, y))[: int(told["folds"])]
        cross = LogisticRegressionCV(Cs=STRENGTHS, cv=folds, tol=1e-6, max_iter=10_000, n_jobs=os.cpu_count())
        cross.fit((x - x.mean(0)) / np.sqrt(x.var(0).mean()), y)
        cells = [f"{float(told['seconds_chosen']):.2f}", f"{time.time() - start:.2f}"]
    print(f"| {len(x)} | {float(told['seconds']):.2f} | {seconds:.2f} | {apart_weight:.1e} | {apart:.1e} | "
          + " | ".join(cells) + " |", flush=True)
