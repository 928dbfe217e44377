"""What names YOLO's classes and sides: data.yaml, obj.names, obj.data, classes.txt."""

import posixpath
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import yaml

from sixrayd.core.findings import Finding, Flaw
from sixrayd.datasets.sides import TEST, TRAIN

_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # texts, lists and tables alone: safe
_NAMES = re.compile(rb"^['\"]?names['\"]?\s*:", re.MULTILINE)
_NUMBER = re.compile(r"\d{1,6}", re.ASCII)  # of a class
_ENTRIES = {"train": TRAIN, "val": TRAIN, "valid": TRAIN, "test": TEST}
_DIRECTIVE, _MOST_DIRECTIVES = re.compile(rb"^%", re.MULTILINE), 100
_MOST_PARTS = 64  # names at a path's end that are looked at
_MOST_ENTRIES = 1000  # folders and lists of sides
_MOST_BYTES = 1 << 20
_MOST_TWICE = 20  # keys that are told
_LONGEST = 200  # signs of a class's name
_DEEPEST = 16  # lists and tables within each other; the C parser crashes on thousands
_YAML, _LISTED, _BESIDE = range(3)  # which file's names hold

Folders = tuple[str, ...]


class _Loader(_LOADER):  # type: ignore[misc]
    """Notes what stands twice in a table; the last holds."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.twice: list[str] = []

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        counts = Counter(key.value for key, _ in node.value if isinstance(key.value, str))
        self.twice += [key for key, count in counts.items() if count > 1]
        return super().construct_mapping(node, deep)


@dataclass(slots=True)
class _Tail:
    """The last names of entries, from the end: sides of those that end so, and longer ones."""

    sides: set[str] = field(default_factory=set)
    longer: dict[str, "_Tail"] = field(default_factory=dict)


@dataclass(slots=True)
class YoloNames:
    """Classes by number, and the folders or lists of each side, as a set's files name them."""

    findings: list[Finding]
    where: str = ""  # the first file; empty where nothing names classes
    keypoints: int = 0  # numbers of a pose behind each box
    _entries: int = 0  # folders and lists of sides
    _tails: _Tail = field(default_factory=_Tail)
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
        if len(data) > _MOST_BYTES:
            text = f"{len(data)} bytes, at most {_MOST_BYTES} are read"
            self.findings.append(Finding(Flaw.NOT_READ, where, text))
            return
        self.where = self.where or where
        if name.endswith((".yaml", ".yml")):
            self._take_yaml(where, data)
        elif name.endswith(".data"):
            pairs = (line.partition("=") for line in _lines(data))
            self._add_entries(where, {key.strip(): value.strip() for key, _, value in pairs})
        else:
            rank = _BESIDE if name == "classes.txt" else _LISTED
            self._add(rank, where, {n: name for n, name in enumerate(_lines(data)) if name})

    def by_number(self) -> dict[int, str]:
        """Those of data.yaml, or else of obj.names, or else of classes.txt."""
        return min(self._found, key=lambda found: found[:2])[2] if self._found else {}

    def side_of(self, path: str) -> str:
        """The side whose entry fits a path's end best; empty where none does, or two."""
        parts = parts_of(path)
        most, sides = 0, set[str]()
        for end in range(len(parts), 0, -1):
            tail, count = self._tails, 0
            while count < end and (longer := tail.longer.get(parts[end - 1 - count])):
                tail, count = longer, count + 1
            if count > most:
                most, sides = count, set()
            if count == most > 0:
                sides |= tail.sides
        return next(iter(sides)) if len(sides) == 1 else ""

    def _take_yaml(self, where: str, data: bytes) -> None:
        try:
            _check_depth(data)
            loader = _Loader(data)
            document = loader.get_single_data()
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            text = f"not YAML ({' '.join(str(error).split())[:200]})"
            self.findings.append(Finding(Flaw.UNREADABLE_LABELS, where, text))
            return
        if not isinstance(document, dict):
            return
        for key in loader.twice[:_MOST_TWICE]:
            text = f"{key[:_LONGEST]} stands twice; the last holds"
            self.findings.append(Finding(Flaw.GIVEN_TWICE, where, text))
        self._take_keypoints(where, document.get("kpt_shape"))
        names = self._names(where, document.get("names"))
        self._add(_YAML, where, names)
        count = document.get("nc")
        if isinstance(count, str) and count.strip() != str(len(names)):
            text = f"nc is {count.strip()[:20]}, names has {len(names)}; names holds"
            self.findings.append(Finding(Flaw.OTHER_CLASSES, where, text))
        self._add_entries(where, document)

    def _take_keypoints(self, where: str, value: Any) -> None:
        if value is None:
            return
        # Of lists within lists, 500 bytes of aliases would be texts without end.
        said = value if isinstance(value, list) else [value]
        shape = [side for side in said if isinstance(side, str)]
        plain = len(shape) == len(said) == 2 and all(map(_NUMBER.fullmatch, shape))
        if not plain or value is not said or shape[1] not in ("2", "3"):
            shown = ", ".join(shape)[:20] or "no numbers"
            text = f"kpt_shape: {shown}, expected keypoints and 2 or 3 numbers for each"
            self.findings.append(Finding(Flaw.UNREADABLE_LABELS, where, text))
        else:
            self.keypoints = self.keypoints or int(shape[0]) * int(shape[1])

    def _names(self, where: str, value: Any) -> dict[int, str]:
        pairs: Iterable[tuple[Any, Any]] = ()
        if isinstance(value, list):
            pairs = enumerate(value)
        elif isinstance(value, dict):
            pairs = value.items()
        names: dict[int, str] = {}
        for key, name in pairs:
            number = int(key) if _NUMBER.fullmatch(str(key)) else -1
            if number < 0 or not isinstance(name, str) or not _is_name(name):
                text = f"names: {str(key)[:20]!r} is no number with a name; left out"
                self.findings.append(Finding(Flaw.UNREADABLE_LABELS, where, text))
            elif number in names:
                text = f"names: {key} is {number} again, of {names[number]}; the last holds"
                self.findings.append(Finding(Flaw.GIVEN_TWICE, where, text))
                names[number] = name.strip()
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
        if self._found and self._found[0][2] != names:
            text = f"names other classes than {self._found[0][1]}"
            self.findings.append(Finding(Flaw.OTHER_CLASSES, where, text))
        self._found.append((rank, where, names))
        self._found[1:] = [min(self._found, key=lambda found: found[:2])]  # of many files, two

    def _add_entries(self, where: str, table: dict[Any, Any]) -> None:
        for name, side in _ENTRIES.items():
            value = table.get(name)
            for path in value if isinstance(value, list) else [value]:
                if isinstance(path, str) and self._entries == _MOST_ENTRIES:
                    text = (
                        f"more than {_MOST_ENTRIES} folders and lists of sides; the rest left out"
                    )
                    self.findings.append(Finding(Flaw.NOT_READ, where, text))
                    return
                if isinstance(path, str):
                    self._entries += 1
                    self._add_entry(parts_of(path), side)

    def _add_entry(self, parts: Folders, side: str) -> None:
        tail = self._tails
        for part in reversed(parts):
            tail = tail.longer.setdefault(part, _Tail())
            tail.sides.add(side)


def _check_depth(data: bytes) -> None:
    if len(_DIRECTIVE.findall(data)) > _MOST_DIRECTIVES:  # each is compared with all others
        raise ValueError(f"more than {_MOST_DIRECTIVES} lines that begin with %")
    depth = 0
    for event in yaml.parse(data, _LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise ValueError(f"lists or tables within each other, more than {_DEEPEST} deep")


def _is_name(text: str) -> bool:
    return len(text) <= _LONGEST and text.strip() != ""


def parts_of(path: str) -> Folders:
    """The last names in a path, without those that only lead up or nowhere."""
    parts = path.strip().replace("\\", "/").rsplit("/", _MOST_PARTS)[-_MOST_PARTS:]
    return tuple(part for part in parts if part not in ("", ".", "..") and part[0] != "*")


def _lines(data: bytes) -> list[str]:
    text = data.decode("utf-8-sig", "replace")
    return [line.strip() for line in text.splitlines()]
