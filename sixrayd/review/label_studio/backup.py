"""Backups of a workspace's Label Studio and of its reviews, and the proof that they restore."""

import errno
import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import zlib
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import IO

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import replacing, sha256_file, sync_folder
from sixrayd.core.storage import is_refusal
from sixrayd.core.workspace import Workspace
from sixrayd.review.label_studio.server import is_up, server_folder

KEPT = 10  # older ones go
EVERY = timedelta(hours=1)  # what is made on the way, by serve and pull
_DATABASE = "data/label_studio.sqlite3"
_MANIFEST = "manifest.json"
_MAX_MANIFEST = 64 * 1024**2
_BROKEN = (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError)
_OF_NAMES = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)  # in the archive
# Of a database that may well be sound.
_NO_STORAGE = (
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY),
    *(sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY),
)
_TABLES = {"tasks": "task", "annotations": "task_completion"}


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that is there, whole."""

    file: str
    size: int  # bytes
    tasks: int
    annotations: int


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back; `kept` are review files that were there already and differ."""

    file: str
    tasks: int
    annotations: int
    replaced: str  # where the data that was there before is now; empty when there was none
    kept: tuple[str, ...]


def back_up(workspace: Workspace, now: datetime | None = None) -> Backup:
    """Copy the server's database, keys, uploads, reviews and samples into one file.

    The server may run.

    Args:
        now: names the file.

    Raises:
        WorkspaceError: there is no database yet, or it is damaged.
    """
    server = server_folder(workspace)
    moment = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%S.%fZ")
    path = server / "backups" / f"{moment}.tar.gz"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in server.glob(".copy-*.sqlite3"):  # of a backup that was killed
        if not Path(f"/proc/{left.stem.removeprefix('.copy-')}").exists():
            left.unlink()
    copy = server / f".copy-{os.getpid()}.sqlite3"
    try:
        counts = _copy_database(server / _DATABASE, copy)
        files = {f"server/{_DATABASE}": copy}
        files |= {f"server/{p.relative_to(server).as_posix()}": p for p in _server_files(server)}
        files |= {p.relative_to(workspace.root).as_posix(): p for p in _review_files(workspace)}
        with replacing(path) as beside:
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as out:
                _write(out, files, counts)
    finally:
        copy.unlink(missing_ok=True)
    for old in backups(workspace)[:-KEPT]:
        old.unlink()
    return Backup(str(path), path.stat().st_size, **counts)


def backups(workspace: Workspace) -> list[Path]:
    """Backups of a workspace, the newest last."""
    return sorted((server_folder(workspace) / "backups").glob("[0-9]*.tar.gz"))


def back_up_when_due(workspace: Workspace) -> Backup | None:
    """A backup if there is work and the last is older than an hour."""
    if not (server_folder(workspace) / _DATABASE).exists():
        return None
    newest = backups(workspace)[-1:]
    if newest and datetime.now(UTC).timestamp() - newest[0].stat().st_mtime < EVERY.total_seconds():
        return None
    return back_up(workspace)


def restore(workspace: Workspace, archive: Path | None = None) -> Restored:
    """Put a backup back after proving that it is whole; what is there now is moved aside.

    Decisions are only ever added: a review file that is there already stays.

    Args:
        archive: None takes the workspace's newest.

    Raises:
        WorkspaceError: the server runs, or the backup is not whole.
    """
    if is_up(workspace):
        advice = workspace.command("sixrayd review stop")
        raise WorkspaceError(f"{workspace.root}: its Label Studio is running; run `{advice}` first")
    if archive is None:
        found = backups(workspace)
        if not found:
            raise WorkspaceError(f"{server_folder(workspace) / 'backups'}: no backup here")
        archive = found[-1]
    server = server_folder(workspace)
    server.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = server / ".restoring"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    try:
        with workspace.lock():
            counts = _unpack(archive, fresh)
            _prove(archive, fresh / "server" / _DATABASE, counts)
            replaced = _move_aside(server)
            for part in (fresh / "server").iterdir():
                part.rename(server / part.name)
            kept = _add_missing(fresh, workspace)
            sync_folder(server)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return Restored(str(archive), counts["tasks"], counts["annotations"], replaced, kept)


def _copy_database(source: Path, target: Path) -> dict[str, int]:
    if not source.exists():
        raise WorkspaceError(f"{source}: missing; Label Studio has not been started here yet")
    target.unlink(missing_ok=True)
    try:
        with closing(_opened_to_read(source)) as live, closing(sqlite3.connect(target)) as copy:
            target.chmod(0o600)
            live.backup(copy)
        return _counts(target)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _NO_STORAGE:
            raise WorkspaceError(
                f"{target.parent}: no backup can be written ({error}); make room there, and see "
                "that it can be written; the database is as it was"
            ) from error
        raise WorkspaceError(
            f"{source}: damaged ({error}); run `sixrayd review stop`, then `restore`"
        ) from error


def _opened_to_read(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)


def _counts(database: Path) -> dict[str, int]:
    with closing(_opened_to_read(database)) as opened:
        (verdict,) = opened.execute("PRAGMA quick_check").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(str(verdict))
        return {
            what: int(opened.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608
            for what, table in _TABLES.items()
        }


def _server_files(server: Path) -> list[Path]:
    # The images that candidates show come from the shards, so they are left out.
    data = server / "data"
    found = [server / "secret.json", data / ".env", *(data / "media" / "upload").rglob("*")]
    return [path for path in found if path.is_file()]


def _review_files(workspace: Workspace) -> list[Path]:
    folders = [p for p in workspace.folder("review").glob("[!.]*") if p.name != "server"]
    folders += workspace.folder("estimate").glob("[!.]*")  # spot checks hang on what was drawn
    found = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if not path.name.startswith("."))


def _write(out: IO[bytes], files: dict[str, Path], counts: dict[str, int]) -> None:
    hashes = {name: sha256_file(path) for name, path in files.items()}
    manifest = json.dumps({"files": hashes, "counts": counts}, indent=1).encode()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as tar:
        head = tarfile.TarInfo(_MANIFEST)
        head.size = len(manifest)
        tar.addfile(head, io.BytesIO(manifest))
        for name, path in files.items():
            member = tarfile.TarInfo(name)
            member.size = path.stat().st_size
            with path.open("rb") as data:
                tar.addfile(member, data)


def _unpack(archive: Path, folder: Path) -> dict[str, int]:
    # Only plain files that the manifest lists are believed, each by its hash.
    try:
        with tarfile.open(archive, "r:gz") as tar:
            head = tar.next()
            if head is None or head.name != _MANIFEST or head.size > _MAX_MANIFEST:
                raise ValueError("it does not begin with a manifest")
            manifest = json.loads(_opened(tar, head).read())
            left = {str(name): str(digest) for name, digest in manifest["files"].items()}
            while (member := tar.next()) is not None:
                if not member.isreg() or not _is_ours(member.name) or member.name not in left:
                    raise ValueError(f"it holds {member.name[:100]!r}, which it should not")
                _extract(_opened(tar, member), folder / member.name, left.pop(member.name))
            if left:
                raise ValueError(f"{min(left)} is missing from it")
            return {what: int(manifest["counts"][what]) for what in _TABLES}
    except (*_BROKEN, tarfile.TarError, zlib.error) as error:
        if is_refusal(error) and getattr(error, "errno", None) not in _OF_NAMES:
            raise  # the backup may be whole
        raise WorkspaceError(f"{archive}: not a whole backup: {error}; take another") from error


def _opened(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    opened = tar.extractfile(member)
    if opened is None:
        raise ValueError(f"{member.name[:100]!r} is no file")
    return opened


def _is_ours(name: str) -> bool:
    parts = PurePosixPath(name).parts
    ours = parts[:1] in (("review",), ("estimate",)) and len(parts) > 1
    ours = ours or parts[:2] == ("server", "data") or parts == ("server", "secret.json")
    return ours and ".." not in parts


def _extract(source: IO[bytes], target: Path, digest: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    hashed = hashlib.sha256()
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        while chunk := source.read(1 << 20):
            hashed.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if hashed.hexdigest() != digest:
        raise ValueError(f"{target.name} is not what was backed up")


def _prove(archive: Path, database: Path, counts: dict[str, int]) -> None:
    try:
        found = _counts(database)
    except sqlite3.Error as error:
        raise WorkspaceError(f"{archive}: its database is damaged ({error})") from error
    if found != counts:
        raise WorkspaceError(f"{archive}: its database holds {found}, expected {counts}")


def _move_aside(server: Path) -> str:
    parts = [server / name for name in ("data", "secret.json") if (server / name).exists()]
    if not parts:
        return ""
    aside = server / f"replaced-{datetime.now(UTC).strftime('%Y%m%dT%H%M%S.%fZ')}"
    aside.mkdir(mode=0o700)
    for part in parts:
        part.rename(aside / part.name)
    return str(aside)


def _add_missing(source: Path, workspace: Workspace) -> tuple[str, ...]:
    kept = []
    for path in sorted(p for p in source.rglob("*") if p.is_file()):
        name = path.relative_to(source)
        target = workspace.root / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
        elif sha256_file(target) != sha256_file(path):
            kept.append(name.as_posix())
    return tuple(kept)
