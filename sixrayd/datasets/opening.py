"""A set as it lies on disk, its form recognised: a folder, a zip, a JSON file of labels."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sixrayd.core.classes import ClassList, check_few
from sixrayd.core.errors import AnnotationError, ImageError
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.progress import Report, untold
from sixrayd.core.records import Source, Split
from sixrayd.core.shards import MAX_IMAGE_BYTES
from sixrayd.datasets.labelled import ImageLabels, LabelledSet
from sixrayd.datasets.labels import LIMITS, MAX_SUM, Labels
from sixrayd.datasets.places import BROKEN, IMAGES, PlacedFile, files_at
from sixrayd.datasets.sides import GIVEN, NEITHER, image_of
from sixrayd.imaging.decode import image_size_wh


@dataclass(frozen=True, slots=True)
class _SeenImage:
    where: str
    sha256: str
    size_wh: tuple[int, int] | None


def open_set(
    place: Path,
    classes: ClassList | None = None,
    with_images: bool = True,
    report: Report = untold,
) -> LabelledSet:
    """Read a set: every label that can be used, and every image that lies beside them.

    Sizes are those of the images, where these are there, and else what the labels say.

    Args:
        place: a folder, a zip, or a JSON file of labels in COCO's form.
        classes: None for SIXray's where they cover what the files name, else what these name.
        with_images: whether images are hashed, which reads each whole.
        report: told of progress.

    Raises:
        AnnotationError: nothing there has one of the forms, or two have different ones.
    """
    findings: list[Finding] = []
    labels = _labels_at(place, findings, report)
    images = _images_at(place, with_images, labels, findings, report)
    if labels.form == "yolo" and not images:
        raise AnnotationError(
            f"{place}: YOLO labels are fractions of images, and no image is there to be "
            "measured; put the images beside the labels"
        )
    expected = frozenset((Flaw.UNKNOWN_CLASS,) if classes else ())
    classes = classes or covering(labels.class_names)
    found: dict[str, ImageLabels] = {}
    every = sorted({*labels.image_ids, *images})
    for number, image_id in enumerate(every, 1):
        report("images' labels", number, len(every))
        found[image_id] = _image(
            image_id, labels, images.get(image_id), classes, expected, findings
        )
    splits = _splits(labels, images)  # which has findings of its own
    return LabelledSet(labels.form, classes, found, splits, (*labels.findings, *findings))


def covering(names: tuple[str, ...]) -> ClassList:
    """SIXray's classes where they cover all names, else the names; an alias is no class more."""
    classes = ClassList()
    if all(classes.covers(name) or classes.leaves_out(name) for name in names):
        return classes
    check_few(names)
    kept: tuple[str, ...] = ()
    for name in names:
        if not kept or not ClassList(kept).covers(name):
            kept += (name,)
    return ClassList(kept)


def _labels_at(place: Path, findings: list[Finding], report: Report) -> Labels:
    labels = Labels()
    total, number = 0, 0
    for number, file in enumerate(files_at(place, findings), 1):
        report("files looked for labels", number, 0)
        if not labels.wants(file.where) or not _fits(file, LIMITS[file.suffix], findings):
            continue
        total += file.size
        if total > MAX_SUM:
            raise AnnotationError(f"{place}: texts of more than {MAX_SUM} bytes; split the set")
        data = _read(file, findings)
        if data is not None:
            labels.take(file.where, data)
    if labels.form == "":
        wrong = [*labels.findings, *findings]
        why = f"; {wrong[0]}" if wrong else ""
        what = "no file is" if number else "empty, expected"
        raise AnnotationError(f"{place}: {what} labels in VOC's, COCO's or YOLO's form{why}")
    return labels


def _images_at(
    place: Path, with_images: bool, labels: Labels, findings: list[Finding], report: Report
) -> dict[str, _SeenImage]:
    """The first image of each id; labels are told of others that differ from it."""
    seen: dict[str, _SeenImage] = {}
    again: dict[str, list[_SeenImage]] = {}
    for number, file in enumerate(files_at(place, []), 1):
        report("files looked for images", number, 0)
        if file.suffix not in IMAGES:
            continue
        image_id = image_of(file.where, findings)
        image = _look_at(file, with_images, findings) if image_id else None
        if image is None:
            continue
        first = seen.setdefault(image_id, image)
        if first is not image:
            again.setdefault(image_id, [first]).append(image)
    hashes = {} if with_images else _hashes(place, again)
    for image_id, images in again.items():
        _tell_apart(image_id, images, hashes, labels, findings)
    return seen


def _tell_apart(
    image_id: str,
    images: list[_SeenImage],
    hashes: Mapping[str, str],
    labels: Labels,
    findings: list[Finding],
) -> None:
    first = images[0]
    kept, others = list[str](), list[str]()
    for image in images:
        same = hashes.get(image.where, image.sha256) == hashes.get(first.where, first.sha256)
        (kept if same and image.size_wh == first.size_wh else others).append(image.where)
    for where in others:
        text = f"another image than {first.where}; {first.where} holds"
        findings.append(Finding(Flaw.OTHER_IMAGE, where, text))
    if others:
        labels.tell_apart(image_id, kept, others)


def _hashes(place: Path, again: Mapping[str, list[_SeenImage]]) -> dict[str, str]:
    """Hash by path of the images whose id several have."""
    wanted = {image.where for images in again.values() for image in images}
    found: dict[str, str] = {}
    for file in files_at(place, []) if wanted else ():
        image = _look_at(file, True, []) if file.where in wanted else None
        if image:
            found[file.where] = image.sha256
    return found


def _look_at(file: PlacedFile, hashed: bool, findings: list[Finding]) -> _SeenImage | None:
    """An image's size and hash; no size, and a finding, where it is none that can be read."""
    if not _fits(file, MAX_IMAGE_BYTES, findings):
        return None
    try:
        with file.open() as opened:
            if hashed:
                data = opened.read(file.size)
                sha256, size = hashlib.sha256(data).hexdigest(), _size_wh(data, file.where)
            else:
                sha256, size = "", _size_wh(opened, file.where)
    except BROKEN as error:
        findings.append(Finding(Flaw.UNREADABLE_IMAGE, file.where, f"cannot be read ({error})"))
        return None
    if size is None:
        findings.append(Finding(Flaw.UNREADABLE_IMAGE, file.where, "no image in a known form"))
    return _SeenImage(file.where, sha256, size)


def _size_wh(image: bytes | IO[bytes], where: str) -> tuple[int, int] | None:
    """From the header alone; None where it is none."""
    try:
        return image_size_wh(image, where)
    except ImageError:
        return None


def _read(file: PlacedFile, findings: list[Finding]) -> bytes | None:
    try:
        return file.read()
    except BROKEN as error:
        findings.append(Finding(Flaw.NOT_READ, file.where, f"cannot be read ({error})"))
        return None


def _fits(file: PlacedFile, limit: int, findings: list[Finding]) -> bool:
    if file.size > limit:
        text = f"{file.size} bytes, at most {limit} are read"
        findings.append(Finding(Flaw.NOT_READ, file.where, text))
    return file.size <= limit


def _image(
    image_id: str,
    labels: Labels,
    seen: _SeenImage | None,
    classes: ClassList,
    expected: frozenset[Flaw],
    findings: list[Finding],
) -> ImageLabels:
    size, sha256 = (seen.size_wh, seen.sha256) if seen else (None, "")
    try:
        annotation = labels.annotation(image_id, size, classes, on_error="skip")
    except AnnotationError as error:
        where, _, text = str(error).partition(": ")
        findings.append(Finding(Flaw.UNREADABLE_LABELS, where, text))
        annotation = None
    source = labels.source(image_id)
    if annotation is None:
        known = seen is not None and source is Source.NEGATIVE and image_id not in labels.image_ids
        return ImageLabels(image_id, () if known else None, sha256, size)
    findings += annotation.findings
    objects = annotation.objects if annotation.hiding <= expected else None
    if objects == () and source is Source.POSITIVE and not annotation.hiding:
        objects = None
    return ImageLabels(image_id, objects, sha256, (annotation.width, annotation.height))


def _splits(labels: Labels, images: Mapping[str, _SeenImage]) -> dict[str, Mapping[str, str]]:
    """Given splits, which have both sides; an image that no label puts on one is on that of its
    folder.
    """
    splits = dict(labels.sides)
    folders = {i: labels.side_of_image(image.where) for i, image in images.items()}
    given = {i: side for i, side in folders.items() if side}
    given |= splits.get(GIVEN, {})
    splits |= {GIVEN: given} if given else {}
    found = {
        name: {image: side for image, side in sides.items() if side != NEITHER}
        for name, sides in splits.items()
    }
    return {name: sides for name, sides in found.items() if set(sides.values()) == set(Split)}
