"""A real PostgreSQL server, where one is installed: on this machine only, with a password."""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.processes import started

_PLACES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
_PATIENCE_S = 120


@dataclass(frozen=True)
class Server:
    """What is up."""

    url: str  # of a database that the team may fill
    password: str
    password_file: Path


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(map(str, _PLACES)))
    if found is None:
        pytest.skip(f"{name} is not installed; apt-get install postgresql")
    return found


@contextmanager
def postgres() -> Iterator[Server]:
    """A server for the length of a `with` block."""
    initdb, program = _program("initdb"), _program("postgres")
    password = secrets.token_hex(16)
    folder = Path(tempfile.mkdtemp(prefix="sixrayd-pg-", dir="/tmp"))  # its user must get there
    try:
        words = folder / "password"
        words.write_text(password)
        # It refuses to run as root.
        other = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        other = other if os.geteuid() == 0 else {}
        if other:
            for path in (folder, words):
                shutil.chown(path, "nobody")
        more = ["--auth=scram-sha-256", f"--pwfile={words}", "--no-sync", "--encoding=UTF8"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/"}
        data = folder / "data"
        command = [initdb, "-D", str(data), "-U", "team", *more]
        subprocess.run(command, check=True, **quiet, **other)
        words.unlink()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        switches = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
        given = [word for name, value in switches.items() for word in ("-c", f"{name}={value}")]
        with started([program, "-D", str(data), "-p", str(port), *given], **quiet, **other):
            _wait(port)
            file = folder / "pgpass"
            file.write_text(f"127.0.0.1:{port}:*:team:{password}\n")
            file.chmod(0o600)
            yield Server(f"postgresql://team@127.0.0.1:{port}/postgres", password, file)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(port: int) -> None:
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"PostgreSQL is not up after {_PATIENCE_S} s")
