"""Files inside a release's archives and folders, read as streams; nothing is unpacked to disk.

What an archive says of itself is not believed: links, devices, paths that leave the archive and
sizes beyond reason are faults.
"""

import os
import posixpath
import tarfile
import zipfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sixrayd.core.files import TOO_MUCH, Reading, open_plain, shown, why
from sixrayd.core.findings import Flaw
from sixrayd.core.growth import Allowance
from sixrayd.core.shards import MAX_IMAGE_BYTES, entries_of, plain_file
from sixrayd.datasets.labels import LIMITS
from sixrayd.datasets.packing import member_bytes, opened_zip
from sixrayd.datasets.places import ARCHIVE, BROKEN, TOO_DEEP, is_too_deep, path_fault, slashed
from sixrayd.datasets.places import IMAGES as IMAGES
from sixrayd.datasets.places import suffix_of as suffix_of
from sixrayd.datasets.tars import opened_tar, place_of
from sixrayd.download.faults import Faults

TEXTS = frozenset(LIMITS)  # labels, lists and names of classes
SUMS = "SHA256SUMS"
OURS = {SUMS, "source.json", "arrived.jsonl", "removed.json", "loose.tsv"}  # beside what came


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


@dataclass(slots=True)
class _LastMember:
    """How far a tar has been read."""

    where: str = ""
    size: int = 0  # bytes, by its header
    begin: int = 0  # of its bytes in the tar
    whole: bool = False

    def lost(self, error: BaseException, read_bytes: int) -> str:
        """What to say of an error after which nothing more can be read."""
        deep = isinstance(error, RecursionError)
        why = "too many headers before one file" if deep else error
        said, came = f"broken ({why})", max(read_bytes - self.begin, 0)
        if isinstance(error, EOFError):
            said = "ends too early: its last part is missing or truncated"
            if self.where and came < self.size:
                text = f"{came} bytes of {self.where} came, {self.size} expected by its header"
                return f"{said}; {text}"
        return (
            f"{said}; lost {'after' if self.whole else 'from'} {self.where}" if self.where else said
        )


def tar_members(
    parts: Sequence[Path],
    name: str,
    faults: Faults,
    suffixes: Collection[str],
    allowance: Allowance | None = None,
) -> Iterator[Member]:
    """Files of a tar, packed or not, that may be cut in parts; one is in memory at a time.

    Args:
        allowance: what may come out of the release; None for what may come out of these parts.
    """
    at = place_of(parts)
    last, stream = _LastMember(), None
    try:
        allowance = allowance or allowed(parts)
        with opened_tar(parts, name, allowance) as (tar, stream):
            yield from _plain_files(tar, name, faults, suffixes, last)
            if stream.has_more():
                faults.add(at, "more data follows the tar's end")
    except BROKEN as error:
        faults.add(at, last.lost(error, stream.given if stream else 0), Flaw.NOT_READ)


def _plain_files(
    tar: tarfile.TarFile,
    name: str,
    faults: Faults,
    suffixes: Collection[str],
    last: _LastMember,
) -> Iterator[Member]:
    for entry in entries_of(tar):
        inside = slashed(entry.name)
        where = shown(f"{name}/{inside}")
        last.where, last.size, last.begin, last.whole = where, entry.size, entry.offset_data, False
        suffix = suffix_of(inside)
        if entry.isdir() or _is_clutter(inside):
            continue
        if suffix not in suffixes:
            _pass_over(where, suffix, faults)
            continue
        file = plain_file(tar, entry)
        if file is None:
            faults.add(where, "a link, device or sparse file; refused", Flaw.NOT_READ)
        elif _is_welcome(inside, entry.size, where, faults):
            member = Member(where, file.read())
            last.whole = True
            yield member
    last.where = ""  # nothing is lost from here on


def allowed(archives: Sequence[Path]) -> Allowance:
    """What may come out of archives, all together."""
    return Allowance(sum(path.stat().st_size for path in archives))


def zip_members(
    path: Path, faults: Faults, suffixes: Collection[str], allowance: Allowance | None = None
) -> Iterator[Member]:
    """Files of a zip; those of other suffixes are passed over unread.

    Args:
        allowance: what may come out of the release; None for what may come out of this zip.
    """
    opened = False
    try:
        with open_plain(path) as file, opened_zip(file) as archive:
            opened, allowance = True, allowance or allowed([path])
            for entry in archive.infolist():
                name = slashed(entry.filename)
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
                    data = _unzipped(archive, entry, where, faults, allowance)
                    if data is not None:
                        yield Member(where, data)
    except BROKEN as error:
        if opened or suffixes is not IMAGES:  # what does not open was said by the other pass
            faults.add(path.name, f"broken zip ({error})", Flaw.NOT_READ)


def _unzipped(
    archive: zipfile.ZipFile,
    entry: zipfile.ZipInfo,
    where: str,
    faults: Faults,
    allowance: Allowance,
) -> bytes | None:
    """What one file of a zip holds; None, and a fault, where it is broken: others may be whole."""
    try:
        return member_bytes(archive, entry, allowance)
    except BROKEN as error:
        faults.add(where, f"cannot be unpacked ({error})", Flaw.NOT_READ)
        return None


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
        if folders and is_too_deep(folder, root):
            if faults is not None:
                faults.add(Path(folder).relative_to(root).as_posix(), TOO_DEEP, Flaw.NOT_READ)
            folders[:] = []
        folders[:] = sorted(name for name in folders if not _is_clutter(name))
        for name in sorted(names):
            wanted = suffixes is None or suffix_of(name) in suffixes
            if wanted and name not in OURS and not _is_clutter(name):
                yield Path(folder, name)


def loose_members(root: Path, faults: Faults, suffixes: Collection[str]) -> Iterator[Member]:
    """Files with one of the suffixes anywhere below a folder."""
    reading = Reading()
    for path in loose_files(root, suffixes):
        where = slashed(shown(path.relative_to(root).as_posix()))
        try:
            with open_plain(path) as file:
                size = os.fstat(file.fileno()).st_size
                data = None
                if _is_welcome(path.name, size, where, faults):
                    if reading.takes(path):
                        data = file.read(size)
                    else:
                        faults.add(where, f"not read: {TOO_MUCH}", Flaw.NOT_READ)
        except OSError as error:
            faults.add(where, why(error, path), Flaw.NOT_READ)
            continue
        if data is not None:
            yield Member(where, data)


def _pass_over(where: str, suffix: str, faults: Faults) -> None:
    """Count a file that is neither image nor text; an archive within one is a fault."""
    if ARCHIVE.fullmatch(where):
        text = "an archive within an archive; unpack it beside the others"
        faults.add(where, text, Flaw.NOT_READ)
    elif suffix not in TEXTS:
        faults.pass_over(suffix)


def _is_clutter(name: str) -> bool:
    *folders, base = name.rstrip("/").split("/")
    return base.startswith(".") or "__MACOSX" in folders


def _is_welcome(name: str, size: int, where: str, faults: Faults) -> bool:
    limit = LIMITS.get(suffix_of(name), MAX_IMAGE_BYTES)
    if name.startswith("/") or ".." in name.split("/"):
        faults.add(where, "a path that leaves the archive; refused", Flaw.NOT_READ)
    elif text := path_fault(where):
        faults.add(where[:100], text, Flaw.NOT_READ)
    elif size > limit:
        faults.add(where, f"{size} bytes, at most {limit} are read", Flaw.NOT_READ)
    else:
        return True
    return False
