"""L2-regularised multinomial logistic regression by scikit-learn, trained to its optimum in 64 bits.

The features are like those of a network with more features than images: their deviations differ a
hundredfold, and classes overlap. `regression.rs` of the trainer's tests reads the file.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression

ROWS, NEW, WIDTH, CLASSES = 60, 40, 96, 4
STRENGTHS = (0.003, 0.03, 1.0)


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
        # scikit-learn's biases have any mean, ours start at 0 and keep it.
        tensors[f"{i}.c"] = np.array([c])
        tensors[f"{i}.weight"] = fitted.coef_
        tensors[f"{i}.bias"] = fitted.intercept_ - fitted.intercept_.mean()
        tensors[f"{i}.probabilities"] = fitted.predict_proba((new - mean) / deviation)
    return tensors, {"rows": str(ROWS), "library": "scikit-learn 1.2.1"}
