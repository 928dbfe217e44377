"""Matching priors to boxes, and the multibox loss with hard-negative mining."""

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


IGNORED = -1  # class of a prior that is neither an object nor background


@dataclass(frozen=True, slots=True)
class Overlaps:
    """From which overlap (IoU) a prior counts as an object, and from which it is in doubt.

    Priors on an object that fall short of a match look like matches. Counted as background they
    are the hardest negatives of all, and a small network learns little but shapes of priors; in
    doubt, they are ignored.
    """

    matched: float
    doubtful: float


PUBLISHED = Overlaps(0.5, 0.5)


def match(
    boxes: Tensor,
    labels: Tensor,
    priors: Tensor,
    overlaps: Overlaps = PUBLISHED,
    coding: Coding = SSD_CODING,
) -> tuple[Tensor, Tensor]:
    """Give each prior a box: the one it overlaps best, if enough; each box keeps at least its
    best prior.

    Args:
        boxes: (N, 4) xyxy pixels of the input.
        labels: (N,) class, 1-based; 0 is background.
        priors: (P, 4) centre form.

    Returns:
        offsets (P, 4), zero where unmatched, and classes (P,), 0 for background or `IGNORED`.

    Source: SSD (Liu et al. 2016), Sec. 2.2, "Matching strategy".
    """
    if len(boxes) == 0:
        return torch.zeros_like(priors), torch.zeros(
            len(priors), dtype=torch.long, device=priors.device
        )
    shared = box_iou(boxes, corners(priors))  # (N, P)
    best, owner = shared.max(dim=0)  # (P,)
    for n, prior in enumerate(shared.argmax(dim=1).tolist()):
        best[prior], owner[prior] = 2.0, n
    classes = torch.where(best >= overlaps.matched, labels[owner], 0)  # (P,)
    doubtful = (best >= overlaps.doubtful) & (best < overlaps.matched)
    classes = torch.where(doubtful, IGNORED, classes)
    offsets = encode(boxes[owner], priors, coding)  # (P, 4)
    return torch.where(classes[:, None] > 0, offsets, 0.0), classes


def multibox_loss(
    predictions: tuple[Tensor, Tensor],
    targets: tuple[Tensor, Tensor],
    negatives_per_positive: float = 3.0,
) -> MultiboxLoss:
    """Smooth L1 on matched priors; cross-entropy on these and on the hardest of the others.

    The hardest are sought in the whole batch, not image by image as in the published code, so
    that images without boxes teach confidence too.

    Args:
        predictions: offsets (B, P, 4) and logits (B, P, 1 + classes).
        targets: offsets (B, P, 4) and classes (B, P), 0 is background, `IGNORED` nothing.

    Source: SSD (Liu et al. 2016), Eq. (1) to (3) and "Hard negative mining".
    """
    offsets, logits = predictions
    wanted_offsets, classes = targets
    positive = classes > 0  # (B, P)
    count = positive.sum().clamp_min(1)
    offset_loss = functional.smooth_l1_loss(
        offsets[positive], wanted_offsets[positive], reduction="sum"
    )
    entropy = functional.cross_entropy(
        logits.flatten(0, 1).float(),
        classes.flatten(),
        ignore_index=IGNORED,
        reduction="none",
    )  # (B * P,), zero where ignored
    flat = positive.flatten()
    hard = torch.where(flat, 0.0, entropy)
    wanted = min(int(negatives_per_positive * int(count)), hard.numel())
    class_loss = entropy[flat].sum() + hard.topk(wanted).values.sum()
    return MultiboxLoss(offset_loss / count, class_loss / count)
