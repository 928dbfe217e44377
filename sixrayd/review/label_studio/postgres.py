"""A workspace's Label Studio on a PostgreSQL server, for teams.

The password is libpq's to find: in `~/.pgpass`, in the file that `PGPASSFILE` names, or in
`PGPASSWORD`. It is never read, written or passed on in words here.
"""

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from sixrayd.core.documents import NONSENSE, parse_json
from sixrayd.core.errors import ServiceError, SettingsError, printable
from sixrayd.core.files import plain_bytes, plain_text
from sixrayd.core.printing import console
from sixrayd.core.private import write_private
from sixrayd.core.words import counted
from sixrayd.review.label_studio.connection import LOCALHOST, is_loopback
from sixrayd.review.label_studio.environment import (
    empty_database,
    server_program,
    server_variables,
)

NOTE = "postgres.json"  # in the server's folder: where its data are
SCHEMA, _SHARED = "sixrayd", "sixrayd_shared"
_EXPECTED = (
    "expected postgresql://USER@HOST[:PORT]/NAME, or postgresql://USER@[:PORT]/NAME?host=FOLDER "
    "for a Unix socket"
)
_INHERITED = ("PGPASSWORD", "PGPASSFILE", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY")
_OF_A_PERSON = {  # where libpq looks in `~`, which Label Studio has another of
    "PGPASSFILE": ".pgpass",
    "PGSSLROOTCERT": ".postgresql/root.crt",
    "PGSSLCERT": ".postgresql/postgresql.crt",
    "PGSSLKEY": ".postgresql/postgresql.key",
    "PGSSLCRL": ".postgresql/root.crl",
}
_MOST_WORDS = 1 << 20  # bytes that are read of what a program prints
_ROWS = Path(__file__).parent / "inside" / "sixrayd_rows.py"


@dataclass(frozen=True, slots=True)
class Postgres:
    """A database on a PostgreSQL server; `host` may be the folder of a Unix socket."""

    host: str
    port: int
    user: str
    name: str

    @classmethod
    def of(cls, url: str) -> "Postgres":
        """By its address.

        Raises:
            SettingsError: it is none, or carries a password, which is not shown.
        """
        if "@" in url and ":" in url.rpartition("@")[0].partition("://")[2]:
            raise SettingsError(
                "--database: must not carry a password; write it to ~/.pgpass, or set PGPASSWORD"
            )
        try:
            parts = urlsplit(url)
            port = parts.port or 5432
            more = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        except ValueError as error:
            raise SettingsError(f"--database: not an address; {_EXPECTED}") from error
        host = more.pop("host", "") if not parts.hostname else parts.hostname
        name, user = unquote(parts.path.removeprefix("/")), unquote(parts.username or "")
        named = parts.scheme in ("postgresql", "postgres") and host and user and name
        socket = bool(parts.hostname) or host.startswith("/")
        if not (named and socket and url.isprintable()) or more or parts.fragment or "/" in name:
            raise SettingsError(f"--database: {_EXPECTED}")  # without it: a password may be in it
        return cls(host, port, user, name)

    @property
    def url(self) -> str:
        """Its address, for people and files; no password is in it."""
        where = f"{quote(self.user, safe='')}@"
        if self.host.startswith("/"):
            where, query = f"{where}:{self.port}", "?" + urlencode({"host": self.host}, safe="/")
        else:
            host = f"[{self.host}]" if ":" in self.host else self.host
            where, query = f"{where}{host}:{self.port}", ""
        return f"postgresql://{where}/{quote(self.name, safe='')}{query}"

    def variables(self) -> dict[str, str]:
        """What Label Studio and libpq are told, beside `server_variables`."""
        found = {key: str(Path.home() / name) for key, name in _OF_A_PERSON.items()}
        found |= {key: os.environ[key] for key in _INHERITED if key in os.environ}
        found |= {"PGHOST": self.host, "PGPORT": str(self.port), "PGUSER": self.user}
        found |= {"PGDATABASE": self.name, "PGCONNECT_TIMEOUT": "10"}
        found |= {"PGOPTIONS": f"-c search_path={SCHEMA},{_SHARED},public"}
        if not (self.host.startswith("/") or is_loopback(self.host)):
            found["PGSSLMODE"] = "verify-full"  # else rows and password cross the network in clear
        if self.host == "localhost":  # is also ::1, where another user could ask for the password
            found["PGHOSTADDR"] = LOCALHOST
        found |= {"DJANGO_DB": "default", "POSTGRE_PASSWORD": ""}  # libpq finds it
        found |= {"POSTGRE_HOST": self.host, "POSTGRE_PORT": str(self.port)}
        return found | {"POSTGRE_USER": self.user, "POSTGRE_NAME": self.name}


def noted(server: Path) -> str:
    """Address of the database that holds a server's data; empty where it is a file of its own.

    Never connect to it by itself: a workspace may come from a stranger.
    """
    try:
        return str(parse_json(plain_text(server / NOTE))["url"])
    except FileNotFoundError:
        return ""
    except NONSENSE as error:
        raise ServiceError(f"{server / NOTE}: expected the address of a database") from error


def check_place(server: Path, file: Path, database: Postgres | None) -> None:
    """Refuse another place than where the data are.

    Args:
        file: the database of a server that has one of its own.

    Raises:
        ServiceError: see above.
    """
    known, asked = noted(server), database.url if database else ""
    if known and not asked:
        raise ServiceError(
            f"{server}: its data are in {known}; pass --database {shlex.quote(known)}"
        )
    if known != asked and (known or file.exists()):
        into = shlex.quote(asked)
        raise ServiceError(
            f"{server}: its data are in {known or file.name}, expected {asked}; to move them, run "
            f"`sixrayd review backup`, then `sixrayd review restore --database {into}`"
        )


def check_owner(database: Postgres, user: str, token: str, *, new: bool) -> None:
    """Make sure that the database is this workspace's or nobody's.

    Args:
        user, token: who proves it.
        new: nothing is in it yet.

    Raises:
        ServiceError: it cannot be reached, or holds what is not this workspace's.
    """
    found = on_rows(database, "look", SCHEMA, user)
    if found["people"] and token not in found["tokens"]:
        raise ServiceError(
            f"{database.url}: holds another workspace's reviews, expected this one's or none; "
            "name another database"
        )
    if not found["people"] and not new:
        raise ServiceError(
            f"{database.url}: the reviews that were here are gone; put a backup back with "
            f"`sixrayd review restore --database {shlex.quote(database.url)}`"
        )


def make_tables(database: Postgres, folder: Path, say: Callable[[str], None]) -> None:
    """Have Label Studio make its tables where they are missing.

    Args:
        folder: that it may write to, and that is removed.
        say: told that it takes long.

    Raises:
        ServiceError: it failed.
    """
    found = on_rows(database, "look", SCHEMA, "")
    if not found["tables"] and found["others"]:
        raise ServiceError(
            f"{database.url}: holds {counted(found['others'], 'table')} in its schema public, "
            "expected none; name a database of this workspace's own"
        )
    on_rows(database, "make", SCHEMA)
    if not found["tables"]:
        say("Preparing the database (once; one to five minutes)")
        _run(database, [str(server_program(say)), "version", "--data-dir", str(folder)])
        shutil.rmtree(folder)


def copy_rows(database: Postgres, file: Path) -> None:
    """Write all rows, as they are at one moment, to a database of SQLite.

    Raises:
        ServiceError: the database cannot be reached, or refuses.
    """
    server_program(_say)  # with it comes the empty one
    write_private(file, plain_bytes(empty_database()))
    on_rows(database, "copy_out", SCHEMA, str(file))


def on_rows(database: Postgres, command: str, *words: str) -> Any:
    """Have `inside/sixrayd_rows.py` do one thing; what it gives.

    Raises:
        ServiceError: the database cannot be reached, or refuses.
    """
    python = server_program(_say).with_name("python")
    return json.loads(_run(database, [str(python), "-P", str(_ROWS), command, *words]))


def _say(text: str) -> None:
    console.print(text, soft_wrap=True)


def _run(database: Postgres, command: list[str]) -> str:
    """What a program prints; a database may put words of any length into its mouth.

    Raises:
        ServiceError: it failed.
    """
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        done = subprocess.run(  # noqa: S603 - our own words, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=given,
            stderr=said,
            env=server_variables() | database.variables(),
        )
        if done.returncode:
            raise ServiceError(f"{database.url}: {printable(_last_line(said), 500)}")
        given.seek(0)
        return given.read(_MOST_WORDS).decode("utf-8", "replace")


def _last_line(file: IO[bytes]) -> str:
    file.seek(max(0, file.seek(0, os.SEEK_END) - _MOST_WORDS))
    lines = file.read().decode("utf-8", "replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "no message")
