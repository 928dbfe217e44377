"""The images that systems are judged on: truth, groups, origins, sizes."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sixrayd.benchmark.tree import load_origins, load_sets
from sixrayd.core.classes import ClassList
from sixrayd.core.detections import Truths
from sixrayd.core.index import Index, load_annotations
from sixrayd.core.records import ImageRecord, Source, Split
from sixrayd.core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Judged:
    """A set of images with what is known of them, by image id.

    Args:
        origins: (M,) of each object of an image: "source", or how review came to it.
    """

    index: Index
    ids: tuple[str, ...]
    truths: dict[str, Truths]
    groups: dict[str, str]
    sizes_wh: dict[str, tuple[int, int]]
    origins: dict[str, tuple[str, ...]]

    def read(self, image_id: str) -> bytes:
        """The encoded image."""
        return self.index.read(image_id)


@dataclass(frozen=True, slots=True)
class Sides:
    """What a benchmark reads of a tree."""

    test: Judged  # images with objects
    negatives: Judged  # of the test side, nothing in them
    validation: Judged  # of the training side, seen by no model
    train_images: int
    median_px: float  # geometric mean of a training image's sides, at the median
    # Negatives that a detector once fired on and people cleared; None where the tree does not say.
    confusing: frozenset[str] | None = None
    left_out: int = 0  # test images that were not drawn for a first look


def load_sides(
    workspace: Workspace,
    classes: ClassList,
    seen: frozenset[str],
    most: int,
    seed: int,
    tested: int | None = None,
) -> Sides:
    """The images of an ingested tree.

    Args:
        seen: ids that some model has learnt from; none of them is a validation image.
        most: validation images.
        tested: most test images with objects, and most without; None is all.
    """
    index = Index.load(workspace)
    judge = _Judge(workspace, index, classes)

    def drawn(records: Iterable[ImageRecord], most: int | None) -> list[ImageRecord]:
        def by_chance(record: ImageRecord) -> bytes:
            return hashlib.sha256(f"{seed}/{record.image_id}".encode()).digest()

        return sorted(records, key=by_chance)[:most]

    learnable = index.select(source=Source.POSITIVE, split=Split.TRAIN)
    unseen = [r for r in learnable if r.image_id not in seen]
    learnt = index.rows(split=Split.TRAIN)
    sizes = (learnt if learnt.num_rows else index.rows()).select(["width", "height"]).to_pandas()
    positives, empty = (
        index.select(source=source, split=Split.TEST)
        for source in (Source.POSITIVE, Source.NEGATIVE)
    )
    test, negatives = (judge(drawn(records, tested)) for records in (positives, empty))
    sets = load_sets(workspace)
    confusing = frozenset(i for i in negatives.ids if sets.get(i) == "confusing")
    return Sides(
        test,
        negatives,
        judge(drawn(unseen, most)),
        learnt.num_rows,
        float(np.sqrt(sizes.prod(axis=1)).median()),
        confusing if sets else None,
        len(positives) + len(empty) - len(test.ids) - len(negatives.ids),
    )


class _Judge:
    def __init__(self, workspace: Workspace, index: Index, classes: ClassList) -> None:
        self.index, self.classes = index, classes
        self.annotations = load_annotations(workspace)
        self.origins = load_origins(workspace)

    def __call__(self, records: list[ImageRecord]) -> Judged:
        records = sorted(records, key=lambda r: r.image_id)
        return Judged(
            self.index,
            tuple(r.image_id for r in records),
            {r.image_id: self._truth(r.image_id) for r in records},
            {r.image_id: r.group for r in records},
            {r.image_id: (r.width, r.height) for r in records},
            {r.image_id: self._origins(r.image_id) for r in records},
        )

    def _truth(self, image_id: str) -> Truths:
        return Truths.of(self.annotations.get(image_id, ()), self.classes)

    def _origins(self, image_id: str) -> tuple[str, ...]:
        found = self.annotations.get(image_id, ())
        return tuple(self.origins.get(a.box_id, "source") for a in found)
