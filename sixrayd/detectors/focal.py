"""The loss of detectors with one sigmoid a class."""

import torch
from torch import Tensor
from torch.nn import functional

from sixrayd.detectors.losses import IGNORED, MultiboxLoss, masked_sum

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
    away = functional.l1_loss(offsets.float(), wanted_offsets, reduction="none")  # (B, P, 4)
    numbers = torch.arange(1, logits.shape[2] + 1, device=logits.device)
    wanted = (classes[..., None] == numbers).to(torch.float32)  # (B, P, C)
    loss = focal(logits.float(), wanted)
    class_loss = torch.where(classes[..., None] != IGNORED, loss, 0.0).sum()
    return MultiboxLoss(masked_sum(away, positive) / count, class_loss / count)


def focal(logits: Tensor, wanted: Tensor) -> Tensor:
    """Loss of each logit, (...) as both arguments; `wanted` is 0 or 1."""
    entropy = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    missed = (logits.sigmoid() - wanted).abs()
    weight = ALPHA * wanted + (1 - ALPHA) * (1 - wanted)
    return weight * missed**GAMMA * entropy
