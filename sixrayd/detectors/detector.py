"""What all detectors have in common: source maps, two heads, priors."""

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from sixrayd.detectors.priors import PriorLevel, make_priors


@dataclass(frozen=True, slots=True)
class InputForm:
    """How an image becomes the network's input."""

    size: int  # pixels, square
    mean: tuple[float, float, float]  # RGB, 0..255
    scale: float  # what (pixel - mean) is divided by


class Detector(nn.Module):
    """A backbone that gives source maps, and a pair of 3 × 3 convolutions on each.

    Args:
        sources: module, (B, 3, H, W) → list of (B, C_i, H_i, W_i).
        channels: C_i of each source map.
        levels: priors of each source map.
        classes: number of classes without background.
        form: the input it was made for.
    """

    def __init__(
        self,
        sources: nn.Module,
        channels: tuple[int, ...],
        levels: tuple[PriorLevel, ...],
        classes: int,
        form: InputForm,
    ) -> None:
        super().__init__()
        self.sources = sources
        self.levels = levels
        self.classes = classes
        self.form = form
        pairs = list(zip(channels, levels, strict=True))
        self.offset_heads = nn.ModuleList(
            nn.Conv2d(c, level.count * 4, 3, padding=1) for c, level in pairs
        )
        self.class_heads = nn.ModuleList(
            nn.Conv2d(c, level.count * (classes + 1), 3, padding=1) for c, level in pairs
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Predict for every prior.

        Args:
            images: (B, 3, H, W) normalised.

        Returns:
            offsets (B, P, 4), logits (B, P, 1 + classes) with background first, and the priors
            (P, 4) as centre x, centre y, width, height in pixels of the input.
        """
        maps = cast(list[Tensor], self.sources(images))
        offsets = [_rows(head(m), 4) for head, m in zip(self.offset_heads, maps, strict=True)]
        logits = [
            _rows(head(m), self.classes + 1) for head, m in zip(self.class_heads, maps, strict=True)
        ]
        shapes = tuple((m.shape[2], m.shape[3]) for m in maps)
        priors = make_priors(self.levels, shapes, (images.shape[2], images.shape[3]))
        return torch.cat(offsets, 1), torch.cat(logits, 1), priors.to(images.device)

    def initialise(self, background: float = 0.95) -> None:
        """Random weights, and class heads that start out saying background.

        Args:
            background: probability of background before any training, so that the first steps
                do not drown in the loss of tens of thousands of empty priors.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for head in self.class_heads:
            convolution = cast(nn.Conv2d, head)
            nn.init.normal_(convolution.weight, std=0.01)
            bias = cast(Tensor, convolution.bias).data.view(-1, self.classes + 1)
            bias[:, 0] = math.log(background / (1 - background) * self.classes)
        for head in self.offset_heads:
            nn.init.normal_(cast(nn.Conv2d, head).weight, std=0.01)


def _rows(head_map: Tensor, width: int) -> Tensor:
    batch = head_map.shape[0]
    return head_map.permute(0, 2, 3, 1).reshape(batch, -1, width)  # (B, H * W * K, width)
