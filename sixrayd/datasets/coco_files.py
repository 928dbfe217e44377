"""COCO: JSON files that list images, boxes and categories.

`iscrowd` and `ignore` become VOC's `difficult`: an evaluation counts such a box neither way. An
image without boxes is known to show nothing.
"""

import math
import posixpath
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from sixrayd.core.boxes import EDGES
from sixrayd.core.classes import LONGEST_NAME, ClassList
from sixrayd.core.errors import AnnotationError
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.settling import Grid, UselessBoxError, settle_box, settle_label
from sixrayd.core.voc import OnFault, VocAnnotation, VocObject, settle_objects
from sixrayd.datasets.coco_json import CocoBox, Key, boxes_of, key_of, read_json, side_px
from sixrayd.datasets.merging import FilePart, check_places, first_spellings, merge
from sixrayd.datasets.namesakes import Label, Namesakes
from sixrayd.datasets.sides import GIVEN, GivenSides, image_of, side_of_folders, side_of_name

_GRID = Grid(EDGES, first=0)
_SHOWN = 200  # signs of a name in a finding, which may be one of many
_EXACT = 9  # digits that a sum of two coordinates is exact to


@dataclass(slots=True)
class _CocoFile:
    where: str
    names: dict[Key, str] = field(default_factory=dict)  # category → name, by id
    boxes: dict[Key, list[CocoBox]] = field(default_factory=dict)  # image → its boxes
    shared: dict[Key, str] = field(default_factory=dict)  # id of two images → the images


@dataclass(frozen=True, slots=True)
class _Listing:
    """An image in one file's list."""

    file: _CocoFile
    key: Key
    size_wh: tuple[int, int]  # 0 where the file does not say it
    path: str  # of the image, from the file's folder or from somewhere above

    def label(self, image_id: str) -> Label:
        """Where it lies."""
        beside = posixpath.join(posixpath.dirname(self.file.where), self.path)
        return Label(f"{self.file.where}: {image_id}", ((self.path, beside),))


class CocoFiles:
    """JSON files of labels."""

    form = "coco"

    def __init__(self, findings: list[Finding], namesakes: Mapping[str, Namesakes]) -> None:
        self.proof = ""  # the first file that is surely of this form
        self._findings = findings
        self._namesakes = namesakes
        self._files: list[_CocoFile] = []
        self._listings: dict[str, list[_Listing]] = {}  # by image id
        self._sides = GivenSides(findings)

    def take(self, where: str, data: bytes) -> None:
        """Add a JSON file; one that cannot be read is a finding."""
        try:
            document = read_json(where, data, self._findings)
        except AnnotationError as error:
            self._note(Flaw.UNREADABLE_LABELS, where, str(error).removeprefix(f"{where}: "))
            return
        self.proof = self.proof or where
        file = _CocoFile(where)
        keys = self._take_images(file, document["images"])
        used = self._take_boxes(file, keys, document["annotations"])
        self._take_categories(file, document["categories"], used)
        self._files.append(file)

    @property
    def image_ids(self) -> Set[str]:
        """Images that a file lists."""
        return self._listings.keys()

    def class_names(self) -> tuple[str, ...]:
        """By the categories' ids, the first file's before others'."""
        return first_spellings(name for file in self._files for name in file.names.values())

    def sides(self) -> Mapping[str, Mapping[str, str]]:
        """By the files' names or folders, or else by the images' folders."""
        return {GIVEN: self._sides.found} if self._sides.found else {}

    def where(self, image_id: str) -> str:
        """The first file that lists an image."""
        return f"{self._listings[image_id][0].file.where}: {image_id}"

    def paths(self, image_id: str) -> list[str]:
        """What the files name an image, once for each time that they list it."""
        return [listing.path for listing in self._listings[image_id]]

    def shows(self, image_id: str) -> bool:
        """Whether a file has a box of the image."""
        return any(listing.file.boxes.get(listing.key) for listing in self._listings[image_id])

    def annotation(
        self, image_id: str, size_wh: tuple[int, int] | None, classes: ClassList, on_error: OnFault
    ) -> VocAnnotation | None:
        """What the files say of an image; None where none lists it.

        Raises:
            AnnotationError: no size, too many of them, or (with "stop") an object that cannot be
                used.
        """
        parts: list[FilePart] = []
        known: set[tuple[Any, ...]] = set()  # what the parts say
        listings: Sequence[_Listing] = self._listings.get(image_id, ())
        findings: list[Finding] = []
        if listings:
            check_places(image_id, self.where(image_id), len(listings))
        if image_id in self._namesakes:
            said_by = ((listing.label(image_id), listing) for listing in listings)
            listings = self._namesakes[image_id].own(said_by, on_error, findings)
        for listing in listings:
            size, judge = size_wh, "the image is"
            if parts and size_wh is None:
                size, judge = parts[0].size_wh, f"{parts[0].where} says"
            part = _read(image_id, listing, size, judge, classes, on_error)
            said = (listing.size_wh, part.annotation.hiding, *part.annotation.objects)
            if said not in known:
                parts.append(part)
            known.add(said)
        return merge(image_id, parts, findings) if parts else None

    def _take_images(self, file: _CocoFile, rows: list[Any]) -> dict[Key, str]:
        """Image ids by key; empty for images whose name cannot serve."""
        keys: dict[Key, str] = {}
        paths: dict[Key, str] = {}
        for number, row in enumerate(rows, 1):
            at = f"{file.where}: image {number}"
            key, name = _key_and_text(row, "file_name")
            if key is None or not name:
                self._note(Flaw.UNREADABLE_LABELS, at, "no usable id and file_name; left out")
                continue
            path = name.replace("\\", "/")
            known = paths.setdefault(key, path)
            if key in keys and path == known:
                self._note(Flaw.REPEATED_IMAGE, at, f"id {key!r} is {path}'s as well; left out")
                continue
            if path != known:
                file.shared[key] = f"id {key!r} is that of {known[:_SHOWN]} and of {path[:_SHOWN]}"
                text = f"{file.shared[key]}; whose its boxes are cannot be told"
                self._note(Flaw.UNREADABLE_LABELS, at, text)
            image = image_of(path, self._findings, at)
            keys.setdefault(key, image)
            size = side_px(row.get("width")), side_px(row.get("height"))
            self._list(image, _Listing(file, key, size, path))
        return keys

    def _list(self, image: str, listing: _Listing) -> None:
        if not image:
            return
        self._listings.setdefault(image, []).append(listing)
        where = listing.file.where
        if side := side_of_name(where) or side_of_folders(listing.path):
            self._sides.add(image, side, where)

    def _note(self, flaw: Flaw, where: str, text: str) -> None:
        self._findings.append(Finding(flaw, where, text))

    def _take_boxes(self, file: _CocoFile, keys: dict[Key, str], rows: list[Any]) -> set[Key]:
        """The categories that boxes have."""
        used = set()
        for key, box in boxes_of(rows):
            if key is None or key not in keys:
                at = f"{file.where}: annotation {box.number}"
                text = f"image_id {key!r} is not among the images; left out"
                self._note(Flaw.NO_IMAGE, at, text)
                continue
            if box.category is not None:
                used.add(box.category)
            file.boxes.setdefault(key, []).append(box)
        return used

    def _take_categories(self, file: _CocoFile, rows: list[Any], used: set[Key]) -> None:
        named: dict[Key, str] = {}
        names: set[str] = set()
        groups = [row.get("supercategory") for row in rows if isinstance(row, dict)]
        above = {group for group in groups if isinstance(group, str)}
        for number, row in enumerate(rows, 1):
            at = f"{file.where}: category {number}"
            key, name = _key_and_text(row, "name")
            if key is None or not name:
                self._note(Flaw.UNREADABLE_LABELS, at, "no usable id and name; left out")
            elif len(name) > LONGEST_NAME:
                text = f"a name of {len(name)} signs, at most {LONGEST_NAME} are read; left out"
                self._note(Flaw.UNREADABLE_LABELS, at, text)
            elif key not in used and name in above and row.get("supercategory") != name:
                text = f"{name} has no box and groups other categories; left out"
                self._note(Flaw.GROUPING_CLASS, at, text)
            elif key in named:
                text = f"id {key!r} is {named[key][:_SHOWN]}'s as well; {named[key][:_SHOWN]} holds"
                self._note(Flaw.REPEATED_CLASS, at, text)
            else:
                if name in names:
                    self._note(Flaw.REPEATED_CLASS, at, f"{name} again; both ids mean it")
                named[key] = name
                names.add(name)
        order = sorted(named, key=lambda key: (isinstance(key, str), key))
        file.names = {key: named[key] for key in order}


def _key_and_text(row: Any, name: str) -> tuple[Key | None, str]:
    if not isinstance(row, dict):
        return None, ""
    text = row.get(name)
    return key_of(row.get("id")), text.strip() if isinstance(text, str) and _is_whole(text) else ""


def _is_whole(text: str) -> bool:
    """Whether a text can be written: JSON lets half a character stand, as in "\\ud800"."""
    try:
        return text.encode("utf-8") is not None
    except UnicodeEncodeError:
        return False


def _read(
    image_id: str,
    listing: _Listing,
    size_wh: tuple[int, int] | None,
    judge: str,
    classes: ClassList,
    on_error: OnFault,
) -> FilePart:
    file = listing.file
    where = f"{file.where}: {image_id}"
    findings: list[Finding] = []
    size = _size(where, listing.size_wh, size_wh, judge, findings)

    def settle(box: CocoBox, at: str) -> VocObject:
        label = settle_label(_name(box, file), classes)
        corners = _corners(box)
        return VocObject(settle_box(label, corners, at, size, _GRID, findings), box.crowd)

    boxes = file.boxes.get(listing.key, [])
    if listing.key in file.shared:
        text = f"{file.shared[listing.key]}; left out"
        findings.append(Finding(Flaw.UNREADABLE_LABELS, where, text))
        boxes = []
    things = ((f"{where}: annotation {box.number}", box) for box in boxes)
    objects = settle_objects(things, settle, on_error, findings)
    if boxes and not objects:
        findings.append(Finding(Flaw.NO_OBJECT, where, "no usable object"))
    return FilePart(where, VocAnnotation(image_id, *size, objects, tuple(findings)))


def _corners(box: CocoBox) -> tuple[float, float, float, float]:
    if box.xywh is None:
        raise UselessBoxError(Flaw.NO_NUMBER, "bbox is no list of four")
    for name, value in zip(("x", "y", "width", "height"), box.xywh, strict=True):
        if not math.isfinite(value):
            text = f"bbox's {name} is {value}, expected a finite number"
            raise UselessBoxError(Flaw.NO_NUMBER, text)
    x, y, width, height = box.xywh
    return x, y, round(x + width, _EXACT), round(y + height, _EXACT)


def _size(
    where: str,
    said: tuple[int, int],
    size_wh: tuple[int, int] | None,
    judge: str,
    findings: list[Finding],
) -> tuple[int, int]:
    if size_wh is None and 0 in said:
        raise AnnotationError(f"{where}: no usable width and height, and no image to measure")
    if size_wh is None or said == size_wh:
        return said
    text = "no usable width and height" if 0 in said else f"said to be {said[0]} x {said[1]}"
    text += f"; {judge} {size_wh[0]} x {size_wh[1]}"
    findings.append(Finding(Flaw.OTHER_SIZE, where, text))
    return size_wh


def _name(box: CocoBox, file: _CocoFile) -> str:
    if box.category is None or box.category not in file.names:
        text = f"category_id {box.category!r} is none of the file's categories"
        raise UselessBoxError(Flaw.UNKNOWN_CLASS, text)
    return file.names[box.category]
