"""Average precision apart for some of the objects: the others neither count nor cost.

A stratum is made of detections and truths in which what lies outside is marked as not counting,
so every measure of this folder takes it as it takes the whole. An object outside is difficult in
VOC's sense: who finds it is neither right nor wrong.

Strata are for comparing systems within one of them. By origin, a false alarm belongs to no side
and stands against both, so each side's value lies below what its share of the alarms would give.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from sixrayd.core.arrays import BoolArray, FloatArray
from sixrayd.core.detections import Detections, Truths
from sixrayd.core.errors import SettingsError, ShapeError
from sixrayd.evaluation.matching import difficult_of, excused_of, require_truths


@dataclass(frozen=True, slots=True)
class SizeRange:
    """Boxes by their share of the image's area, `low` included and `high` not.

    Raises:
        SettingsError: the range is empty or begins below 0.
    """

    name: str
    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high:
            raise SettingsError(
                f"size {self.name}: needs 0 <= low < high, got {self.low} and {self.high}"
            )

    def holds(self, xyxy: FloatArray, size_wh: tuple[int, int]) -> BoolArray:
        """Which of the (N, 4) boxes of an image of that size lie in the range, (N,)."""
        sides = np.clip(xyxy[:, 2:] - xyxy[:, :2], 0, None).astype(np.float64)
        share = sides.prod(axis=1) / (size_wh[0] * size_wh[1])  # (N,)
        inside: BoolArray = (share >= self.low) & (share < self.high)
        return inside


# A tenth and a fifth of the image's side, squared. COCO's 32 and 96 pixels are meant for pictures
# of 640 x 480; a scan's pixels depend on the machine and on how the image was stretched.
SIZES = (
    SizeRange("small", 0.0, 0.01),
    SizeRange("medium", 0.01, 0.04),
    SizeRange("large", 0.04, float("inf")),
)


def only_objects(
    truths: Mapping[str, Truths], chosen: Mapping[str, BoolArray]
) -> dict[str, Truths]:
    """The truths in which objects outside `chosen` are difficult.

    Args:
        chosen: (M,) by image id, which of its objects count.

    Raises:
        ShapeError: an image has no entry in `chosen`, or one of another length.
    """
    stratum = {}
    for image_id, truth in truths.items():
        if image_id not in chosen or chosen[image_id].shape != truth.labels.shape:
            got = chosen[image_id].shape if image_id in chosen else "none"
            raise ShapeError(
                f"{image_id}: need one choice for each of {len(truth.labels)} objects, got {got}"
            )
        stratum[image_id] = replace(truth, difficult=difficult_of(truth) | ~chosen[image_id])
    return stratum


def by_origin(
    truths: Mapping[str, Truths], origins: Mapping[str, Collection[str]], wanted: Collection[str]
) -> dict[str, Truths]:
    """The truths in which only objects of some origins count; detections stay as they are.

    Args:
        origins: by image id the origin of each of its objects, in their order.
        wanted: such as {"source"}, or what reviewers do to a candidate.

    Raises:
        ShapeError: an image has no origins, or another number of them than objects.
    """
    chosen = {
        image_id: np.array([origin in wanted for origin in column], bool)
        for image_id, column in origins.items()
    }
    return only_objects(truths, chosen)


def by_size(
    detections: Mapping[str, Detections],
    truths: Mapping[str, Truths],
    sizes_wh: Mapping[str, tuple[int, int]],
    size: SizeRange,
) -> tuple[dict[str, Detections], dict[str, Truths]]:
    """Detections and truths of one size of object.

    A detection outside the range that meets no object is excused: it is another size's false
    alarm. One that meets an object of the range counts whatever its own size.

    Args:
        sizes_wh: width and height of every image in pixels.

    Raises:
        ShapeError: an image has no size, or detections but no entry in `truths`.
    """
    require_truths(detections, truths)
    missing = sorted(set(truths) - set(sizes_wh))
    if missing:
        raise ShapeError(f"sizes: {len(missing)} images have none, first {missing[0]}")
    chosen = {
        image_id: size.holds(truth.xyxy, sizes_wh[image_id]) for image_id, truth in truths.items()
    }
    found = {
        image_id: replace(
            each, excused=excused_of(each) | ~size.holds(each.xyxy, sizes_wh[image_id])
        )
        for image_id, each in detections.items()
    }
    return found, only_objects(truths, chosen)
