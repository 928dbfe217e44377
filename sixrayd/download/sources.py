"""Where releases come from: what `manifests/sources.toml` and files of one's own say of them."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx

from sixrayd.core.documents import MOST_TOML, parse_toml
from sixrayd.core.errors import ReleaseError
from sixrayd.core.files import read_plain
from sixrayd.core.resources import resource
from sixrayd.core.store import Store

FOLDER_VARIABLE = "SIXRAYD_MANIFESTS"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FILE = re.compile(r"[A-Za-z0-9][\w .()-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Expected:
    """What is announced of a release; 0 is not known."""

    images: int = 0
    positives: int = 0
    negatives: int = 0
    boxes: int = 0
    boxes_by_class: Mapping[str, int] = field(default_factory=dict)
    absent_positives: int = 0  # listed ones that no copy holds, at most
    left_out: tuple[str, ...] = ()  # names in annotations that are no class and no fault


@dataclass(frozen=True, slots=True)
class ListedArchive:
    """One archive of a release, in one file or in parts."""

    files: tuple[str, ...]  # the parts in order
    mirrors: tuple[str, ...] = ()  # where it is not with the others
    unpacked: tuple[str, ...] = ()  # names of files or folders that stand for it in a folder


@dataclass(frozen=True, slots=True)
class ReleaseEntry:
    """One release of a manifest."""

    name: str
    title: str
    terms: str
    verified: bool
    seen: str  # where its layout was seen, or that it is only reported
    notes: str = ""  # where else it may be had
    mirrors: tuple[str, ...] = ()
    archives: tuple[ListedArchive, ...] = ()
    bytes: Mapping[str, int] = field(default_factory=dict)  # file → size
    sha256: Mapping[str, str] = field(default_factory=dict)  # file → hash
    classes: tuple[str, ...] = ()
    expected: Expected = field(default_factory=Expected)


def known_releases() -> dict[str, ReleaseEntry]:
    """The releases that go by a name; those of the folder in `SIXRAYD_MANIFESTS` come last.

    Raises:
        ReleaseError: a manifest is broken, or a name occurs twice.
    """
    paths = [resource("manifests", "sources.toml")]
    if own := os.environ.get(FOLDER_VARIABLE):
        if not Path(own).is_dir():
            raise ReleaseError(f"{FOLDER_VARIABLE}={own}: no such folder")
        paths += sorted(Path(own).glob("*.toml"))
    found: dict[str, ReleaseEntry] = {}
    for path in paths:
        for name, entry in read_manifest(path).items():
            if name in found:
                raise ReleaseError(f"{path}: [{name}]: a release of that name is known already")
            found[name] = entry
    return found


def expected_of(release: str) -> Expected:
    """What is announced of a release that goes by a name; nothing of any other."""
    entry = known_releases().get(release)
    return entry.expected if entry else Expected()


def read_manifest(path: Path) -> dict[str, ReleaseEntry]:
    """The releases that a file describes, by name.

    Raises:
        ReleaseError: it says something else than a manifest does: file, key, found, expected.
    """
    try:
        document = parse_toml(read_plain(path, MOST_TOML))
    except OSError as error:
        raise ReleaseError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:  # not UTF-8, or not TOML
        raise ReleaseError(f"{path}: not TOML: {error}") from error
    if not document:
        raise ReleaseError(f"{path}: no release in it, expected a table [NAME]")
    return {name: _entry(path, name, table) for name, table in document.items()}


def shown_url(url: str) -> str:
    """A URL that may be written down: no user, password or query.

    Raises:
        ReleaseError: it is none.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        web = parts.scheme in ("http", "https")
        good = bool(httpx.URL(url).host) if web else bool(host or parts.path.strip("/"))
    except (ValueError, httpx.InvalidURL):
        good = False
    if not good:
        raise ReleaseError(f"{Store(url).place}: not a URL, expected SCHEME://HOST/FOLDER")
    host = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, host + (f":{port}" if port else ""), parts.path, "", ""))


class _Table:
    """A table of a manifest whose keys are taken one by one."""

    def __init__(self, where: str, value: Any) -> None:
        if not isinstance(value, dict):
            raise ReleaseError(f"{where}: found {value!r}, expected a table")
        self._where, self._left = where, dict(value)

    def take(self, key: str, expected: str, valid: Callable[[Any], bool], default: Any) -> Any:
        """The value of a key; no default, and it must be there."""
        value = self._left.pop(key, default)
        if value is None:
            raise ReleaseError(f"{self._where}{key}: missing, expected {expected}")
        if not valid(value):
            raise ReleaseError(f"{self._where}{key}: found {value!r}, expected {expected}")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        return str(self.take(key, "a text in one line", _is_line, default))

    def count(self, key: str) -> int:
        return int(self.take(key, "a whole number of 0 or more", _is_count, 0))

    def names(
        self, key: str, expected: str, valid: Callable[[str], bool], default: Any = ()
    ) -> tuple[str, ...]:
        return tuple(self.take(key, expected, _list_of(valid), default))

    def table(self, key: str) -> "_Table":
        return _Table(f"{self._where}{key}.", self._left.pop(key, {}))

    def tables(self, key: str) -> list["_Table"]:
        many = self.take(key, "tables [[…]]", lambda value: isinstance(value, list), [])
        return [_Table(f"{self._where}{key} {n}: ", table) for n, table in enumerate(many, 1)]

    def rest(self, expected: str, valid: Callable[[Any], bool]) -> dict[str, Any]:
        return {key: self.take(key, expected, valid, None) for key in list(self._left)}

    def end(self) -> None:
        """Refuse what nobody took."""
        for key in self._left:
            raise ReleaseError(f"{self._where}{key}: no key of a manifest")


def _entry(path: Path, name: str, value: Any) -> ReleaseEntry:
    if not _NAME.fullmatch(name):
        raise ReleaseError(f"{path}: [{name}]: expected a name of letters, digits, dots, - and _")
    table = _Table(f"{path}: [{name}] ", value)
    entry = ReleaseEntry(
        name=name,
        title=table.text("title"),
        terms=table.text("terms"),
        verified=table.take("verified", "true or false", lambda v: isinstance(v, bool), False),
        seen=table.text("seen", "nobody has said where"),
        notes=table.text("notes", ""),
        mirrors=table.names("mirrors", "a list of URLs", _is_url),
        archives=tuple(_archive(part) for part in table.tables("archives")),
        bytes=table.table("bytes").rest("a whole number of 0 or more", _is_count),
        sha256=table.table("sha256").rest("64 hex digits, in small letters", _is_sha256),
        classes=table.names("classes", "a list of names", _is_line),
        expected=_expected(
            table.table("expected"), table.names("left_out", "a list of names", _is_line)
        ),
    )
    table.end()
    listed = {file for archive in entry.archives for file in archive.files}
    for key, files in (("bytes", entry.bytes), ("sha256", entry.sha256)):
        for file in files:
            if file not in listed:
                raise ReleaseError(f"{path}: [{name}] {key}.{file}: no archive lists this file")
    return entry


def _archive(table: _Table) -> ListedArchive:
    files = table.names("files", "a list of plain file names, one at least", _is_file, None)
    unpacked = table.names("unpacked", "a list of names", _is_file)
    mirrors = table.names("mirrors", "a list of URLs", _is_url)
    table.end()
    return ListedArchive(files, mirrors, unpacked or (files[0].partition(".")[0],))


def _expected(table: _Table, left_out: tuple[str, ...]) -> Expected:
    keys = ("images", "positives", "negatives", "boxes", "absent_positives")
    counts = {key: table.count(key) for key in keys}
    by_class = table.table("boxes_by_class").rest("a whole number of 0 or more", _is_count)
    table.end()
    return Expected(**counts, boxes_by_class=by_class, left_out=left_out)


def _is_line(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable()


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_file(value: str) -> bool:
    return _FILE.fullmatch(value) is not None and not value.endswith((".", " "))


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def _is_url(value: str) -> bool:
    try:
        return "://" in value and bool(shown_url(value))
    except ReleaseError:
        return False


def _list_of(valid: Callable[[str], bool]) -> Callable[[Any], bool]:
    """Whether a value is such a list; an empty one is left out rather than written."""
    return lambda value: (
        value == ()
        or (
            isinstance(value, list) and value != [] and all(_is_line(v) and valid(v) for v in value)
        )
    )
