"""Files of a set where they lie: in a folder, in archives within it, in one. None is unpacked."""

import io
import lzma
import os
import posixpath
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sixrayd.core.errors import AnnotationError
from sixrayd.core.files import TOO_MUCH, Reading, open_plain, shown
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.growth import Allowance
from sixrayd.core.shards import entries_of, plain_file
from sixrayd.datasets.packing import member_bytes, opened_zip
from sixrayd.datasets.tars import (
    TarParts,
    Tell,
    opened_tar,
    place_of,
    start_of_tar,
)

IMAGES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff"))
_MOST_DEEP = 100
LONGEST_PATH = 4096  # signs of a file's path in an archive, which each finding in it names
TOO_DEEP = f"folders {_MOST_DEEP} deep in others; those in it are left out"
ARCHIVE = re.compile(  # a name of an archive or of a part of one, whether we read it or not
    r".*\.(tar|tgz|taz|t?bz2?|txz|tlz|tzst|zip|z\d\d|rar|r\d\d|7z|gz|xz|zst|lzma|lz4?|lzo|z"
    r"|cpio|iso|cab)([._-]?(part)?\d*|[._-]?(part)?a{1,2}[a-z])",
    re.IGNORECASE | re.DOTALL,
)
BROKEN = (  # what reading a hostile archive or file may raise; not want of memory, which is ours
    *(OSError, EOFError, ValueError, RuntimeError, NotImplementedError),
    *(OverflowError, LookupError),
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError),
)


@dataclass(frozen=True, slots=True)
class PlacedFile:
    """A file of a set.

    Args:
        where: its path within the set.
        size: in bytes; reading gives no more.
    """

    where: str
    size: int
    open: Callable[[], IO[bytes]]

    @property
    def suffix(self) -> str:
        """Lower-case suffix with its dot."""
        return suffix_of(self.where)

    def read(self) -> bytes:
        """What the file holds.

        Raises:
            one of `BROKEN`.
        """
        with self.open() as file:
            return file.read(self.size)


def files_at(place: Path, findings: list[Finding]) -> Iterator[PlacedFile]:
    """Every file of a set, sorted within each folder; a zip counts as a folder, and so does a tar,
    which may be cut in parts and comes last. Files of an archive are read before the next is asked
    for.

    Links are followed, each folder once.

    Args:
        findings: told of what cannot be read.

    Raises:
        AnnotationError: the place is no folder, zip, tar or JSON file, or cannot be read.
    """
    allowance = Allowance()
    if place.is_dir():
        yield from _in_folder(place, findings, allowance)
    elif not place.exists():
        raise AnnotationError(f"{place}: no such file or folder")
    elif place.is_file() and zipfile.is_zipfile(place):
        yield from _in_zip(place, "", findings, allowance)
    elif start_of_tar(place.name) is not None and place.is_file():
        tars = TarParts(place.parent, _telling(findings))
        tars.take(place)
        yield from _in_tars(tars, findings, allowance)
    elif place.suffix.lower() == ".json" and place.is_file():
        yield PlacedFile(place.name, place.stat().st_size, lambda: open_plain(place))
    else:
        raise AnnotationError(
            f"{place}: no folder, zip, tar or .json of labels; unpack it and name its folder"
        )


def suffix_of(where: str) -> str:
    """Lower-case suffix with its dot."""
    return posixpath.splitext(where)[1].lower()


def is_too_deep(folder: str, root: Path) -> bool:
    """Whether folders of a folder lie deeper than is read."""
    return len(Path(folder).relative_to(root).parts) >= _MOST_DEEP


def walk(root: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """`os.walk`, through no link.

    Raises:
        AnnotationError: folders lie deeper in others than is read.
    """
    for folder, folders, names in os.walk(root):
        if folders and is_too_deep(folder, root):
            raise AnnotationError(f"{shown(folder)}: {TOO_DEEP.partition(';')[0]}; flatten them")
        yield folder, folders, names


def _in_folder(root: Path, findings: list[Finding], allowance: Allowance) -> Iterator[PlacedFile]:
    def note(flaw: Flaw, path: str | Path, text: str) -> None:
        findings.append(Finding(flaw, shown(Path(path).relative_to(root).as_posix()), text))

    def report(error: OSError) -> None:
        note(Flaw.NOT_READ, error.filename, f"cannot be read ({error.strerror})")

    tars, reading = TarParts(root, _telling(findings)), Reading()
    seen: dict[tuple[int, int], Path] = {}
    for folder, folders, names in os.walk(root, followlinks=True, onerror=report):
        state = Path(folder).stat()
        first = seen.setdefault((state.st_dev, state.st_ino), Path(folder))
        if first != Path(folder):
            text = f"the same folder as {shown(first.relative_to(root).as_posix())}; read once"
            note(Flaw.FOLDER_TWICE, folder, text)
            folders[:] = []
            continue
        if folders and is_too_deep(folder, root):
            note(Flaw.NOT_READ, folder, TOO_DEEP)
            folders[:] = []
        folders[:] = sorted(name for name in folders if not _is_clutter(name))
        for path in (Path(folder, name) for name in sorted(names) if not _is_clutter(name)):
            where = shown(path.relative_to(root).as_posix())
            try:
                state = path.stat()
            except OSError as error:
                note(Flaw.NOT_READ, path, f"cannot be read ({error.strerror})")
                continue
            if not stat.S_ISREG(state.st_mode):
                note(Flaw.NOT_READ, path, "no plain file")
            elif path.suffix.lower() == ".zip":
                yield from _in_zip(path, f"{where}/", findings, allowance)
            elif tars.take(path):
                continue
            elif ARCHIVE.fullmatch(path.name):
                note(Flaw.NOT_READ, path, "an archive that is not read; unpack it")
            else:
                yield _loose(path, where, state.st_size, reading)
    yield from _in_tars(tars, findings, allowance)


def _loose(path: Path, where: str, size: int, reading: Reading) -> PlacedFile:
    def opened() -> IO[bytes]:
        if not reading.takes(path):
            raise ValueError(f"not read: {TOO_MUCH}")
        return open_plain(path)

    return PlacedFile(where, size, opened)


def _in_zip(
    path: Path, prefix: str, findings: list[Finding], allowance: Allowance
) -> Iterator[PlacedFile]:
    try:
        with open_plain(path) as file, opened_zip(file) as archive:
            allowance.packed += path.stat().st_size
            for entry in sorted(archive.infolist(), key=lambda entry: entry.filename):
                where = shown(prefix + slashed(entry.filename))
                if entry.is_dir() or any(map(_is_clutter, where.split("/"))):
                    continue
                if text := path_fault(where):
                    findings.append(Finding(Flaw.NOT_READ, where[:100], text))
                elif entry.flag_bits & 1:
                    findings.append(Finding(Flaw.NOT_READ, where, "encrypted"))
                elif ARCHIVE.fullmatch(where):
                    text = "an archive within a zip, which is not read; unpack it"
                    findings.append(Finding(Flaw.NOT_READ, where, text))
                else:
                    yield _packed(archive, entry, where, allowance)
    except BROKEN as error:
        name = prefix.rstrip("/") or path.name
        findings.append(Finding(Flaw.NOT_READ, name, f"broken zip ({error})"))


def _telling(findings: list[Finding]) -> Tell:
    def tell(where: str, what: str, flaw: Flaw | None = None) -> None:
        findings.append(Finding(flaw or Flaw.NOT_READ, shown(where), what))

    return tell


def _in_tars(tars: TarParts, findings: list[Finding], allowance: Allowance) -> Iterator[PlacedFile]:
    for name, parts in tars.in_order().items():
        if not parts:
            continue
        try:
            allowance.packed += sum(part.stat().st_size for part in parts)
            yield from _in_tar(parts, name, findings, allowance)
        except BROKEN as error:
            text = f"broken tar ({str(error) or 'it ends too early'})"
            findings.append(Finding(Flaw.NOT_READ, place_of(parts), text))


def _in_tar(
    parts: Sequence[Path], name: str, findings: list[Finding], allowance: Allowance
) -> Iterator[PlacedFile]:
    with opened_tar(parts, name, allowance) as (tar, stream):
        for entry in entries_of(tar):
            where = shown(f"{name}/{slashed(entry.name)}")
            if entry.isdir() or any(map(_is_clutter, where.split("/"))):
                continue
            file = plain_file(tar, entry)
            if text := path_fault(where):
                findings.append(Finding(Flaw.NOT_READ, where[:100], text))
            elif file is None:
                text = "a link, device or sparse file; refused"
                findings.append(Finding(Flaw.NOT_READ, where, text))
            elif ARCHIVE.fullmatch(where):
                text = "an archive within a tar, which is not read; unpack it"
                findings.append(Finding(Flaw.NOT_READ, where, text))
            else:
                yield _streamed(file, where, entry.size)
        if stream.has_more():
            findings.append(Finding(Flaw.NOT_READ, place_of(parts), "more data follows its end"))


def _streamed(file: IO[bytes], where: str, size: int) -> PlacedFile:
    return PlacedFile(where, size, lambda: file)


def _packed(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, where: str, allowance: Allowance
) -> PlacedFile:
    # Whole: of an image's header, seeks to and fro would unpack it again and again.
    return PlacedFile(
        where, entry.file_size, lambda: io.BytesIO(member_bytes(archive, entry, allowance))
    )


def path_fault(where: str) -> str:
    """What is wrong with a path in an archive; empty where nothing is."""
    if len(where) <= LONGEST_PATH:
        return ""
    return f"a path of {len(where)} signs, at most {LONGEST_PATH} are read"


def slashed(path: str) -> str:
    """A path with slashes, as some programs on Windows do not write it."""
    return path if "/" in path else path.replace("\\", "/")


def _is_clutter(name: str) -> bool:
    return name == "__MACOSX" or (name.startswith(".") and name not in (".", ".."))
