"""A backup's archive, unpacked: only plain files that it lists, each by its hash, within limits."""

import errno
import hashlib
import json
import os
import shutil
import tarfile
import zlib
from pathlib import Path
from typing import IO, Any

from sixrayd.core.documents import parse_json
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import open_plain
from sixrayd.core.shards import StrictTarInfo, entries_of, plain_file
from sixrayd.core.storage import is_refusal

DATABASE = "data/label_studio.sqlite3"  # in the server's folder
MANIFEST = "manifest.json"
_SERVER = {f"server/{DATABASE}", "server/data/.env", "server/secret.json"}
_UPLOADS = ["server", "data", "media", "upload"]
_MAX_MANIFEST = 64 * 1024**2
_MOST_FILES = 200_000
_MOST_BYTES = 64 * 1024**3
_LATEST = 2**32  # seconds since 1970, which file systems know
_ROOM = 256 * 1024**2  # bytes that stay free
_BROKEN = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError),
    *(RecursionError, OverflowError, tarfile.TarError, zlib.error),
)
_OF_NAMES = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)  # in the archive


def unpack(archive: Path, folder: Path) -> dict[str, Any]:
    """Unpack a backup into an empty folder; gives its manifest, which lies there as well.

    Raises:
        WorkspaceError: it is not whole, holds what it should not, or more than there is room for.
    """
    try:
        with (
            open_plain(archive) as file,
            tarfile.open(fileobj=file, mode="r:gz", tarinfo=StrictTarInfo) as tar,
        ):
            members = entries_of(tar)
            manifest = _manifest(tar, next(members, None))
            left = dict(manifest["files"])
            room = min(_MOST_BYTES, shutil.disk_usage(folder).free - _ROOM)
            if room <= 0:  # whatever is in the backup
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
            for member in members:
                source = plain_file(tar, member)
                if source is None or member.name not in left:
                    raise ValueError(f"it holds {member.name[:100]!r}, which it should not")
                target = folder / member.name
                room -= _extract(source, target, left.pop(member.name), room)
                if 0 < member.mtime < _LATEST:
                    os.utime(target, (member.mtime, member.mtime))
            if left:
                raise ValueError(f"{min(left)} is missing from it")
        (folder / MANIFEST).write_text(json.dumps(manifest), "utf-8")
        return manifest
    except _BROKEN as error:
        if is_refusal(error) and getattr(error, "errno", None) not in _OF_NAMES:
            raise  # the backup may be whole
        raise WorkspaceError(f"{archive}: not a whole backup: {error}; take another") from error


def _manifest(tar: tarfile.TarFile, head: tarfile.TarInfo | None) -> dict[str, Any]:
    """What the archive lists; names and counts are checked before anything is unpacked."""
    file = plain_file(tar, head) if head else None
    if head is None or file is None or head.name != MANIFEST or head.size > _MAX_MANIFEST:
        raise ValueError("it does not begin with a manifest")
    document = parse_json(file.read())
    files = {str(name): str(digest) for name, digest in document["files"].items()}
    if len(files) > _MOST_FILES:
        raise ValueError(f"it lists {len(files)} files, expected at most {_MOST_FILES}")
    for name in files:
        if not is_ours(name):
            raise ValueError(f"it holds {name[:100]!r}, which it should not")
    if f"server/{DATABASE}" not in files:
        raise ValueError("it lists no database")
    counts = {what: int(document["counts"][what]) for what in ("tasks", "annotations")}
    return {"files": files, "counts": counts}


def is_ours(name: str) -> bool:
    """Whether a backup may hold a file of this name: the server's own, a review's or a sample's."""
    if name in _SERVER:
        return True
    parts = name.split("/")
    if not all(p.isprintable() and p[:1] not in ("", ".") and len(p) < 256 for p in parts):
        return False
    if parts[:4] == _UPLOADS:
        return 5 <= len(parts) <= 7
    return (
        parts[0] in ("review", "estimate")
        and 3 <= len(parts) <= 6
        and parts[1].casefold() != "server"
    )


def _extract(source: IO[bytes], target: Path, digest: str, room: int) -> int:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    hashed, size = hashlib.sha256(), 0
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        while chunk := source.read(1 << 20):
            size += len(chunk)
            if size > room:
                raise ValueError(f"it unpacks to more than the {room >> 20} MB that there is room")
            hashed.update(chunk)
            file.write(chunk)
    if hashed.hexdigest() != digest:
        raise ValueError(f"{target.name} is not what was backed up")
    return size
