"""From a network's outputs to boxes: scores, offsets, non-maximum suppression."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sixrayd.core.arrays import FloatArray, IntArray
from sixrayd.core.boxes import iou_matrix
from sixrayd.core.detections import Detections
from sixrayd.core.errors import CheckpointError, SettingsError
from sixrayd.detectors.coding import SSD_CODING, Coding, box_iou, decode

_CONSIDERED = 4  # times `most`: the best boxes of an image that suppression looks at
_PASSES = 8  # of suppression on a GPU before it is asked whether they were enough
_BLOCK = 1024  # boxes that legacy suppression settles at a time


@dataclass(frozen=True, slots=True)
class DecodeSettings:
    """Which detections are kept.

    Args:
        threshold: scores at or below it are dropped.
        iou: a box that overlaps a better one of its class by more is dropped.
        most: detections an image.
        legacy: as RFBNet's published test has it: boxes reach one pixel further in overlaps, all
            boxes above the threshold are considered, and scores equal to the last one kept are
            kept too. Its numbers are a threshold of 0.005 and 300 an image.
    """

    threshold: float = 0.01
    iou: float = 0.45
    most: int = 200
    legacy: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1 or not 0 < self.iou <= 1 or self.most < 1:
            raise SettingsError(f"decoding: out of range: {self}")


def decode_batch(
    outputs: tuple[Tensor, Tensor, Tensor],
    settings: DecodeSettings = DecodeSettings(),
    coding: Coding = SSD_CODING,
    scale_wh: Tensor | None = None,
) -> list[Detections]:
    """Detections of each image of a batch by falling score.

    The best boxes are sought among all classes and source maps together; RetinaNet's limit of
    1,000 a map before that has no counterpart here.

    Args:
        outputs: offsets (B, P, 4), logits (B, P, outputs), priors (P, 4).
        scale_wh: (B, 2) pixels of each image per pixel of the network's input; boxes come in
            pixels of the input where it is left out. It only matters to legacy suppression.

    Raises:
        CheckpointError: a score, or an edge of a box that is kept, is no number.
    """
    offsets, logits, priors = outputs

    def boxes_at(rows: Tensor) -> Tensor:
        chosen = offsets.float().gather(1, rows[..., None].expand(-1, -1, 4))  # (B, K, 4)
        return decode(chosen, priors[rows], coding)

    return _selected(coding.score(logits), boxes_at, settings, scale_wh)


def select_batch(
    boxes: Tensor, scores: Tensor, settings: DecodeSettings, scale_wh: Tensor | None = None
) -> list[Detections]:
    """What `decode_batch` gives, from boxes (B, P, 4) xyxy and scores (B, P, C)."""

    def boxes_at(rows: Tensor) -> Tensor:
        return boxes.float().gather(1, rows[..., None].expand(-1, -1, 4))

    return _selected(scores, boxes_at, settings, scale_wh)


def _selected(
    scores: Tensor,
    boxes_at: Callable[[Tensor], Tensor],
    settings: DecodeSettings,
    scale_wh: Tensor | None,
) -> list[Detections]:
    """All images at once, on their device.

    Args:
        scores: (B, P, C).
        boxes_at: positions (B, K) of priors → their boxes (B, K, 4).
    """
    flat = scores.flatten(1)  # (B, P * C)
    count = flat.shape[1] if settings.legacy else min(_CONSIDERED * settings.most, flat.shape[1])
    # On a GPU to ask would be to wait, which is only worth it where all boxes would take part.
    if flat.numel() and (settings.legacy or flat.device.type == "cpu"):
        check_numbers(not flat.isnan().any())
        count = min(count, int((flat > settings.threshold).sum(dim=1).max()))
    places = flat.topk(count, dim=1).indices.sort(dim=1).values  # (B, K)
    best, order = flat.gather(1, places).sort(dim=1, descending=True, stable=True)
    places = places.gather(1, order)
    rows, classes = places // scores.shape[2], places % scores.shape[2]  # (B, K)
    boxes = boxes_at(rows)  # (B, K, 4)
    if scale_wh is not None:
        boxes = boxes * scale_wh.to(boxes, non_blocking=True).repeat(1, 2)[:, None]
    alive = best > settings.threshold
    if settings.legacy:
        for image in range(len(alive)):
            alive[image] = _legacy_alive(
                boxes[image], classes[image], best[image], alive[image], settings
            )
    else:
        alive = _survivors(boxes, classes, settings.iou, alive)
        alive &= alive.cumsum(dim=1) <= settings.most
    # One transfer a batch; float32 holds class numbers exactly.
    told = torch.cat([torch.stack([alive, best, classes], 2).to(boxes), boxes], 2)  # (B, K, 7)
    tables = told.cpu().numpy()
    kept_rows = tables[tables[..., 0] > 0]  # (K', 7)
    # `topk` takes what is no number before all numbers.
    check_numbers(not np.isnan(tables[..., 1]).any() and not np.isnan(kept_rows).any())
    return [
        Detections(
            image[kept, 3:].astype(np.float64),
            image[kept, 1].astype(np.float64),
            image[kept, 2].astype(np.int64),
        )
        for image in tables
        for kept in [image[:, 0] > 0]
    ]


def check_numbers(are_numbers: bool) -> None:
    """Refuse outputs of which nothing would be found, as if nothing were there."""
    if not are_numbers:
        raise CheckpointError(
            "what the detector says is no number: its weights are broken, or overflow in so short "
            "numbers; train anew with a lower --learning-rate, or take other weights or another "
            "backend"
        )


def suppress(boxes: Tensor, classes: Tensor, iou: float, *, legacy: bool = False) -> Tensor:
    """Indices that survive greedy non-maximum suppression, class by class.

    Args:
        boxes: (N, 4) xyxy by falling score.
        classes: (N,).
        iou: a box that overlaps a better one of its class by more is dropped.
        legacy: boxes reach one pixel further, as in Fast R-CNN's code.
    """
    valid = torch.ones(len(boxes), dtype=torch.bool, device=boxes.device)
    return _survivors(_reaching(boxes, legacy), classes, iou, valid).nonzero()[:, 0]


def _survivors(boxes: Tensor, classes: Tensor, iou: float, valid: Tensor) -> Tensor:
    """(..., N, 4) boxes by falling score, (..., N) classes and validity → (..., N) survivors."""
    rivals = (box_iou(boxes, boxes) > iou) & (classes[..., :, None] == classes[..., None, :])
    # Zeros and ones, so that one product counts the better rivals of every box.
    better = rivals.triu_(1).to(boxes.dtype)  # (..., N, N)
    alive = valid
    # Each pass settles at least the best unsettled box; a few passes settle all. On a GPU, asking
    # whether they have takes longer than a few passes more.
    passes = 1 if boxes.device.type == "cpu" else _PASSES
    while True:
        for _ in range(passes):
            before = alive
            rivalled = (alive.to(boxes.dtype)[..., None, :] @ better)[..., 0, :]  # (..., N)
            alive = valid & (rivalled == 0)
        if torch.equal(before, alive):
            return alive


def _legacy_alive(
    boxes: Tensor, classes: Tensor, scores: Tensor, valid: Tensor, settings: DecodeSettings
) -> Tensor:
    """Survivors of one image, (K,): block by block, since all of its boxes take part."""
    boxes = _reaching(boxes, legacy=True)
    alive = torch.zeros_like(valid)
    for start in range(0, len(boxes), _BLOCK):
        kept = alive.nonzero()[:, 0]
        # Scores fall, so what follows cannot be among the best any more.
        if len(kept) >= settings.most and scores[start] < scores[kept[settings.most - 1]]:
            break
        block = slice(start, start + _BLOCK)
        rivals = box_iou(boxes[kept], boxes[block]) > settings.iou  # (kept, block)
        rivals &= classes[kept][:, None] == classes[block][None, :]
        free = valid[block] & ~rivals.any(dim=0)
        alive[block] = _survivors(boxes[block], classes[block], settings.iou, free)
    ranked = scores[alive]
    if len(ranked) > settings.most:
        alive &= scores >= ranked[settings.most - 1]
    return alive


def _reaching(boxes: Tensor, legacy: bool) -> Tensor:
    if not legacy:
        return boxes
    return torch.cat([boxes[..., :2], boxes[..., 2:] + 1], dim=-1)


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
