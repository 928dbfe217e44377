"""SIXray's image sets: CSV files that say which classes an image shows."""

import csv
import re
from collections.abc import Iterator

import pyarrow as pa

from sixrayd.core.ahead import chunked
from sixrayd.core.classes import ClassList, classes_advice
from sixrayd.core.errors import AnnotationError, ReleaseError
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.image_ids import NUMBERED
from sixrayd.core.image_ids import image_id as image_id
from sixrayd.core.records import Source
from sixrayd.datasets.image_lists import text_of
from sixrayd.datasets.sides import listed_stem
from sixrayd.download.faults import Faults
from sixrayd.download.members import Member
from sixrayd.download.register import Register

_VOC_LIST = re.compile(r"(.*/)?ImageSets/Main/(train|val|trainval|test)\.txt", re.I | re.S)
_LINE = re.compile(r"[^\r\n]*(\r\n?|\n)|[^\r\n]+")
_AT_ONCE = 10_000  # images
_VALUES = {"1": 1, "-1": 0, "0": 0}


class ImageSets:
    """Which classes each listed image shows, as one bit a class."""

    def __init__(self, classes: ClassList) -> None:
        self.classes = classes
        self.register = Register()
        self.contradictions: list[tuple[str, Finding]] = []  # by image id

    def read(self, member: Member, faults: Faults) -> pa.ChunkedArray:
        """Add a CSV; where an image occurs more than once, any 1 counts.

        Returns:
            The images that it lists.

        Raises:
            ReleaseError: the header names other classes, or a fault stops.
        """
        rows = csv_rows(member, faults)
        header = next(rows, None)
        if header is None:
            return pa.chunked_array([], pa.string())
        columns = self._columns(header[1], member.where)
        listed = (self._add(cells, columns, where, faults) for where, cells in rows)
        some = chunked(filter(None, listed), _AT_ONCE)  # as texts in a list, a million are 70 MB
        return pa.chunked_array([pa.array(images, pa.string()) for images in some], pa.string())

    def source(self, image: str) -> Source | None:
        """What the sets say, or else the name's first letter; None when neither says."""
        bits = self.register.bits(image)
        if bits is not None:
            return Source.POSITIVE if bits else Source.NEGATIVE
        if NUMBERED.fullmatch(image):
            return Source.POSITIVE if image[0] == "P" else Source.NEGATIVE
        return None

    def labels(self, image: str) -> list[str]:
        """Classes that the sets name, in class order."""
        return self._names(self.register.bits(image) or 0)

    def _names(self, bits: int) -> list[str]:
        return [label for i, label in enumerate(self.classes.names) if bits >> i & 1]

    def _columns(self, header: list[str], where: str) -> list[int]:
        try:
            columns = [self.classes.index(self.classes.canonical(name)) for name in header[1:]]
        except AnnotationError:
            columns = []
        if sorted(columns) != list(range(len(self.classes))):
            names = [name.strip() for name in header[1:]]
            raise ReleaseError(
                f"{where}: columns are {','.join(names) or 'missing'}, classes are "
                f"{','.join(self.classes.names)}; {classes_advice(names)}"
            )
        return columns

    def _add(self, row: list[str], columns: list[int], where: str, faults: Faults) -> str:
        """Take one row; the image that it is of, empty where it is a fault."""
        values = [_VALUES.get(value.removesuffix(".0")) for value in row[1:]]
        if len(values) != len(columns) or None in values:
            faults.add(where, f"expected a name and {len(columns)} of 1, 0, -1, got {row[:9]}")
            return ""
        if image := listed_image(row[0], where, faults):
            shown = sum(1 << column for column, value in zip(columns, values, strict=True) if value)
            self._list(image, shown, where)
        return image

    def _list(self, image: str, shown: int, where: str) -> None:
        if other := self.register.list(image, shown, where.partition(": line ")[0]):
            here, there = (", ".join(self._names(bits)) or "nothing" for bits in (shown, other[0]))
            text = f"{image} shows {here}, in {other[1]} {there}"
            self.contradictions.append((image, Finding(Flaw.SETS_DISAGREE, where, text)))


def is_image_set(member: Member) -> bool:
    """Whether a CSV is an image set: by its folder, or by a header that begins with `name`."""
    if member.suffix != ".csv":
        return False
    head = text_of(member.data[:64]).lower().lstrip(",;\t ")
    return "imageset" in member.where.lower() or re.match(r"name\s*[,;\t]", head) is not None


def is_voc_list(member: Member) -> bool:
    """Whether a file is one of the four lists that name a side of VOC's `ImageSets/Main`."""
    return _VOC_LIST.fullmatch(member.where) is not None


def listed_image(name: str, where: str, faults: Faults) -> str:
    """The image that a list names, with or without folder and suffix; empty where it is a fault."""
    try:
        return image_id(listed_stem(name))
    except ReleaseError as error:
        faults.add(where, str(error), Flaw.BAD_NAME)
        return ""


def csv_rows(member: Member, faults: Faults) -> Iterator[tuple[str, list[str]]]:
    """Where each row is, and its cells: the header first, then those that are not empty."""
    text = text_of(member.data)
    lines = (line[0] for line in _LINE.finditer(text))
    rows = csv.reader(lines, delimiter=_delimiter(text))
    try:
        header = _trimmed(next(rows, []))
        numbered = header[:1] == [""]  # a column that spreadsheets and pandas put first
        yield member.where, header[numbered:]
        for row in rows:
            if cells := _trimmed(row)[numbered:]:
                yield f"{member.where}: line {rows.line_num}", cells
    except csv.Error as error:
        faults.add(f"{member.where}: line {rows.line_num}", f"not CSV ({error})")


def _delimiter(text: str) -> str:
    """The one that the header has most of."""
    header = text.partition("\n")[0]
    return max(",;\t", key=header.count)


def _trimmed(row: list[str]) -> list[str]:
    """Cells without blanks around them, and none for empty ones at the end."""
    cells = [cell.strip() for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    return cells
