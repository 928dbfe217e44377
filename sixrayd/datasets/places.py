"""Files of a set where they lie: in a folder, in zips within it, in one zip. None is unpacked."""

import lzma
import os
import posixpath
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sixrayd.core.errors import AnnotationError
from sixrayd.core.files import open_plain
from sixrayd.core.findings import Finding, Flaw

IMAGES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff"))
ARCHIVE = re.compile(  # a name of an archive or of a part of one, whether we read it or not
    r".*\.(tar|tgz|taz|t?bz2?|txz|tlz|tzst|zip|z\d\d|rar|r\d\d|7z|gz|xz|zst|lzma|lz4?|lzo|z"
    r"|cpio|iso|cab)([._-]?(part)?\d*|[._-]?(part)?a{1,2}[a-z])",
    re.IGNORECASE | re.DOTALL,
)
BROKEN = (  # what reading a hostile archive or file may raise
    *(OSError, EOFError, ValueError, RuntimeError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
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
    """Every file of a set, sorted within each folder; a zip counts as a folder.

    Links are followed, each folder once.

    Args:
        findings: told of what cannot be read.

    Raises:
        AnnotationError: the place is no folder, zip or JSON file, or cannot be read.
    """
    if place.is_dir():
        yield from _in_folder(place, findings)
    elif not place.exists():
        raise AnnotationError(f"{place}: no such file or folder")
    elif place.is_file() and zipfile.is_zipfile(place):
        yield from _in_zip(place, "", findings)
    elif place.suffix.lower() == ".json" and place.is_file():
        yield PlacedFile(place.name, place.stat().st_size, lambda: open_plain(place))
    else:
        raise AnnotationError(
            f"{place}: no folder, no zip and no .json of labels; unpack it and name its folder"
        )


def suffix_of(where: str) -> str:
    """Lower-case suffix with its dot."""
    return posixpath.splitext(where)[1].lower()


def _in_folder(root: Path, findings: list[Finding]) -> Iterator[PlacedFile]:
    def note(flaw: Flaw, path: str | Path, text: str) -> None:
        findings.append(Finding(flaw, shown(Path(path).relative_to(root).as_posix()), text))

    def report(error: OSError) -> None:
        note(Flaw.NOT_READ, error.filename, f"cannot be read ({error.strerror})")

    seen: dict[tuple[int, int], Path] = {}
    for folder, folders, names in os.walk(root, followlinks=True, onerror=report):
        state = Path(folder).stat()
        first = seen.setdefault((state.st_dev, state.st_ino), Path(folder))
        if first != Path(folder):
            text = f"the same folder as {shown(first.relative_to(root).as_posix())}; read once"
            note(Flaw.FOLDER_TWICE, folder, text)
            folders[:] = []
            continue
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
                yield from _in_zip(path, f"{where}/", findings)
            elif ARCHIVE.fullmatch(path.name):
                note(Flaw.NOT_READ, path, "an archive that is not read; unpack it")
            else:
                yield _loose(path, where, state.st_size)


def _loose(path: Path, where: str, size: int) -> PlacedFile:
    return PlacedFile(where, size, lambda: open_plain(path))


def _in_zip(path: Path, prefix: str, findings: list[Finding]) -> Iterator[PlacedFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in sorted(archive.infolist(), key=lambda entry: entry.filename):
                where = shown(prefix + slashed(entry.filename))
                if entry.is_dir() or any(map(_is_clutter, where.split("/"))):
                    continue
                if entry.flag_bits & 1:
                    findings.append(Finding(Flaw.NOT_READ, where, "encrypted"))
                elif ARCHIVE.fullmatch(where):
                    text = "an archive within a zip, which is not read; unpack it"
                    findings.append(Finding(Flaw.NOT_READ, where, text))
                else:
                    yield _packed(archive, entry, where)
    except BROKEN as error:
        name = prefix.rstrip("/") or path.name
        findings.append(Finding(Flaw.NOT_READ, name, f"broken zip ({error})"))


def _packed(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, where: str) -> PlacedFile:
    return PlacedFile(where, entry.file_size, lambda: archive.open(entry))


def slashed(path: str) -> str:
    """A path with slashes, as some programs on Windows do not write it."""
    return path if "/" in path else path.replace("\\", "/")


def shown(name: str) -> str:
    """A file's name as text: bytes that are no UTF-8 as escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _is_clutter(name: str) -> bool:
    return name == "__MACOSX" or (name.startswith(".") and name not in (".", ".."))


def why(error: OSError, path: Path) -> str:
    """Why a file cannot be read."""
    if isinstance(error, FileNotFoundError) and path.is_symlink():
        return f"a link to {shown(str(path.readlink()))}, where nothing is"
    return f"cannot be read ({error.strerror or error})"
