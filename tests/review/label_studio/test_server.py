"""The server of a workspace, and servers that are not what they should be."""

import fcntl
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest
from click.testing import CliRunner

from sixrayd.advice.next_step import Judgement
from sixrayd.core.errors import ServiceError, SettingsError, WorkspaceError
from sixrayd.core.records import Verdict
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.decision import reviews_with_decisions
from sixrayd.review.command import review
from sixrayd.review.label_studio import environment
from sixrayd.review.label_studio.client import LabelStudio
from sixrayd.review.label_studio.connection import Connection
from sixrayd.review.label_studio.labelling import verdict_region
from sixrayd.review.label_studio.proof import is_up
from sixrayd.review.label_studio.restore import restore
from sixrayd.review.label_studio.server import (
    Server,
    end_restore,
    find_server,
    running,
    server_folder,
    server_mark,
    start,
    stop,
    wait,
)
from sixrayd.review.pull import pull
from sixrayd.review.push import push
from sixrayd.review.server import AwayError
from sixrayd.review.settings import PullSettings, PushSettings
from tests.limits import TOO_LARGE, largest_file
from tests.processes import started
from tests.review.conftest import build
from tests.workspaces import build_mine

TOKEN = "a-token-that-must-not-be-shown"
TAKEN = (
    "another program answers there, or a server that an earlier sixrayd started; "
    "run `sixrayd review stop` for its workspace, then start it again"
)


@contextmanager
def web(status, body=b"", asked=None, **headers):
    """A server on this machine that answers everything alike.

    Args:
        asked: list that is told each request.
    """

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            if asked is not None:
                asked.append(f"{self.requestline} {self.headers}")
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def refused(url, token=TOKEN):
    with pytest.raises(ServiceError) as caught:
        LabelStudio(Connection(url, token))
    assert token not in str(caught.value)
    return str(caught.value)


def test_who_took_the_port_of_a_server_that_starts_gets_no_token():
    with web(200, b'{"status": "UP"}') as url, pytest.raises(ServiceError) as caught:
        is_up(url, TOKEN)
    assert str(caught.value) == f"{url}: {TAKEN}"
    assert not is_up(url, TOKEN)  # nobody does


def test_what_people_export_is_left_where_no_other_user_reads_it(site):
    project = site.pushed("exported", 1)
    site.answer(project)
    place, folder = f"api/projects/{project}/export", server_folder(site.workspace) / "tmp"
    with site.client() as server:
        server.calls.request("GET", place, params={"exportType": "YOLO"})
    modes = [stat.filemode(path.stat().st_mode) for path in (folder, *folder.glob("tmp*.zip"))]
    assert set(modes) == {"drwx------", "-rw-------"}


def test_who_answers_in_place_of_a_server_that_is_up_gets_no_token(tmp_path):
    asked = []
    with web(200, b"{}", asked=asked) as url:
        with held(Workspace(tmp_path), {"url": url, "pid": 7}):
            connection = find_server(Workspace(tmp_path), "", None)
        with pytest.raises(ServiceError) as caught:
            LabelStudio(connection)
    assert str(caught.value) == f"{url}: {TAKEN}"
    assert len(asked) == 1 and TOKEN not in asked[0]
    with pytest.raises(AwayError, match="Label Studio does not answer"):
        LabelStudio(connection)  # nobody does


def test_who_has_the_next_port_prove_it_gets_no_token(site):
    class Relay(BaseHTTPRequestHandler):
        def do_GET(self):
            given = httpx.get(f"{site.server.url}{self.path}", trust_env=False)
            self.send_response(given.status_code)
            self.end_headers()
            self.wfile.write(given.content)

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Relay) as relay:
        threading.Thread(target=relay.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{relay.server_port}"
        with pytest.raises(ServiceError) as caught:
            is_up(url, site.server.token)
        relay.shutdown()
    assert str(caught.value) == f"{url}: {TAKEN}"
    assert is_up(site.server.url, site.server.token)


@pytest.mark.long
def test_work_outlives_a_killed_server(tmp_path, servers):
    workspace = build(tmp_path / "workspace", 3)
    build_mine(workspace, "first", ["N0000001", "N0000002"])
    words = ["serve", "-w", str(workspace.root), "--background", "--json"]
    shell = CliRunner().invoke(review, words)
    assert shell.exit_code == 0, shell.output
    told = json.loads(shell.stdout)
    secret = json.loads((server_folder(workspace) / "secret.json").read_text())
    assert told["user"] == secret["user"] == "reviewer@sixrayd.local"
    assert secret["token"] not in shell.output and secret["password"] not in shell.output
    result = push(workspace, PushSettings())
    with LabelStudio(find_server(workspace, "", None)) as server:
        task = server.next_task(result.project)
        server.submit(task.task_id, [verdict_region(Verdict.NOTHING)], 1)

    os.killpg(told["pid"], signal.SIGKILL)
    wait(workspace)
    assert running(workspace) is None
    with pytest.raises(ServiceError) as caught:
        pull(workspace, PullSettings())
    assert str(caught.value) == (
        f"{workspace.root}: its Label Studio is not running; start it with "
        f"`sixrayd review serve --background -w {workspace.root}`, or name another "
        "server with --url"
    )
    left = server_folder(workspace) / "tmp" / "an-export.zip"
    left.touch()
    again = start(workspace)
    try:
        assert not left.exists()
        assert json.loads((server_folder(workspace) / "secret.json").read_text()) == secret
        assert pull(workspace, PullSettings()).new == 1
        assert push(workspace, PushSettings()).already_there == 2
        with pytest.raises(ServiceError, match=f"is already running at {again.url}; stop it"):
            start(workspace)
    finally:
        shell = CliRunner().invoke(review, ["stop", "-w", str(workspace.root)])
    ended, following = shell.stdout.splitlines()
    assert ended == "Label Studio has ended."
    assert following == f"next: sixrayd review serve --background -w {workspace.root}"
    assert (running(workspace), stop(workspace)) == (None, False)
    with pytest.raises(ProcessLookupError):
        os.killpg(again.pid, 0)


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_serve_runs_till_it_is_told_to_end(tmp_path, how):
    """SIGKILL: of the server itself."""
    words = ["-m", "sixrayd", "review", "serve", "-w", str(tmp_path)]
    pipe = subprocess.PIPE
    with started([sys.executable, *words], stdout=pipe, stderr=pipe, text=True) as serve:
        first = serve.stdout.readline()
        server = running(Workspace(tmp_path))
        assert first == f"Label Studio is up at {server.url}\n"
        assert serve.stdout.readline() == (
            f"Sign in as reviewer@sixrayd.local with the password in {server.secret_file}\n"
        )
        assert serve.stdout.readline() == (
            f"Once there is a push, `sixrayd review invite -w {tmp_path}` prints each reviewer's "
            "link to join by\n"
        )
        while "Ctrl-C ends the server" not in serve.stderr.readline():
            assert serve.poll() is None
        if how is signal.SIGKILL:
            os.killpg(server.pid, how)
        else:
            serve.send_signal(how)
        said = serve.stderr.read().splitlines()
        assert serve.wait() == 0
        assert running(Workspace(tmp_path)) is None
    by_itself = "Label Studio has ended, by `review stop` or by itself; its log is "
    assert said[-1].startswith(by_itself if how is signal.SIGKILL else "Label Studio has ended.")


def test_the_server_is_private(site):
    folder = server_folder(site.workspace)
    secret = json.loads((folder / "secret.json").read_text())
    assert (folder / "secret.json").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    log = (folder / "server.log").read_text()
    assert secret["token"] not in log and secret["password"] not in log
    assert secret["token"] not in repr(site.server) + repr(site.connection)
    port = int(site.server.url.rpartition(":")[2])
    with socket.socket() as elsewhere, pytest.raises(ConnectionRefusedError):
        elsewhere.connect(("127.0.0.2", port))


def test_its_log_does_not_grow_with_what_anybody_asks(site):
    log = server_folder(site.workspace) / "server.log"
    os.truncate(log, (64 << 20) + 1)

    for _ in range(2):
        answer = httpx.get(f"{site.server.url}/{'x' * 5000}", trust_env=False)
        assert answer.status_code == 404

    lines = log.read_bytes().splitlines()
    assert 1 < len(lines) < 100
    assert max(map(len, lines)) < 2200


def test_a_taken_port_is_said(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ServiceError) as caught:
            start(Workspace(tmp_path), port)
    assert str(caught.value) == (
        f"port {port}: cannot be used (Address already in use); leave out --port for a free one"
    )


def test_a_wrong_token_is_said(site):
    told = "the token was refused; get a fresh one from Label Studio's page Account & Settings"
    assert refused(site.server.url) == f"{site.server.url}: {told}"


def test_what_does_not_fit_is_said(site):
    with site.client() as server, pytest.raises(ServiceError) as caught:
        server.calls.request("POST", "api/webhooks/", json={"url": "nowhere"})
    told = "Label Studio answered 400: {'url': ['Enter a valid URL.']}"
    assert str(caught.value) == f"{site.server.url}: {told}"


@pytest.mark.filterwarnings("ignore:The `parse_obj` method")  # inside Label Studio's client
def test_a_personal_access_token_works_and_a_broken_one_is_said(site):
    with site.client() as server:
        settings = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": True}
        server.calls.request("POST", "api/jwt/settings", json=settings)
        token = server.calls.request("POST", "api/token").json()["token"]
    with LabelStudio(Connection(site.server.url, token)) as server:
        assert server.user == "reviewer@sixrayd.local"
        assert server.next_task(1_000_000) is None
    head, body, _ = token.split(".")
    assert "the token was refused" in refused(site.server.url, f"{head}.{body}.AAAA")


@pytest.mark.long
def test_servers_that_are_no_label_studio(site):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        down = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert refused(down) == (
        f"{down}: Label Studio does not answer; is it running, and the address right?"
    )
    with web(200, b"<html>a router</html>") as url:
        assert refused(url) == f"{url}: does not answer like Label Studio"
    with web(200, b'{"release": "1.17.4"}') as url:
        assert refused(url) == (
            f"{url}: Label Studio 1.17.4 has known security holes; sixrayd needs 1.18.0 or later"
        )
    with web(418, json.dumps({"detail": f"no {TOKEN}"}).encode()) as url:
        assert refused(url) == f"{url}: Label Studio answered 418: no …"


def test_a_page_in_place_of_an_answer_is_not_told():
    with web(404, b"\n<!doctype html>\n<html><head>") as url:
        assert refused(url) == (
            f"{url}: Label Studio answered 404 with a page of its own; its log says why"
        )


def test_a_server_without_room_is_not_waited_for():
    said = "database or disk is full"
    with web(500, json.dumps({"detail": said}).encode()) as url:
        assert refused(url) == (
            f"{url}: Label Studio cannot write its database ({said}); make room there, and see "
            "that it can be written, then run the same command again; what reviewers submitted is "
            "kept"
        )


def test_no_server_starts_without_room(tmp_path):
    workspace = Workspace(tmp_path)
    with largest_file(100_000), pytest.raises(WorkspaceError) as caught:
        start(workspace)
    assert str(caught.value) == f"{server_folder(workspace) / '.room'}: {TOO_LARGE}"
    with server_mark(workspace):  # nobody holds it
        assert running(workspace) is None


def test_a_redirect_to_another_host_is_refused():
    with web(302, Location="http://127.0.0.3:9/api/version") as url:
        assert refused(url) == (
            f"{url}: redirects to http://127.0.0.3:9; if that is right, name it with --url"
        )


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "http://labels.example.org",
            "--url http://labels.example.org: plain http would show the token to the network; "
            "use https",
        ),
        (
            "https://me:secret@labels.example.org",
            "--url: must not carry a user name or password; "
            "set SIXRAYD_LABEL_STUDIO_TOKEN or pass --token-file",
        ),
        ("ftp://x", "--url 'ftp://x': expected https://HOST[:PORT]"),
        ("https://", "--url 'https://': expected https://HOST[:PORT]"),
    ],
)
def test_unfit_addresses(url, message):
    with pytest.raises(SettingsError) as caught:
        Connection(url, TOKEN)
    assert str(caught.value) == message


def test_tokens_come_from_the_environment_or_a_private_file(tmp_path, monkeypatch):
    workspace, url, file = Workspace(tmp_path), "https://labels.example.org/", tmp_path / "token"
    monkeypatch.setenv("SIXRAYD_LABEL_STUDIO_TOKEN", TOKEN)
    assert find_server(workspace, url, None) == Connection("https://labels.example.org", TOKEN)
    file.write_text("other\n")
    with pytest.raises(SettingsError) as caught:
        find_server(workspace, url, file)
    assert str(caught.value) == f"{file}: others can read this token; run `chmod 600 {file}`"
    file.chmod(0o600)
    assert find_server(workspace, url, file).token == "other"
    file.write_text("two words")
    with pytest.raises(SettingsError, match="token: expected one token and nothing else"):
        find_server(workspace, url, file)
    monkeypatch.delenv("SIXRAYD_LABEL_STUDIO_TOKEN")
    with pytest.raises(SettingsError, match="no token; set SIXRAYD_LABEL_STUDIO_TOKEN or pass"):
        find_server(workspace, url, None)


def test_a_folder_of_somebody_elses_is_not_taken_for_the_environment(tmp_path, monkeypatch):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    monkeypatch.setenv("SIXRAYD_LABEL_STUDIO_VENV", str(folder))
    with pytest.raises(ServiceError) as caught:
        environment.server_program(print)
    assert str(caught.value) == (
        f"{folder}: not an environment that sixrayd made; "
        "name an empty folder in SIXRAYD_LABEL_STUDIO_VENV"
    )
    assert (folder / "thesis.tex").exists()


@pytest.mark.long
def test_a_failed_installation_says_why(tmp_path, monkeypatch):
    folder = tmp_path / "new"
    monkeypatch.setenv("SIXRAYD_LABEL_STUDIO_VENV", str(folder))
    for name, value in (
        ("PIP_NO_INDEX", "1"),
        ("PIP_FIND_LINKS", ""),
        ("PIP_CONFIG_FILE", "/dev/null"),
    ):
        monkeypatch.setenv(name, value)
    with pytest.raises(ServiceError) as caught:
        environment.server_program(lambda text: None)
    assert re.fullmatch(
        r"Label Studio cannot be installed: ERROR: No matching distribution found for "
        rf"setuptools==[\d.]+; see {folder / 'install.log'}, and pip's index settings",
        str(caught.value),
    )


SECRET = {"user": "reviewer@sixrayd.local", "password": "a-password", "token": TOKEN}
STATE = {"url": "http://127.0.0.1:8080", "pid": 7}


@contextmanager
def held(workspace, state=STATE, secret=SECRET):
    """The files of a server that is up, and the lock that lives as long as it does."""
    folder = server_folder(workspace)
    folder.mkdir(parents=True)
    for name, document in (("state.json", state), ("secret.json", secret)):
        if document is not None:
            text = document if isinstance(document, str) else json.dumps(document)
            (folder / name).write_text(text)
    with (folder / "running").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def test_a_server_is_known_by_its_lock(tmp_path):
    workspace = Workspace(tmp_path)
    assert running(workspace) is None
    with held(workspace) as folder:
        server = running(workspace)
        assert server == Server(
            "http://127.0.0.1:8080", 7, SECRET["user"], TOKEN, folder / "secret.json"
        )
        assert TOKEN not in repr(server) and "a-password" not in repr(server)
        assert find_server(workspace, "", None) == Connection(server.url, TOKEN, local=True)
        for mode in (0o775, 0o757):  # others can write there, whoever holds the lock
            folder.chmod(mode)
            assert (running(workspace), stop(workspace)) == (None, False)
        folder.chmod(0o755)
    assert running(workspace) is None  # killed; its files are still there
    assert (folder / "state.json").exists()
    assert stop(workspace) is False


@pytest.mark.parametrize(
    "files",
    [
        {"state": None},
        {"state": ""},
        {"state": "{"},
        {"state": {"url": "http://127.0.0.1:8080"}},
        {"state": {"pid": 7}},
        {"secret": None},
        {"secret": "{"},
        {"secret": {"user": "reviewer@sixrayd.local"}},
        {"state": []},
        {"secret": 5},
    ],
)
def test_one_that_has_not_said_where_it_is_cannot_be_used_yet(tmp_path, files):
    workspace = Workspace(tmp_path)
    with held(workspace, **files), pytest.raises(ServiceError) as caught:
        find_server(workspace, "", None)
    assert str(caught.value) == (
        f"{tmp_path}: its Label Studio is not running; start it with "
        f"`sixrayd review serve --background -w {tmp_path}`, or name another "
        "server with --url"
    )


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[]", '{"user": "u", "password": "p"}', '"a-password"']
)
def test_a_spoilt_secret_is_not_replaced_and_not_shown(tmp_path, text):
    folder = server_folder(Workspace(tmp_path))
    folder.mkdir(parents=True)
    (folder / "secret.json").write_text(text)
    (folder / "secret.json").chmod(0o600)
    with pytest.raises(ServiceError) as caught:
        start(Workspace(tmp_path))
    assert str(caught.value) == (
        f"{folder / 'secret.json'}: expected user, password and token; "
        "put the file back from a backup"
    )
    assert (folder / "secret.json").read_text() == text
    assert not (folder / "data" / "label_studio.sqlite3").exists()


def test_where_one_is_up_no_second_is_started(tmp_path):
    workspace = Workspace(tmp_path)
    with held(workspace) as folder:
        with pytest.raises(ServiceError) as caught:
            start(workspace)
        assert str(caught.value) == (
            f"{folder}: its Label Studio is already running at {STATE['url']}; stop it with "
            f"`sixrayd review stop -w {tmp_path}`"
        )
        assert json.loads((folder / "state.json").read_text()) == STATE


def test_a_server_whose_start_was_killed_before_it_was_up_can_be_stopped(tmp_path):
    workspace = Workspace(tmp_path)
    with server_mark(workspace, "Label Studio is started") as mark:
        assert stop(workspace) is False
        child = subprocess.Popen(["sleep", "60"], pass_fds=(mark.handle,), start_new_session=True)
        mark.pass_to(child.pid)
    with pytest.raises(ServiceError, match="its Label Studio is already running; stop it"):
        start(workspace)
    assert stop(workspace) is True
    child.wait()
    assert stop(workspace) is False


def test_nothing_is_restored_beneath_a_server_that_starts(tmp_path):
    workspace = Workspace(tmp_path)
    archive = tmp_path / "backup.tar.gz"
    with held(workspace, state=None) as folder, pytest.raises(ServiceError) as caught:
        restore(workspace, archive)
    assert str(caught.value) == (
        f"{folder}: its Label Studio is already running; stop it with "
        f"`sixrayd review stop -w {tmp_path}`"
    )


def test_no_server_starts_while_a_backup_is_put_back(tmp_path, runner):
    workspace = Workspace(tmp_path)
    with held(workspace):  # a server that was killed has left its files
        pass
    with server_mark(workspace, "a backup is put back") as mark:
        folder = mark.path.parent
        assert (running(workspace), stop(workspace)) == (None, False)
        for command in ("serve --background", "restore backup.tar.gz"):
            done = runner.invoke(review, [*command.split(), "-w", str(tmp_path)])
            assert done.exit_code == 1
            said = f"{folder}: a backup is put back by process {os.getpid()}; wait for it"
            assert str(done.exception) == said or said in done.stderr
    assert sorted(p.name for p in folder.iterdir()) == ["running", "secret.json", "state.json"]


HALF = (
    "{}: a backup is half put back; wait for its restore; if that was killed, "
    "`sixrayd review serve --background -w {}` ends it"
)


def test_no_restore_is_ended_while_reviews_are_written(tmp_path, runner):
    workspace = Workspace(tmp_path)
    ready = tmp_path / "review" / "server" / ".restored-20260101T000000.000000Z"
    table = "review/first/decisions/00001.parquet"
    (ready / table).parent.mkdir(parents=True)
    (ready / table).write_bytes(b"of the backup")
    with workspace.lock("review"):
        done = runner.invoke(review, ["serve", "--background", "-w", str(tmp_path)])
        said = f"{tmp_path}: in use by process {os.getpid()} (sixrayd review); wait for it"
        assert said in str(done.exception) or said in done.stderr
        assert (ready / table).exists()
        assert Judgement(workspace).step.why == HALF.format(ready.parent, tmp_path)
    for words in ("status", "pull", "agreement"):
        done = runner.invoke(review, [words, "-w", str(tmp_path)])
        assert str(done.exception) == HALF.format(ready.parent, tmp_path)
    with pytest.raises(WorkspaceError, match="a backup is half put back"):
        reviews_with_decisions(workspace)
    with server_mark(workspace, "a restore is ended"):
        end_restore(workspace, None)
    assert (tmp_path / table).read_bytes() == b"of the backup"
    assert not ready.exists()
    assert reviews_with_decisions(workspace) == ["first"]
