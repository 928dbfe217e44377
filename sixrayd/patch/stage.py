"""Applying a patch: the labels that it leads to, as a VOC tree."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sixrayd.core.errors import AnnotationError, WorkspaceError
from sixrayd.core.files import sha256_file
from sixrayd.core.findings import Flaw
from sixrayd.core.records import Split
from sixrayd.core.shards import extension
from sixrayd.core.staging import Staging, staged
from sixrayd.core.voc import VocAnnotation, write_voc
from sixrayd.core.workspace import Workspace
from sixrayd.datasets.export_set import NEGATIVES, TREE
from sixrayd.datasets.label_hash import LabelCounts, count_labels, plain_labels
from sixrayd.datasets.labelled import LabelledSet
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


def patch(file: Path, place: Path, settings: PatchSettings) -> Applied:
    """Apply a patch to the set at a place and write what it leads to; the set stays as it is.

    Raises:
        SixraydError: the patch is not sound, the set is another than it was made from, or the
            folder is there; nothing is written.
    """
    if settings.out.exists():
        raise WorkspaceError(f"{settings.out}: exists; name a new folder with --out")
    said = read_patch(file)
    said = said.reversed() if settings.reverse else said
    given = open_place(place, said.classes, with_images=False)
    try:
        reached = apply_patch(said, given)
    except AnnotationError as error:
        raise AnnotationError(f"{place}: {error}") from error
    others = _with_other_classes(place, given, reached)
    reached = _silent(reached, others)
    split = _main_split(said, reached)
    with staged(settings.out) as staging:
        suffixes = _copy_images(staging, place, reached) if settings.images else {}
        _write_tree(staging, reached, reached.splits.get(split, {}), suffixes)
        run = {"patch": sha256_file(file), "reverse": settings.reverse, "split": split}
        document = {"stage": "patch", "settings": run}
        staging.write("run.json", (json.dumps(document, indent=2) + "\n").encode())
        staging.write_manifest()
    return Applied(
        str(settings.out),
        len(said.images),
        count_labels(plain_labels(reached)) if others else said.after,
        len(suffixes),
        split,
        tuple(name for name in reached.splits if name != split),
        len(others),
    )


def _with_other_classes(place: Path, given: LabelledSet, reached: LabelledSet) -> frozenset[str]:
    """Images without a box of the patch's classes that hold others, as `--classes` leaves them."""
    if is_workspace(place):
        partial = not set(Workspace(place).classes().names) <= set(given.classes.names)
    else:
        partial = any(finding.flaw is Flaw.UNKNOWN_CLASS for finding in given.findings)
    every = open_place(place, with_images=False).images if partial else {}
    empty = {image_id for image_id, said in reached.images.items() if said.objects == ()}
    return frozenset(image_id for image_id in empty & every.keys() if every[image_id].objects)


def _silent(reached: LabelledSet, others: frozenset[str]) -> LabelledSet:
    """The set that says nothing of some images: that they hold nothing is not known."""
    images = {
        image_id: replace(said, objects=None) if image_id in others else said
        for image_id, said in reached.images.items()
    }
    return replace(reached, images=images) if others else reached


def _main_split(said: LabelPatch, reached: LabelledSet) -> str:
    """The split for `ImageSets/Main`: one that the patch brings, else the set's first."""
    brought = (name for change in said.images for name, (_, now) in change.splits.items() if now)
    return next((name for name in (*brought, *reached.splits) if name in reached.splits), "")


def _copy_images(staging: Staging, place: Path, reached: LabelledSet) -> dict[str, str]:
    """Copy the images that have boxes; gives their suffixes by id."""
    wanted = {image_id for image_id, said in reached.images.items() if said.objects}
    suffixes = {}
    for image_id, data in pictures(place, wanted):
        expected = reached.images[image_id].sha256
        if expected and hashlib.sha256(data).hexdigest() != expected:
            raise AnnotationError(f"{place}: {image_id}: another image than the patch names")
        suffixes[image_id] = extension(data)
        staging.write(f"{TREE}/JPEGImages/{image_id}{suffixes[image_id]}", data)
    return suffixes


def _write_tree(
    staging: Staging, reached: LabelledSet, sides: Mapping[str, str], suffixes: Mapping[str, str]
) -> None:
    """An XML an image with boxes; images without are a list, which may hold a million."""
    boxed = []
    for annotation in _annotations(reached):
        stem = annotation.stem
        xml = write_voc(annotation, suffix=suffixes.get(stem, ".jpg"))
        staging.write(f"{TREE}/Annotations/{stem}.xml", xml)
        boxed.append(stem)
    for name, side in _LISTS.items():
        ids = (image_id for image_id in boxed if sides.get(image_id) == side)
        staging.write_lines(f"{TREE}/ImageSets/Main/{name}.txt", ids)
    empty = (i for i, objects in plain_labels(reached).items() if not objects)
    staging.write_lines(NEGATIVES, empty)


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
