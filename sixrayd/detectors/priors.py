"""Priors: the boxes that a detector's outputs are offsets of."""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class PriorLevel:
    """Priors of one source map, in pixels of the network's input.

    Args:
        stride: pixels from cell to cell; None divides the input by the map's cells.
        shapes: (width, height) of each prior of a cell.
        middle: where in its cell the centre lies, in cells.
    """

    stride: float | None
    shapes: tuple[tuple[float, float], ...]
    middle: float = 0.5

    @property
    def count(self) -> int:
        """Priors a cell."""
        return len(self.shapes)


@dataclass(frozen=True, slots=True)
class PriorPlan:
    """The priors of a detector.

    Args:
        clipped: whether each of the four numbers is cut at the input's edges, as SSD's code does.
    """

    levels: tuple[PriorLevel, ...]
    clipped: bool = True


def ssd_level(
    stride: float | None, min_size: float, max_size: float, ratios: tuple[float, ...]
) -> PriorLevel:
    """A square of `min_size`, one of sqrt(min_size * max_size), and for each ratio r two boxes of
    min_size * sqrt(r) by min_size / sqrt(r), lying and standing.

    Source: SSD (Liu et al. 2016), Sec. 2.2, with the order of RFBNet's (Liu et al. 2018) code.
    """
    middle = math.sqrt(min_size * max_size)
    shapes = [(min_size, min_size), (middle, middle)]
    for ratio in ratios:
        long, short = min_size * math.sqrt(ratio), min_size / math.sqrt(ratio)
        shapes += [(long, short), (short, long)]
    return PriorLevel(stride, tuple(shapes))


@lru_cache(maxsize=256)
def make_priors(
    plan: PriorPlan,
    maps_hw: tuple[tuple[int, int], ...],
    input_hw: tuple[int, int],
    scale_wh: tuple[float, float] = (1.0, 1.0),
    device: torch.device = torch.device("cpu"),
) -> Tensor:
    """Priors of all source maps, by map, row, column, then shape; made once for each shape.

    Args:
        maps_hw: rows and columns of each source map.
        input_hw: of the network's input, in pixels.
        scale_wh: what the widths and heights of the plan are multiplied by.

    Returns:
        (P, 4) float32, centre x, centre y, width, height in pixels.
    """
    height, width = input_hw
    scale = torch.tensor(scale_wh)
    parts = []
    for level, (rows, columns) in zip(plan.levels, maps_hw, strict=True):
        cy, cx = torch.meshgrid(
            (torch.arange(rows) + level.middle) * (level.stride or height / rows),
            (torch.arange(columns) + level.middle) * (level.stride or width / columns),
            indexing="ij",
        )  # (rows, columns)
        centres = torch.stack([cx, cy], dim=-1)[:, :, None, :]  # (rows, columns, 1, 2)
        shapes = torch.tensor(level.shapes, dtype=torch.float32) * scale  # (K, 2)
        grid = (rows, columns, level.count, 2)
        pair = [centres.expand(grid), shapes.expand(grid)]
        parts.append(torch.cat(pair, dim=-1).reshape(-1, 4))
    priors = torch.cat(parts)  # (P, 4)
    if plan.clipped:
        limits = torch.tensor([width, height, width, height], dtype=torch.float32)
        priors = torch.minimum(priors.clamp_min(0), limits)
    return priors.to(device)
