"""Label Studio's database, read as a stranger's: nothing in it is run."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sixrayd.core.errors import printable
from sixrayd.core.files import check_plain, open_plain

_TABLES = {"tasks": "task", "annotations": "task_completion"}
_LONGEST = 1 << 28  # bytes of a value
_STEP = 100_000  # operations between two looks at their number
_OF_SEVERAL = bytes.fromhex("d9d505f920a163d7")  # at a journal's end: another file's name is before


def opened_to_read(database: Path, *, alone: bool = False) -> sqlite3.Connection:
    """A connection that writes nothing.

    Args:
        alone: nobody else has it open; a journal beside it is not looked at.
    """
    if database.exists():
        check_plain(database)
    how = "mode=ro&immutable=1" if alone else "mode=ro"
    return sqlite3.connect(f"{database.absolute().as_uri()}?{how}", uri=True)


def checked_counts(database: Path) -> dict[str, int]:
    """How much work a database holds that nobody has open.

    Raises:
        sqlite3.Error: it is damaged, or holds what Label Studio's does not: views, triggers,
            virtual tables, computed columns.
    """
    with closing(opened_to_read(database, alone=True)) as opened:
        _distrust(opened, database)
        opened.execute("PRAGMA trusted_schema = OFF")
        _refuse_programs(opened)
        (verdict,) = opened.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(printable(verdict))
        return {
            what: int(opened.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608
            for what, table in _TABLES.items()
        }


def refuse_programs(database: Path) -> None:
    """Refuse a database that runs something when it is read or written; call with its mark.

    What a killed server left beside it is taken in first, as the next server would.

    Raises:
        UnfitFileError: it is no file.
        sqlite3.Error: see `checked_counts`; its values are not looked at.
    """
    check_plain(database)
    _check_beside(database)
    uri = f"{database.absolute().as_uri()}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True)) as opened:
        _distrust(opened, database)
        _refuse_programs(opened)


def _check_beside(database: Path) -> None:
    """Refuse a journal that names a file which SQLite would delete, and links in its place.

    Raises:
        UnfitFileError, sqlite3.DatabaseError: there is one.
    """
    for end in ("-journal", "-wal", "-shm"):
        path = database.with_name(database.name + end)
        if path.is_symlink():
            raise sqlite3.DatabaseError(f"{path.name} is a link")
        if not path.exists():
            continue
        with open_plain(path) as file:
            file.seek(-min(len(_OF_SEVERAL), path.stat().st_size), os.SEEK_END)
            if file.read() == _OF_SEVERAL:
                raise sqlite3.DatabaseError(f"{path.name} names another file, which would go")


def _distrust(opened: sqlite3.Connection, database: Path) -> None:
    opened.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST)
    opened.set_progress_handler(_ended_after(100 * _STEP + database.stat().st_size), _STEP)
    opened.execute("PRAGMA cell_size_check = ON")
    opened.execute("PRAGMA ignore_check_constraints = ON")  # they are expressions


def _refuse_programs(opened: sqlite3.Connection) -> None:
    """Refuse what would run when the database is read or written."""
    tables = []
    for kind, name, sql in opened.execute("SELECT type, name, sql FROM sqlite_schema"):
        if kind not in ("table", "index"):
            raise sqlite3.DatabaseError(_unexpected(kind, name))
        if str(sql).lstrip().upper().startswith("CREATE VIRTUAL"):
            raise sqlite3.DatabaseError(_unexpected("virtual table", name))
        tables += [name] * (kind == "table")
    for name in tables:
        columns = opened.execute("SELECT name, hidden FROM pragma_table_xinfo(?)", (name,))
        for column, hidden in columns:
            if hidden:
                raise sqlite3.DatabaseError(_unexpected("computed column", column))


def _unexpected(kind: str, name: str) -> str:
    return f"it has a {printable(kind, 20)}, '{printable(name, 60)}', which Label Studio's has not"


def _ended_after(operations: int) -> Callable[[], bool]:
    """What ends a statement after so many operations; a sound database takes 0.02 a byte."""
    left = operations

    def step() -> bool:
        nonlocal left
        left -= _STEP
        return left < 0

    return step
