"""A folder that appears whole or not at all."""

import errno
import hashlib
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sixrayd.core.errors import UnfitFileError, WorkspaceError, printable
from sixrayd.core.files import make_folder, open_plain, sha256_file, sweep, sync_folder
from sixrayd.core.locks import HeldError, Holder, held
from sixrayd.core.stages import SERVER
from sixrayd.core.storage import is_refusal, refusal
from sixrayd.core.tables import make_readable, write_table

MANIFEST = "manifest.sha256"
_PART, _OLD, _LOCK = ".sixrayd-part", ".sixrayd-old", ".sixrayd-lock"
_FILE_PART = re.compile(r"\.\d+(\.plain)?\.part$")  # of `files.replacing`: its process
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
_TRIES = 9
_LINE = re.compile(rb"([0-9a-f]{64})  ([^\n]+)\n")
_LONGEST_LINE = 1 << 16  # bytes of a manifest's line
MOST_LISTED = 10_000_000  # files; a release of a million images in VOC and YOLO has four
_ROWS = 10_000  # of a table that are in memory at once
AddRow = Callable[[Mapping[str, Any]], None]


class Staging:
    """Files of a folder being written, and their hashes.

    Args:
        root: exists and is empty.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sha256: dict[str, str] = {}

    def write(self, path: str, data: bytes) -> None:
        """Write one file; `path` is relative, with forward slashes."""
        self.place(path).write_bytes(data)
        self.sha256[path] = hashlib.sha256(data).hexdigest()

    def place(self, path: str) -> Path:
        """Where a file is to be written; its folder is there.

        Raises:
            WorkspaceError: its path leads out of this one.
        """
        if not is_inside(path):
            raise WorkspaceError(f"{printable(path, 200)}: leads out of the folder being written")
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def take(self, path: str) -> None:
        """Add a file that was written by other means to the manifest."""
        self.sha256[path] = sha256_file(self.root / path)

    def write_lines(self, path: str, lines: Iterable[str]) -> None:
        """Write a text file of one line each, none for no lines."""
        self.write(path, "".join(f"{line}\n" for line in lines).encode())

    def write_table(self, path: str, table: pa.Table, schema: pa.Schema) -> None:
        """Write a Parquet table of exactly this schema."""
        write_table(self.place(path), table, schema)
        self.take(path)

    @contextmanager
    def table(self, path: str, schema: pa.Schema, rows: int = _ROWS) -> Iterator[AddRow]:
        """What adds a row to a Parquet table, which is written by and by.

        Args:
            rows: that are in memory at once.
        """
        waiting: list[Mapping[str, Any]] = []
        count = values = 0
        with pq.ParquetWriter(self.place(path), schema, compression="zstd") as writer:

            def write() -> None:
                nonlocal count, values
                table = pa.Table.from_pylist(waiting, schema=schema)
                writer.write_table(table)
                count, values = count + table.num_rows, values + table.nbytes
                waiting.clear()

            def add(row: Mapping[str, Any]) -> None:
                waiting.append(row)
                if len(waiting) == rows:
                    write()

            yield add
            if waiting:
                write()
        make_readable(self.root / path, count, values)
        self.take(path)

    def write_manifest(self) -> str:
        """Write what `sha256sum -c` reads, covering all files so far; gives its own hash."""
        digest = hashlib.sha256()
        with (self.root / MANIFEST).open("wb") as file:
            for line in _manifest(self.sha256):
                digest.update(line)
                file.write(line)
        return digest.hexdigest()


def listed_files(tree: Path) -> Iterator[tuple[str, str]]:
    """Paths of a manifest and their SHA-256, one by one: a whole release's are millions.

    Raises:
        UnfitFileError: a line is none of a manifest, or they are more than `MOST_LISTED`.
        OSError: it cannot be read.
    """
    path = tree / MANIFEST
    with open_plain(path) as file:
        for number, line in enumerate(manifest_lines(file), 1):
            if (found := listed_file(line)) is None or number > MOST_LISTED:
                said = line[:100].rstrip(b"\n").decode("utf-8", "replace")
                text = f"found {said!r}, expected a SHA-256, two blanks and a path below the folder"
                text = text if found is None else f"expected at most {MOST_LISTED:,} lines"
                text = f"line {number:,}: {text}; put a good copy in its place"
                raise UnfitFileError(errno.EINVAL, text, str(path))
            yield found


def manifest_lines(file: io.BufferedReader) -> Iterator[bytes]:
    """Lines of a manifest, those beyond any of ours in parts."""
    return iter(lambda: file.readline(_LONGEST_LINE), b"")


def listed_file(line: bytes) -> tuple[str, str] | None:
    """The path in a line of a manifest, and its SHA-256; None where the line is no such, or its
    path leads out."""
    match = _LINE.fullmatch(line)
    if match is None:
        return None
    try:
        path = match[2].decode("utf-8")
    except UnicodeDecodeError:
        return None
    return (path, match[1].decode()) if is_inside(path) else None


def is_inside(path: str) -> bool:
    """Whether a manifest's path leads nowhere but below its folder."""
    return not ({"", ".", ".."} & set(path.split("/")) or "\0" in path)


def content_digest(files: Mapping[str, str]) -> str:
    """SHA-256 of what files hold, in hex, as that of their manifest.

    Args:
        files: SHA-256 by path.
    """
    digest = hashlib.sha256()
    for line in _manifest(files):
        digest.update(line)
    return digest.hexdigest()


def _manifest(files: Mapping[str, str]) -> Iterator[bytes]:
    """Its lines; those of a whole release are half a gigabyte."""
    return (f"{files[path]}  {path}\n".encode() for path in sorted(files))


@contextmanager
def sole_writer(target: Path) -> Iterator[None]:
    """Be the only one who writes at `target`, from whatever workspace, and put right what was left
    there by one that was killed.

    Where nothing may be written beside `target`, nobody is kept out, and `staged` refuses.

    Raises:
        WorkspaceError: another process writes there, or the storage refuses.
    """
    beside, _ = _neighbours(target)
    with ExitStack() as stack:
        try:
            make_folder(target.parent)
            stack.enter_context(_held_for_now(beside.with_name(f".{target.name}{_LOCK}")))
            remove_leftovers(target)
        except HeldError as error:
            raise WorkspaceError(
                f"{target}: {error.holder} writes there; wait for it, or name another place"
            ) from error
        except FileNotFoundError as error:  # of `/proc`, whose folders take no files
            raise WorkspaceError(
                f"{target.parent}: takes no new files; name another place"
            ) from error
        except OSError as error:
            if not is_refusal(error):
                raise
            if error.errno not in _READ_ONLY:
                raise WorkspaceError(refusal(error, target)) from error
        yield


@contextmanager
def _held_for_now(path: Path) -> Iterator[None]:
    """Hold a file that is gone afterwards.

    Raises:
        HeldError: another process does.
    """
    for _ in range(_TRIES):
        with held(path, "writing") as hold:
            if not _is_at(path, hold.handle):
                continue  # who held it before has removed it since it was opened
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return
    raise HeldError(Holder("unknown"))


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(follow_symlinks=False), os.fstat(handle))
    except FileNotFoundError:
        return False


@contextmanager
def staged(target: Path) -> Iterator[Staging]:
    """A folder beside `target`; on a clean exit it is synced and takes `target`'s place.

    Call as its `sole_writer`.

    Raises:
        WorkspaceError: it cannot be written; `target` is as it was.
    """
    beside, replaced = _neighbours(target)
    try:
        make_folder(target.parent)
        remove_leftovers(target)
        beside.mkdir()
        yield Staging(beside)
        os.sync()  # one call for tens of thousands of files
        if target.exists():
            target.rename(replaced)
        beside.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        if not is_refusal(error):
            raise
        raise WorkspaceError(refusal(error, target)) from error
    finally:
        sweep(beside)
    sweep(replaced)


def remove_all_leftovers(folder: Path) -> None:
    """Put right what was left in a stage's folder by writers that were killed.

    Call where none writes a result of it.
    """
    real = folder.resolve()
    for files in ("", "*/", "*/decisions/", "*/planted/", "*/planted/decisions/"):
        for path in folder.glob(f"{files}.?*.part"):
            ours = _FILE_PART.search(path.name) and path.parent.name != SERVER
            if ours and path.parent.resolve().is_relative_to(real):
                path.unlink(missing_ok=True)
    for end in (_PART, _OLD, _LOCK):
        for leftover in folder.glob(f".?*{end}"):
            # Another workspace may be writing here.
            with (
                suppress(WorkspaceError),
                sole_writer(folder / leftover.name[1:].removesuffix(end)),
            ):
                pass


def remove_leftovers(target: Path) -> None:
    """Put right what an export to `target` left that was killed."""
    beside, replaced = _neighbours(target)
    if replaced.is_dir() and not replaced.is_symlink() and not target.exists():
        replaced.rename(target)  # ended between the two renames
        sync_folder(target.parent)
    for leftover in (beside, replaced):
        sweep(leftover)


def _neighbours(target: Path) -> tuple[Path, Path]:
    """Where an export is written, and where the one before goes meanwhile."""
    if not target.name:  # the root of a disk
        raise WorkspaceError(f"{target}: no folder that can be replaced; name a new one in it")
    part, old = (target.with_name(f".{target.name}{end}") for end in (_PART, _OLD))
    return part, old
