"""The rectangle that a crop keeps, the way back from it, and what it costs."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sixrayd.core.arrays import FloatArray, RGBImage
from sixrayd.core.boxes import clip_xyxy
from sixrayd.core.detections import Detections
from sixrayd.core.errors import ShapeError

LEAST_SIDE_PX = 32  # a thinner strip shows no object, and backbones reduce by up to 32
_LOST_BELOW = 0.5  # share of an object's area inside the region
_ROUNDING_PX = 1e-6  # so that 0.3 × 100 ends at pixel 30, not 31


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of whole pixels of an image: 0-based, right and bottom exclusive, never empty.

    Raises:
        ShapeError: an edge is negative, or the rectangle has no area.
    """

    x1: int
    y1: int
    x2: int
    y2: int

    def __post_init__(self) -> None:
        if self.x1 < 0 or self.y1 < 0 or self.x2 <= self.x1 or self.y2 <= self.y1:
            raise ShapeError(f"region: needs 0 <= x1 < x2 and 0 <= y1 < y2, got {self.xyxy}")

    @property
    def xyxy(self) -> tuple[int, int, int, int]:
        """Left, top, right, bottom."""
        return (self.x1, self.y1, self.x2, self.y2)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return (self.x2 - self.x1, self.y2 - self.y1)

    @property
    def area(self) -> int:
        """Square pixels."""
        return (self.x2 - self.x1) * (self.y2 - self.y1)


Cropper = Callable[[RGBImage], Region]  # (H, W, 3) uint8 RGB → a region inside it


@dataclass(frozen=True, slots=True)
class CropCost:
    """What a crop of one image takes away."""

    area_removed: float  # share of the image's area, 0..1
    objects: int  # that are in the image at all
    objects_cut: int  # partly outside the region, with at least half of their area inside
    objects_lost: int  # with less than half of their area inside


def size_wh(image: RGBImage) -> tuple[int, int]:
    """Width and height in pixels of an (H, W, 3) image.

    Raises:
        ShapeError: it is not (H, W, 3), or is empty.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ShapeError(f"image: need (H>=1, W>=1, 3), got {image.shape}")
    return image.shape[1], image.shape[0]


def whole(size_wh: tuple[int, int]) -> Region:
    """All of an image."""
    return Region(0, 0, *size_wh)


def bounded(
    x1: float,
    y1: float,
    x2: float,
    y2: float,
    size_wh: tuple[int, int],
    least_px: int = LEAST_SIDE_PX,
) -> Region:
    """A region of whole pixels that covers these edges as far as the image reaches.

    Edges are rounded outwards and clipped to the image; a side shorter than `least_px` is grown
    around its middle, as far as the image reaches. Edges in reverse order count as too short.

    Raises:
        ShapeError: an edge is not finite, or the image is empty.
    """
    if not all(math.isfinite(edge) for edge in (x1, y1, x2, y2)):
        raise ShapeError(f"region: edges must be finite, got {(x1, y1, x2, y2)}")
    left, right = _span(x1, x2, size_wh[0], least_px)
    top, bottom = _span(y1, y2, size_wh[1], least_px)
    return Region(left, top, right, bottom)


def cut(image: RGBImage, region: Region) -> RGBImage:
    """The region's pixels, as a contiguous copy.

    Args:
        image: (H, W, 3) uint8 RGB.

    Raises:
        ShapeError: the region reaches beyond the image.
    """
    width, height = size_wh(image)
    if region.x2 > width or region.y2 > height:
        raise ShapeError(f"region {region.xyxy} reaches beyond its image of {width} x {height}")
    return np.ascontiguousarray(image[region.y1 : region.y2, region.x1 : region.x2])


def map_back(found: Detections, region: Region) -> Detections:
    """Detections in a crop's pixels → the same in the image's pixels."""
    offset = np.array([region.x1, region.y1] * 2, dtype=found.xyxy.dtype)
    return Detections(found.xyxy + offset, found.scores, found.labels)


def area_removed(region: Region, size_wh: tuple[int, int]) -> float:
    """Share of an image's area that lies outside the region, 0..1."""
    return 1 - region.area / math.prod(size_wh)


def crop_cost(truths_xyxy: FloatArray, region: Region, size_wh: tuple[int, int]) -> CropCost:
    """What cropping one image to `region` takes away.

    Args:
        truths_xyxy: (M, 4) the image's objects; the part of a box beyond the image counts for
            nothing, so keeping all of the image cuts none.

    Raises:
        ShapeError: truths are not (M, 4), or the region reaches beyond the image.
    """
    if truths_xyxy.ndim != 2 or truths_xyxy.shape[1] != 4:
        raise ShapeError(f"truths: need boxes (M, 4), got {truths_xyxy.shape}")
    width, height = size_wh
    if region.x2 > width or region.y2 > height:
        raise ShapeError(f"region {region.xyxy} reaches beyond its image of {width} x {height}")
    boxes = clip_xyxy(truths_xyxy.astype(np.float64), width, height)  # (M, 4)
    area = _areas(boxes)  # (M,)
    low = np.array([region.x1, region.y1] * 2)
    high = np.array([region.x2, region.y2] * 2)
    inside = _areas(np.clip(boxes, low, high))  # (M,)
    present, lost = area > 0, inside < _LOST_BELOW * area
    return CropCost(
        area_removed=area_removed(region, size_wh),
        objects=int(present.sum()),
        objects_cut=int((present & ~lost & (inside < area)).sum()),
        objects_lost=int((present & lost).sum()),
    )


def _span(low: float, high: float, length: int, least_px: int) -> tuple[int, int]:
    first = min(max(math.floor(low + _ROUNDING_PX), 0), length)
    last = min(max(math.ceil(high - _ROUNDING_PX), 0), length)
    side = min(max(least_px, 1), length)
    if last - first < side:
        first = min(max((first + last - side) // 2, 0), length - side)
        last = first + side
    return first, last


def _areas(boxes: FloatArray) -> FloatArray:
    areas: FloatArray = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)
    return areas
