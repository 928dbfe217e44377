"""A review on a PostgreSQL server: the same work, backups and restores, and a secret password."""

import json
import shlex
import shutil
import socket
import socketserver
import struct
import subprocess
import sys
import threading
from contextlib import suppress

import pytest
from click.testing import CliRunner

from sixrayd.cli import cli
from sixrayd.core.errors import ServiceError, SettingsError
from sixrayd.core.workspace import Workspace
from sixrayd.review.label_studio import taking_place
from sixrayd.review.label_studio.backup import back_up, backups
from sixrayd.review.label_studio.client import LabelStudio
from sixrayd.review.label_studio.database import checked_counts
from sixrayd.review.label_studio.labelling import verdict_region
from sixrayd.review.label_studio.postgres import (
    NOTE,
    SCHEMA,
    Postgres,
    check_place,
    on_rows,
)
from sixrayd.review.label_studio.restore import restore
from sixrayd.review.label_studio.server import find_server, running_server, server_folder, start
from sixrayd.review.label_studio.taking_place import ROWS
from sixrayd.review.pull import pull
from sixrayd.review.push import push
from sixrayd.review.settings import PullSettings, PushSettings
from tests.postgres import postgres
from tests.review.conftest import build
from tests.workspaces import build_mine

EXPECTED = "expected postgresql://USER@HOST[:PORT]/NAME, or postgresql://USER@[:PORT]/NAME?host="


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("postgresql://team@db.example.org/review", "team@db.example.org:5432/review"),
        ("postgres://team@127.0.0.1:5433/review", "team@127.0.0.1:5433/review"),
        ("postgresql://team@[::1]/review", "team@[::1]:5432/review"),
        ("postgresql://team@/review?host=/run/pg", "team@:5432/review?host=/run/pg"),
        ("postgresql://a%20b@:5499/c%25?host=/run/pg", "a%20b@:5499/c%25?host=/run/pg"),
    ],
)
def test_addresses(given, url):
    database = Postgres.of(given)
    assert database.url == f"postgresql://{url}"
    assert Postgres.of(database.url) == database


@pytest.mark.parametrize(
    "url",
    [
        *("mysql://team@h/n", "postgresql://h/n", "postgresql://team@h", "postgresql://team@h/"),
        *("postgresql://team@/n", "postgresql://team@/n?host=h", "postgresql://team@h/a/b"),
        *("postgresql://team@h/n?sslmode=disable", "postgresql://team@h/n#x", "review"),
        *("postgresql://team@h:x/n", "postgresql://team@h/n?host=/run/pg", "postgresql://t@h/\x1b"),
    ],
)
def test_what_is_no_address(url):
    with pytest.raises(SettingsError) as error:
        Postgres.of(url)
    assert EXPECTED in str(error.value) and "\x1b" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        *("postgresql://team:geheim@h/n", "postgresql://team@h/n?password=geheim"),
        *("postgresql:/team:geheim@h/n", "host=h user=team password=geheim", "team:geheim@h/n"),
    ],
)
def test_a_password_in_an_address_is_refused_and_not_shown(tmp_path, url):
    words = ["review", "serve", "-w", str(tmp_path), "--database", url]
    shell = CliRunner().invoke(cli, words)
    assert isinstance(shell.exception, SettingsError)
    assert "geheim" not in f"{shell.exception}{shell.output}"
    assert str(shell.exception).startswith("--database: ")
    assert not list(tmp_path.rglob("*geheim*"))


def test_beyond_this_machine_the_server_must_prove_who_it_is(monkeypatch):
    monkeypatch.setenv("PGSSLMODE", "disable")
    monkeypatch.setenv("PGPASSFILE", "/home/ann/team")
    urls = ("team@db.example.org/n", "team@127.0.0.1/n", "team@/n?host=/run/pg")
    told = [Postgres.of(f"postgresql://{url}").variables() for url in urls]
    assert [each.get("PGSSLMODE") for each in told] == ["verify-full", None, None]
    assert {each["PGPASSFILE"] for each in told} == {"/home/ann/team"}
    assert {each["POSTGRE_PASSWORD"] for each in told} == {""}
    monkeypatch.setenv("HOME", "/home/ann")  # Label Studio has no `~`, where libpq would look
    assert {Postgres.of("postgresql://t@h/n").variables()["PGSSLROOTCERT"]} == {
        "/home/ann/.postgresql/root.crt"
    }


def test_localhost_leads_to_no_other_user_of_the_machine():
    """Who takes the server's port of ::1 was asked first, and may ask for the password."""
    asked = [Postgres.of(f"postgresql://t@{host}/n").variables() for host in ("localhost", "h")]
    assert [said.get("PGHOSTADDR") for said in asked] == ["127.0.0.1", None]


def test_a_workspaces_own_file_names_no_database(tmp_path):
    (tmp_path / "sixrayd.toml").write_text('[review.serve]\ndatabase = "postgresql://t@h/n"\n')
    shell = CliRunner().invoke(cli, ["review", "serve", "-w", str(tmp_path)])
    assert "'database' is nothing that a workspace's own file may set" in str(shell.exception)


def test_data_are_looked_for_where_they_are(tmp_path):
    here, there = (Postgres.of(f"postgresql://team@{host}/n") for host in ("here", "there"))
    file = tmp_path / "label_studio.sqlite3"
    check_place(tmp_path, file, here)
    check_place(tmp_path, file, None)
    file.touch()
    check_place(tmp_path, file, None)
    move = (
        f"{here.url}; to move them, run `sixrayd review backup`, then `sixrayd review restore "
        f"--database {here.url}`"
    )
    with pytest.raises(ServiceError) as error:
        check_place(tmp_path, file, here)
    assert str(error.value) == f"{tmp_path}: its data are in label_studio.sqlite3, expected {move}"
    (tmp_path / NOTE).write_text(f'{{"url": "{there.url}"}}')
    check_place(tmp_path, file, there)
    with pytest.raises(ServiceError) as error:
        check_place(tmp_path, file, here)
    assert str(error.value) == f"{tmp_path}: its data are in {there.url}, expected {move}"
    with pytest.raises(ServiceError) as error:
        check_place(tmp_path, file, None)
    assert str(error.value).endswith(f"{there.url}; pass --database {there.url}")


def test_a_database_that_is_not_there_is_one_line():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"postgresql://team@127.0.0.1:{probe.getsockname()[1]}/n"
        with pytest.raises(ServiceError) as error:
            on_rows(Postgres.of(url), "look", SCHEMA, "ann")
    assert str(error.value).startswith(f"{url}: connection failed: ")
    assert "Connection refused" in str(error.value) and "\n" not in str(error.value)


class Hostile(socketserver.StreamRequestHandler):
    """A PostgreSQL server that lets everybody in, and answers any question with a long error."""

    def handle(self):
        while (hello := self.received(4)) in (SSL, GSS):
            self.wfile.write(b"N")
        assert hello == struct.pack(">I", 3 << 16)
        self.wfile.write(said(b"R", bytes(4)) + said(b"Z", b"I"))
        self.rfile.read(1)
        self.received(0)
        words = b"SERROR\0VERROR\0C42000\0M" + b"no " * (self.server.length // 3) + b"\0\0"
        with suppress(OSError):
            self.wfile.write(said(b"E", words) + said(b"Z", b"I"))

    def received(self, kept):
        (length,) = struct.unpack(">I", self.rfile.read(4))
        return self.rfile.read(length - 4)[:kept]


SSL, GSS = (struct.pack(">I", (1234 << 16) + number) for number in (5679, 5680))


def said(kind, data):
    return kind + struct.pack(">I", len(data) + 4) + data


def test_a_long_error_of_a_database_is_one_short_line():
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Hostile) as server:
        server.length = 16 << 20
        threading.Thread(target=server.serve_forever, daemon=True).start()
        database = Postgres("127.0.0.1", server.server_address[1], "team", "review")
        words = subprocess.run(
            [sys.executable, "-c", ASKING, database.url], capture_output=True, text=True
        )
        server.shutdown()
    assert words.stdout.startswith(f"{database.url}: no no no")
    assert len(words.stdout) < 600 and words.stderr == ""


# In a process of its own, so that its memory tells: an error is nowhere as a whole.
ASKING = """
import re, sys
from pathlib import Path
from sixrayd.core.errors import ServiceError
from sixrayd.review.label_studio.postgres import Postgres, on_rows

def most_kib():
    return int(re.search(r"VmHWM:\\s*([0-9]+)", Path("/proc/self/status").read_text())[1])

before = most_kib()
try:
    on_rows(Postgres.of(sys.argv[1]), "look", "sixrayd", "")
except ServiceError as error:
    print(error)
assert most_kib() - before < 24 << 10
"""


def test_a_strangers_workspace_leads_to_no_database(tmp_path):
    ready = tmp_path / "server" / ".restored-20260101T000000.000000Z" / "server"
    ready.mkdir(parents=True)
    (ready / NOTE).write_text('{"url": "postgresql://team@127.0.0.1:1/n"}')
    with pytest.raises(ServiceError) as error:
        taking_place.finish_restore(tmp_path / "server")
    assert str(error.value) == (
        f"{tmp_path / 'server'}: a restore into postgresql://team@127.0.0.1:1/n was not ended; "
        "pass --database postgresql://team@127.0.0.1:1/n"
    )


def test_what_a_stranger_noted_is_quoted_where_a_command_is_told(tmp_path):
    server = tmp_path / "server"
    server.mkdir()
    there = "x'; touch owned; '"
    (server / NOTE).write_text(json.dumps({"url": there}))
    with pytest.raises(ServiceError) as error:
        check_place(server, tmp_path / "none", None)
    assert shlex.split(str(error.value).partition("pass ")[2]) == ["--database", there]
    ready = server / ".restored-20260101T000000.000000Z" / "server"
    ready.mkdir(parents=True)
    (ready / NOTE).write_text(json.dumps({"url": there}))
    with pytest.raises(ServiceError) as error:
        taking_place.finish_restore(server)
    assert shlex.split(str(error.value).partition("pass ")[2]) == ["--database", there]


def answer(workspace, project):
    """Submit on the next task; the number of the annotation."""
    with LabelStudio(find_server(workspace, "", None)) as server:
        task = server.next_task(project)
        return server.submit(task.task_id, [verdict_region("nothing there")], 1)


def holding(folder, secret):
    """Files that hold a secret."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if secret.encode() in path.read_bytes()]


@pytest.fixture(scope="module")
def team():
    with postgres() as there, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSFILE", str(there.password_file))
        yield there


@pytest.mark.long
def test_a_review_in_postgresql_is_backed_up_lost_and_put_back(tmp_path, team, monkeypatch):
    workspace = build(tmp_path / "workspace", 3)
    build_mine(workspace, "first", ["N0000001", "N0000002", "N0000003"])
    database = Postgres.of(team.url)
    with monkeypatch.context() as patch:
        patch.delenv("PGPASSFILE")
        with pytest.raises(ServiceError, match=r"connection failed: .*no password supplied"):
            start(workspace, database=database)
    with running_server(workspace, database=database):
        project = push(workspace, PushSettings()).project
        first = answer(workspace, project)
        assert pull(workspace, PullSettings()).new == 1
        assert len(backups(workspace)) == 1  # made by the pull
        made = back_up(workspace)
        assert (made.tasks, made.annotations) == (3, 1)
        copy = Workspace(shutil.copytree(workspace.root, tmp_path / "copy"))  # of one account
        with pytest.raises(ServiceError, match=r"/postgres: a review server works on it, of this "):
            restore(copy, database=database)
        answer(workspace, project)  # in no backup
        shown = subprocess.run(["ps", "axww"], capture_output=True, text=True, check=True)
        assert team.password not in shown.stdout and "label-studio" in shown.stdout
    assert holding(tmp_path, team.password) == []
    other = build(tmp_path / "other", 1)
    with pytest.raises(ServiceError, match="holds another workspace's reviews, expected"):
        start(other, database=database)

    killed_once_it_is_decided(workspace, database, monkeypatch)
    with pytest.raises(ServiceError, match=r"a restore into .* was not ended; pass --database"):
        start(workspace)
    with running_server(workspace, database=database):
        found = pull(workspace, PullSettings(full=True))
        assert (found.new, found.gone, found.progress.decided) == (0, 0, 1)
        assert push(workspace, PushSettings()).added == 0
        assert answer(workspace, project) > first
        assert pull(workspace, PullSettings()).new == 1
        back_up(workspace)
    (aside,) = server_folder(workspace).glob("replaced-*")
    assert checked_counts(aside / ROWS) == {"tasks": 3, "annotations": 2}

    done = restore(workspace)  # into a file, without the other server
    assert (done.tasks, done.annotations, done.kept) == (3, 2, ())
    assert not (server_folder(workspace) / NOTE).exists()
    with running_server(workspace):
        found = pull(workspace, PullSettings(full=True))
        assert (found.new, found.gone, found.progress.decided) == (0, 0, 2)
        answer(workspace, project)
        assert pull(workspace, PullSettings()).new == 1
        back_up(workspace)
    with pytest.raises(ServiceError, match=r"its data are in label_studio.sqlite3, expected"):
        start(workspace, database=database)
    assert restore(workspace, database=database).annotations == 3  # and back again
    with running_server(workspace, database=database):
        found = pull(workspace, PullSettings(full=True))
        assert (found.new, found.gone, found.progress.left) == (0, 0, 0)


@pytest.mark.long
def test_a_database_that_was_lost_is_not_begun_anew(tmp_path, team):
    workspace = build(tmp_path / "workspace", 1)
    database = Postgres.of(team.url.replace("/postgres", "/template1"))
    server_folder(workspace).mkdir(parents=True)
    (server_folder(workspace) / NOTE).write_text(f'{{"url": "{database.url}"}}')
    with pytest.raises(ServiceError) as error:
        start(workspace, database=database)
    assert str(error.value) == (
        f"{database.url}: the reviews that were here are gone; put a backup back with "
        f"`sixrayd review restore --database {shlex.quote(database.url)}`"
    )


@pytest.mark.long
def test_tables_of_others_are_not_taken(tmp_path, team):
    psql = shutil.which("psql") or pytest.skip("psql is not installed")
    words = ("CREATE DATABASE others", "CREATE TABLE django_migrations (id int)")
    url = team.url.replace("/postgres", "/others")
    for where, command in zip((team.url, url), words, strict=True):
        subprocess.run([psql, "-w", "-c", command, where], check=True, stdout=subprocess.DEVNULL)
    workspace = build(tmp_path / "workspace", 1)
    with pytest.raises(ServiceError) as error:
        start(workspace, database=Postgres.of(url))
    assert str(error.value) == (
        f"{url}: holds 1 table in its schema public, expected none; name a database of this "
        "workspace's own"
    )


def killed_once_it_is_decided(workspace, database, monkeypatch):
    """Restore, and end as a kill would before the rows are exchanged."""

    def killed(*words):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(taking_place, "on_rows", killed)
        with pytest.raises(KeyboardInterrupt):
            restore(workspace, database=database)
