"""Boxes of a release: what its labels say of each image, and what of that can be used."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import AnnotationError
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.records import ANNOTATION_SCHEMA
from sixrayd.core.settling import left_out_class
from sixrayd.core.table_builder import TableBuilder
from sixrayd.core.tables import write_table
from sixrayd.core.voc import VocAnnotation
from sixrayd.datasets.labels import Labels
from sixrayd.download.faults import Faults
from sixrayd.download.imagesets import ImageSets
from sixrayd.download.tables import Notes


def write_boxes(
    path: Path,
    sizes: Mapping[str, tuple[int, int] | None],
    labels: Labels,
    sets: ImageSets,
    faults: Faults,
    notes: Notes,
) -> tuple[dict[str, int | None], dict[str, Any]]:
    """Write the boxes of images as a table.

    Args:
        sizes: width and height of images that are annotated; None of one that cannot be read.

    Returns:
        Annotated images with the number of their boxes, None where nothing usable is said; and
        counts.
    """
    rows = TableBuilder(ANNOTATION_SCHEMA)
    boxes: dict[str, int | None] = {}
    promoted, others = 0, Counter[str]()
    for image in sorted(labels.image_ids):
        bits = sets.register.bits(image)
        if image not in sizes:
            if bits is None:
                where = labels.where(image)
                text = "an annotation without an image"
                faults.add(where, text, Flaw.STRAY_ANNOTATION)
            continue
        read = usable_annotation(image, labels, sizes[image], sets.classes, faults)
        boxes[image] = None
        if read is None:
            continue
        for row in box_rows(image, read):
            rows.add(row)
        for finding in read.findings:
            notes.note(image, finding)
        others.update(filter(None, map(left_out_class, read.findings)))
        boxes[image] = None if read.hiding else len(read.objects)
        if read.objects and bits == 0:
            promoted += 1
            text = "the image sets call it negative; a positive for its boxes"
            where = labels.where(image)
            notes.note(image, Finding(Flaw.BOXED_NEGATIVE, where, text))
    table = rows.table().combine_chunks()
    write_table(path, table, ANNOTATION_SCHEMA)
    counts = {"boxes": len(rows), "negatives_with_boxes": promoted}
    return boxes, {**counts, "other_classes": dict(sorted(others.items()))}


def box_rows(image: str, annotation: VocAnnotation) -> list[dict[str, Any]]:
    """Rows of `ANNOTATION_SCHEMA`."""
    return [
        {
            "box_id": f"{image}/a{number}",
            "image_id": image,
            **item.box.as_row(),
            "difficult": item.difficult,
            "truncated": item.truncated,
        }
        for number, item in enumerate(annotation.objects)
    ]


def usable_annotation(
    image: str,
    labels: Labels,
    size_wh: tuple[int, int] | None,
    classes: ClassList,
    faults: Faults,
) -> VocAnnotation | None:
    """What labels say of an image, without what is a fault; None where nothing can be used."""
    try:
        return labels.annotation(image, size_wh, classes)
    except AnnotationError as error:
        if faults.on_error == "stop":
            raise
        where, _, what = str(error).partition(": ")
        faults.add(where, what, Flaw.UNREADABLE_LABELS)
    try:  # the rest of its objects
        return labels.annotation(image, size_wh, classes, "skip")
    except AnnotationError:
        return None
