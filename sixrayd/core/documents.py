"""JSON from files that may be anybody's."""

import json
from typing import Any


def parse_json(data: str | bytes) -> Any:
    """What JSON says.

    Raises:
        ValueError: it is none, names a key twice, holds what is no number, or is nested too deeply.
    """
    try:
        return json.loads(data, object_pairs_hook=_once, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice[:100]!r} is given twice")
    return table


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number")
