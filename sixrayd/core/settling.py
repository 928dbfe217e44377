"""What is made of a box as a file says it, whatever the file's form: kept, repaired, left out."""

import math
import re
from dataclasses import dataclass

from sixrayd.core.boxes import Box, clip_box
from sixrayd.core.classes import ClassList
from sixrayd.core.errors import AnnotationError
from sixrayd.core.findings import Finding, Flaw

_LEFT_OUT = " is none of the classes that are asked for"
_THINNEST = 1  # pixel; a detector cannot learn less
_NUMBER = re.compile(r"[-+]?((\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?|nan|inf(inity)?)", re.ASCII | re.I)
_LONGEST = 1000  # signs of a number; all digits of the smallest one are 767


class UselessBoxError(Exception):
    """Why a box cannot be used, and whether that is expected of it."""

    def __init__(self, flaw: Flaw, text: str, expected: bool = False) -> None:
        super().__init__(text)
        self.flaw, self.expected = flaw, expected


@dataclass(frozen=True, slots=True)
class Grid:
    """How a form names the edges of a box, and from where it counts pixels.

    Args:
        edges: left, top, right, bottom.
        first: number of the first pixel; the last is the image's width or height in any form.
    """

    edges: tuple[str, str, str, str]
    first: int


def number_of_text(text: str) -> float:
    """A number as files write it: ASCII digits, a sign, a point, an exponent; or nan and inf.

    Raises:
        ValueError: it is none.
    """
    text = text.strip()
    if len(text) > _LONGEST or not _NUMBER.fullmatch(text):
        raise ValueError(f"no number: {text[:20]!r}")
    return float(text)


def settle_label(name: str, classes: ClassList) -> str:
    """The class that a file's name for it means.

    Raises:
        UselessBoxError: none, or one that is left out.
    """
    if classes.leaves_out(name):
        text = f"{name.strip()}{_LEFT_OUT}"
        raise UselessBoxError(Flaw.LEFT_OUT_CLASS, text, expected=True)
    try:
        return classes.canonical(name)
    except AnnotationError as error:
        raise UselessBoxError(Flaw.UNKNOWN_CLASS, str(error)) from error


def left_out_class(finding: Finding) -> str:
    """The class of an object that `settle_label` left out; empty for another finding."""
    if finding.flaw is not Flaw.LEFT_OUT_CLASS:
        return ""
    return finding.text.partition(_LEFT_OUT)[0]


def settle_box(
    label: str,
    corners: tuple[float, float, float, float],
    at: str,
    size_wh: tuple[int, int],
    grid: Grid,
    findings: list[Finding],
) -> Box:
    """The box within the image.

    Args:
        corners: left, top, right, bottom in the numbers of `grid`.
        at: names the box in messages.
        findings: told of each repair.

    Raises:
        UselessBoxError: a coordinate is not finite, or less than a pixel lies in the image.
    """
    for edge, value in zip(grid.edges, corners, strict=True):
        if not math.isfinite(value):
            raise UselessBoxError(Flaw.NO_NUMBER, f"{edge} is {value}, expected a finite number")
        if not float(value).is_integer():
            text = f"{edge} {value!r} is not a whole pixel; kept"
            findings.append(Finding(Flaw.BETWEEN_PIXELS, at, text))
    ordered = _ordered(corners, at, grid, findings)
    x1, y1 = (float(value) - grid.first for value in ordered[:2])
    x2, y2 = (float(value) for value in ordered[2:])
    box = clip_box(Box(label, x1, y1, x2, y2), *size_wh) if x1 < x2 and y1 < y2 else None
    if box is None and x1 < x2 and y1 < y2:
        said = ",".join(f"{value:g}" for value in ordered)
        size = f"{size_wh[0]} x {size_wh[1]}"
        raise UselessBoxError(Flaw.OUTSIDE, f"{said} lies outside the image of {size}")
    _note_overhang(ordered, size_wh, at, grid, findings)
    width, height = (box.x2 - box.x1, box.y2 - box.y1) if box else (x2 - x1, y2 - y1)
    if box is None or min(width, height) < _THINNEST:
        text = f"{label} is {width:g} x {height:g} pixels within the image"
        raise UselessBoxError(Flaw.THIN_BOX, text, expected=True)
    return box


def _ordered(
    corners: tuple[float, float, float, float], at: str, grid: Grid, findings: list[Finding]
) -> tuple[float, float, float, float]:
    ordered = list(corners)
    for low, high in ((0, 2), (1, 3)):
        # Where the edges meet in a grid from 0, nothing is swapped: the box is thin.
        if corners[high] < corners[low] - grid.first:
            ordered[low], ordered[high] = corners[high], corners[low]
            text = (
                f"{grid.edges[high]} {corners[high]:g} below {grid.edges[low]} "
                f"{corners[low]:g}; swapped"
            )
            findings.append(Finding(Flaw.SWAPPED_CORNERS, at, text))
    x1, y1, x2, y2 = ordered
    return x1, y1, x2, y2


def _note_overhang(
    corners: tuple[float, float, float, float],
    size_wh: tuple[int, int],
    at: str,
    grid: Grid,
    findings: list[Finding],
) -> None:
    for edge, value in zip(grid.edges[:2], corners[:2], strict=True):
        if value < grid.first:
            text = f"{edge} {value:g} is below {grid.first}; clipped"
            findings.append(Finding(Flaw.OVERHANG, at, text))
    sides = zip(grid.edges[2:], corners[2:], ("width", "height"), size_wh, strict=True)
    for edge, value, name, limit in sides:
        if value > limit:
            text = f"{edge} {value:g} exceeds {name} {limit}; clipped"
            findings.append(Finding(Flaw.OVERHANG, at, text))
