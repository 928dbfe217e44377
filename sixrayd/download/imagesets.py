"""SIXray's image sets: CSV files that say which classes an image shows."""

import re
from collections.abc import Callable, Sequence

import pyarrow as pa

from sixrayd.core.ahead import chunked
from sixrayd.core.classes import ClassList, classes_advice
from sixrayd.core.errors import AnnotationError, ReleaseError
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.image_ids import image_id as image_id
from sixrayd.core.image_ids import named_source
from sixrayd.core.records import Source
from sixrayd.datasets.image_lists import text_of
from sixrayd.datasets.split_files import csv_rows, listed_image
from sixrayd.download.faults import Faults
from sixrayd.download.members import Member
from sixrayd.download.register import Register

_VOC_LIST = re.compile(r"(.*/)?ImageSets/Main/(train|val|trainval|test)\.txt", re.I | re.S)
_AT_ONCE = 10_000  # images
_VALUES = {"1": 1, "-1": 0, "0": 0}


class ImageSets:
    """Which classes each listed image shows, as one bit a class."""

    def __init__(self, classes: ClassList, chosen: bool = False) -> None:
        self.classes = classes
        self._chosen = chosen
        self.register = Register()
        self.contradictions: list[tuple[str, Finding]] = []  # by image id

    def read(self, member: Member, faults: Faults) -> pa.ChunkedArray:
        """Add a CSV; where an image occurs more than once, any 1 counts.

        Returns:
            The images that it lists.

        Raises:
            ReleaseError: the header names other classes, or a fault stops.
        """
        rows = csv_rows(member.where, member.data, faults.add)
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
        return named_source(image)

    def labels(self, image: str) -> list[str]:
        """Classes that the sets name, in class order."""
        return self._names(self.register.bits(image) or 0)

    def _names(self, bits: int) -> list[str]:
        return [label for i, label in enumerate(self.classes.names) if bits >> i & 1]

    def choose(self, names: Callable[[], Sequence[str]]) -> None:
        """Leave out what labels or image sets name beside the classes, where these are a choice."""
        if self._chosen:
            self.classes = self.classes.choosing_from(names())

    def _columns(self, header: list[str], where: str) -> list[int | None]:
        """The class of each column; None of one that is left out."""
        names = [name.strip() for name in header[1:]]
        self.choose(lambda: names)
        try:
            columns = [
                None
                if self.classes.leaves_out(name)
                else self.classes.names.index(self.classes.canonical(name))
                for name in names
            ]
        except AnnotationError:
            columns = []
        if sorted(column for column in columns if column is not None) != list(
            range(len(self.classes))
        ):
            raise ReleaseError(
                f"{where}: columns are {','.join(names) or 'missing'}, classes are "
                f"{','.join(self.classes.names)}; {classes_advice(names)}"
            )
        return columns

    def _add(self, row: list[str], columns: list[int | None], where: str, faults: Faults) -> str:
        """Take one row; the image that it is of, empty where it is a fault."""
        values = [_VALUES.get(value.removesuffix(".0")) for value in row[1:]]
        if len(values) != len(columns) or None in values:
            faults.add(where, f"expected a name and {len(columns)} of 1, 0, -1, got {row[:9]}")
            return ""
        if image := listed_image(row[0], where, faults.add):
            pairs = zip(columns, values, strict=True)
            shown = sum(1 << column for column, value in pairs if value and column is not None)
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
