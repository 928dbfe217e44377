"""What the report is made of: tables that are both HTML and CSV, pictures, sections."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from sixrayd.benchmark.report.words import Value, missing
from sixrayd.benchmark.results import WorstCase
from sixrayd.core.arrays import FloatArray
from sixrayd.core.spreadsheets import cell

Image = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
Region = tuple[int, int, int, int]  # left, top, right, bottom; pixels, right and bottom exclusive
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """Task-driven cropping along one axis of a map, Eq. (3) and (5)."""

    difference: FloatArray  # (n - 1,) raw
    normalised: FloatArray  # (n - 1,) filtered, 0..1


@dataclass(frozen=True, slots=True, eq=False)
class CropExample:
    """An image of figures 6 to 9: what TDC sees in it, and what every crop keeps of it.

    Args:
        image: (H, W, 3) RGB, which may be reduced.
        size_wh: of the full image, whose pixels all boxes are in.
        truth: (N, 4) pixels.
        maps: layer → (h, w) average magnitude, Eq. (1).
        layer: the one that `columns` and `rows` are of.
        region: that TDC keeps.
        crops: method → what it keeps; TDC's own is `region`.
    """

    image_id: str
    image: Image
    size_wh: tuple[int, int]
    truth: FloatArray
    maps: Mapping[int, FloatArray]
    layer: int
    columns: Axis
    rows: Axis
    k: float
    region: Region
    crops: Mapping[str, Region]


@dataclass(frozen=True, slots=True, eq=False)
class WorstPicture:
    """A worst case to look at.

    Args:
        key: of the system.
        image: (H, W, 3) RGB, which may be reduced.
        size_wh: of the full image, whose pixels all boxes are in.
        truth: (N, 4) pixels.
        found: (M, 4) pixels, with `scores` (M,) 0..1.
    """

    key: str
    case: WorstCase
    image: Image
    size_wh: tuple[int, int]
    truth: FloatArray
    found: FloatArray
    scores: FloatArray


@dataclass(frozen=True, slots=True)
class ReportPictures:
    """What the report draws beside its charts."""

    examples: tuple[CropExample, ...] = ()
    worst: tuple[WorstPicture, ...] = ()


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """A column of the page, and the columns of the CSV that hold its values in full.

    Args:
        read: the values of one row, as many as `names`.
        show: the text from the same values.
    """

    head: str
    names: tuple[str, ...]
    read: Callable[[T], tuple[Value, ...]]
    show: Callable[..., str]


@dataclass(frozen=True, slots=True)
class Line:
    """A row as text; `why` stands for all cells but the first where there are no figures."""

    cells: tuple[str, ...]
    link: str = ""  # anchor on the page that the first cell leads to
    why: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table of the page and its CSV."""

    name: str
    caption: str
    heads: tuple[str, ...]
    lines: tuple[Line, ...]
    csv: bytes
    folded: bool = False  # opens on a click


@dataclass(frozen=True, slots=True)
class Picture:
    """An image of the page and the file beside it."""

    name: str
    caption: str
    alt: str
    png: bytes
    photo: bool = False  # embedded as JPEG: a PNG of a scan is ten times as large
    title: str = ""  # what a folded picture opens under
    anchor: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page."""

    anchor: str
    title: str
    text: tuple[str, ...] = ()
    sheets: tuple[Sheet, ...] = ()
    pictures: tuple[Picture, ...] = ()
    folded: bool = False  # pictures open on a click


@dataclass(frozen=True, slots=True)
class SystemVerdict:
    """What the figures say of one system; `good` None where nothing can be said."""

    title: str
    good: bool | None
    sentences: tuple[str, ...]
    reasons: tuple[str, ...] = ()


def make_sheet(
    name: str,
    caption: str,
    columns: Iterable[Column[T]],
    items: Iterable[T],
    *,
    links: Mapping[int, str] | None = None,
    absent: Mapping[str, str] | None = None,
    folded: bool = False,
) -> Sheet:
    """A table with a row for every item, then one for everything absent.

    Args:
        links: number of the item → anchor.
        absent: what the first column says → why there are no figures.
    """
    columns, absent, links = tuple(columns), absent or {}, links or {}
    values = [[column.read(item) for column in columns] for item in items]
    lines = [
        Line(
            tuple(column.show(*cells) for column, cells in zip(columns, row, strict=True)),
            links.get(number, ""),
        )
        for number, row in enumerate(values)
    ]
    lines += [Line((label,), why=why) for label, why in absent.items()]
    names = [name for column in columns for name in column.names]
    rows = [[value for cells in row for value in cells] for row in values]
    if absent:
        names = [*names, "absent"]
        rows = [[*row, None] for row in rows]
        blanks = [None] * (len(names) - 2)
        rows += [[label, *blanks, why] for label, why in absent.items()]
    heads = tuple(column.head for column in columns)
    return Sheet(name, caption, heads, tuple(lines), write_csv(names, rows), folded)


def write_csv(names: Iterable[str], rows: Iterable[Iterable[Value]]) -> bytes:
    """CSV in UTF-8; nothing between commas where there is no value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(cell, names))
    writer.writerows([["" if missing(v) else cell(v) for v in row] for row in rows])
    return text.getvalue().encode("utf-8")
