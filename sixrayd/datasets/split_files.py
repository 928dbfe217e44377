"""Files that say which images train and which test: `image,side` as CSV, an export's JSON."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sixrayd.core.documents import parse_json
from sixrayd.core.errors import ReleaseError, SettingsError
from sixrayd.core.files import open_plain, sha256_file, why
from sixrayd.core.findings import Flaw
from sixrayd.core.image_ids import image_id
from sixrayd.core.records import LEAK_FREE, Split
from sixrayd.datasets.image_lists import text_of
from sixrayd.datasets.sides import SPLIT_NAME, listed_stem, side_of_word

_MAX_BYTES = 256 << 20
_MOST_ROW = 1 << 20  # signs
_LINE = re.compile(r"[^\r\n]*(\r\n?|\n)|[^\r\n]+")


class Told(Protocol):
    """Takes note of a fault in a list, or raises."""

    def __call__(self, where: str, what: str, flaw: Flaw | None = None, /) -> None:
        """Where it is, what it is, and of which kind if the catalogue has it."""


@dataclass(frozen=True, slots=True)
class SplitFile:
    """A file that `--split` names: `NAME=FILE`, or a file whose stem is the name.

    Raises:
        SettingsError: it is neither CSV nor JSON, or the name does not serve.
    """

    name: str
    path: Path

    def __post_init__(self) -> None:
        if not SPLIT_NAME.fullmatch(self.name) or self.name == LEAK_FREE:
            raise SettingsError(
                f"--split: {self.name[:80]!r} cannot name a split; pass --split NAME={self.path} "
                f"with a NAME of letters, digits, dots, _ and -, other than {LEAK_FREE}"
            )
        if self.path.suffix.lower() not in (".csv", ".json"):
            raise SettingsError(f"--split: {self.path}: need a .csv or .json file")

    @classmethod
    def of(cls, text: str) -> "SplitFile":
        """What was typed."""
        name, equals, file = text.partition("=")
        if equals and not Path(text).exists():
            return cls(name, Path(file))
        return cls(Path(text).stem, Path(text))

    def sha256(self) -> str:
        """Of its bytes.

        Raises:
            ReleaseError: it cannot be read, or is too large.
        """
        try:
            if (size := self.path.stat().st_size) > _MAX_BYTES:
                raise ReleaseError(f"{self.path}: {size} bytes, at most {_MAX_BYTES} are read")
            return sha256_file(self.path)
        except OSError as error:
            raise ReleaseError(f"{self.path}: {why(error, self.path)}") from error

    def sides(self, told: Told) -> dict[Split, list[str]]:
        """Images of each side, as often as the file has them.

        Raises:
            ReleaseError: it is not of the form, or has but one side.
        """
        with open_plain(self.path) as file:
            data = file.read()
        read = _json_rows if self.path.suffix.lower() == ".json" else _csv_rows
        listed: dict[Split, list[str]] = {side: [] for side in Split}
        for where, side, name in read(str(self.path), data, told):
            if image := listed_image(name, where, told):
                listed[side].append(image)
        for side, ids in listed.items():
            if not ids:
                raise ReleaseError(f"{self.path}: no image of the {side} side; a split needs both")
        return listed


def _csv_rows(file: str, data: bytes, told: Told) -> Iterator[tuple[str, Split, str]]:
    """Where, side and image of each row below a header with `image` and `side`."""
    rows = csv_rows(file, data, told)
    header = [name.lower() for name in next(rows, ("", []))[1]]
    if not {"image", "side"} <= set(header):
        raise ReleaseError(
            f"{file}: columns are {','.join(header)[:80] or 'missing'}, expected image,side"
        )
    if twice := [name for name in ("image", "side") if header.count(name) > 1]:
        raise ReleaseError(
            f"{file}: column {twice[0]} stands {header.count(twice[0])} times in the header, "
            "expected once; take the others out"
        )
    for where, cells in rows:
        row = dict(zip(header, cells, strict=False))
        side = side_of_word(row.get("side", ""))
        if side and "image" in row:
            yield where, Split(side), row["image"]
        else:
            told(where, f"expected an image and a side such as train or test, got {cells[:9]}")


def _json_rows(file: str, data: bytes, told: Told) -> Iterator[tuple[str, Split, str]]:
    """Where, side and image of each entry of an export's `splits.json`."""
    try:
        document = parse_json(text_of(data))
    except ValueError as error:
        raise ReleaseError(f"{file}: not JSON ({error})") from error
    if not isinstance(document, dict) or not all(map(side_of_word, document)):
        raise ReleaseError(
            f'{file}: expected {{"train": [image, …], "test": [image, …]}}, as in the '
            "splits.json of an export"
        )
    for key, names in document.items():
        if not isinstance(names, list):
            raise ReleaseError(f"{file}: {key}: expected a list of images")
        for number, name in enumerate(names, 1):
            where = f"{file}: {key}: image {number}"
            if isinstance(name, str):
                yield where, Split(side_of_word(key)), name
            else:
                told(where, f"expected the name of an image, got {str(name)[:80]}")


def listed_image(name: str, where: str, told: Told) -> str:
    """The image that a list names, with or without folder and suffix; empty where it is a fault."""
    try:
        return image_id(listed_stem(name))
    except ReleaseError as error:
        told(where, str(error), Flaw.BAD_NAME)
        return ""


def csv_rows(file: str, data: bytes, told: Told) -> Iterator[tuple[str, list[str]]]:
    """Where each row is, and its cells: the header first, then those that are not empty."""
    text = text_of(data)
    begun = taken = 0  # signs, up to the row and up to the line

    def lines() -> Iterator[str]:  # a copy of a million would be large
        nonlocal taken
        for line in _LINE.finditer(text):
            taken = line.end()
            if taken - begun > _MOST_ROW:
                raise csv.Error(f"a row of more than {_MOST_ROW} signs")
            yield line[0]

    rows = csv.reader(lines(), delimiter=_delimiter(text))
    try:
        header = _trimmed(next(rows, []))
        numbered = header[:1] == [""]  # a column that spreadsheets and pandas put first
        yield file, header[numbered:]
        begun = taken
        for row in rows:
            begun = taken
            if cells := _trimmed(row)[numbered:]:
                yield f"{file}: line {rows.line_num}", cells
    except csv.Error as error:
        told(f"{file}: line {rows.line_num}", f"not CSV ({error})")


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
