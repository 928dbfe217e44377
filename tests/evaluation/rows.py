"""Detections and truths written as rows of numbers."""

import numpy as np

from sixrayd.core.detections import Detections, Truths


def detections(*rows):
    """Rows of (x1, y1, x2, y2, score, label)."""
    table = np.array(rows, dtype=float).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(int))


def truths(*rows):
    """Rows of (x1, y1, x2, y2, label, difficult)."""
    table = np.array(rows, dtype=float).reshape(-1, 6)
    return Truths(table[:, :4], table[:, 4].astype(int), table[:, 5].astype(bool))


def scene(seed, images=12, classes=3, objects=4, spread=6.0):
    """Random truths and detections scattered about them by `spread` pixels, no two scores equal.

    Boxes of objects are whole pixels, and one object in five is difficult.
    """
    rng = np.random.default_rng(seed)
    scores = iter(rng.permutation(images * objects * 6) / (images * objects * 6))
    found, truth = {}, {}
    for number in range(images):
        corner = rng.integers(0, 300, (rng.integers(0, objects + 1), 2))
        side = rng.integers(8, 100, corner.shape)
        boxes = np.concatenate([corner, corner + side], axis=1).astype(float)
        labels = rng.integers(0, classes, len(boxes))
        truth[f"P{number:05d}"] = Truths(boxes, labels, rng.random(len(boxes)) < 0.2)
        near = np.repeat(boxes, 2, axis=0)
        near[:, :2] += rng.normal(0, spread, (len(near), 2))
        near[:, 2:] = np.maximum(
            near[:, 2:] + rng.normal(0, spread, (len(near), 2)), near[:, :2] + 2
        )
        corner = rng.uniform(0, 300, (3, 2))
        far = np.concatenate([corner, corner + rng.uniform(8, 100, (3, 2))], axis=1)
        all_boxes = np.concatenate([near, far])
        all_labels = np.concatenate([np.repeat(labels, 2), rng.integers(0, classes, 3)])
        all_scores = np.array([next(scores) for _ in all_labels])
        found[f"P{number:05d}"] = Detections(all_boxes, all_scores, all_labels)
    return found, truth
