"""The text of a COCO file, checked row by row: images, boxes, categories."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from sixrayd.core.documents import TooManyError, check_memory
from sixrayd.core.errors import AnnotationError
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.settling import number_of_text

Key = int | str  # an id, whether the file writes 7 or "7"

_USED = frozenset(
    (
        *("images", "annotations", "categories", "id", "file_name", "width", "height"),
        *("image_id", "category_id", "bbox", "iscrowd", "ignore", "name", "supercategory"),
    )
)
_NAMED = re.compile(r"(^|/)(instances_[^/]*|[^/]*[._]coco)\.json$", re.IGNORECASE)
_RESULTS = re.compile(rb'\s*\[\s*\{[^{}]*"(image_id|bbox)"')
_MAX_EDGE = 65_535  # pixels, JPEG's own limit
_MAX_KEY = 1 << 63


@dataclass(frozen=True, slots=True)
class CocoBox:
    """A row of `annotations`, its numbers not checked yet.

    Args:
        number: of the row, from 1.
        xywh: left, top, width, height in pixels from 0.
    """

    number: int
    category: Key | None
    xywh: tuple[float, float, float, float] | None  # None where it is no list of four
    crowd: bool


def is_coco(where: str, data: bytes) -> bool:
    """Whether a JSON file is labels in COCO's form, or means to be."""
    if _NAMED.search(where) or _RESULTS.match(data[:4096]):
        return True
    if b"\0" in data[:4]:  # UTF-16 or UTF-32
        data = data.replace(b"\0", b"")
    return b'"annotations"' in data and b'"images"' in data


def read_json(where: str, data: bytes, findings: list[Finding]) -> dict[str, list[Any]]:
    """The three lists of a COCO file.

    Args:
        findings: told of keys that a row has twice.

    Raises:
        AnnotationError: it is something else, or has one of the lists twice.
    """
    twice: dict[str, list[Any]] = {}  # key → ids of the rows that have it twice
    try:
        check_memory(data)
        document = json.loads(data, object_pairs_hook=partial(_useful, twice))
    except RecursionError as error:
        raise AnnotationError(f"{where}: lists within lists, too deep to be read") from error
    except TooManyError as error:
        raise AnnotationError(f"{where}: {error}") from error
    except ValueError as error:
        raise AnnotationError(f"{where}: not JSON ({error}); fetch or write it again") from error
    if isinstance(document, list):
        raise AnnotationError(
            f"{where}: a list, as of a detector's results; labels have images, annotations and "
            "categories"
        )
    names = ("images", "annotations", "categories")
    for name, ids in twice.items():
        if name in names:
            raise AnnotationError(f"{where}: {name} stands twice; make one list of them")
        text = f"{name} stands twice in {len(ids)} rows, the first of id {ids[0]!r}; the last holds"
        findings.append(Finding(Flaw.GIVEN_TWICE, where, text))
    found = document if isinstance(document, dict) else {}
    if absent := [name for name in names if not isinstance(found.get(name), list)]:
        raise AnnotationError(
            f"{where}: no list {' and no list '.join(absent)}; labels in COCO's form have "
            "images, annotations and categories"
        )
    return {name: found[name] for name in names}


def key_of(value: Any) -> Key | None:
    """An id in one form, whether it is a number or a text; None for none."""
    if isinstance(value, str):
        plain = value.strip()
        value = int(plain) if plain.isascii() and plain.isdigit() and len(plain) < 19 else plain
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, Key):
        return None
    return value if isinstance(value, str) or abs(value) < _MAX_KEY else None


def side_px(value: Any) -> int:
    """A whole number of pixels; 0 where it is none that an image can have."""
    number = number_of(value)
    return int(number) if 1 <= number <= _MAX_EDGE and number.is_integer() else 0


def boxes_of(rows: list[Any]) -> Iterator[tuple[Key | None, CocoBox]]:
    """Every row of `annotations` with its image's key."""
    for number, row in enumerate(rows, 1):
        row = row if isinstance(row, dict) else {}
        crowd = bool(key_of(row.get("iscrowd")) or key_of(row.get("ignore")))
        box = CocoBox(number, key_of(row.get("category_id")), _xywh(row.get("bbox")), crowd)
        yield key_of(row.get("image_id")), box


def number_of(value: Any) -> float:
    """A number, also one written as text; NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return number_of_text(value) if isinstance(value, str) else float(value)
    except (ValueError, OverflowError):
        return math.nan


def _xywh(value: Any) -> tuple[float, float, float, float] | None:
    if not isinstance(value, list) or len(value) != 4:
        return None
    x, y, width, height = map(number_of, value)
    return x, y, width, height


def _useful(twice: dict[str, list[Any]], pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """What is read of an object; outlines alone can take most of a file's memory."""
    used = [pair for pair in pairs if pair[0] in _USED]
    table = dict(used)
    if len(table) < len(used):
        for name, count in Counter(name for name, _ in used).items():
            if count > 1:
                twice.setdefault(name, []).append(key_of(table.get("id")))
    return table
