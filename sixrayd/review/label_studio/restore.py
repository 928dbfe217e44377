"""A backup put back: proved whole first, then in one step that no kill divides."""

import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sixrayd.core.documents import NONSENSE, parse_json
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import plain_text, write_json
from sixrayd.core.printing import echo
from sixrayd.core.workspace import Workspace
from sixrayd.review.label_studio.backup import backups
from sixrayd.review.label_studio.database import checked_counts
from sixrayd.review.label_studio.postgres import (
    NOTE,
    SCHEMA,
    Postgres,
    check_owner,
    make_tables,
    on_rows,
)
from sixrayd.review.label_studio.server import server_folder, server_mark
from sixrayd.review.label_studio.taking_place import FRESH, ROWS, decide, finish_restore
from sixrayd.review.label_studio.unpacking import DATABASE, unpack


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back; `kept` are review files that were there already and differ, `apart` what
    people are to know of spot checks that were drawn in two places.
    """

    file: str
    tasks: int
    annotations: int
    replaced: str  # where the data that was there before is now; empty when there was none
    kept: tuple[str, ...]
    apart: tuple[str, ...] = ()


def restore(
    workspace: Workspace, archive: Path | None = None, database: Postgres | None = None
) -> Restored:
    """Put a backup back after proving that it is whole; what is there now is moved aside.

    Decisions and draws are only ever added: a review file that is there already stays, but for a
    review or a sample from which the backup's goes on. No server starts meanwhile, and nobody else
    writes.

    Args:
        archive: None takes the workspace's newest.
        database: that the data go to, wherever they were; a file in the workspace without one.

    Raises:
        ServiceError: the server runs, or another restore does.
        WorkspaceError: somebody writes in the workspace, or the backup is not whole.
    """
    server = server_folder(workspace)
    if archive is None:
        found = backups(workspace)
        if not found:
            raise WorkspaceError(f"{server / 'backups'}: no backup here")
        archive = found[-1]
    with server_mark(workspace, "a backup is put back"), workspace.lock():
        if not archive.exists():
            made = server / "backups"
            raise WorkspaceError(
                f"{archive}: no such file; without a name the newest of {made} is taken"
            )
        finish_restore(server, database)  # of a restore that was killed
        fresh = server / FRESH
        fresh.mkdir(mode=0o700)
        try:
            manifest = unpack(archive, fresh)
            counts = _prove(archive, fresh / "server" / DATABASE, manifest["counts"])
            if database:
                _prove_rows(database, fresh / "server", archive)
            (server / "state.json").unlink(missing_ok=True)
            decide(server)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        ended = finish_restore(server, database)
    return Restored(str(archive), counts["tasks"], counts["annotations"], *ended)


def _prove_rows(database: Postgres, fresh: Path, archive: Path) -> None:
    """Prove that the database takes a backup's rows, and say that they go there.

    Raises:
        ServiceError: the database cannot be reached, refuses, or is another workspace's.
        WorkspaceError: the backup holds no account.
    """
    file = fresh / DATABASE
    try:
        secret = parse_json(plain_text(fresh / "secret.json"))
        account = (str(secret["user"]), str(secret["token"]))
    except (OSError, *NONSENSE) as error:
        raise WorkspaceError(f"{archive}: holds no account of the server; take another") from error
    check_owner(database, *account, new=True)
    make_tables(database, fresh / "made", lambda text: echo(text, err=True))
    on_rows(database, "try_in", SCHEMA, str(file))
    file.rename(fresh / ROWS)
    write_json(fresh / NOTE, {"url": database.url})


def _prove(archive: Path, database: Path, counts: dict[str, Any]) -> dict[str, int]:
    try:
        found = checked_counts(database)
    except sqlite3.Error as error:
        raise WorkspaceError(f"{archive}: its database is damaged ({error})") from error
    if found != counts:
        raise WorkspaceError(f"{archive}: its database holds {found}, expected {counts}")
    return found
