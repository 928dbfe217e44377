"""Dataclasses that were kept as JSON, in files that may be anybody's by now."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from sixrayd.core.documents import is_plain, parse_json
from sixrayd.core.errors import WorkspaceError, printable
from sixrayd.core.files import plain_text

T = TypeVar("T")


def read_back(kind: type[T], said: Any, where: str, **given: Any) -> T:
    """A dataclass from what JSON says of its fields, whose kinds are those of the class.

    Args:
        where: names the file in messages.
        given: fields that it does not say.

    Raises:
        WorkspaceError: it says something else, or lacks what has no default. What it has too many,
            another version's, is passed over.
    """
    try:
        found: T = _object(kind, said, given)
        return found
    except ValueError as error:
        raise WorkspaceError(
            f"{where}: {printable(error, 200)}; run the stage that wrote it again"
        ) from error


def read_back_all(kind: type[T], path: Path) -> tuple[T, ...]:
    """Dataclasses from a file that lists them.

    Raises:
        WorkspaceError, OSError: see `read_back`; or it is no JSON.
    """
    try:
        said = parse_json(plain_text(path))
    except ValueError as error:
        raise WorkspaceError(f"{path}: not JSON ({printable(error, 200)}); remove it") from error
    if not isinstance(said, list):
        raise WorkspaceError(f"{path}: expected a list; remove it")
    return tuple(read_back(kind, each, str(path)) for each in said)


def _object(kind: Any, said: Any, given: Mapping[str, Any]) -> Any:
    if not isinstance(said, dict):
        raise ValueError(f"{repr(said)[:50]}, expected an object")
    hints, found = get_type_hints(kind), dict(given)
    for field in fields(kind):
        if field.name in given:
            continue
        if field.name in said:
            found[field.name] = _value(hints[field.name], said[field.name], field.name)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"lacks {field.name!r}")
    return kind(**found)


def _value(kind: Any, said: Any, name: str) -> Any:
    """A value of a field, of the kind that it has."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is UnionType:
        (kind,) = (part for part in parts if part is not NoneType)
        return None if said is None else _value(kind, said, name)
    if is_dataclass(kind):
        return _object(kind, said, {})
    if origin in (tuple, Sequence) and isinstance(said, list):
        return tuple(_value(parts[0], each, name) for each in said)
    if origin in (dict, Mapping) and isinstance(said, dict):
        for key, each in said.items():
            _value(parts[1], each, f"{name}: {key}")
        return said  # as a `run.json` has it, which says what is lacking
    plain = int | float if kind is float else kind
    if kind not in (str, bool, int, float) or not is_plain(said, plain):
        raise ValueError(f"{name} is {repr(said)[:50]}, expected another kind")
    return said
