"""Label Studio's rows between PostgreSQL and SQLite; runs in its environment, without sixrayd.

Both hold the same tables. What is connected to, and how to sign in, is in libpq's variables.
"""

import json
import resource
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import psycopg
from psycopg import sql

SHARED = "sixrayd_shared"  # extensions: they stay where a schema is dropped
_EXTENSIONS = ("pg_trgm", "btree_gin")
_AT_ONCE = 1000  # rows
_MOST_MEMORY = 2 << 30  # bytes, whatever a server answers
_LONGEST = 4000  # signs of an error
_IN_USE = 0x736978726179  # number of the lock that every server on a database shares
_PAUSE_S, _PATIENCE_S = 30, 10
# Else a machine that lost its power would keep the lock for hours.
_DEAD_AFTER_S = {"tcp_keepalives_idle": 60, "tcp_keepalives_interval": 20}
# How Django writes in SQLite what PostgreSQL has a type for.
_AS_SQLITE = {
    "boolean": "({})::int",
    "jsonb": "({})::text",
    "timestamp with time zone": "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')",
    "uuid": "replace(({})::text, '-', '')",
}
_COLUMNS = """
    SELECT table_name, column_name, data_type FROM information_schema.columns
    WHERE table_schema = %s AND is_generated = 'NEVER' ORDER BY table_name, ordinal_position
"""
Columns = dict[str, dict[str, str]]  # types, by table and column


def look(to: psycopg.Connection, schema: str, user: str) -> dict[str, object]:
    """Whether a schema has Label Studio's tables, how many are in it, and a user's tokens.

    `others` counts tables of the schema public, which Label Studio would take for its own.
    """
    query = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    (others,) = to.execute(query).fetchone()
    people, keys = (sql.Identifier(schema, name) for name in ("htx_user", "authtoken_token"))
    query = "SELECT to_regclass(%s) IS NOT NULL"
    there = [to.execute(query, [each.as_string(to)]).fetchone()[0] for each in (people, keys)]
    if not all(there):
        return {"tables": False, "people": 0, "tokens": [], "others": int(others)}
    (count,) = to.execute(sql.SQL("SELECT count(*) FROM {}").format(people)).fetchone()
    query = sql.SQL("SELECT key FROM {} JOIN {} AS who ON user_id = who.id WHERE email = %s")
    tokens = [key for (key,) in to.execute(query.format(keys, people), [user])]
    return {"tables": True, "people": int(count), "tokens": tokens, "others": int(others)}


def make(to: psycopg.Connection, schema: str) -> None:
    """Make a schema and what its tables need."""
    for name in (SHARED, schema):
        to.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(name)))
    for name in _EXTENSIONS:
        query = sql.SQL("CREATE EXTENSION IF NOT EXISTS {} WITH SCHEMA {}")
        to.execute(query.format(sql.Identifier(name), sql.Identifier(SHARED)))


def copy_out(to: psycopg.Connection, schema: str, path: str) -> None:
    """Replace the rows of a SQLite database by a schema's, as they are at one moment."""
    to.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    with closing(sqlite3.connect(path)) as file, file:
        for table, columns in _common(to, schema, file).items():
            file.execute(f"DELETE FROM {_quoted(table)}")  # noqa: S608
            wanted = [
                sql.SQL(_AS_SQLITE.get(kind, "{}")).format(sql.Identifier(name))
                for name, kind in columns.items()
            ]
            query = sql.SQL("SELECT {} FROM {}").format(
                sql.SQL(", ").join(wanted), sql.Identifier(schema, table)
            )
            names = ", ".join(map(_quoted, columns))
            marks = ", ".join("?" * len(columns))
            insert = f"INSERT INTO {_quoted(table)} ({names}) VALUES ({marks})"  # noqa: S608
            with to.cursor("rows") as rows:
                rows.itersize = _AT_ONCE
                file.executemany(insert, rows.execute(query))


def hold() -> None:
    """Have a database know for good that a server works on it, also where a connection is lost."""
    while True:
        with suppress(psycopg.Error), psycopg.connect(autocommit=True) as to:
            for name, seconds in _DEAD_AFTER_S.items():
                to.execute(f"SET {name} = {seconds}")
            to.execute("SELECT pg_advisory_lock_shared(%s)", [_IN_USE])
            while True:
                time.sleep(_PAUSE_S)
                to.execute("SELECT 1")
        time.sleep(_PAUSE_S)


def _wait_for_servers(to: psycopg.Connection) -> None:
    """Keep servers off until the transaction ends.

    Raises:
        ValueError: one works on the database.
    """
    to.execute(f"SET LOCAL lock_timeout = '{_PATIENCE_S}s'")
    try:
        to.execute("SELECT pg_advisory_xact_lock(%s)", [_IN_USE])
    except psycopg.errors.LockNotAvailable as error:
        raise ValueError(
            "a review server works on it, of this workspace or of a copy of it; end that one "
            "first, on whatever machine it is"
        ) from error
    to.execute("SET LOCAL lock_timeout = 0")


def try_in(to: psycopg.Connection, schema: str, path: str) -> None:
    """Prove that `copy_in` can be done, and change nothing."""
    with to.transaction(force_rollback=True):
        copy_in(to, schema, path)


def copy_in(to: psycopg.Connection, schema: str, path: str) -> None:
    """Replace a schema's rows by those of a SQLite database; no server works on it meanwhile."""
    _wait_for_servers(to)
    to.execute("SET TIME ZONE 'UTC'")
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as file:
        tables = _common(to, schema, file)
        every = sql.SQL(", ").join(sql.Identifier(schema, table) for table in tables)
        to.execute(sql.SQL("TRUNCATE {}").format(every))
        for table, columns in tables.items():
            names = sql.SQL(", ").join(map(sql.Identifier, columns))
            target = sql.Identifier(schema, table)
            query = sql.SQL("COPY {} ({}) FROM STDIN").format(target, names)
            with to.cursor() as cursor, cursor.copy(query) as rows:
                for row in _rows(file, table, columns):
                    rows.write_row(row)
            _go_on(to, schema, table)
        to.execute("SET CONSTRAINTS ALL IMMEDIATE")


def _rows(
    file: sqlite3.Connection, table: str, columns: dict[str, str]
) -> Iterator[tuple[object, ...]]:
    names = ", ".join(map(_quoted, columns))
    yield from file.execute(f"SELECT {names} FROM {_quoted(table)}")  # noqa: S608


def _go_on(to: psycopg.Connection, schema: str, table: str) -> None:
    """Have new rows take numbers after those that are there."""
    query = """
        SELECT column_name FROM information_schema.columns
        WHERE table_schema = %s AND table_name = %s AND is_identity = 'YES'
    """
    for (column,) in to.execute(query, [schema, table]).fetchall():
        last = sql.SQL(
            "SELECT setval(pg_get_serial_sequence({}, {}), max({}) + 1, false) FROM {}"
            " HAVING max({}) IS NOT NULL"
        )
        where = sql.Identifier(schema, table)
        named = sql.Literal(where.as_string(to)), sql.Literal(column), sql.Identifier(column)
        to.execute(last.format(*named, where, named[2]))


def _common(to: psycopg.Connection, schema: str, file: sqlite3.Connection) -> Columns:
    """The tables that both have to have.

    Raises:
        ValueError: they have others.
    """
    found: Columns = {}
    for table, column, kind in to.execute(_COLUMNS, [schema]):
        found.setdefault(table, {})[column] = kind
    listed = file.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    tables = {name for (name,) in listed if not name.startswith("sqlite_")}
    if tables != found.keys():
        odd = min(tables ^ found.keys())
        raise ValueError(f"table {odd[:60]!r} is in one of the two; of another Label Studio?")
    for table, columns in found.items():
        there = {row[1] for row in file.execute(f"PRAGMA table_info({_quoted(table)})")}
        if missing := columns.keys() - there:
            raise ValueError(f"{table} has no column {min(missing)!r}; of another Label Studio?")
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


_COMMANDS: dict[str, Callable[..., object]] = {
    each.__name__: each for each in (look, make, copy_out, try_in, copy_in)
}


def main(command: str, *words: str) -> None:
    """Do one thing in one transaction, and print what it gives as JSON."""
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    with suppress(ValueError, OSError):  # a system that sets no such limit
        limit = _MOST_MEMORY if most < 0 else min(most, _MOST_MEMORY)
        resource.setrlimit(resource.RLIMIT_AS, (limit, most))
    try:
        with psycopg.connect() as to:
            given = _COMMANDS[command](to, *words)
    except (psycopg.Error, sqlite3.Error, ValueError) as error:
        sys.exit(" ".join(str(error)[:_LONGEST].split()))
    except MemoryError:
        sys.exit(f"an answer that takes more than {_MOST_MEMORY >> 20} MiB of memory")
    print(json.dumps(given))


if __name__ == "__main__":
    main(*sys.argv[1:])
