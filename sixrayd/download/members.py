"""Files inside a release's archives and folders, read as streams; nothing is unpacked to disk.

What an archive says of itself is not believed: links, devices, paths that leave the archive and
sizes beyond reason are faults.
"""

import gzip
import io
import lzma
import os
import posixpath
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from sixrayd.core.findings import Flaw
from sixrayd.core.shards import StrictTarInfo
from sixrayd.datasets.labels import LIMITS
from sixrayd.datasets.places import IMAGES as IMAGES
from sixrayd.datasets.places import suffix_of as suffix_of
from sixrayd.download.faults import Faults, shown, why

TEXTS = frozenset(LIMITS)  # labels, lists and names of classes
_MAX_IMAGE_BYTES = 64 << 20
SUMS = "SHA256SUMS"
_OURS = {SUMS, "source.json", "removed.json", "loose.tsv"}  # beside what was fetched
_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)
_BROKEN = (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, ValueError)


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a release; `where` names it in messages."""

    where: str
    data: bytes

    @property
    def stem(self) -> str:
        """File name without folder and suffix."""
        return posixpath.splitext(posixpath.basename(self.where))[0]

    @property
    def suffix(self) -> str:
        """Lower-case suffix with its dot."""
        return suffix_of(self.where)


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
                self._file = self._paths.pop().open("rb")

    def close_part(self) -> None:
        """Close the part being read."""
        if self._file:
            self._file.close()
        self._file = None

    def close(self) -> None:
        self.close_part()
        super().close()


def tar_members(
    parts: Sequence[Path], name: str, faults: Faults, suffixes: Collection[str]
) -> Iterator[Member]:
    """Files of a tar, gzipped or not, that may be cut in parts; one is in memory at a time."""
    at = f"{parts[0].name} to {parts[-1].name}" if len(parts) > 1 else parts[0].name
    try:
        with ExitStack() as stack:
            joined = stack.enter_context(JoinedParts(parts))
            stream: io.BufferedIOBase = io.BufferedReader(joined, 1 << 20)
            if not name.lower().endswith(".tar"):
                stream = stack.enter_context(gzip.GzipFile(fileobj=stream))
            tar = stack.enter_context(
                tarfile.open(fileobj=stream, mode="r|", tarinfo=StrictTarInfo)
            )
            yield from _plain_files(tar, name, faults, suffixes)
            if _has_more(stream):
                faults.add(at, "more data follows the tar's end")
    except _BROKEN as error:
        reason = "ends too early: its last part is missing or truncated"
        said = reason if isinstance(error, EOFError) else f"broken ({error})"
        faults.add(at, said, Flaw.NOT_READ)


def _plain_files(
    tar: tarfile.TarFile, name: str, faults: Faults, suffixes: Collection[str]
) -> Iterator[Member]:
    while (entry := tar.next()) is not None:
        # tarfile would keep every header
        tar.members = []  # type: ignore[attr-defined]
        inside = _plain(entry.name)
        where = shown(f"{name}/{inside}")
        suffix = suffix_of(inside)
        if entry.isdir() or _is_clutter(inside):
            continue
        if suffix not in suffixes:
            _pass_over(where, suffix, faults)
            continue
        file = tar.extractfile(entry) if entry.type in _PLAIN and not entry.issparse() else None
        if file is None:
            faults.add(where, "a link, device or sparse file; refused", Flaw.NOT_READ)
        elif _is_welcome(inside, entry.size, where, faults):
            yield Member(where, file.read())


def zip_members(path: Path, faults: Faults, suffixes: Collection[str]) -> Iterator[Member]:
    """Files of a zip; those of other suffixes are passed over unread."""
    opened = False
    try:
        with zipfile.ZipFile(path) as archive:
            opened = True
            for entry in archive.infolist():
                name = _plain(entry.filename)
                where = shown(f"{path.name}/{name}")
                suffix = suffix_of(name)
                if entry.is_dir() or _is_clutter(name):
                    continue
                if suffix not in suffixes:
                    if suffixes is IMAGES:  # the other pass, for texts, need not say it again
                        _pass_over(where, suffix, faults)
                    continue
                if entry.flag_bits & 1:
                    faults.add(where, "encrypted", Flaw.NOT_READ)
                elif _is_welcome(name, entry.file_size, where, faults):
                    yield Member(where, archive.read(entry))
    except (zipfile.BadZipFile, NotImplementedError, *_BROKEN) as error:
        if opened or suffixes is not IMAGES:  # what does not open was said by the other pass
            faults.add(path.name, f"broken zip ({error})", Flaw.NOT_READ)


def loose_files(
    root: Path, suffixes: Collection[str] | None, faults: Faults | None = None
) -> Iterator[Path]:
    """Files with one of the suffixes, or any, below a folder; sorted within each folder.

    Links to folders are followed, each folder once.

    Args:
        faults: told of folders that cannot be read.
    """

    def report(error: OSError) -> None:
        if faults is not None:
            folder = Path(error.filename)
            where = folder.relative_to(root).as_posix()
            faults.add(where, why(error, folder), Flaw.NOT_READ)

    seen = set()
    for folder, folders, names in os.walk(root, followlinks=True, onerror=report):
        place = Path(folder).stat()
        if (place.st_dev, place.st_ino) in seen:
            folders[:] = []
            continue
        seen.add((place.st_dev, place.st_ino))
        folders[:] = sorted(name for name in folders if not _is_clutter(name))
        for name in sorted(names):
            wanted = suffixes is None or suffix_of(name) in suffixes
            if wanted and name not in _OURS and not _is_clutter(name):
                yield Path(folder, name)


def loose_members(root: Path, faults: Faults, suffixes: Collection[str]) -> Iterator[Member]:
    """Files with one of the suffixes anywhere below a folder."""
    for path in loose_files(root, suffixes):
        where = _plain(shown(path.relative_to(root).as_posix()))
        try:
            if _is_welcome(path.name, path.stat().st_size, where, faults):
                yield Member(where, path.read_bytes())
        except OSError as error:
            faults.add(where, why(error, path), Flaw.NOT_READ)


def _plain(name: str) -> str:
    """A path with slashes, as some programs on Windows do not write it."""
    return name if "/" in name else name.replace("\\", "/")


def _pass_over(where: str, suffix: str, faults: Faults) -> None:
    """Count a file that is neither image nor text; an archive within one is a fault."""
    if suffix in (".tar", ".tgz", ".zip", ".rar", ".7z") or where.lower().endswith(".tar.gz"):
        text = "an archive within an archive; unpack it beside the others"
        faults.add(where, text, Flaw.NOT_READ)
    elif suffix not in TEXTS:
        faults.passed_over[suffix or "no suffix"] += 1


def _is_clutter(name: str) -> bool:
    *folders, base = name.rstrip("/").split("/")
    return base.startswith(".") or "__MACOSX" in folders


def _is_welcome(name: str, size: int, where: str, faults: Faults) -> bool:
    limit = LIMITS.get(suffix_of(name), _MAX_IMAGE_BYTES)
    if name.startswith("/") or ".." in name.split("/"):
        faults.add(where, "a path that leaves the archive; refused", Flaw.NOT_READ)
    elif size > limit:
        faults.add(where, f"{size} bytes, at most {limit} are read", Flaw.NOT_READ)
    else:
        return True
    return False


def _has_more(stream: io.BufferedIOBase) -> bool:
    """Read to the end, so that the checksum is checked; whether anything but zeros came."""
    more = False
    while chunk := stream.read(1 << 20):
        more = more or any(chunk)
    return more
