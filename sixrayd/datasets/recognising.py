"""What lies at a place: a workspace, a tree of ours, or a set in another form."""

from dataclasses import replace
from pathlib import Path

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import SixraydError, WorkspaceError
from sixrayd.core.progress import Report, untold
from sixrayd.core.staging import MANIFEST
from sixrayd.core.voc import VocObject
from sixrayd.core.workspace import Workspace
from sixrayd.datasets.export_set import (
    TREE,
    complete_export,
    has_tables,
    is_export,
    set_of_tables,
)
from sixrayd.datasets.labelled import LabelledSet
from sixrayd.datasets.opening import covering, open_set
from sixrayd.datasets.workspace_set import read_workspace


def open_place(
    place: Path,
    classes: ClassList | None = None,
    with_images: bool = True,
    report: Report = untold,
) -> LabelledSet:
    """The set at a place, whatever it is.

    Args:
        classes: those asked for; None takes what the set names.
        with_images: whether images of a set that is none of ours are hashed.
        report: told of progress.

    Raises:
        SixraydError: nothing that can be read as a set, or it was replaced while it was read.
    """
    before = _export_at(place)
    try:
        found = _set_at(place, classes, with_images, report)
    except (OSError, SixraydError) as error:
        _check_the_same(place, before, error)
        raise
    _check_the_same(place, before)
    return found


def _export_at(place: Path) -> tuple[int, int, int] | None:
    """What tells an export from one that takes its place; None of anything else."""
    try:
        found = (place / MANIFEST).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _check_the_same(
    place: Path, before: tuple[int, int, int] | None, error: Exception | None = None
) -> None:
    """Insist that what was read is of one export, and not of two that `--force` exchanged."""
    if before and before != _export_at(place):
        raise WorkspaceError(
            f"{place}: was replaced while it was read; run the command again"
        ) from error


def _set_at(
    place: Path, classes: ClassList | None, with_images: bool, report: Report
) -> LabelledSet:
    if is_workspace(place):
        return _restricted(read_workspace(Workspace(place)), classes)
    if is_export(place):
        # Its manifest has the hashes of its images.
        tree = open_set(place / TREE, classes, with_images=False, report=report)
        return complete_export(place, tree, classes)
    if has_tables(place):  # without VOC
        return _restricted(set_of_tables(place), classes)
    return open_set(place, classes, with_images, report)


def is_workspace(place: Path) -> bool:
    """Whether a folder is a workspace with a release."""
    return (place / "shards" / "run.json").is_file()


def common_classes(one: LabelledSet, other: LabelledSet) -> ClassList:
    """Class names for both sets, each under one spelling."""
    names = tuple(dict.fromkeys((*one.classes.names, *other.classes.names)))
    classes = covering(names)
    missing = (name for name in names if not classes.covers(name))
    return ClassList((*classes.names, *missing))


def renamed_classes(labelled: LabelledSet, classes: ClassList) -> LabelledSet:
    """The set with its labels as `classes` spells them; other labels stay."""
    names = {n: classes.canonical(n) for n in labelled.classes.names if classes.covers(n)}
    if all(names.get(name, name) == name for name in labelled.classes.names):
        return labelled
    images = {
        image_id: replace(said, objects=tuple(_renamed(item, names) for item in said.objects))
        if said.objects
        else said
        for image_id, said in labelled.images.items()
    }
    return replace(labelled, images=images, classes=classes)


def _renamed(item: VocObject, names: dict[str, str]) -> VocObject:
    label = item.box.label
    return replace(item, box=replace(item.box, label=names.get(label, label)))


def _restricted(labelled: LabelledSet, classes: ClassList | None) -> LabelledSet:
    """The set with the objects of some classes alone."""
    if classes is None:
        return labelled
    labelled = renamed_classes(labelled, classes)
    images = {
        image_id: replace(
            said, objects=tuple(item for item in said.objects if item.box.label in classes.names)
        )
        if said.objects
        else said
        for image_id, said in labelled.images.items()
    }
    return replace(labelled, images=images, classes=classes)
