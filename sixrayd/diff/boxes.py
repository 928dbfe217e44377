"""Which box became which: pairs of the boxes of one image in two sets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sixrayd.core.errors import AnnotationError
from sixrayd.core.voc import VocObject
from sixrayd.decisions.consensus import Matching, match_boxes

_MOST_PAIRS = 4_000_000  # of an image; each takes memory
_MOST_IN_ALL = 100_000_000  # over all images
_MOST_STEPS = 40_000_000_000  # of pairing them, in all: a minute at worst


class BoxKind(StrEnum):
    """What became of a box, in the order of the table's columns."""

    UNCHANGED = "unchanged"
    ADDED = "added"
    REMOVED = "removed"
    MOVED = "moved"
    RELABELLED = "relabelled"
    FLAGS = "other flags"


@dataclass(frozen=True, slots=True)
class BoxChange:
    """One box in both sets, or in one of them.

    Args:
        image_id: in B; in A where the image is there alone.
        iou: of the two boxes, None where there is one.
    """

    image_id: str
    kind: BoxKind
    before: VocObject | None
    after: VocObject | None
    iou: float | None = None

    @property
    def label(self) -> str:
        """The class that the change counts for: that in A, where the box is in A."""
        item = self.before or self.after
        assert item is not None
        return item.box.label


@dataclass(slots=True)
class Pairing:
    """Boxes that differ are compared each with each: how often, over all images so far."""

    pairs: int = 0
    steps: int = 0

    def take(self, image_id: str, before: int, after: int) -> None:
        """Count an image.

        Raises:
            AnnotationError: more boxes than any image has, or than sets have that are compared.
        """
        self.pairs += before * after
        self.steps += before * after * min(before, after)
        if before * after > _MOST_PAIRS:
            text = f"{before} and {after} boxes that differ are too many to be paired"
            raise AnnotationError(f"{image_id}: {text}")
        if self.pairs > _MOST_IN_ALL or self.steps > _MOST_STEPS:
            raise AnnotationError(
                f"{image_id}: with the images before it more boxes that differ than can be paired; "
                "compare smaller sets"
            )


def box_changes(
    image_id: str,
    before: Sequence[VocObject],
    after: Sequence[VocObject],
    iou: float,
    pairing: Pairing | None = None,
) -> Iterator[BoxChange]:
    """Every box of an image once.

    Boxes that are the same pair first, those with the same flags before others; then boxes of one
    label so that the sum of their IoU is greatest; then what is left, across labels.

    Args:
        pairing: of the images before; None counts this one alone.

    Raises:
        AnnotationError: see `Pairing.take`.
    """
    left, right = list(before), list(after)
    yield from _same(image_id, left, right)
    found = Matching((), ())
    (pairing or Pairing()).take(image_id, len(left), len(right))
    if left and right:
        found = match_boxes([item.box for item in left], [item.box for item in right], iou)
    kinds = ((BoxKind.MOVED, found.pairs), (BoxKind.RELABELLED, found.clashes))
    for kind, pairs in kinds:
        for pair in pairs:
            yield BoxChange(image_id, kind, left[pair.first], right[pair.second], pair.iou)
    both = (*found.pairs, *found.clashes)
    for kind, side, taken in (
        (BoxKind.REMOVED, left, {pair.first for pair in both}),
        (BoxKind.ADDED, right, {pair.second for pair in both}),
    ):
        for place, item in enumerate(side):
            if place not in taken:
                gone = kind == BoxKind.REMOVED
                yield BoxChange(image_id, kind, item if gone else None, None if gone else item)


def _same(image_id: str, left: list[VocObject], right: list[VocObject]) -> Iterator[BoxChange]:
    """Pairs of the same box, which leave both lists."""
    for kind, key in ((BoxKind.UNCHANGED, _labels), (BoxKind.FLAGS, _place)):
        waiting: dict[object, list[VocObject]] = {}
        for item in right:
            waiting.setdefault(key(item), []).append(item)
        rest = []
        for item in left:
            others = waiting.get(key(item))
            if others:
                yield BoxChange(image_id, kind, item, others.pop(0), 1.0)
            else:
                rest.append(item)
        left[:] = rest
        right[:] = [item for items in waiting.values() for item in items]


def _labels(item: VocObject) -> object:
    return item.box, item.difficult, item.truncated


def _place(item: VocObject) -> object:
    return item.box
