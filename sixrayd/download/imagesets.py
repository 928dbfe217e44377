"""SIXray's image sets: CSV files that say which classes an image shows."""

import codecs
import csv
import io
import posixpath
import re

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import AnnotationError, ReleaseError
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.records import Source
from sixrayd.download.faults import Faults
from sixrayd.download.members import Member
from sixrayd.download.register import Register

_NUMBERED = re.compile(r"[pn]\d+", re.IGNORECASE)
_ID = re.compile(r"\w[\w.\- ()]{0,89}", re.ASCII)
_SUFFIXES = (".jpg", ".jpeg", ".png", ".xml")
_VALUES = {"1": 1, "-1": 0, "0": 0}


def image_id(stem: str) -> str:
    """The id that a file name means: SIXray's own in capitals, others as they are.

    Raises:
        ReleaseError: the name cannot serve as an id.
    """
    if not _ID.fullmatch(stem):
        raise ReleaseError(
            f"file name {stem[:100]!r}: an image's name takes 1 to 90 of the letters A-Z, a-z, "
            "0-9, _, -, dot, blank and brackets; rename the file"
        )
    return stem.upper() if _NUMBERED.fullmatch(stem) else stem


class ImageSets:
    """Which classes each listed image shows, as one bit a class."""

    def __init__(self, classes: ClassList) -> None:
        self.classes = classes
        self.register = Register()
        self.contradictions: list[tuple[str, Finding]] = []  # by image id

    def read(self, member: Member, faults: Faults) -> None:
        """Add a CSV; where an image occurs more than once, any 1 counts.

        Raises:
            ReleaseError: the header names other classes, or a fault stops.
        """
        text = _text(member.data)
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
        try:
            header = _trimmed(next(rows, []))
            numbered = header[:1] == [""]  # a column that spreadsheets and pandas put first
            columns = self._columns(header[numbered:], member.where)
            for row in rows:
                if cells := _trimmed(row)[numbered:]:
                    self._add(cells, columns, member.where, rows.line_num, faults)
        except csv.Error as error:
            faults.add(f"{member.where}: line {rows.line_num}", f"not CSV ({error})")

    def source(self, image: str) -> Source | None:
        """What the sets say, or else the name's first letter; None when neither says."""
        bits = self.register.bits(image)
        if bits is not None:
            return Source.POSITIVE if bits else Source.NEGATIVE
        if _NUMBERED.fullmatch(image):
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
            found = ",".join(name.strip() for name in header[1:])
            raise ReleaseError(
                f"{where}: columns are {found or 'missing'}, classes are "
                f"{','.join(self.classes.names)}; pass `--classes {found or 'NAMES'}`"
            )
        return columns

    def _add(
        self, row: list[str], columns: list[int], file: str, line: int, faults: Faults
    ) -> None:
        where = f"{file}: line {line}"
        values = [_VALUES.get(value.removesuffix(".0")) for value in row[1:]]
        if len(values) != len(columns) or None in values:
            faults.add(where, f"expected a name and {len(columns)} of 1, 0, -1, got {row[:9]}")
            return
        stem, suffix = posixpath.splitext(posixpath.basename(row[0].replace("\\", "/")))
        if suffix.lower() not in _SUFFIXES:
            stem += suffix
        try:
            image = image_id(stem)
        except ReleaseError as error:
            faults.add(where, str(error))
            return
        shown = sum(1 << column for column, value in zip(columns, values, strict=True) if value)
        if other := self.register.list(image, shown, file):
            here, there = (", ".join(self._names(bits)) or "nothing" for bits in (shown, other[0]))
            text = f"{image} shows {here}, in {other[1]} {there}"
            self.contradictions.append((image, Finding(Flaw.SETS_DISAGREE, where, text)))


def is_image_set(member: Member) -> bool:
    """Whether a CSV is an image set: by its folder, or by a header that begins with `name`."""
    if member.suffix != ".csv":
        return False
    head = _text(member.data[:64]).lower().lstrip(",;\t ")
    return "imageset" in member.where.lower() or re.match(r"name\s*[,;\t]", head) is not None


def _text(data: bytes) -> str:
    """What a CSV holds, in UTF-8 or, as spreadsheets save it, in UTF-16 with a mark."""
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if wide else "utf-8-sig", "replace")


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
