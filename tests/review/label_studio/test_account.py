"""Who may know the password of a workspace's own server."""

import fcntl
import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sixrayd.core.errors import ServiceError, UnfitFileError, WorkspaceError
from sixrayd.core.workspace import Workspace
from sixrayd.review.label_studio.account import account_of, private_folder
from sixrayd.review.label_studio.backup import back_up
from sixrayd.review.label_studio.environment import empty_database
from sixrayd.review.label_studio.server import running, server_folder, start, stop
from tests.test_fuzz import within

THEIRS = {"user": "reviewer@sixrayd.local", "password": "known", "token": "0" * 40}
NOBODY = 65534
root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def handed(tmp_path: Path, mode: int) -> tuple[Path, Path]:
    """A server's folder with a stranger's secret and key; and where its database would be."""
    folder = server_folder(Workspace(tmp_path))
    (folder / "data").mkdir(parents=True, mode=0o755)
    (folder / "secret.json").write_text(json.dumps(THEIRS))
    (folder / "secret.json").chmod(mode)
    (folder / "data" / ".env").write_text("SECRET_KEY=known")
    return folder, folder / "data" / "label_studio.sqlite3"


def said(folder: Path, database: Path) -> tuple[dict[str, str], list[str]]:
    lines: list[str] = []
    return account_of(folder, database, lines.append), lines


def test_a_new_account_is_its_owners_alone(tmp_path: Path) -> None:
    made, lines = said(tmp_path, tmp_path / "data/db")
    assert (lines, mode(tmp_path / "secret.json")) == ([], 0o600)
    assert said(tmp_path, tmp_path / "data/db") == (made, [])


@pytest.mark.parametrize("access", [0o644, 0o640, 0o604, 0o620, 0o666])
def test_an_account_that_others_can_read_is_replaced(tmp_path: Path, access: int) -> None:
    folder, database = handed(tmp_path, access)
    made, lines = said(folder, database)
    path = folder / "secret.json"
    assert lines == [f"{path}: others can read it; replaced by a new password and token"]
    assert made["user"] == THEIRS["user"]
    assert made["password"] != THEIRS["password"] and made["token"] != THEIRS["token"]
    assert (mode(path), json.loads(path.read_text())) == (0o600, made)
    assert not (folder / "data" / ".env").exists()


def test_a_link_to_an_account_is_none(tmp_path: Path) -> None:
    folder, database = handed(tmp_path, 0o600)
    (folder / "secret.json").rename(tmp_path / "theirs")
    (folder / "secret.json").symlink_to(tmp_path / "theirs")
    made, lines = said(folder, database)
    assert lines == [
        f"{folder / 'secret.json'}: no plain file; replaced by a new password and token"
    ]
    assert json.loads((tmp_path / "theirs").read_text()) == THEIRS != made


@root
def test_an_account_of_another_user_is_replaced(tmp_path: Path) -> None:
    folder, database = handed(tmp_path, 0o600)
    os.chown(folder / "secret.json", NOBODY, NOBODY)
    made, lines = said(folder, database)
    assert len(lines) == 1 and "belongs to user 65534, expected yours" in lines[0]
    assert made["token"] != THEIRS["token"]


def test_beside_a_database_it_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    folder, database = handed(tmp_path, 0o644)
    database.write_bytes(b"theirs")
    with pytest.raises(ServiceError) as error:
        start(Workspace(tmp_path))
    path = folder / "secret.json"
    assert str(error.value) == (
        f"{path}: others can read it, so others may sign in; if all in {folder} is your own, run "
        f"`chmod 600 {path}`; if not, delete {folder}"
    )
    assert json.loads(path.read_text()) == THEIRS
    path.chmod(0o600)
    assert said(folder, database) == (THEIRS, [])


def test_folders_that_are_there_are_closed(tmp_path: Path) -> None:
    folder, database = handed(tmp_path, 0o644)
    database.write_bytes(b"theirs")
    with pytest.raises(ServiceError):
        start(Workspace(tmp_path))
    folders = (folder, folder / "data", folder / "images")
    assert [mode(each) for each in folders] == [0o700] * 3


@root
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    folder, _ = handed(tmp_path, 0o600)
    os.chown(folder, NOBODY, NOBODY)
    with pytest.raises(ServiceError) as error:
        private_folder(folder)
    assert str(error.value) == (
        f"{folder}: belongs to user 65534, expected yours; copy the workspace, then use the copy"
    )
    with pytest.raises(ServiceError, match="belongs to user 65534"):
        start(Workspace(tmp_path))


@root
def test_another_users_server_ends_no_process_and_names_no_database(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    folder, _ = handed(tmp_path, 0o600)
    named = {"url": "http://127.0.0.1:1", "pid": 2**30, "database": "postgresql://u@h/d"}
    (folder / "state.json").write_text(json.dumps(named))
    with (folder / "running").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert running(workspace)  # as long as the folder is ours
        os.chown(folder, NOBODY, NOBODY)
        assert (running(workspace), stop(workspace)) == (None, False)
        with pytest.raises(WorkspaceError, match="Label Studio has not been started here yet"):
            back_up(workspace)


@pytest.mark.parametrize(
    ("program", "what"),
    [
        ("CREATE TRIGGER t AFTER INSERT ON task BEGIN DELETE FROM task; END", "trigger, 't'"),
        ("CREATE VIEW v AS SELECT 1", "view, 'v'"),
        ("CREATE VIRTUAL TABLE f USING fts5(a)", "virtual table, 'f'"),
    ],
)
def test_no_server_starts_with_a_database_that_runs_something(
    tmp_path: Path, program: str, what: str
) -> None:
    folder, database = handed(tmp_path, 0o600)
    shutil.copy(empty_database(), database)
    with closing(sqlite3.connect(database)) as opened, opened:
        opened.execute(program)
    with pytest.raises(ServiceError) as error:
        start(Workspace(tmp_path))
    assert str(error.value) == (
        f"{database}: refused (it has a {what}, which Label Studio's has not); put a backup of "
        f"yours back with `sixrayd review restore -w {tmp_path}`"
    )
    assert not (folder / "server.log").exists()


def test_a_pipe_for_a_database_is_not_waited_for(tmp_path: Path) -> None:
    _, database = handed(tmp_path, 0o600)
    os.mkfifo(database)
    with within(60, "a pipe"), pytest.raises(UnfitFileError) as error:
        start(Workspace(tmp_path))
    assert str(error.value) == f"{database}: a pipe, expected a plain file"
