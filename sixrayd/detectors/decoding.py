"""From a network's outputs to boxes: scores, offsets, non-maximum suppression."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sixrayd.core.boxes import FloatArray, iou_matrix
from sixrayd.core.errors import SettingsError
from sixrayd.detectors.coding import SSD_CODING, Coding, box_iou, decode
from sixrayd.evaluation.matching import Detections, IntArray


@dataclass(frozen=True, slots=True)
class DecodeSettings:
    """Which detections are kept."""

    threshold: float = 0.01
    iou: float = 0.45
    most: int = 200  # an image

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1 or not 0 < self.iou <= 1 or self.most < 1:
            raise SettingsError(f"decoding: out of range: {self}")


def decode_batch(
    outputs: tuple[Tensor, Tensor, Tensor],
    settings: DecodeSettings = DecodeSettings(),
    coding: Coding = SSD_CODING,
) -> list[Detections]:
    """Detections of each image of a batch by falling score, in pixels of the network's input.

    Args:
        outputs: offsets (B, P, 4), logits (B, P, outputs), priors (P, 4).
    """
    offsets, logits, priors = outputs
    scores = coding.score(logits)  # (B, P, C)
    found = []
    for image_offsets, image_scores in zip(offsets.float(), scores, strict=True):
        flat = image_scores.flatten()  # (P * C,)
        kept = (flat > settings.threshold).nonzero()[:, 0]
        kept = kept[flat[kept].argsort(descending=True, stable=True)][: 4 * settings.most]
        rows = kept // image_scores.shape[1]
        classes = kept % image_scores.shape[1]
        boxes = decode(image_offsets[rows], priors[rows], coding)  # (K, 4)
        alive = suppress(boxes, classes, settings.iou)[: settings.most]
        parts = (boxes[alive], flat[kept][alive], classes[alive])
        xyxy, best, labels = (part.cpu().numpy() for part in parts)
        found.append(Detections(xyxy.astype(np.float64), best.astype(np.float64), labels))
    return found


def suppress(boxes: Tensor, classes: Tensor, iou: float) -> Tensor:
    """Indices that survive greedy non-maximum suppression, class by class.

    Args:
        boxes: (N, 4) xyxy by falling score.
        classes: (N,).
        iou: a box that overlaps a better one of its class by more is dropped.
    """
    rivals = (box_iou(boxes, boxes) > iou) & (classes[:, None] == classes[None, :])  # (N, N)
    rivals = rivals.triu(1)
    alive = torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
    while True:
        # Each pass settles at least the best unsettled box; a few passes settle all.
        settled = ~(rivals & alive[:, None]).any(dim=0)
        if torch.equal(settled, alive):
            return alive.nonzero()[:, 0]
        alive = settled


def merge(found: Sequence[Detections], settings: DecodeSettings) -> Detections:
    """One list out of several looks at the same image.

    A box that every look agrees on keeps its score; one that only some have seen loses in
    proportion, so that chance finds of a single look sink.
    """
    xyxy = np.concatenate([d.xyxy for d in found])
    scores = np.concatenate([d.scores for d in found])
    labels = np.concatenate([d.labels for d in found])
    order = np.argsort(-scores, kind="stable")
    xyxy, scores, labels = xyxy[order], scores[order], labels[order]
    alive = suppress(torch.from_numpy(xyxy), torch.from_numpy(labels), settings.iou).numpy()
    support = np.stack([_support(d, xyxy[alive], labels[alive], settings.iou) for d in found])
    mean = support.mean(axis=0)  # (K,)
    best = np.argsort(-mean, kind="stable")[: settings.most]
    return Detections(xyxy[alive][best], mean[best], labels[alive][best])


def _support(found: Detections, xyxy: FloatArray, labels: IntArray, iou: float) -> FloatArray:
    """For each of (K, 4) boxes the best score that a look gives its place and class; 0 if none."""
    near = iou_matrix(xyxy, found.xyxy) > iou  # (K, N)
    near &= labels[:, None] == found.labels[None, :]
    best: FloatArray = np.where(near, found.scores[None, :], 0.0).max(axis=1, initial=0.0)
    return best  # (K,)
