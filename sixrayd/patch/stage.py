"""Applying a patch: the labels that it leads to, as a VOC tree."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sixrayd.core.errors import AnnotationError, WorkspaceError
from sixrayd.core.files import sha256_file
from sixrayd.core.findings import Flaw
from sixrayd.core.progress import Report, untold
from sixrayd.core.records import Split
from sixrayd.core.shards import extension
from sixrayd.core.staging import Staging, sole_writer, staged
from sixrayd.core.voc import VocAnnotation, write_voc
from sixrayd.datasets.export_files import NEGATIVES, OTHER_CLASSES, SPLITS, UNDECIDED
from sixrayd.datasets.export_set import TREE, is_export, other_classes
from sixrayd.datasets.label_hash import LabelCounts, plain_labels
from sixrayd.datasets.labelled import ImageLabels, LabelledSet
from sixrayd.datasets.patch_file import read_patch
from sixrayd.datasets.patches import LabelPatch, apply_patch
from sixrayd.datasets.pictures import pictures
from sixrayd.datasets.recognising import is_workspace, open_place
from sixrayd.patch.settings import PatchSettings

_LISTS = {"train": Split.TRAIN, "trainval": Split.TRAIN, "test": Split.TEST}


@dataclass(frozen=True, slots=True)
class Applied:
    """What was written."""

    tree: str
    changed: int  # images
    labels: LabelCounts
    images: int  # that were copied
    split: str  # that of ImageSets/Main; empty for none
    other_splits: tuple[str, ...]  # which VOC has no place for
    other_classes: int  # images without a box that hold what the patch was not made for


def patch(file: Path, place: Path, settings: PatchSettings, report: Report = untold) -> Applied:
    """Apply a patch to the set at a place and write what it leads to; the set stays as it is.

    Args:
        report: told of progress.

    Raises:
        SixraydError: the patch is not sound, the set is another than it was made from, or the
            folder is there; nothing is written.
    """
    _refuse_what_is_there(settings.out)
    said = read_patch(file)
    said = said.reversed() if settings.reverse else said
    given = open_place(place, said.classes, with_images=False, report=report)
    try:
        reached = apply_patch(said, given)
    except AnnotationError as error:
        raise AnnotationError(f"{place}: {error}") from error
    others = _with_other_classes(place, given, said) & reached.images.keys()
    split = _main_split(said, reached)
    with sole_writer(settings.out), staged(settings.out) as staging:
        _refuse_what_is_there(settings.out)  # by now
        suffixes = _copy_images(staging, place, reached, report) if settings.images else {}
        sides = reached.splits.get(split, {})
        _write_tree(staging, reached, sides, suffixes, report)
        _write_lists(staging, reached, sides, others)
        run = {"patch": sha256_file(file), "reverse": settings.reverse, "split": split}
        document = {"stage": "patch", "settings": run | {"classes": list(said.classes.names)}}
        staging.write("run.json", (json.dumps(document, indent=2) + "\n").encode())
        staging.write_manifest()
    return Applied(
        str(settings.out),
        len(said.images),
        said.after,
        len(suffixes),
        split,
        tuple(name for name in reached.splits if name != split),
        sum(reached.images[image_id].objects == () for image_id in others),
    )


def _refuse_what_is_there(out: Path) -> None:
    if out.exists():
        raise WorkspaceError(f"{out}: exists; name a new folder with --out")


def _with_other_classes(place: Path, given: LabelledSet, said: LabelPatch) -> frozenset[str]:
    """Images that hold something of a class that the patch does not name, as `--classes` leaves it,
    or may hold it, since the patch takes their last box.
    """
    known = other_classes(place) if is_export(place) else frozenset()
    every: Mapping[str, ImageLabels] = {}
    if is_workspace(place) or any(f.flaw is Flaw.UNKNOWN_CLASS for f in given.findings):
        every = open_place(place, with_images=False).images
    found = {
        image_id
        for image_id, labels in every.items()
        if not all(given.classes.covers(item.box.label) for item in labels.objects or ())
    }
    if known or found:
        found |= {c.image_id for c in said.images if c.after == () and c.before != ()}
    return known | found


def _main_split(said: LabelPatch, reached: LabelledSet) -> str:
    """The split for `ImageSets/Main`: one that the patch brings, else the set's first."""
    brought = (name for change in said.images for name, (_, now) in change.splits.items() if now)
    return next((name for name in (*brought, *reached.splits) if name in reached.splits), "")


def _copy_images(
    staging: Staging, place: Path, reached: LabelledSet, report: Report
) -> dict[str, str]:
    """Copy the images that have boxes; gives their suffixes by id."""
    wanted = {image_id for image_id, said in reached.images.items() if said.objects}
    suffixes = {}
    for image_id, data in pictures(place, wanted):
        expected = reached.images[image_id].sha256
        if expected and hashlib.sha256(data).hexdigest() != expected:
            raise AnnotationError(f"{place}: {image_id}: another image than the patch names")
        suffixes[image_id] = extension(data)
        report("images copied", len(suffixes), len(wanted))
        staging.write(f"{TREE}/JPEGImages/{image_id}{suffixes[image_id]}", data)
    return suffixes


def _write_tree(
    staging: Staging,
    reached: LabelledSet,
    sides: Mapping[str, str],
    suffixes: Mapping[str, str],
    report: Report,
) -> None:
    """An XML an image with boxes; images without are a list, which may hold a million."""
    boxed = []
    for annotation in _annotations(reached):
        stem = annotation.stem
        xml = write_voc(annotation, suffix=suffixes.get(stem, ".jpg"))
        staging.write(f"{TREE}/Annotations/{stem}.xml", xml)
        boxed.append(stem)
        report("annotations written", len(boxed), 0)
    for name, side in _LISTS.items():
        ids = (image_id for image_id in boxed if sides.get(image_id) == side)
        staging.write_lines(f"{TREE}/ImageSets/Main/{name}.txt", ids)


def _write_lists(
    staging: Staging, reached: LabelledSet, sides: Mapping[str, str], others: frozenset[str]
) -> None:
    """Images without boxes, which the tree lacks, and the side of every image."""
    empty = (i for i, objects in plain_labels(reached).items() if not objects and i not in others)
    staging.write_lines(NEGATIVES, empty)
    if others:
        staging.write_lines(OTHER_CLASSES, sorted(others))
        silent = (i for i in sorted(others) if reached.images[i].objects is None)
        staging.write_lines(UNDECIDED, silent)
    if sides:
        listed = {side: sorted(i for i, of in sides.items() if of == side) for side in Split}
        staging.write(SPLITS, (json.dumps(listed, indent=1) + "\n").encode())


def _annotations(reached: LabelledSet) -> Iterator[VocAnnotation]:
    for image_id, objects in plain_labels(reached).items():
        if not objects:
            continue
        size_wh = reached.images[image_id].size_wh
        if size_wh is None:
            raise AnnotationError(
                f"{image_id}: neither the set nor the patch says the image's size, which VOC needs"
            )
        yield VocAnnotation(image_id, *size_wh, objects)
