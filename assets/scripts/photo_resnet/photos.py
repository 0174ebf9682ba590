"""The embedded photos as a small task of six classes, and its random splits."""

import common
import numpy as np
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SIZES = (30, 60, 90)  # photos to learn from


def load_images(folder, side):
    """(images (N, side, side, 3) u8, labels (N,), class names) of the folders of JPEGs in `folder`.

    Pillow's bilinear filter widens with the scale, so that no pixel is skipped.
    """
    paths = sorted(folder.glob("*/*.jpg"))
    classes = sorted({path.parent.name for path in paths})
    labels = np.array([classes.index(path.parent.name) for path in paths])
    images = [
        np.asarray(Image.open(path).convert("RGB").resize((side, side), Image.BILINEAR))
        for path in paths
    ]
    return np.stack(images), labels, classes


def load(folder, side):
    """(inputs (N, 3, side, side), labels (N,), class names)."""
    images, labels, classes = load_images(folder, side)
    return common.normalized(images), labels, classes


def split(labels, count, seed):
    """(indices to learn from, indices to test on): `count` photos, every class by its share."""
    splitter = StratifiedShuffleSplit(1, train_size=count, random_state=seed)
    return next(splitter.split(labels, labels))


def classifier():
    """Logistic regression on standardised features."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=1000))


def probe(features_of, labels, count, seeds):
    """Accuracies in % of a logistic regression on `count` photos, one for each seed of a split.

    `features_of(seed)` gives the features of all photos that this split uses.
    """
    accuracies = []
    for seed in range(seeds):
        features = features_of(seed)
        learn, test = split(labels, count, seed)
        fitted = classifier().fit(features[learn], labels[learn])
        accuracies.append(100 * fitted.score(features[test], labels[test]))
    return accuracies


def summary(accuracies):
    """Mean and standard deviation, rounded for a table."""
    return [round(float(np.mean(accuracies)), 1), round(float(np.std(accuracies)), 1)]
