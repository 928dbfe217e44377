"""A tree that sixrayd wrote: VOC, lists of images without a box, and hashes of all files."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from sixrayd.core.boxes import EDGES, Box, clip_box
from sixrayd.core.classes import ClassList, check_few
from sixrayd.core.documents import NONSENSE, parse_json
from sixrayd.core.errors import AnnotationError, WorkspaceError, printable
from sixrayd.core.files import plain_lines, why
from sixrayd.core.records import EMPTY_SETS, LEAK_FREE, Split
from sixrayd.core.runs import read_record
from sixrayd.core.staging import MANIFEST, listed_files
from sixrayd.core.tables import column_batches
from sixrayd.core.voc import VocObject
from sixrayd.datasets.export_files import (
    BOXES,
    EMPTY_LISTS,
    IMAGE_SCHEMA,
    IMAGES,
    OTHER_CLASSES,
    PROVENANCE_SCHEMA,
    SPLITS,
    STATES,
    UNDECIDED,
)
from sixrayd.datasets.labelled import ImageLabels, LabelledSet
from sixrayd.datasets.workspace_set import read_columns

TREE = "VOC2007"
_ROWS = 10_000  # of a table that are in memory at once
_BOX_COLUMNS = pa.schema(
    [
        PROVENANCE_SCHEMA.field(name)
        for name in ("image_id", "label", *EDGES, "difficult", "truncated")
    ]
)
_IMAGE_COLUMNS = pa.schema(
    [
        IMAGE_SCHEMA.field(name)
        for name in ("image_id", "sha256", "width", "height", "split", "state")
    ]
)
_EMPTY = tuple(map(str, EMPTY_SETS.values()))
_UNLIKELY = 1 << 30  # bytes of a list
_MOST_FORMS = 100  # signs


def is_export(place: Path) -> bool:
    """Whether a folder is a tree that `sixrayd export` or `sixrayd patch` wrote."""
    return (place / MANIFEST).is_file() and (place / TREE).is_dir()


def has_tables(place: Path) -> bool:
    """Whether a folder has an export's tables, which say the same in every form."""
    return (place / IMAGES).is_file() and (place / BOXES).is_file()


def set_of_tables(place: Path) -> LabelledSet:
    """What an export's tables say of all images of its release.

    Raises:
        WorkspaceError: a table is broken.
        AnnotationError: a box is none of its image.
    """
    objects: dict[str, list[VocObject]] = {}
    for batch in column_batches(place / BOXES, _BOX_COLUMNS, _ROWS):
        for row in batch.to_pylist():
            item = VocObject(Box.from_row(row), row["difficult"], row["truncated"])
            objects.setdefault(row["image_id"], []).append(item)
    images, sides = dict[str, ImageLabels](), dict[str, str]()
    for batch in column_batches(place / IMAGES, _IMAGE_COLUMNS, _ROWS):
        for row in batch.to_pylist():
            image_id, size_wh = row["image_id"], (row["width"], row["height"])
            drawn = tuple(objects.get(image_id, ()))
            _check_inside(place, image_id, drawn, size_wh)
            said = drawn if drawn or row["state"] in _EMPTY else None
            images[image_id] = ImageLabels(image_id, said, row["sha256"], size_wh)
            sides[image_id] = row["split"]
    names = sorted({item.box.label for drawn in objects.values() for item in drawn})
    check_few(names, str(place / BOXES))
    split = str(_settings(place).get("split") or LEAK_FREE)
    classes = ClassList(tuple(names)) if names else ClassList()
    return LabelledSet(_forms(place, "export"), classes, images, {split: sides})


def _check_inside(
    place: Path, image_id: str, objects: tuple[VocObject, ...], size_wh: tuple[int, int]
) -> None:
    for item in objects:
        if clip_box(item.box, *size_wh) != item.box:
            raise AnnotationError(
                f"{place / BOXES}: {image_id}: box {item.box.xyxy} reaches beyond the image of "
                f"{size_wh[0]} x {size_wh[1]}; `sixrayd validate` tells what else is wrong"
            )


def complete_export(place: Path, voc: LabelledSet, classes: ClassList | None = None) -> LabelledSet:
    """What the files beside the VOC tree add: images without XML, hashes, the split.

    Args:
        voc: the tree alone.
        classes: those asked for; where the tree knows of them all, images that hold but others are
            known to hold none of these.

    Raises:
        WorkspaceError: a file beside it cannot be read.
    """
    images, settings = dict(voc.images), _settings(place)
    empty = [image_id for name in EMPTY_LISTS for image_id in _lines(place / name)]
    known = settings.get("classes")
    if classes and isinstance(known, list) and all(name in known for name in classes.names):
        empty += sorted(other_classes(place).difference(_lines(place / UNDECIDED)))
    for image_id in empty:
        said = images.get(image_id, ImageLabels(image_id, None))
        images[image_id] = said if said.objects else replace(said, objects=())
    split, splits = str(settings.get("split") or LEAK_FREE), dict(voc.splits)
    if len(splits) == 1:  # which VOC has no name for
        splits = {split: splits.popitem()[1]}
    if sides := _sides(place):
        for image_id in sides:
            images.setdefault(image_id, ImageLabels(image_id, None))
        splits = {split: sides}
    for image_id, sha256 in _hashes(place):
        if image_id in images:
            images[image_id] = replace(images[image_id], sha256=sha256)
    images = dict(sorted(images.items()))
    return replace(voc, form=_forms(place, voc.form), images=images, splits=splits)


def other_classes(place: Path) -> frozenset[str]:
    """Images that hold something that the tree has no class for."""
    return frozenset(_lines(place / OTHER_CLASSES))


def _sides(place: Path) -> dict[str, str]:
    """The side of each image, with boxes or without; none where no file says it."""
    if (place / STATES).is_file():
        columns = read_columns(place / STATES, ["image_id", "split"])
        return dict(zip(columns["image_id"], columns["split"], strict=True))
    if not (place / SPLITS).is_file():
        return {}
    try:
        said = parse_json("\n".join(_lines(place / SPLITS)))
        return {str(image_id): str(side) for side in Split for image_id in said[side]}
    except NONSENSE as error:
        raise WorkspaceError(f"{place / SPLITS}: no lists of train and test ({error})") from error


def _hashes(place: Path) -> Iterator[tuple[str, str]]:
    """Image ids with the SHA-256 that the manifest says."""
    try:
        for name, digest in listed_files(place):
            path = PurePosixPath(name)
            if path.parent.name == "JPEGImages":
                yield path.stem, digest
    except FileNotFoundError:
        return
    except OSError as error:
        raise WorkspaceError(f"{place / MANIFEST}: {why(error, place / MANIFEST)}") from error


def _settings(place: Path) -> dict[str, Any]:
    """What made the tree; nothing where no file says it."""
    try:
        return dict(read_record(place / "run.json")["settings"])
    except (OSError, *NONSENSE):
        return {}


def _forms(place: Path, else_: str) -> str:
    """Forms that the labels are there in, such as "voc+yolo"."""
    forms = _settings(place).get("forms")
    said = "+".join(map(str, forms)) if isinstance(forms, list) else ""
    return printable(said, _MOST_FORMS) or else_


def _lines(path: Path) -> Iterator[str]:
    if path.exists() and not path.is_file():
        raise WorkspaceError(f"{path}: no plain file; no list of images")
    try:
        if path.stat().st_size > _UNLIKELY:
            raise WorkspaceError(f"{path}: more than {_UNLIKELY >> 20} MiB; no list of images")
        yield from plain_lines(path, _UNLIKELY)
    except FileNotFoundError:
        return
    except OSError as error:
        raise WorkspaceError(f"{path}: {why(error, path)}") from error
