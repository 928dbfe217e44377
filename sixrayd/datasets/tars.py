"""Tars, packed or not, whole or cut in parts: which files make up one, in which order, and reading
them as a stream.
"""

import io
import re
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from sixrayd.core.files import open_plain, why
from sixrayd.core.findings import Flaw
from sixrayd.core.growth import Allowance
from sixrayd.core.shards import StrictTarInfo
from sixrayd.datasets.packing import BoundedStream, packing_of

_TAR = re.compile(
    r"(?P<name>.+\.(?:tar\.(?:gz|bz2|xz|lzma)|tgz|tbz2?|txz|tlz|tar))"
    r"(?:[._-]?(?:part)?(?P<part>\d+|(?!xz|lz|gz|bz|br|zst)[a-z]{2,3}))?[._-]?",
    re.IGNORECASE,
)
_STARTS = {
    **{b"\x1f\x8b": ".tar.gz", b"BZh": ".tar.bz2", b"\xfd7zXZ\x00": ".tar.xz"},
    **{b"PK\x03\x04": ".zip", b"Rar!\x1a\x07": ".rar", b"7z\xbc\xaf": ".7z"},
}
_PAGES = (b"<?xml", b"<!doct", b"<html", b"<error")


class Tell(Protocol):
    """Takes note of what is wrong with a file."""

    def __call__(self, where: str, what: str, flaw: Flaw | None = None) -> None: ...


class TarParts:
    """Files of a folder that are tars or parts of one; met in the order of their names.

    Args:
        tell: told of parts that are there twice, missing, or something else.
    """

    def __init__(self, root: Path, tell: Tell) -> None:
        self._root, self._tell = root, tell
        self._named: dict[str, dict[int, Path]] = {}
        self._runs: set[str] = set()

    def take(self, path: Path) -> bool:
        """Add a file below the folder; False where it is none by its name."""
        match = _TAR.fullmatch(path.name)
        if not match or not _is_part(path, match["part"] or "", self._runs):
            return False
        key = path.relative_to(self._root).with_name(match["name"]).as_posix()
        parts, number = self._named.setdefault(key, {}), _number(match["part"] or "0")
        if number in parts:
            text = f"is the same part as {parts[number].name}; keep one of them"
            self._tell(path.name, text)
        parts.setdefault(number, path)
        return True

    def in_order(self) -> dict[str, tuple[Path, ...]]:
        """Name without part number → its parts, as far as they follow each other."""
        named = sorted(self._named.items())
        return {name: _in_order(name, parts, self._tell) for name, parts in named}


class JoinedParts(io.RawIOBase):
    """Files that were cut from one, read as that one."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = list(reversed(paths))
        self._file: io.BufferedReader | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while True:
            count = self._file.readinto(buffer) if self._file else 0
            if count or not (self._file or self._paths):
                return count
            self.close_part()
            if self._paths:
                self._file = open_plain(self._paths.pop())

    def close_part(self) -> None:
        """Close the part being read."""
        if self._file:
            self._file.close()
        self._file = None

    def close(self) -> None:
        self.close_part()
        super().close()


@contextmanager
def opened_tar(
    parts: Sequence[Path], name: str, allowance: Allowance
) -> Iterator[tuple[tarfile.TarFile, BoundedStream]]:
    """A tar, read once from its begin to its end, and the stream that it comes from.

    Args:
        name: without part number, which tells how it is packed.
        allowance: what may come out of it.

    Raises:
        tarfile.TarError: it is none; where it holds another archive, that is said.
    """
    with ExitStack() as stack:
        joined = io.BufferedReader(stack.enter_context(JoinedParts(parts)), 1 << 20)
        unpacked = stack.enter_context(packing_of(name).open(joined))
        stream = BoundedStream(unpacked, allowance)
        try:
            tar = stack.enter_context(
                tarfile.open(fileobj=cast(BinaryIO, stream), mode="r|", tarinfo=StrictTarInfo)
            )
        except (tarfile.TarError, EOFError) as error:
            if (real := _suffix_by(stream.head)) in ("", ".tar"):
                raise
            advice = f"unpack it once, and name what comes out so that it ends in {real}"
            raise tarfile.ReadError(f"packed twice, it holds a {real}; {advice}") from error
        yield tar, stream


def place_of(parts: Sequence[Path]) -> str:
    """Names of the first and the last part, for messages."""
    return f"{parts[0].name} to {parts[-1].name}" if len(parts) > 1 else parts[0].name


def is_archive(path: Path, magic: bytes, tell: Tell) -> bool:
    """Whether a file begins as it should."""
    head = _head(path, tell)
    if not head:
        return False
    fault, real = wrong_start(head, magic), "" if _is_page(head) else _suffix_by(head)
    if not fault and path.name.lower().endswith(".tar") and real not in ("", ".tar"):
        fault = f"begins with {head[:8]!r}, as no plain tar does"
    if fault:
        advice = f"by that it is a {real}: rename it so" if real else "fetch it again"
        tell(path.name, f"{fault}; {advice}", Flaw.NOT_READ)
    return not fault


def start_of_tar(name: str) -> bytes | None:
    """The bytes that a tar, or a part of one, begins with; None for what is none by its name."""
    if match := _TAR.fullmatch(name):
        return b"" if _number(match["part"] or "0") else packing_of(match["name"]).magic
    return None


def wrong_start(head: bytes, magic: bytes = b"") -> str:
    """What is wrong with an archive's first bytes; empty where nothing is."""
    if _is_page(head):
        text = " ".join(head[:400].decode("utf-8", "replace").split())[:160]
        return f"begins with {text!r}: an error page under the archive's name"
    if not head.startswith(magic):
        return f"begins with {head[:8]!r}, expected {magic!r}"
    return ""


def _is_page(head: bytes) -> bool:
    return head.lstrip()[:6].lower().startswith(_PAGES)


def _suffix_by(head: bytes) -> str:
    """How an archive's name should end by its first bytes; empty where these tell nothing."""
    if head[257:262] == b"ustar":
        return ".tar"
    return next((suffix for start, suffix in _STARTS.items() if head.startswith(start)), "")


def _is_part(path: Path, part: str, runs: set[str]) -> bool:
    """Whether a suffix names a part: `split` writes aa, ab … or aaa, aab …, never .asc or .bak.

    Args:
        runs: names whose first parts were met, which sort before the others.
    """
    if not part or part.isdecimal():
        return True
    run = f"{str(path)[: -len(part)]} {len(part)}"
    if set(part[:-1].lower()) == {"a"}:
        runs.add(run)
    return run in runs


def _number(part: str) -> int:
    """Of a part: 00, 01 … or, as `split` names them, aa, ab …"""
    if part.isdecimal():
        return int(part)
    number = 0
    for letter in part.lower():
        number = 26 * number + ord(letter) - ord("a")
    return number


def _in_order(name: str, parts: dict[int, Path], tell: Tell) -> tuple[Path, ...]:
    magic, start = packing_of(name).magic, min(parts)
    if start > 0 and not _head(parts[start], tell).startswith(magic):
        tell(name, f"part {_part_name(parts, 0)} is missing, found {parts[start].name}")
        return ()
    end = next((n for n in range(start, max(parts)) if n not in parts), max(parts) + 1)
    if end <= max(parts):
        tell(name, f"part {_part_name(parts, end)} is missing")
    found = [parts[number] for number in range(start, end)]
    good = [is_archive(path, b"" if i else magic, tell) for i, path in enumerate(found)]
    return tuple(found[: [*good, False].index(False)])


def _part_name(parts: dict[int, Path], number: int) -> str:
    path = parts[min(parts)]
    match = _TAR.fullmatch(path.name)
    part = (match["part"] if match else None) or ""
    if part.isdecimal():
        other = f"{number:0{len(part)}d}"
    else:
        other = "".join(chr(ord("a") + number // 26**n % 26) for n in reversed(range(len(part))))
    return path.name[: len(path.name) - len(part)] + other


def _head(path: Path, tell: Tell) -> bytes:
    """The first bytes of a file; none, and a fault, where it is empty or cannot be read."""
    try:
        with open_plain(path) as file:
            head = file.read(tarfile.BLOCKSIZE)
    except OSError as error:
        tell(path.name, why(error, path), Flaw.NOT_READ)
        return b""
    if not head:
        tell(path.name, "is empty; fetch it again", Flaw.NOT_READ)
    return head
