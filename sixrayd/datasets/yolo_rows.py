"""One row of a YOLO file: a class by number, and a box in fractions of the image."""

import math
import re
from collections.abc import Iterator, Mapping

from sixrayd.core.boxes import EDGES, Box
from sixrayd.core.classes import ClassList
from sixrayd.core.files import text_lines
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.settling import (
    Grid,
    UselessBoxError,
    number_of_text,
    settle_box,
    settle_label,
)

_GRID = Grid(EDGES, first=0)
_HALF_UNIT = 0.5e-6  # what rounding to the six digits that converters write can lose of a number
_CENTRED = 1.5 * _HALF_UNIT  # of centre ± half a width
_NOISE = 1e-9  # pixels, of the arithmetic itself
_DIGITS = 6  # of a pixel that are kept between pixels
_COLUMNS = ("cx", "cy", "w", "h")
_ROW = re.compile(
    rb"[^\S\r\n]*\d+(\.0*)?([^\S\r\n]+[-+]?[\d.]+(e[-+]?\d+)?){4,}[^\S\r\n]*[\r\n]*", re.I
)
_MARK = b"\xef\xbb\xbf"

Corners = tuple[float, float, float, float]


def has_rows(data: bytes) -> bool:
    """Whether a text begins with a row."""
    first = data[:65_536].removeprefix(_MARK).lstrip().partition(b"\n")[0]
    return _ROW.fullmatch(first) is not None


def rows_of(data: bytes, where: str) -> Iterator[tuple[str, list[str]]]:
    """Where each row is, and its columns, one by one: a file may have millions for one image."""
    for number, line in enumerate(lines_of(data), 1):
        if columns := line.split():
            yield f"{where}: line {number}", columns


def lines_of(data: bytes) -> Iterator[str]:
    """The lines of a text, of which some are held at a time."""
    return text_lines(data, "utf-8-sig")


def settle_row(
    columns: list[str],
    at: str,
    names: Mapping[int, str],
    classes: ClassList,
    size_wh: tuple[int, int],
    findings: list[Finding],
    keypoints: int = 0,
) -> Box:
    """The box of a row.

    Args:
        names: of the classes, by number.
        findings: told of outlines, keypoints, confidences and repairs.
        keypoints: numbers of a pose behind each box; 0 where the set has none.

    Raises:
        UselessBoxError: it cannot be used.
    """
    count = len(columns)
    if keypoints and count not in (5, 5 + keypoints):
        text = f"{count} columns, expected a class, cx cy w h and {keypoints} of kpt_shape"
        raise UselessBoxError(Flaw.UNREADABLE_LABELS, text)
    if keypoints and count > 5:
        text = f"keypoints of {keypoints} numbers; left out, the box is taken"
        findings.append(Finding(Flaw.KEYPOINTS, at, text))
        columns, count = columns[:5], 5
    if count < 5 or (count > 6 and count % 2 == 0):
        text = f"{count} columns, expected a class and cx cy w h"
        raise UselessBoxError(Flaw.UNREADABLE_LABELS, text)
    label = settle_label(_name(columns[0], names), classes)
    if count > 6:
        text = f"an outline of {count // 2} points; the box around it is taken"
        findings.append(Finding(Flaw.POLYGON, at, text))
        corners = _around([_number("a point", text) for text in columns[1:]], size_wh)
    else:
        corners = _centred(columns[1:5], size_wh)
    if count == 6:
        text = f"a sixth column, {columns[5][:20]}, taken for a confidence and left out"
        findings.append(Finding(Flaw.CONFIDENCE, at, text))
    return settle_box(label, corners, at, size_wh, _GRID, findings)


def _name(text: str, names: Mapping[int, str]) -> str:
    value = _number("class", text)
    if not value.is_integer() or int(value) not in names:
        gap = not names or (value.is_integer() and 0 <= value <= max(names))
        found = "has no name" if gap else f"is none of 0 to {max(names)}"
        raise UselessBoxError(
            Flaw.UNKNOWN_CLASS,
            f"class {text[:20]} {found}; data.yaml, obj.names or classes.txt names them",
        )
    return names[int(value)]


def _centred(texts: list[str], size_wh: tuple[int, int]) -> Corners:
    pairs = zip(_COLUMNS, texts, strict=True)
    cx, cy, w, h = (_number(name, text) for name, text in pairs)
    width, height = size_wh
    x1, x2 = (_pixel(cx + sign * w / 2, width, _CENTRED) for sign in (-1, 1))
    y1, y2 = (_pixel(cy + sign * h / 2, height, _CENTRED) for sign in (-1, 1))
    return x1, y1, x2, y2


def _around(points: list[float], size_wh: tuple[int, int]) -> Corners:
    width, height = size_wh
    xs, ys = points[::2], points[1::2]
    x1, x2 = (_pixel(value, width, _HALF_UNIT) for value in (min(xs), max(xs)))
    y1, y2 = (_pixel(value, height, _HALF_UNIT) for value in (min(ys), max(ys)))
    return x1, y1, x2, y2


def _pixel(fraction: float, side_px: int, lost: float) -> float:
    """A fraction in pixels; what rounding can have lost of a whole pixel is given back.

    Args:
        lost: at most, of the fraction.
    """
    value = fraction * side_px
    near = math.floor(value + 0.5)
    return float(near) if abs(value - near) <= lost * side_px + _NOISE else round(value, _DIGITS)


def _number(name: str, text: str) -> float:
    try:
        value = number_of_text(text)
    except ValueError as error:
        raise UselessBoxError(
            Flaw.NO_NUMBER, f"{name} is {text[:20]!r}, expected a number"
        ) from error
    if not abs(value) < 1e9:
        raise UselessBoxError(Flaw.NO_NUMBER, f"{name} is {text[:20]!r}, expected a finite number")
    return value
