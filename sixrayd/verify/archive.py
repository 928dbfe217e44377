"""Reading a certificate that somebody else wrote: nothing in it is believed."""

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import read_plain
from sixrayd.core.tables import table_from
from sixrayd.datasets.packing import opened_zip
from sixrayd.datasets.places import BROKEN
from sixrayd.statistics.certificate import PARTS, STATEMENT, Statement

_MOST_BYTES = 1 << 30  # of the file; ten million images take a tenth
_MOST_STATEMENT = 1 << 24
_ENCRYPTED = 1


@dataclass(frozen=True, slots=True)
class Archive:
    """A certificate's parts, each of the columns that it should have."""

    sha256: str  # of the file
    statement: Statement
    tables: dict[str, pa.Table]


def read_archive(path: Path) -> Archive:
    """Read a certificate into memory; nothing is unpacked to disk.

    Parts are stored as they are, so the file's size limits what can come out of it.

    Raises:
        WorkspaceError: it is no certificate, too large, or a part is not what the statement names.
    """
    data = _read(path)
    parts = _parts(data)
    statement = Statement.parse(parts.pop(STATEMENT))
    if set(statement.files) != set(PARTS):
        raise WorkspaceError(f"{STATEMENT}: names {sorted(statement.files)} as its parts")
    for name, part in parts.items():
        if hashlib.sha256(part).hexdigest() != statement.files[name]:
            raise WorkspaceError(f"{name}: not the file that the statement names")
    tables = {name: table_from(part, name, PARTS[name]) for name, part in parts.items()}
    return Archive(hashlib.sha256(data).hexdigest(), statement, tables)


def _read(path: Path) -> bytes:
    try:
        data = read_plain(path, _MOST_BYTES)
    except OSError as error:
        raise WorkspaceError(f"cannot be read ({error.strerror or error})") from error
    if len(data) > _MOST_BYTES:
        raise WorkspaceError(f"more than {_MOST_BYTES >> 20} MiB: too large for a certificate")
    return data


def _parts(data: bytes) -> dict[str, bytes]:
    wanted = sorted({STATEMENT, *PARTS})
    try:
        with opened_zip(io.BytesIO(data)) as archive:
            members = archive.infolist()
            names = sorted(member.filename for member in members)
            if names != wanted:
                raise WorkspaceError(f"holds {names[:9]}, expected {wanted}")
            for member in members:
                stored = member.compress_type == zipfile.ZIP_STORED
                if not stored or member.flag_bits & _ENCRYPTED or member.file_size > len(data):
                    raise WorkspaceError(f"{member.filename}: packed or encrypted")
                if member.filename == STATEMENT and member.file_size > _MOST_STATEMENT:
                    raise WorkspaceError(f"{STATEMENT}: more than {_MOST_STATEMENT >> 20} MiB")
            return {member.filename: archive.read(member) for member in members}
    except BROKEN as error:
        raise WorkspaceError(f"not a sound zip file ({error})") from error
