"""Task-driven cropping: where the energy of a backbone's feature map begins to change.

Source: Nguyen et al. 2022 (doi:10.3390/mi13040565), Sec. 4. What it leaves open is chosen here:
the median filter reflects the profile at its ends; cell i covers pixels i·s to (i + 1)·s of an
input with stride s; difference i lies between cells i and i + 1, and both are kept.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from sixrayd.core.errors import ShapeError
from sixrayd.crop.region import Region, bounded
from sixrayd.crop.settings import TdcSettings

_FLAT = 1e-4  # of the energy: smaller changes are the noise of convolutions, not an edge


@dataclass(frozen=True, slots=True)
class Profile:
    """How energy changes along one axis of a batch of maps; n cells, n - 1 differences.

    Args:
        energy: (B, n) Eq. (2).
        difference: (B, n - 1) Eq. (3).
        filtered: (B, n - 1) Eq. (4).
        normalised: (B, n - 1) in 0..1, Eq. (5); all zero where nothing changes.
    """

    energy: Tensor
    difference: Tensor
    filtered: Tensor
    normalised: Tensor


def average_map(features: Tensor) -> Tensor:
    """Mean magnitude over the channels, Eq. (1): (B, C, h, w) → (B, h, w) float32.

    Raises:
        ShapeError: it is not (B, C, h, w), or is empty.
    """
    if features.ndim != 4 or features.numel() == 0:
        raise ShapeError(
            f"features: need (B, C, h, w), none of them 0, got {tuple(features.shape)}"
        )
    return features.abs().mean(dim=1, dtype=torch.float32)


def axis_profile(average: Tensor, axis: Literal["columns", "rows"], kernel: int) -> Profile:
    """Eq. (2) to (5) along one axis.

    Args:
        average: (B, h, w).
        kernel: in cells, odd; shrunk to the largest odd number of differences there are.
    """
    energy = average.sum(dim=1 if axis == "columns" else 2)  # (B, n)
    difference = energy.diff(dim=1).abs()  # (B, n - 1)
    filtered = median_filter(difference, kernel)
    if difference.shape[1] == 0:
        return Profile(energy, difference, filtered, filtered)
    low = filtered.amin(dim=1, keepdim=True)  # (B, 1)
    span = filtered.amax(dim=1, keepdim=True) - low
    changes = span > _FLAT * energy.amax(dim=1, keepdim=True)
    normalised = torch.where(changes, (filtered - low) / span, torch.zeros_like(filtered))
    return Profile(energy, difference, filtered, normalised)


def median_filter(profile: Tensor, kernel: int) -> Tensor:
    """(B, n) → (B, n), Eq. (4); reflects at the ends without repeating the last value.

    Args:
        kernel: odd; one longer than the profile shrinks to the largest odd number that is not.
    """
    length = profile.shape[1]
    if length == 0:
        return profile
    kernel = min(kernel, length - (length + 1) % 2)
    reach = kernel // 2
    padded = functional.pad(profile[:, None], (reach, reach), mode="reflect")[:, 0]
    return padded.unfold(1, kernel, 1).median(dim=2).values


def spans(normalised: Tensor, k: float) -> list[tuple[int, int]]:
    """First cell and the one after the last, of each profile: what lies between the outermost
    differences above k, their cells included; all cells where none is above.

    Args:
        normalised: (B, n - 1) of Eq. (5).
    """
    length = normalised.shape[1]
    if length == 0:
        return [(0, 1)] * len(normalised)
    above = normalised > k  # (B, n - 1)
    flags = above.to(torch.uint8)
    first = flags.argmax(dim=1)
    last = length - 1 - flags.flip(1).argmax(dim=1)
    none = ~above.any(dim=1)
    edges = torch.stack([first.masked_fill(none, 0), last.masked_fill(none, length - 1) + 2], 1)
    return [(start, end) for start, end in edges.tolist()]


def cell_regions(features: Tensor, kernel: int, settings: TdcSettings) -> list[Region]:
    """What each map of a batch keeps, in cells.

    Args:
        features: (B, C, h, w).
        kernel: in cells of this map, odd.
    """
    average = average_map(features)
    height, width = average.shape[1:]
    across = down = None
    if settings.axes != "rows":
        across = spans(axis_profile(average, "columns", kernel).normalised, settings.k)
    if settings.axes != "columns":
        down = spans(axis_profile(average, "rows", kernel).normalised, settings.k)
    across = across or [(0, width)] * len(average)
    down = down or [(0, height)] * len(average)
    return [Region(x1, y1, x2, y2) for (x1, x2), (y1, y2) in zip(across, down, strict=True)]


def regions(features: Tensor, input_hw: tuple[int, int], settings: TdcSettings) -> list[Region]:
    """What each map of a batch keeps, in pixels of the input that gave the map.

    Args:
        features: (B, C, h, w).
        input_hw: of that input; reduced where the form is fast.
    """
    stride = cell_px(input_hw, (features.shape[2], features.shape[3]))
    cells = cell_regions(features, kernel_cells(settings, stride), settings)
    return [to_pixels(region, stride, input_hw) for region in cells]


def cell_px(input_hw: tuple[int, int], map_hw: tuple[int, int]) -> int:
    """A map's stride. Backbones halve and round up, so it is the least power of two that fits."""
    stride = 1
    while any(side > stride * cells for side, cells in zip(input_hw, map_hw, strict=True)):
        stride *= 2
    return stride


def kernel_cells(settings: TdcSettings, stride: int) -> int:
    """The odd kernel in cells of a map with this stride that is nearest to the settings'."""
    cells = settings.kernel / settings.reduction
    if settings.kernel_unit == "pixels":
        cells /= stride
    return 2 * max(0, round((cells - 1) / 2)) + 1


def to_pixels(cells: Region, stride: int, input_hw: tuple[int, int]) -> Region:
    """A region in cells of a map → in pixels of the input that gave the map."""
    height, width = input_hw
    x1, y1, x2, y2 = (edge * stride for edge in cells.xyxy)
    return bounded(x1, y1, x2, y2, (width, height), least_px=1)
