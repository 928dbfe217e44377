"""What a set's labels are, whatever form they are read from, and one hash of them."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sixrayd.core.voc import VocObject, box_of_pixels, pixels_of
from sixrayd.datasets.labelled import LabelledSet

_NO_LIMIT = 1 << 30  # pixels, for an image of unknown size

Labels = Mapping[str, tuple[VocObject, ...]]


@dataclass(frozen=True, slots=True)
class LabelCounts:
    """A set's labels in four values."""

    labels: str  # the label hash
    images: int  # of which something is said
    positives: int  # those with a box
    boxes: int


def plain_labels(labelled: LabelledSet) -> Labels:
    """Image id → objects of the images of which the set says something, by image id.

    Edges are whole pixels, as VOC has them, and objects are sorted, so that a set that was written
    in another form and read again has the same.
    """
    said = labelled.images
    return {
        image_id: _plain(labels.objects, labels.size_wh) if labels.objects else ()
        for image_id, labels in sorted(said.items())
        if labels.objects is not None
    }


def count_labels(labels: Labels) -> LabelCounts:
    """Hash and counts of plain labels."""
    digest, encode = hashlib.sha256(), json.JSONEncoder().encode
    for image_id in sorted(labels):
        objects = labels[image_id]
        said = encode([_said(item) for item in objects]) if objects else "[]"
        digest.update(f"[{encode(image_id)}, {said}]\n".encode("ascii"))
    counts = [len(objects) for objects in labels.values()]
    return LabelCounts(digest.hexdigest(), len(counts), sum(map(bool, counts)), sum(counts))


def without_provenance(objects: tuple[VocObject, ...] | None) -> tuple[VocObject, ...] | None:
    """The objects as labels alone, in which forms and copies agree."""
    if objects is None:
        return None
    return sorted_objects(replace(item, provenance=None) for item in objects)


def sorted_objects(objects: Iterable[VocObject]) -> tuple[VocObject, ...]:
    """Objects by label, edges and flags; provenance breaks what ties are left."""
    return tuple(sorted(objects, key=lambda item: (_said(item), str(item.provenance))))


def _plain(
    objects: tuple[VocObject, ...], size_wh: tuple[int, int] | None
) -> tuple[VocObject, ...]:
    width, height = size_wh or (_NO_LIMIT, _NO_LIMIT)
    return sorted_objects(
        replace(item, box=box_of_pixels(item.box.label, pixels_of(item.box, width, height)))
        for item in objects
    )


def _said(item: VocObject) -> list[Any]:
    return [item.box.label, *map(int, item.box.xyxy), item.difficult, item.truncated]
