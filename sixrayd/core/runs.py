"""What `run.json` says: how a stage's folder came to be."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import UnionType
from typing import Any, Self

import sixrayd
from sixrayd.core.documents import is_plain, memory_of, parse_json
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import json_bytes, plain_text

FORMAT = 1
_DEEPEST = 20
_MOST_TEXT = 32 << 20  # bytes of a file, of which a command reads some many times
_MOST_MEMORY = 64 << 20  # bytes that what it says may take; a million ids do
# What is read from a run.json: a kind, or a list or object and the kind of each of its values.
Kind = type | UnionType | tuple[type, "Kind"]
_WORDS: Mapping[Any, str] = {
    **{str: "a text", int: "a number", int | None: "a number or null", int | float: "a number"},
    **{dict: "an object", list: "a list"},
}
_TEXTS, _NUMBERS, _TABLE = (list, str), (dict, int), (dict, (dict, int))
_KINDS: Mapping[str, Kind] = {
    **{"stage": str, "name": str, "version": str, "format": int},
    **dict.fromkeys(("settings", "inputs", "outputs", "summary"), dict),
}
_SETTINGS: Mapping[str, Kind] = {
    **dict.fromkeys(("classes", "review", "forms", "sets"), _TEXTS),
    **dict.fromkeys(("model", "detector", "init", "round", "release", "out", "tree"), str),
    **{"recipe": dict, "input_size": int | None, "seed": int},
}
_RECIPE: Mapping[str, Kind] = {"epochs": int}
# By stage, since stages mean different things by a name.
_SUMMARIES: Mapping[str, Mapping[str, Kind]] = {
    "shards": {
        **dict.fromkeys(("images", "positives", "negatives", "unreadable", "train", "test"), int),
        **dict.fromkeys(("boxes", "boxless", "unannotated", "negatives_with_boxes"), int),
        **dict.fromkeys(("duplicate_groups", "negatives_like_positives", "merged"), int),
        **dict.fromkeys(("notes", "absent", "skipped", "contradictions"), int),
        **dict.fromkeys(("left_out", "without_annotation"), int),
        **{"passed_over": _NUMBERS, "other_classes": _NUMBERS},
        **{"splits": _TABLE, "unannotated_ids": _TEXTS},
    },
    "audit": {
        **dict.fromkeys(("faults", "remarks", "images", "boxes"), int),
        **{"kinds": _NUMBERS, "rules": _TEXTS},
    },
    "models": {
        **dict.fromkeys(("positives", "backgrounds", "best_epoch"), int),
        **{"validation": (dict, int | float), "round": _NUMBERS, "unknown_origin": _TEXTS},
    },
    "benchmark": {"order": _TEXTS},
    "export": {
        **{"states": _NUMBERS, "images": _NUMBERS, "origins": _NUMBERS},
        **{"boxes": _TABLE, "sets": _TABLE, "notes": _TEXTS},
    },
}


@dataclass(frozen=True, slots=True)
class Run:
    """What `run.json` says: how a folder came to be. It holds no time of day, so that the same
    work leaves the same bytes."""

    stage: str
    name: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]  # path (relative to the workspace where inside) → SHA-256
    outputs: Mapping[str, str] = field(default_factory=dict)  # path in the folder → SHA-256
    summary: Mapping[str, Any] = field(default_factory=dict)
    version: str = sixrayd.__version__
    format: int = FORMAT

    @classmethod
    def of(cls, document: Any, path: Path) -> Self:
        """What a file says, which may be anybody's.

        Args:
            path: of the file, for messages.

        Raises:
            ValueError: it says no such thing.
        """
        if not isinstance(document, dict) or not document.keys() <= set(cls.__slots__):
            raise ValueError(f"expected an object with {', '.join(cls.__slots__)}")
        try:
            run = cls(**document)
        except TypeError as error:
            raise ValueError("expected stage, name, settings and inputs at least") from error
        _check_kinds(document, _KINDS)
        _check_kinds(run.settings, _SETTINGS)
        _check_kinds(run.settings.get("recipe", {}), _RECIPE)
        _check_kinds(run.summary, _SUMMARIES.get(run.stage, {}))
        if not all(isinstance(said, str) for said in {**run.inputs, **run.outputs}.values()):
            raise ValueError("inputs, outputs: expected a hash for each path")
        if not all(map(_is_path, {**run.inputs, **run.outputs})):
            raise ValueError("inputs, outputs: a path that no file can have")
        settings, summary = (_said(part, str(path)) for part in (run.settings, run.summary))
        return replace(run, settings=settings, summary=summary)

    def same_work(self, other: "Run") -> bool:
        """Whether both have the same settings, inputs and format."""
        mine, theirs = (as_plain([r.settings, r.inputs, r.format]) for r in (self, other))
        return bool(mine == theirs)


def _is_path(text: str) -> bool:
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:  # half a letter
        return False


def read_run(path: Path) -> Run:
    """What a `run.json` says, which may be a stranger's.

    Raises:
        UnfitFileError, OSError: it cannot be read, or is too long.
        ValueError: it is none.
    """
    return Run.of(read_record(path), path)


def read_record(path: Path) -> Any:
    """A `run.json`, or a stage's document beside it, as JSON: whoever wrote it, it is small.

    Raises:
        UnfitFileError, OSError: it cannot be read, or is too long.
        ValueError: it is no JSON, or of too many values.
    """
    text = plain_text(path, _MOST_TEXT)
    if (memory := memory_of(text)) > _MOST_MEMORY:
        raise ValueError(f"{memory} bytes of values, at most {_MOST_MEMORY} are read")
    return parse_json(text)


def check_short(run: Run, path: Path) -> None:
    """Before a `run.json` is written, of which nothing could be read.

    Raises:
        WorkspaceError: it would be longer than is read.
    """
    data = json_bytes(as_plain(asdict(run)))
    for count, most, what in (
        (len(data), _MOST_TEXT, "bytes"),
        (memory_of(data), _MOST_MEMORY, "bytes of values"),
    ):
        if count > most:
            raise WorkspaceError(
                f"{path}: would have {count} {what}, of {len(run.inputs)} inputs among others, at "
                f"most {most} are read; put many files into one zip"
            )


def read_plan(path: Path) -> Run | None:
    """What was begun; None where nothing was, or it cannot be told."""
    try:
        return read_run(path)
    except (FileNotFoundError, ValueError):
        return None


class _Said(dict[str, Any]):
    """What a file says by name, which may lack what a stage reads."""

    path = "run.json"

    def __missing__(self, name: str) -> Any:
        raise WorkspaceError(f"{self.path}: lacks {name!r}; run the stage that wrote it again")


def _said(value: Any, path: str, depth: int = 0) -> Any:
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    if isinstance(value, list):
        return [_said(below, path, depth + 1) for below in value]
    if not isinstance(value, dict):
        return value
    said = _Said({key: _said(below, path, depth + 1) for key, below in value.items()})
    said.path = path
    return said


def _check_kinds(table: Mapping[str, Any], kinds: Mapping[str, Kind]) -> None:
    """Refuse a value of another kind than the code reads.

    Raises:
        ValueError: there is one.
    """
    for name, kind in kinds.items():
        if name in table and not _fits(table[name], kind):
            raise ValueError(f"{name} is {repr(table[name])[:50]}, expected {_in_words(kind)}")


def _fits(said: Any, kind: Kind) -> bool:
    if not isinstance(kind, tuple):
        return is_plain(said, kind)
    outer, inner = kind
    parts = said.values() if isinstance(said, dict) else said
    return isinstance(said, outer) and all(_fits(part, inner) for part in parts)


def _in_words(kind: Kind) -> str:
    if not isinstance(kind, tuple):
        return _WORDS[kind]
    _, word, *rest = _in_words(kind[1]).split()
    return f"{_WORDS[kind[0]]} of {' '.join([f'{word}s', *rest])}"


def as_plain(value: Any) -> Any:
    """A value as JSON gives it back."""
    return json.loads(json.dumps(value, default=str))


def differences(there: Run, asked: Run) -> str:
    """What distinguishes two works; settings first."""
    one, other = (_flat(as_plain(run.settings)) for run in (there, asked))
    found = [
        f"{key} {_set_to(one, key)} there, {_set_to(other, key)} asked for"
        for key in {**one, **other}
        if one.get(key) != other.get(key)
    ]
    inputs = {**there.inputs, **asked.inputs}
    changed = [k for k in sorted(inputs) if there.inputs.get(k) != asked.inputs.get(k)]
    return "; ".join([*found, *(f"{key} is another" for key in changed)]) or "another format"


def _set_to(settings: Mapping[str, Any], key: str) -> Any:
    value = settings.get(key, "not set")
    return "none" if value in ("", None) else value


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings within settings by the innermost name, unless one of that name stands outside."""
    inner = {k: v for part in settings.values() if isinstance(part, dict) for k, v in part.items()}
    return inner | {k: v for k, v in settings.items() if not isinstance(v, dict)}
