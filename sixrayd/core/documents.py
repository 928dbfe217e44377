"""JSON and TOML from files that may be anybody's."""

import json
import tomllib
from collections import Counter
from typing import Any

MOST_TOML = 1 << 20  # bytes
_MOST_STEPS = 4_000_000  # of tables that TOML's dotted keys lead through
MOST_MEMORY = 4 << 30  # bytes that what is read may take, as `memory_of` guesses it
# What comes of taking a document apart that says something else.
NONSENSE = (
    *(ValueError, TypeError, LookupError, AttributeError),
    *(OverflowError, RecursionError),
)
_BITS = 63  # of a whole number, without its sign
_WEIGHTS = (("{", 250), ("[", 70), (",", 60))  # bytes of memory that a sign brings at most


class TooManyError(ValueError):
    """A small text that would take much memory."""


def memory_of(data: str | bytes) -> int:
    """Bytes of memory that the values of JSON take at most, its texts left out."""
    if isinstance(data, str):
        return sum(weight * data.count(sign) for sign, weight in _WEIGHTS)
    return sum(weight * data.count(sign.encode()) for sign, weight in _WEIGHTS)


def check_memory(data: str | bytes) -> None:
    """Before JSON is parsed, which is done at once.

    Raises:
        TooManyError: its lists, objects and values would take too much memory.
    """
    if (memory := memory_of(data)) > MOST_MEMORY:
        raise TooManyError(
            f"its values would take up to {memory >> 20:,} MiB of memory, at most "
            f"{MOST_MEMORY >> 20:,} are read; split it"
        )


def parse_json(data: str | bytes) -> Any:
    """What JSON says.

    Raises:
        ValueError: it is none, names a key twice in one place, is nested too deeply, or would take
            too much memory.
    """
    check_memory(data)
    try:
        return json.loads(data, object_pairs_hook=_once)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def is_plain(said: Any, kind: Any) -> bool:
    """Whether a value is a text, a number, a list or an object, as is expected.

    True is no number, and a whole one has at most 64 bits: others are no float, as JSON's may be.
    """
    if isinstance(said, int) and said.bit_length() > _BITS:
        return False
    return isinstance(said, kind) and isinstance(said, bool) == (kind is bool)


def parse_toml(data: bytes) -> dict[str, Any]:
    """What TOML says, read from UTF-8.

    Raises:
        UnicodeDecodeError: it is no UTF-8.
        ValueError: it is none, more than `MOST_TOML`, nested too deeply, or has keys of many parts.
    """
    if len(data) > MOST_TOML:
        raise ValueError(f"more than {MOST_TOML} bytes")
    # The parser goes through all parts of a key for each part, and of a header for each line.
    dots = [line.count(b".") for line in data.split(b"\n")]
    if max(dots) * (sum(dots) + len(dots)) > _MOST_STEPS:
        number = dots.index(max(dots)) + 1
        raise ValueError(
            f"line {number} has {max(dots)} dots; break long lines, and name few tables in one"
        )
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{twice[:100]!r} is given twice")
    return table
