"""The loss of detectors with one sigmoid a class."""

import torch
from torch import Tensor
from torch.nn import functional

from sixrayd.detectors.losses import IGNORED, MultiboxLoss

ALPHA = 0.25
GAMMA = 2.0


def focal_loss(predictions: tuple[Tensor, Tensor], targets: tuple[Tensor, Tensor]) -> MultiboxLoss:
    """L1 on matched priors, focal loss on all priors that are not ignored.

    Sums are divided by the matched priors of the whole batch, where torchvision divides image by
    image: a box counts the same beside many others as alone.

    Args:
        predictions: offsets (B, P, 4) and logits (B, P, classes).
        targets: offsets (B, P, 4) and classes (B, P), 0 is background, `IGNORED` nothing.

    Source: RetinaNet (Lin et al. 2017), Eq. (5) with Sec. 5.1's alpha and gamma; L1 as torchvision.
    """
    offsets, logits = predictions
    wanted_offsets, classes = targets
    positive = classes > 0  # (B, P)
    count = positive.sum().clamp_min(1)
    offset_loss = functional.l1_loss(
        offsets[positive].float(), wanted_offsets[positive], reduction="sum"
    )
    looked_at = logits[classes != IGNORED].float()  # (N, C)
    labels = classes[classes != IGNORED]  # (N,)
    wanted = (labels[:, None] == torch.arange(1, looked_at.shape[1] + 1, device=labels.device)).to(
        looked_at.dtype
    )
    return MultiboxLoss(offset_loss / count, focal(looked_at, wanted).sum() / count)


def focal(logits: Tensor, wanted: Tensor) -> Tensor:
    """Loss of each logit, (...) as both arguments; `wanted` is 0 or 1."""
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    missed = (logits.sigmoid() - wanted).abs()
    weight = ALPHA * wanted + (1 - ALPHA) * (1 - wanted)
    return weight * missed**GAMMA * entropy
