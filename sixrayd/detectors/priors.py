"""Priors: the boxes that a detector's outputs are offsets of."""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class PriorLevel:
    """Priors of one source map, in pixels of the network's input.

    Per cell: a square of `min_size`, one of sqrt(min_size * max_size), and for each ratio r two
    boxes of min_size * sqrt(r) by min_size / sqrt(r), lying and standing.
    """

    stride: int
    min_size: float
    max_size: float
    ratios: tuple[float, ...]

    @property
    def count(self) -> int:
        """Priors a cell."""
        return 2 + 2 * len(self.ratios)

    def shapes(self) -> list[tuple[float, float]]:
        """(width, height) of each prior of a cell."""
        middle = math.sqrt(self.min_size * self.max_size)
        shapes = [(self.min_size, self.min_size), (middle, middle)]
        for ratio in self.ratios:
            long, short = self.min_size * math.sqrt(ratio), self.min_size / math.sqrt(ratio)
            shapes += [(long, short), (short, long)]
        return shapes


@lru_cache(maxsize=64)
def make_priors(
    levels: tuple[PriorLevel, ...], maps_hw: tuple[tuple[int, int], ...], input_hw: tuple[int, int]
) -> Tensor:
    """Priors of all source maps, by map, row, column, then shape; cut at the input's edges.

    Args:
        levels: one a source map.
        maps_hw: rows and columns of each source map.
        input_hw: of the network's input, in pixels.

    Returns:
        (P, 4) float32, centre x, centre y, width, height in pixels.

    Source: SSD (Liu et al. 2016), Sec. 2.2, with the sizes of RFBNet (Liu et al. 2018).
    """
    parts = []
    for level, (rows, columns) in zip(levels, maps_hw, strict=True):
        cy, cx = torch.meshgrid(
            (torch.arange(rows) + 0.5) * level.stride,
            (torch.arange(columns) + 0.5) * level.stride,
            indexing="ij",
        )  # (rows, columns)
        centres = torch.stack([cx, cy], dim=-1)[:, :, None, :]  # (rows, columns, 1, 2)
        shapes = torch.tensor(level.shapes(), dtype=torch.float32)  # (K, 2)
        grid = (rows, columns, level.count, 2)
        pair = [centres.expand(grid), shapes.expand(grid)]
        parts.append(torch.cat(pair, dim=-1).reshape(-1, 4))
    priors = torch.cat(parts)  # (P, 4)
    # As published, each of the four numbers is clipped, not the box's corners.
    height, width = input_hw
    limits = torch.tensor([width, height, width, height], dtype=torch.float32)
    return torch.minimum(priors.clamp_min(0), limits)
