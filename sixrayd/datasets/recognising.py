"""What lies at a place: a workspace, a tree of ours, or a set in another form."""

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.findings import Finding
from sixrayd.core.voc import MAX_BYTES, VocObject, read_voc
from sixrayd.core.workspace import Workspace
from sixrayd.datasets.export_set import TREE, complete_export, is_export
from sixrayd.datasets.labelled import ImageLabels, LabelledSet
from sixrayd.datasets.workspace_set import read_workspace


def open_place(
    place: Path, classes: ClassList | None = None, with_images: bool = True
) -> LabelledSet:
    """The set at a place, whatever it is.

    Args:
        classes: those asked for; None takes what the set names.
        with_images: whether images of a set that is none of ours are hashed.

    Raises:
        SixraydError: nothing that can be read as a set.
    """
    if (place / "shards" / "run.json").is_file():
        return _restricted(read_workspace(Workspace(place)), classes)
    if is_export(place):
        return complete_export(place, _open_voc(place / TREE, classes))  # its manifest has hashes
    return _open_voc(place, classes)


def common_classes(one: LabelledSet, other: LabelledSet) -> ClassList:
    """Class names for both: SIXray's where they cover all, else the first's, then what is new."""
    names, known = (*one.classes.names, *other.classes.names), ClassList()
    if all(map(known.covers, names)):
        return known
    new = [name for name in other.classes.names if not one.classes.covers(name)]
    return ClassList((*one.classes.names, *new))


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


def _open_voc(place: Path, classes: ClassList | None) -> LabelledSet:
    images, findings = {}, list[Finding]()
    texts = dict(_texts(place))
    if not texts:
        raise WorkspaceError(f"{place}: no XML in it; name a workspace, an export or a set")
    wanted = classes or ClassList()
    for where, data in sorted(texts.items()):
        said = read_voc(data, where, wanted, on_error="skip")
        size_wh = (said.width, said.height)
        images[said.stem] = ImageLabels(said.stem, said.objects, size_wh=size_wh)
        findings += said.findings
    return LabelledSet("voc", wanted, images, findings=tuple(findings))


def _texts(place: Path) -> Iterator[tuple[str, bytes]]:
    try:
        if place.is_dir():
            for path in sorted(place.rglob("*.xml")):
                with path.open("rb") as file:
                    yield path.name, file.read(MAX_BYTES + 1)
            return
        with zipfile.ZipFile(place) as archive:
            for entry in archive.infolist():
                if entry.filename.endswith(".xml") and entry.file_size <= MAX_BYTES:
                    yield PurePosixPath(entry.filename).name, archive.read(entry)
    except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, ValueError) as error:
        raise WorkspaceError(f"{place}: not a folder or zip with labels ({error})") from error
