"""JSON from files that may be anybody's."""

import json
from collections import Counter
from typing import Any


def parse_json(data: str | bytes) -> Any:
    """What JSON says.

    Raises:
        ValueError: it is none, names a key twice in one place, or is nested too deeply.
    """
    try:
        return json.loads(data, object_pairs_hook=_once)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{twice[:100]!r} is given twice")
    return table
