"""L2-regularised linear heads at their optimum in 64 bits: multinomial logistic regression and a linear support
vector machine of two classes by scikit-learn, one of four classes by PyTorch.

The features are like those of a network with more features than images: their deviations differ a
hundredfold, and classes overlap. `regression.rs` of the trainer's tests reads the file.
"""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

ROWS, NEW, WIDTH, CLASSES = 60, 40, 96, 4
STRENGTHS = (0.003, 0.03, 1.0)


def hinge(x, labels, c):
    """Weights and biases at the least c·Σ MultiMarginLoss(p=2) + ½‖W‖², by PyTorch's loss and gradient."""
    x, labels = torch.tensor(x), torch.tensor(labels)
    weight = torch.zeros(CLASSES, WIDTH, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(CLASSES, dtype=torch.float64, requires_grad=True)
    loss = torch.nn.MultiMarginLoss(p=2, reduction="sum")
    solver = torch.optim.LBFGS([weight, bias], max_iter=20_000, tolerance_grad=1e-10, tolerance_change=0,
                               history_size=50, line_search_fn="strong_wolfe")

    def closure():
        solver.zero_grad()
        value = c * loss(x @ weight.T + bias, labels) + 0.5 * weight.square().sum()
        value.backward()
        return value

    solver.step(closure)
    return weight.detach().numpy(), bias.detach().numpy()


def golden():
    random = np.random.default_rng(14)
    labels = np.concatenate([np.arange(ROWS) % CLASSES, np.arange(NEW) % CLASSES])
    centres = random.normal(size=(CLASSES, WIDTH))
    deviations = 10 ** random.uniform(-1, 1, WIDTH)
    features = (0.5 * centres[labels] + random.normal(size=(ROWS + NEW, WIDTH))) * deviations + 3.0
    features = features.astype(np.float32).astype(np.float64)
    train, new = features[:ROWS], features[ROWS:]
    mean, deviation = train.mean(0), np.sqrt(train.var(0).mean())
    tensors = {"features": features, "labels": labels.astype(np.float32)}
    for i, c in enumerate(STRENGTHS):
        fitted = LogisticRegression(C=c, tol=1e-10, max_iter=100_000)
        fitted.fit((train - mean) / deviation, labels[:ROWS])
        # scikit-learn's biases may have any mean; ours start with mean 0 and keep it.
        tensors[f"{i}.c"] = np.array([c])
        tensors[f"{i}.weight"] = fitted.coef_
        tensors[f"{i}.bias"] = fitted.intercept_ - fitted.intercept_.mean()
        tensors[f"{i}.probabilities"] = fitted.predict_proba((new - mean) / deviation)
    c = 0.03
    weight, bias = hinge((train - mean) / deviation, labels[:ROWS], c)
    tensors |= {"hinge.c": np.array([c]), "hinge.weight": weight, "hinge.bias": bias}
    # Two classes, where loss and penalty are both half of LinearSVC's. Its intercept is penalised, but hardly
    # with this scale.
    two = labels[:ROWS] < 2
    x = train[two]
    mean, deviation = x.mean(0), np.sqrt(x.var(0).mean())
    fitted = LinearSVC(C=c, dual=False, intercept_scaling=1e4, tol=1e-10, max_iter=1_000_000)
    fitted.fit((x - mean) / deviation, labels[:ROWS][two])
    tensors |= {"svc.weight": fitted.coef_, "svc.bias": fitted.intercept_}
    return tensors, {"rows": str(ROWS), "library": "scikit-learn 1.2.1, PyTorch 1.13"}
