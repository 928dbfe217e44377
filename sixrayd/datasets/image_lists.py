"""Lists of images: VOC's `ImageSets/Main/train.txt`, SIXray's `ImageSet/10/train.csv`."""

import codecs
import re
from collections.abc import Mapping

from sixrayd.core.files import text_lines
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.records import MOST_SPLITS
from sixrayd.datasets.sides import (
    GivenSides,
    are_too_many,
    is_too_long,
    listed_image_of,
    side_of_word,
    split_of_list,
)

_CELLS = re.compile(r"[,;\t]")
_MOST_CELLS = 2_000  # of a line, that are told apart
_VALUED = re.compile(r"(\S+)(?:\s+(-1|0|1))?")


class ImageLists:
    """Given splits, by the folder that their lists lie in; see `split_of_list`."""

    def __init__(self, findings: list[Finding]) -> None:
        self.shown: dict[str, bool] = {}  # image id → whether a list with classes names one
        self._findings = findings
        self._sides: dict[str, GivenSides] = {}

    @staticmethod
    def wants(where: str) -> bool:
        """Whether a path is that of a list of one side."""
        *folders, name = where.lower().split("/")
        stem, _, suffix = name.rpartition(".")
        in_sets = any(folder in ("imageset", "imagesets") for folder in folders)
        return in_sets and suffix in ("txt", "csv") and side_of_word(stem) != ""

    def take(self, where: str, data: bytes) -> None:
        """Add a list's images to their side."""
        name = where.rpartition("/")[2]
        split = split_of_list(where)
        if split not in self._sides and len(self._sides) == MOST_SPLITS:
            text = f"more than {MOST_SPLITS} splits; {split} is left out"
            self._findings.append(Finding(Flaw.NOT_READ, where, text))
            return
        sides = self._sides.setdefault(split, GivenSides(self._findings, by_lists=True))
        side = side_of_word(name.rpartition(".")[0])
        if is_too_long(data, where, self._findings):
            return
        bad: list[Finding] = []
        for _, line in listed_lines(data):
            cell, *values = (cell.strip().strip('"') for cell in _CELLS.split(line, _MOST_CELLS))
            if not cell or (cell.lower() == "name" and name.lower().endswith(".csv")):
                continue
            if image := listed_image_of(cell, bad, where):
                sides.add(image, side, where)
                if values:
                    any_class = any(value.removesuffix(".0") == "1" for value in values)
                    self.shown[image] = any_class or self.shown.get(image, False)
            elif are_too_many(bad, where):
                break
        self._findings += bad

    def sides(self) -> Mapping[str, Mapping[str, str]]:
        """Name of a split → image id → side."""
        return {name: sides.found for name, sides in self._sides.items()}


def text_of(data: bytes) -> str:
    """What a list holds, in UTF-8 or, as spreadsheets save it, in UTF-16 with a mark."""
    return data.decode(_encoding(data), "replace")


def is_wide(data: bytes) -> bool:
    """Whether a text is in UTF-16, by its mark."""
    return data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def _encoding(data: bytes) -> str:
    return "utf-16" if is_wide(data) else "utf-8-sig"


def listed_lines(data: bytes) -> list[tuple[int, str]]:
    """Numbers and texts of the lines of a list, without those that are empty.

    Where all are a name, or a name and one of -1, 0 and 1 as VOC's lists by class have them, the
    names alone. A name that has two such numbers has a blank of its own.
    """
    numbered = enumerate(map(str.strip, text_lines(data, _encoding(data))), 1)
    lines = [(number, line) for number, line in numbered if line]
    values: dict[str, str | None] = {}  # by name
    for _, line in lines:
        match = _VALUED.fullmatch(line)
        if match is None or values.setdefault(match[1], match[2]) != match[2]:
            return lines
    return [(number, line.split()[0]) for number, line in lines]
