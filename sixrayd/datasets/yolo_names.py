"""What names YOLO's classes and sides: data.yaml, obj.names, obj.data, classes.txt."""

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import yaml

from sixrayd.core.findings import Finding, Flaw
from sixrayd.datasets.sides import TEST, TRAIN

_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # texts, lists and tables alone: safe
_NAMES = re.compile(rb"^['\"]?names['\"]?\s*:", re.MULTILINE)
_NUMBER = re.compile(r"\d{1,6}", re.ASCII)  # of a class
_ENTRIES = {"train": TRAIN, "val": TRAIN, "valid": TRAIN, "test": TEST}
_DEEPEST = 16  # lists and tables within each other; the C parser crashes on thousands
_YAML, _LISTED, _BESIDE = range(3)  # which file's names hold

Folders = tuple[str, ...]


@dataclass(slots=True)
class YoloNames:
    """Classes by number, and the folders or lists of each side, as a set's files name them."""

    findings: list[Finding]
    where: str = ""  # the first file; empty where nothing names classes
    entries: list[tuple[Folders, str]] = field(default_factory=list)  # path, side
    _found: list[tuple[int, str, dict[int, str]]] = field(default_factory=list)

    @staticmethod
    def wants(where: str, data: bytes | None) -> bool:
        """Whether a file names classes or sides."""
        name = posixpath.basename(where).lower()
        if name.endswith((".yaml", ".yml")):
            return data is None or _NAMES.search(data) is not None
        return name.endswith((".names", ".data")) or name == "classes.txt"

    def take(self, where: str, data: bytes) -> None:
        """Add a file."""
        name = posixpath.basename(where).lower()
        self.where = self.where or where
        if name.endswith((".yaml", ".yml")):
            self._take_yaml(where, data)
        elif name.endswith(".data"):
            pairs = (line.partition("=") for line in _lines(data))
            self._add_entries({key.strip(): value.strip() for key, _, value in pairs})
        else:
            rank = _BESIDE if name == "classes.txt" else _LISTED
            self._add(rank, where, {n: name for n, name in enumerate(_lines(data)) if name})

    def by_number(self) -> dict[int, str]:
        """Those of data.yaml, or else of obj.names, or else of classes.txt."""
        return min(self._found, key=lambda found: found[:2])[2] if self._found else {}

    def side_of(self, path: str) -> str:
        """The side whose entry fits a path's end best; empty where none does, or two."""
        parts = parts_of(path)
        best: dict[int, set[str]] = {}
        for entry, side in self.entries:
            best.setdefault(_common(entry, parts), set()).add(side)
        sides = best[max(best)] if best and max(best) else set()
        return next(iter(sides)) if len(sides) == 1 else ""

    def _take_yaml(self, where: str, data: bytes) -> None:
        try:
            _check_depth(data)
            document = yaml.load(data, _LOADER)  # noqa: S506 - the loader makes no objects
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            text = f"not YAML ({' '.join(str(error).split())[:200]})"
            self.findings.append(Finding(Flaw.UNREADABLE_LABELS, where, text))
            return
        if not isinstance(document, dict):
            return
        names = self._names(where, document.get("names"))
        self._add(_YAML, where, names)
        count = document.get("nc")
        if isinstance(count, str) and count.strip() != str(len(names)):
            text = f"nc is {count.strip()[:20]}, names has {len(names)}; names holds"
            self.findings.append(Finding(Flaw.OTHER_CLASSES, where, text))
        self._add_entries(document)

    def _names(self, where: str, value: Any) -> dict[int, str]:
        pairs: Iterable[tuple[Any, Any]] = ()
        if isinstance(value, list):
            pairs = enumerate(value)
        elif isinstance(value, dict):
            pairs = value.items()
        names: dict[int, str] = {}
        for key, name in pairs:
            number = int(key) if _NUMBER.fullmatch(str(key)) else -1
            if number < 0 or not isinstance(name, str) or not name.strip():
                text = f"names: {str(key)[:20]!r} is no number with a name; left out"
                self.findings.append(Finding(Flaw.UNREADABLE_LABELS, where, text))
            else:
                names[number] = name.strip()
        return dict(sorted(names.items()))

    def _add(self, rank: int, where: str, names: dict[int, str]) -> None:
        if not names:
            return
        seen: set[str] = set()
        for number, name in names.items():
            if name.lower() in seen:
                text = f"{name} again, as {number}; both numbers mean it"
                self.findings.append(Finding(Flaw.REPEATED_CLASS, where, text))
            seen.add(name.lower())
        for _, other, known in self._found:
            if known != names:
                text = f"names other classes than {other}"
                self.findings.append(Finding(Flaw.OTHER_CLASSES, where, text))
        self._found.append((rank, where, names))

    def _add_entries(self, table: dict[Any, Any]) -> None:
        for name, side in _ENTRIES.items():
            value = table.get(name)
            for path in value if isinstance(value, list) else [value]:
                if isinstance(path, str) and (parts := parts_of(path)):
                    self.entries.append((parts, side))


def _check_depth(data: bytes) -> None:
    depth = 0
    for event in yaml.parse(data, _LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise ValueError(f"lists or tables within each other, more than {_DEEPEST} deep")


def parts_of(path: str) -> Folders:
    """The names in a path, without those that only lead up or nowhere."""
    parts = path.strip().replace("\\", "/").split("/")
    return tuple(part for part in parts if part not in ("", ".", "..") and part[0] != "*")


def _common(entry: Folders, parts: Folders) -> int:
    """Names at an entry's end that follow each other in a path."""
    for count in range(min(len(entry), len(parts)), 0, -1):
        tail = entry[-count:]
        if any(parts[at : at + count] == tail for at in range(len(parts) - count + 1)):
            return count
    return 0


def _lines(data: bytes) -> list[str]:
    text = data.decode("utf-8-sig", "replace")
    return [line.strip() for line in text.splitlines()]
