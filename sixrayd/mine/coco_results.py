"""COCO's JSON of another model's detections, and of the images that these name."""

import math
import reprlib
from pathlib import Path
from typing import Any, TypeGuard

from sixrayd.core.documents import TooManyError, parse_json
from sixrayd.core.errors import AnnotationError
from sixrayd.core.files import open_plain
from sixrayd.core.findings import Flaw
from sixrayd.datasets import coco_json

MAX_BYTES = 512 << 20  # of a JSON file or a zip
# Reasons, beside what any set may have.
_OF_NO_ENTRY, _NO_BOX = "id that the dataset lacks", "box that is none"


class RowError(Exception):
    """Why one detection cannot be used.

    Args:
        reason: its kind, which is counted.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = str(reason)


def document_of(path: Path) -> Any:
    """What a JSON file says.

    Raises:
        AnnotationError: it is too large, cannot be read, or is no JSON.
    """
    check_size(path)
    try:
        with open_plain(path) as file:
            return parse_json(file.read())
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read ({error.strerror})") from error
    except TooManyError as error:
        raise AnnotationError(f"{path}: {error}") from error
    except ValueError as error:
        raise AnnotationError(f"{path}: not JSON ({error})") from error


def check_size(path: Path) -> None:
    """Refuse a file of more than `MAX_BYTES`.

    Raises:
        AnnotationError: it is one.
    """
    if (size := path.stat().st_size) > MAX_BYTES:
        raise AnnotationError(f"{path}: {size} bytes, expected at most {MAX_BYTES}; split it")


def list_of(document: Any, where: Path, key: str) -> list[Any]:
    """A list of a COCO dataset.

    Args:
        where: the document is from.

    Raises:
        AnnotationError: it has none.
    """
    rows = document.get(key) if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise AnnotationError(f"{where}: has no list {key!r}; expected a COCO dataset")
    return rows


def names_of(dataset: Any, where: Path, table: str, key: str) -> dict[int | str, str]:
    """Names by id of a COCO dataset's images or categories.

    Args:
        key: of the name in a row of the table.

    Raises:
        AnnotationError: a row has no name, or no id of its own.
    """
    found: dict[int | str, str] = {}
    for number, row in enumerate(list_of(dataset, where, table), 1):
        known, name = (row.get("id"), row.get(key)) if isinstance(row, dict) else (None, None)
        if not _is_id(known) or not isinstance(name, str) or known in found:
            raise AnnotationError(
                f"{where}: {table} {number}: id {reprlib.repr(known)}, {key} {reprlib.repr(name)}; "
                "expected an id of its own and a name"
            )
        found[known] = name
    return found


def name_of(row: Any, key: str, names: dict[int | str, str]) -> str:
    """The name that a detection gives the id of.

    Raises:
        RowError: it gives none of them.
    """
    if not isinstance(row, dict):
        text = f"is {reprlib.repr(row)}, expected an object with {key}"
        raise RowError(Flaw.UNREADABLE_LABELS, text)
    value = row.get(key)
    if not _is_id(value) or value not in names:
        text = f"{key} {reprlib.repr(value)}: is none of the dataset's"
        raise RowError(_OF_NO_ENTRY, text)
    return names[value]


def edges_of(bbox: Any) -> tuple[float, float, float, float]:
    """Left, top, right and bottom from COCO's x, y, width, height, in pixels.

    Raises:
        RowError: these are no finite numbers, or the box has no area.
    """
    if isinstance(bbox, list) and len(bbox) == 4:
        x, y, width, height = map(number_of, bbox)
        edges = x, y, x + width, y + height
        if all(map(math.isfinite, edges)) and x < edges[2] and y < edges[3]:
            return edges
    text = f"bbox {reprlib.repr(bbox)}: expected finite x, y, and a width and height above 0"
    raise RowError(_NO_BOX, text)


def number_of(value: Any) -> float:
    """A number as JSON has it; NaN where it is none, or too large for one."""
    return math.nan if isinstance(value, str) else coco_json.number_of(value)


def _is_id(value: Any) -> TypeGuard[int | str]:
    return isinstance(value, int | str) and coco_json.key_of(value) is not None
