"""Backups of a workspace's Label Studio and of its reviews."""

import hashlib
import io
import json
import os
import re
import sqlite3
import tarfile
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from sixrayd.core.dates import Dates
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import make_folder, open_plain, replacing, sha256_file
from sixrayd.core.private import check_closed
from sixrayd.core.restored import half_restored
from sixrayd.core.stages import SERVER
from sixrayd.core.workspace import Workspace
from sixrayd.review.label_studio.database import checked_counts, opened_to_read
from sixrayd.review.label_studio.postgres import Postgres, check_place, copy_rows, noted
from sixrayd.review.label_studio.server import running, server_folder, server_mark
from sixrayd.review.label_studio.taking_place import finish_restore
from sixrayd.review.label_studio.unpacking import DATABASE, MANIFEST, is_ours

KEPT = 10  # older ones go
EVERY = timedelta(hours=1)  # what is made on the way, by serve and pull
_OF_RESULTS = ("review/", "estimate/")
# Of a database that may well be sound.
_NO_STORAGE = (
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY),
    *(sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY),
)


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that is there, whole."""

    file: str
    size: int  # bytes
    tasks: int
    annotations: int


def back_up(
    workspace: Workspace, now: datetime | None = None, database: Postgres | None = None
) -> Backup:
    """Copy the server's database, keys, uploads, reviews and samples into one file.

    The server may run. Its database is in the file as one of SQLite, wherever it is.

    Args:
        now: names the file.
        database: that holds the server's data; a server that is up says so itself.

    Raises:
        ServiceError: its data are in another place.
        WorkspaceError: there is no database yet, or it is damaged.
    """
    server = server_folder(workspace)
    if database is None and (up := running(workspace)):
        database = up.database
    if half_restored(server):  # a restore was killed
        with server_mark(workspace, "a restore is ended"):
            finish_restore(server, database)
    check_place(server, server / DATABASE, database)
    path = server / "backups" / _name(now or datetime.now(UTC))
    make_folder(path.parent, 0o700)
    _remove_leftovers(workspace, path.parent)
    copy = server / f".copy-{os.getpid()}.sqlite3"
    before = _marks(server)
    try:
        counts = _copy_rows(database, copy) if database else _copy_database(server / DATABASE, copy)
        files = {f"server/{DATABASE}": copy}
        files |= {f"server/{p.relative_to(server).as_posix()}": p for p in _server_files(server)}
        files |= {p.relative_to(workspace.root).as_posix(): p for p in _review_files(workspace)}
        files = {name: file for name, file in files.items() if is_ours(name)}
        with replacing(path, 0o600) as beside, beside.open("wb") as out:
            check_closed(beside)
            _write(out, files, counts, workspace.dates)
            if _marks(server) != before:
                raise WorkspaceError(
                    f"{server}: a restore has put other data there while they were backed up; run "
                    "the same command again"
                )
    finally:
        copy.unlink(missing_ok=True)
    for old in backups(workspace)[:-KEPT] if workspace.is_own(path.parent) else ():
        old.unlink(missing_ok=True)  # another that is made now may have removed it
    return Backup(str(path), path.stat().st_size, **counts)


def _remove_leftovers(workspace: Workspace, folder: Path) -> None:
    """What backups left that were killed: a copy of the database, and a part of the archive."""
    begun = [*folder.parent.glob(".copy-*.sqlite3")]
    begun += folder.glob(".[0-9]*.tar.gz.*.part") if workspace.is_own(folder) else []
    for left in begun:
        maker = re.search(r"[-.](\d+)\.\w+$", left.name)
        if maker and not Path(f"/proc/{maker[1]}").exists():
            left.unlink(missing_ok=True)  # another that is made now may have removed it


def _marks(server: Path) -> list[int]:
    """What tells that a restore has exchanged the data, or is about to."""
    there = (path for path in (server / DATABASE, server / "secret.json") if path.exists())
    return [*(path.stat().st_ino for path in there), len(half_restored(server))]


def backups(workspace: Workspace) -> list[Path]:
    """Backups of a workspace, the newest last; first those that a clock that was ahead dated."""
    found, now = (server_folder(workspace) / "backups").glob("[0-9]*.tar.gz"), datetime.now(UTC)
    return sorted(found, key=lambda path: (path.name <= _name(now), path.name))


def _name(moment: datetime) -> str:
    return f"{moment:%Y%m%dT%H%M%S.%fZ}.tar.gz"


def back_up_when_due(workspace: Workspace, database: Postgres | None = None) -> Backup | None:
    """A backup if there is work and the last is older than an hour; see `back_up`."""
    server = server_folder(workspace)
    if not ((server / DATABASE).exists() or noted(server)):
        return None
    newest = backups(workspace)[-1:]
    now = datetime.now(UTC).timestamp()
    if newest and abs(now - newest[0].stat().st_mtime) < EVERY.total_seconds():
        return None
    return back_up(workspace, database=database)


def _copy_rows(database: Postgres, target: Path) -> dict[str, int]:
    copy_rows(database, target)
    return checked_counts(target)


def _copy_database(source: Path, target: Path) -> dict[str, int]:
    if not source.exists():
        raise WorkspaceError(f"{source}: missing; Label Studio has not been started here yet")
    target.unlink(missing_ok=True)
    try:
        with closing(opened_to_read(source)) as live, closing(sqlite3.connect(target)) as copy:
            target.chmod(0o600)
            live.backup(copy)
        return checked_counts(target)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _NO_STORAGE:
            raise WorkspaceError(
                f"{target.parent}: no backup can be written ({error}); make room there, and see "
                "that it can be written; the database is as it was"
            ) from error
        raise WorkspaceError(
            f"{source}: damaged ({error}); run `sixrayd review stop`, then `restore`"
        ) from error


def _server_files(server: Path) -> list[Path]:
    # The images that candidates show come from the shards, so they are left out.
    data = server / "data"
    found = [server / "secret.json", data / ".env", *(data / "media" / "upload").rglob("*")]
    return [path for path in found if path.is_file() and _is_below(path, server)]


def _review_files(workspace: Workspace) -> list[Path]:
    found = []
    for stage in ("review", "estimate"):  # spot checks hang on what was drawn
        top = workspace.folder(stage)
        names = [path for path in top.glob("[!.]*") if path.name != SERVER]
        files = (path for folder in names for path in folder.rglob("*") if path.is_file())
        found += [p for p in files if not p.name.startswith(".") and _is_below(p, top)]
    return sorted(found)


def _is_below(path: Path, top: Path) -> bool:
    """Always, else:

    Raises:
        WorkspaceError: a link leads to it from elsewhere, which is nobody's to pack; without it
            the backup would not be whole.
    """
    if not path.resolve().is_relative_to(top.resolve()):
        raise WorkspaceError(f"{path}: a link leads out of {top}; put the file itself there")
    return True


class _Hashed:
    """A file that is hashed as it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.sha256 = file, hashlib.sha256()

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.sha256.update(data)
        return data


def _write(out: IO[bytes], files: dict[str, Path], counts: dict[str, int], dates: Dates) -> None:
    hashes = {name: sha256_file(path) for name, path in files.items()}
    manifest = json.dumps({"files": hashes, "counts": counts}, indent=1).encode()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as tar:
        head = tarfile.TarInfo(MANIFEST)
        head.size = len(manifest)
        tar.addfile(head, io.BytesIO(manifest))
        for name, path in files.items():
            member = tarfile.TarInfo(name)
            member.size = path.stat().st_size
            if name.startswith(_OF_RESULTS) and name.count("/") == 2:  # which is newest hangs on it
                member.mtime = dates.of(path) // 10**9
            with open_plain(path) as data:
                copied = _Hashed(data)
                tar.addfile(member, copied)  # type: ignore[arg-type]
            if copied.sha256.hexdigest() != hashes[name]:
                raise WorkspaceError(
                    f"{path}: has changed while it was backed up; run the same command again"
                )
