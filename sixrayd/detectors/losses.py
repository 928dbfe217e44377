"""Matching priors to boxes, and the multibox loss with hard-negative mining."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sixrayd.detectors.coding import SSD_CODING, Coding, box_iou, corners, encode


@dataclass(frozen=True, slots=True)
class MultiboxLoss:
    """Sums over the batch divided by the number of matched priors (at least one)."""

    offsets: Tensor
    classes: Tensor

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        return self.offsets + self.classes


# Predictions, offsets (B, P, 4) and logits (B, P, outputs), against targets, offsets (B, P, 4) and
# classes (B, P).
Loss = Callable[[tuple[Tensor, Tensor], tuple[Tensor, Tensor]], MultiboxLoss]
IGNORED = -1  # class of a prior that is neither an object nor background


@dataclass(frozen=True, slots=True)
class Overlaps:
    """From which overlap (IoU) a prior counts as an object, and from which it is in doubt.

    Priors on an object that fall short of a match look like matches. Counted as background they
    are the hardest negatives of all, and a small network learns little but shapes of priors; in
    doubt, they are ignored.
    """

    fg_iou: float
    bg_iou: float


PUBLISHED = Overlaps(0.5, 0.5)
_MOST_PAIRS = 1 << 24  # of boxes and priors that are compared at once, in half a gigabyte


def match(
    boxes: Tensor,
    labels: Tensor,
    priors: Tensor,
    overlaps: Overlaps = PUBLISHED,
    coding: Coding = SSD_CODING,
) -> tuple[Tensor, Tensor]:
    """Give each prior of each image a box: the one it overlaps best, if enough; each box keeps at
    least its best prior, and of several boxes with the same best prior the last has it.

    Args:
        boxes: (B, N, 4) xyxy pixels of the input.
        labels: (B, N) class, 1-based; 0 fills up images with fewer boxes than others.
        priors: (P, 4) centre form.

    Returns:
        offsets (B, P, 4), zero where unmatched, and classes (B, P), 0 for background or `IGNORED`.

    Source: SSD (Liu et al. 2016), Sec. 2.2, "Matching strategy".
    """
    images, count = len(boxes), len(priors)
    if boxes.shape[1] == 0:
        return boxes.new_zeros(images, count, 4), labels.new_zeros(images, count)
    at_once = max(1, _MOST_PAIRS // max(images * count, 1))  # boxes of each image
    best, owner, claimed = _claims(boxes, labels, priors, 0, at_once)
    for start in range(at_once, boxes.shape[1], at_once):
        others, owners, claims = _claims(boxes, labels, priors, start, at_once)
        owner = torch.where(others > best, owners, owner)  # the first of equals, as `max` has it
        best, claimed = torch.maximum(best, others), torch.maximum(claimed, claims)
    owner = torch.where(claimed >= 0, claimed, owner)
    best = torch.where(claimed >= 0, 2.0, best)
    classes = torch.where(best >= overlaps.fg_iou, labels.gather(1, owner), 0)  # (B, P)
    doubtful = (best >= overlaps.bg_iou) & (best < overlaps.fg_iou)
    classes = torch.where(doubtful, IGNORED, classes)
    owned = boxes.gather(1, owner[..., None].expand(-1, -1, 4))  # (B, P, 4)
    return torch.where(classes[..., None] > 0, encode(owned, priors, coding), 0.0), classes


def _claims(
    boxes: Tensor, labels: Tensor, priors: Tensor, start: int, at_once: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Of some boxes of each image, for each prior (B, P): the best overlap, whose it is, and the
    last box whose best prior it is, -1 for none.
    """
    boxes, held = boxes[:, start : start + at_once], labels[:, start : start + at_once] > 0
    shared = torch.where(held[..., None], box_iou(boxes, corners(priors)), -1.0)  # (B, n, P)
    best, owner = shared.max(dim=1)
    numbers = torch.arange(start, start + boxes.shape[1], device=labels.device)
    claims = torch.where(held, numbers, -1)  # (B, n)
    claimed = torch.full_like(owner, -1).scatter_reduce_(1, shared.argmax(dim=2), claims, "amax")
    return best, owner + start, claimed


def multibox_loss(
    predictions: tuple[Tensor, Tensor],
    targets: tuple[Tensor, Tensor],
    negatives_per_positive: float = 3.0,
) -> MultiboxLoss:
    """Smooth L1 on matched priors; cross-entropy on these and on the hardest of the others.

    The hardest are sought in the whole batch, not image by image as in the published code, so
    that images without boxes teach confidence too. Nothing is chosen by position, which would
    make the host wait for a GPU: what does not count is computed, and masked.

    Args:
        predictions: offsets (B, P, 4) and logits (B, P, 1 + classes).
        targets: offsets (B, P, 4) and classes (B, P), 0 is background, `IGNORED` nothing.

    Source: SSD (Liu et al. 2016), Eq. (1) to (3) and "Hard negative mining".
    """
    offsets, logits = predictions
    wanted_offsets, classes = targets
    positive = classes > 0  # (B, P)
    count = positive.sum().clamp_min(1)
    away = functional.smooth_l1_loss(offsets, wanted_offsets, reduction="none")  # (B, P, 4)
    entropy = functional.cross_entropy(
        logits.flatten(0, 1).float(),
        classes.flatten(),
        ignore_index=IGNORED,
        reduction="none",
    )  # (B * P,), zero where ignored
    flat = positive.flatten()
    hardest = torch.where(flat, 0.0, entropy).sort(descending=True).values
    wanted = (negatives_per_positive * count).floor()
    chosen = torch.arange(len(hardest), device=hardest.device) < wanted
    class_loss = torch.where(flat, entropy, 0.0).sum() + torch.where(chosen, hardest, 0.0).sum()
    return MultiboxLoss(masked_sum(away, positive) / count, class_loss / count)


def masked_sum(loss: Tensor, positive: Tensor) -> Tensor:
    """Sum of (B, P, 4) where (B, P) holds."""
    return torch.where(positive[..., None], loss, 0.0).sum()
