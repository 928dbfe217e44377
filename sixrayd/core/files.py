"""Files that are there whole or not at all, and their hashes."""

import errno
import hashlib
import io
import json
import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sixrayd.core.errors import SettingsError, UnfitFileError, WorkspaceError
from sixrayd.core.growth import FACTOR, Allowance
from sixrayd.core.storage import is_refusal, refusal

_MOST_TEXT = 256 << 20  # bytes of a record of a stage
MOST_BYTES = 1 << 30  # of a file that is read whole
MOST_HOLES = 1 << 30  # bytes that any file may have of them
MOST_LINES = 4_000_000  # of a text that is read in lines: a short one takes thirty times its bytes
TOO_MUCH = "links and holes give over 100 times the bytes that are written"
_NO_TEXT = "no text in UTF-8; put a good copy in its place, or remove it"
_MARK_WITHIN = 1000  # bytes, by which a file of ours is known
_BLOCK = 512  # bytes, of which a file's blocks on its disk are


@contextmanager
def replacing(path: Path, mode: int = 0o666) -> Iterator[Path]:
    """An empty file beside `path` to write to; on a clean exit it is synced and takes its place.

    Args:
        mode: of a new file, before the umask.

    Raises:
        WorkspaceError: it cannot be written; `path` is as it was.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        make_folder(path.parent)
        make_file(beside, mode)
        yield beside
        take_place(beside, path)
    except OSError as error:
        if not is_refusal(error):  # what was to be written could not be had
            raise
        raise WorkspaceError(refusal(error, path)) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def take_place(beside: Path, path: Path) -> None:
    """Sync a file and rename it: whatever happens, `path` is whole, the old file or the new."""
    with beside.open("rb") as written:
        os.fsync(written.fileno())
    beside.replace(path)
    sync_folder(path.parent)


def make_file(path: Path, mode: int = 0o666) -> None:
    """Make an empty file anew; a link that is there goes, and what it leads to stays as it is."""
    path.unlink(missing_ok=True)
    how = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    os.close(os.open(path, how, mode))


def remove_link(path: Path) -> Path:
    """The same path, where no link is any more, be it symbolic or hard: what is written there
    stays there."""
    with suppress(FileNotFoundError):
        found = path.lstat()
        several = stat.S_ISREG(found.st_mode) and found.st_nlink > 1
        if several or stat.S_ISLNK(found.st_mode):
            path.unlink()
    return path


def remove(path: Path) -> None:
    """Remove a file, a link by itself, or a folder with all that is in it.

    Raises:
        WorkspaceError: folders lie too deep in others.
    """
    if path.is_dir() and not path.is_symlink():
        try:
            shutil.rmtree(path)
        except RecursionError as error:
            text = "folders too deep in others to be removed here; remove it by `rm -r`"
            raise WorkspaceError(f"{path}: {text}") from error
    else:
        path.unlink()


def sweep(path: Path) -> None:
    """Remove what a killed process left, as far as it can be, whatever has taken its place since:
    for a pipe, `rmtree` would wait."""
    if path.is_dir() and not path.is_symlink():
        with suppress(RecursionError):
            shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Make a folder and those above it where they are missing; they survive a power cut."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(mode, parents=True, exist_ok=True)
    for made in reversed(missing):
        sync_folder(made.parent)


def sync_folder(folder: Path) -> None:
    """Make what was made, renamed and removed in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def refuse_others(path: Path, mark: re.Pattern[bytes], what: str) -> None:
    """Stop where the file that is to be replaced is somebody else's; an empty one is nobody's.

    Args:
        mark: what ours begin with.
        what: ours are, for the message.

    Raises:
        SettingsError: it holds something else.
        OSError: see `open_plain`.
    """
    if path.exists() and (start := read_plain(path, _MARK_WITHIN)) and not mark.match(start):
        raise SettingsError(f"{path}: no {what} of sixrayd; name another place")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as beside:
        beside.write_bytes(data)


def write_many(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, each whole or not at all.

    All are synced at once: one after another would take milliseconds each.
    """
    make_folder(folder)
    if not files:
        return
    renames = {folder / f".{name}.{os.getpid()}.part": folder / name for name in files}
    for beside, data in zip(renames, files.values(), strict=True):
        make_file(beside)
        beside.write_bytes(data)
    os.sync()
    for beside, path in renames.items():
        beside.replace(path)
    sync_folder(folder)


def write_json(path: Path, document: Any) -> None:
    """Write JSON with sorted keys, so that equal content gives equal bytes."""
    write_bytes(path, json_bytes(document))


def json_bytes(document: Any) -> bytes:
    """What `write_json` writes."""
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False)
    return (text + "\n").encode("utf-8", "backslashreplace")  # half a letter


def open_plain(path: Path) -> io.BufferedReader:
    """Open a file from outside.

    Raises:
        UnfitFileError: see `check_plain`; also of each read that gives more than there is.
        OSError: it cannot be read.
    """
    check_plain(path)
    return io.BufferedReader(_PlainFile(os.fspath(path), opener=_unwaiting))


def _unwaiting(path: str, flags: int) -> int:
    """Open a file so that no read waits: some of a kernel's are plain and wait for ever."""
    return os.open(path, flags | os.O_NONBLOCK)


class _PlainFile(io.FileIO):
    """A file that ends where it says: what a kernel makes up has no size, and may never end."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            return self.readall()
        with self._named():
            data = super().read(size)
        self._check(None if data is None else len(data))
        return data or b""

    def readall(self) -> bytes:
        parts = []
        while part := self.read(max(self._size() - self.tell(), 0) + io.DEFAULT_BUFFER_SIZE):
            parts.append(part)
        return b"".join(parts)

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        with self._named():
            count = super().readinto(buffer)
        self._check(count)
        return count or 0

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:  # of a read, it does not say which file it was
            error.filename = error.filename or self.name
            raise

    def _size(self) -> int:
        return os.fstat(self.fileno()).st_size  # now, for a file may have grown

    def _check(self, count: int | None) -> None:
        if count is None:
            text = "gives bytes when it likes; expected a plain file"
            raise UnfitFileError(errno.EINVAL, text, str(self.name))
        # In some files of a kernel the place that is read does not move on.
        if count and max(count, self.tell()) > (size := self._size()):
            text = f"gives more than the {size} bytes that it has; expected a plain file"
            raise UnfitFileError(errno.EINVAL, text, str(self.name))


def check_plain(path: Path) -> None:
    """Refuse what may never end, before it is opened.

    Raises:
        UnfitFileError: it is a pipe, a socket or a device, or nearly all of it is a hole.
        OSError: it is not there.
    """
    found = path.stat()
    mode = found.st_mode
    size = found.st_size if stat.S_ISREG(mode) else 0
    if size > MOST_HOLES and size > Allowance(written_bytes(path, found), MOST_HOLES).most:
        text = f"{size} bytes, nearly all of them holes; expected a file that is written"
        raise UnfitFileError(errno.EINVAL, text, str(path))
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):  # of a folder, opening says it
        return
    kind = "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
    raise UnfitFileError(errno.EINVAL, f"{kind}, expected a plain file", str(path))


def written_bytes(path: Path, found: os.stat_result) -> int:
    """Bytes of a file that are no holes; not all of them where they account for its size.

    Raises:
        OSError: it cannot be read.
    """
    if FACTOR * _BLOCK * found.st_blocks >= found.st_size:
        return _BLOCK * found.st_blocks
    with path.open("rb") as file:
        written = hole = 0
        try:
            while FACTOR * written < found.st_size:
                start = os.lseek(file.fileno(), hole, os.SEEK_DATA)
                hole = os.lseek(file.fileno(), start, os.SEEK_HOLE)
                written += hole - start
        except OSError as error:
            if error.errno != errno.ENXIO:  # else nothing but a hole follows
                return found.st_size  # the storage knows of none
        return written


class Reading:
    """How much is read of a folder: by links one file may lie there any number of times, and a file
    of holes takes no room."""

    def __init__(self) -> None:
        self._allowance = Allowance(floor=MOST_HOLES)
        self._linked: set[int] = set()

    def takes(self, path: Path) -> bool:
        """Whether a file may still be read.

        Raises:
            OSError: it cannot be.
        """
        found = path.stat()
        file = found.st_dev << 64 | found.st_ino
        if file not in self._linked:
            self._allowance.packed += written_bytes(path, found)
        if found.st_nlink > 1 or path.is_symlink():
            self._linked.add(file)
        try:
            self._allowance.take(found.st_size)
        except ValueError:
            return False
        return True


def open_to_append(path: Path) -> io.BufferedWriter:
    """Open a file to go on writing, or a new one; a link in its place goes.

    Raises:
        UnfitFileError: see `check_plain`.
        OSError: it cannot be written.
    """
    with suppress(FileNotFoundError):
        check_plain(remove_link(path))
    return path.open("ab")


def read_plain(path: Path, most: int) -> bytes:
    """What a file from outside holds, and one byte more than `most` where it holds more.

    Raises:
        OSError: see `open_plain`.
    """
    with open_plain(path) as file:  # a larger buffer than the file would be in the way
        return file.read(min(os.fstat(file.fileno()).st_size, most) + 1)[: most + 1]


def plain_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """A file of a workspace, which may be a stranger's.

    Raises:
        UnfitFileError: see `check_plain`, or it is more bytes than `most`.
        OSError: it cannot be read.
    """
    data = read_plain(path, most)
    if len(data) > most:
        raise UnfitFileError(errno.EINVAL, f"more than {most} bytes", str(path))
    return data


def plain_text(path: Path, most: int = _MOST_TEXT) -> str:
    """UTF-8 text of a workspace, which may be a stranger's.

    Raises:
        UnfitFileError: it is no text, or see `plain_bytes`.
        OSError: it cannot be read.
    """
    data = plain_bytes(path, most)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnfitFileError(errno.EINVAL, _NO_TEXT, str(path)) from error


def plain_lines(path: Path, most: int = _MOST_TEXT) -> Iterator[str]:
    """The lines of a text of a workspace, which may be a stranger's, one by one.

    Raises:
        UnfitFileError: they are more than `MOST_LINES`, or see `plain_text`.
        OSError: it cannot be read.
    """
    data = plain_bytes(path, most)
    check_lines(data, path)
    try:
        yield from text_lines(data, errors="strict")
    except UnicodeDecodeError as error:
        raise UnfitFileError(errno.EINVAL, _NO_TEXT, str(path)) from error


def check_lines(data: bytes, path: Path) -> None:
    """Refuse a text of more lines than are read.

    Raises:
        UnfitFileError: it has more than `MOST_LINES`.
    """
    if (count := count_lines(data)) > MOST_LINES:
        text = f"{count} lines, at most {MOST_LINES} are read; put a good copy in its place"
        raise UnfitFileError(errno.EINVAL, text, str(path))


def count_lines(data: bytes) -> int:
    """How many lines of a text have an end, be it that of Linux, of Windows or of old Macs."""
    return data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")


def text_lines(data: bytes, encoding: str = "utf-8", errors: str = "replace") -> Iterator[str]:
    """The lines of a text without their ends, of which one is held at a time."""
    for line in io.TextIOWrapper(io.BytesIO(data), encoding, errors):
        yield line.removesuffix("\n")


def sha256_file(path: Path) -> str:
    """SHA-256 of a file, in hex.

    Raises:
        OSError: see `open_plain`.
    """
    with open_plain(path) as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def shown(name: str) -> str:
    """A file's name as text: bytes that are no UTF-8 as escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def why(error: OSError, path: Path) -> str:
    """Why a file cannot be read."""
    if isinstance(error, FileNotFoundError) and path.is_symlink():
        return f"a link to {shown(str(path.readlink()))}, where nothing is"
    return f"cannot be read ({error.strerror or error})"
