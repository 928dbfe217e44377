"""Who wants to know which tasks measure: classifiers, and how well they tell tasks apart."""

import numpy as np
from scipy.stats import rankdata

FOLDS = 5


def auc(scores, marks):
    """How often a marked task scores more than another, ties as half."""
    ranks, n = rankdata(scores), int(marks.sum())
    return (ranks[marks].sum() - n * (n + 1) / 2) / (n * (len(marks) - n))


def chance(marks, deviations=4.0):
    """How far an AUC of pure chance strays from a half."""
    n, others = int(marks.sum()), int((~marks).sum())
    return deviations * ((n + others + 1) / (12 * n * others)) ** 0.5


def best_guess(features, marks, seed=0):
    """The AUC of each classifier, over folds that it did not learn from.

    Args:
        features: (N, F).
        marks: (N,) which tasks are to be found.
    """
    folds, random = np.empty(len(marks), int), np.random.default_rng(seed)
    for kind in (marks, ~marks):  # each fold has its share of both
        folds[kind] = random.permutation(int(kind.sum())) % FOLDS
    found = {of: [] for of in (logistic, neighbours, stump)}
    for fold in range(FOLDS):
        held, rest = folds == fold, folds != fold
        mean, spread = features[rest].mean(axis=0), features[rest].std(axis=0)
        x = (features - mean) / np.where(spread > 0, spread, 1)
        for of, areas in found.items():
            areas.append(auc(of(x[rest], marks[rest], x[held]), marks[held]))
    return {of.__name__: float(np.mean(areas)) for of, areas in found.items()}


def logistic(x, marks, asked):
    """Logistic regression with a ridge, by Newton's method."""
    ones = np.column_stack([x, np.ones(len(x))])
    weights = np.zeros(ones.shape[1])
    for _ in range(25):
        p = 1 / (1 + np.exp(-(ones @ weights).clip(-30, 30)))
        curve = (ones.T * (p * (1 - p))) @ ones + np.eye(len(weights))
        weights += np.linalg.solve(curve, ones.T @ (marks - p) - weights)
    return np.column_stack([asked, np.ones(len(asked))]) @ weights


def neighbours(x, marks, asked, count=9):
    """The share of the nearest tasks that are marked."""
    near = ((asked[:, None] - x[None]) ** 2).sum(axis=2).argsort(axis=1)[:, :count]
    return marks[near].mean(axis=1)


def stump(x, marks, asked):
    """The one feature with the largest gap between two halves of its values, from where it is."""
    best, found = 0.0, np.zeros(len(asked))
    for column in range(x.shape[1]):
        for edge in np.quantile(x[:, column], (0.1, 0.25, 0.5, 0.75, 0.9)):
            above = x[:, column] > edge
            if above.any() and not above.all():
                gap = marks[above].mean() - marks[~above].mean()
                if abs(gap) > best:
                    best, found = abs(gap), np.sign(gap) * (asked[:, column] > edge)
    return found
