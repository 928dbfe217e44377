"""The real app and its database, attacked by another user of the machine and by a web page."""

import http.client
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from sixrayd.browse.guard import COOKIE
from sixrayd.browse.lifeline import LONGEST_LOG
from sixrayd.export.settings import ExportSettings
from sixrayd.export.stage import export
from tests.processes import ran, started
from tests.strangers import as_another_user
from tests.workspaces import Small

pytestmark = [pytest.mark.browser, pytest.mark.long]
IMAGE = "shards/positives-00000.tar/P00001.jpg"  # where the app knows it
SECRET = "what nobody else must read"
OWN_DATABASE = {"FIFTYONE_DATABASE_URI": ""}  # not that of the tests beside these


@dataclass
class Shown:
    """A workspace that is browsed; every user may enter its folder, so that modes alone protect."""

    root: Path
    command: subprocess.Popen
    url: str
    ports_before: set[int]

    @property
    def port(self):
        return urlsplit(self.url).port

    @property
    def token(self):
        return urlsplit(self.url).query.removeprefix("token=")

    @property
    def processes(self):
        return [psutil.Process(self.command.pid), *self.children]

    @property
    def children(self):
        return psutil.Process(self.command.pid).children(recursive=True)

    def ask(self, path, method="GET", cookie=True, **options):
        """As the owner, or as somebody without the cookie."""
        headers = {"Cookie": f"{COOKIE}={self.token}"} if cookie else {}
        headers |= options.pop("headers", {})
        url = f"http://127.0.0.1:{self.port}{path}"
        return httpx.request(method, url, headers=headers, timeout=60, verify=False, **options)


@pytest.fixture(scope="module")
def shown():
    if importlib.util.find_spec("fiftyone") is None:
        pytest.skip("FiftyOne is not installed")
    folder = Path(tempfile.mkdtemp(prefix="sixrayd-doors-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        workspace = Small().build(folder / "w")
        export(workspace, ExportSettings())
        secret = workspace.root / "review" / "server" / "secret.json"
        secret.parent.mkdir(parents=True)
        secret.write_text(SECRET)
        secret.chmod(0o600)
        command = [sys.executable, "-m", "sixrayd", "browse", "-w", str(workspace.root)]
        before = listening()
        with started(
            [*command, "--port", "0", "--json"], stdout=subprocess.PIPE, env=OWN_DATABASE
        ) as running:
            text = b""
            while not text.endswith(b"}\n"):
                text += running.stdout.readline() or pytest.fail("it has ended")
            yield Shown(workspace.root, running, json.loads(text)["url"], before)
    finally:
        shutil.rmtree(folder)


def listening():
    return {c.laddr[:2] for c in psutil.net_connections("inet") if c.status == psutil.CONN_LISTEN}


def test_all_that_listens_is_a_guarded_port_of_loopback_and_a_private_socket(shown):
    inet = {c.laddr[:2] for p in shown.processes for c in p.net_connections("inet") if not c.raddr}
    unix = {c.laddr for p in shown.processes for c in p.net_connections("unix") if c.laddr}
    door = shown.root / "browse/database/mongodb.sock"
    assert inet == {("127.0.0.1", shown.port)}
    assert inet <= listening() - shown.ports_before
    assert {path for path in unix if not path.startswith("@")} == {str(door)}
    assert (door.parent.stat().st_mode & 0o777, door.stat().st_mode & 0o777) == (0o700, 0o600)


def test_another_user_of_the_machine_gets_nothing(shown):
    """Of no port, no socket, no file, and no process list."""
    secret = shown.root / "review/server/secret.json"
    image = shown.root / IMAGE
    paths = [f"/media?filepath={path}" for path in (secret, image)]
    paths += ["/", "/fiftyone", "/events", "/graphql", "/plugins", "/operators", "/token"]
    pids = [process.pid for process in shown.processes]

    def look():
        said = {}
        for method in ("GET", "POST"):
            for path in paths:
                server = http.client.HTTPConnection("127.0.0.1", shown.port, timeout=60)
                server.request(method, path)
                answer = server.getresponse()
                said[f"{method} {path}"] = [answer.status, answer.read().decode()]
        with socket.socket(socket.AF_UNIX) as door:
            said["socket"] = door.connect_ex(str(shown.root / "browse/database/mongodb.sock"))
        said["files"] = []
        for folder, _, names in os.walk(shown.root / "browse"):
            said["files"] += [name for name in names if reads(folder, name)]
        said["processes"] = " ".join(Path(f"/proc/{pid}/cmdline").read_text() for pid in pids)
        said["environments"] = sum(reads("/proc", f"{pid}/environ") for pid in pids)
        return said

    said = as_another_user(look)
    assert isinstance(said, dict), said
    answers = [said.pop(f"{method} {path}") for method in ("GET", "POST") for path in paths]
    assert answers == [[403, "open the address that `sixrayd browse` has printed"]] * 18
    assert said.pop("socket") == 13  # permission denied
    assert "mongod" in said["processes"] and shown.token not in said.pop("processes")
    assert said == {"files": ["app.log"], "environments": 0}
    assert shown.token not in (shown.root / "browse/app.log").read_text()


def reads(folder, name):
    with suppress(OSError):
        return bool(Path(folder, name).read_bytes() or True)
    return False


def test_its_owner_sees_images_labels_and_news(shown):
    image = next(p.data for p in Small().pictures if p.image_id == Path(IMAGE).stem)
    assert shown.ask(f"/media?filepath={shown.root / IMAGE}").content == image
    assert "<html" in shown.ask("/").text
    asked = {"query": "{ estimatedDatasetCount }"}
    assert shown.ask("/graphql", "POST", json=asked).json() == {
        "data": {"estimatedDatasetCount": 1}
    }
    news = {"events": ["state_update"], "initializer": None, "subscription": "test"}
    headers = {"Cookie": f"{COOKIE}={shown.token}", "Accept": "text/event-stream"}
    url = f"http://127.0.0.1:{shown.port}/events"
    with httpx.stream("POST", url, json=news, headers=headers, timeout=60) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert next(stream.iter_lines()).startswith((": ping", "event: "))


@pytest.mark.parametrize(
    "path", ["/media", "/media/", "//media", "/media%0A", "/./media", "/%6dedia"]
)
def test_no_path_leads_to_a_file_outside_the_images(shown, path):
    secret = shown.root / "review/server/secret.json"
    media = (shown.root / IMAGE).parent.parent
    media.joinpath("link.jpg").unlink(missing_ok=True)
    media.joinpath("link.jpg").symlink_to(secret)
    up = os.path.relpath(secret, media)
    for file in (secret, media / up, media / "link.jpg", f"{media}/%2e%2e/{up}"):
        for method in ("GET", "HEAD", "POST", "OPTIONS"):
            answer = shown.ask(f"{path}?filepath={file}", method, follow_redirects=True)
            assert SECRET not in answer.text
            assert answer.headers.get("content-length") != str(len(SECRET))


def test_a_web_page_elsewhere_gets_nothing(shown):
    asked = {"query": "{ estimatedDatasetCount }"}
    for headers in (
        {"Host": "evil.example"},
        {"Host": f"evil.example:{shown.port}"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"},
        {"Origin": "null"},
    ):
        assert shown.ask("/graphql", "POST", json=asked, headers=headers).status_code == 403
    assert shown.ask(f"/?token={shown.token[:-1]}", cookie=False).status_code == 403
    entered = shown.ask(f"/datasets/x?token={shown.token}", cookie=False)
    assert (entered.status_code, entered.headers["location"]) == (303, "./x")


def test_who_has_no_token_does_not_fill_the_disk(shown):
    """By what its server cannot read, of which it writes a traceback each time."""
    log = shown.root / "browse/app.log"
    os.truncate(log, LONGEST_LOG + 1)
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n\r\n"
    with socket.create_connection(("127.0.0.1", shown.port), timeout=60) as odd:
        odd.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n" + upgrade)
        while odd.recv(1 << 12):
            pass
    shown.ask("/")  # after which the first has been told
    assert "binascii.Error" in log.read_text()
    assert log.stat().st_size < 1 << 16


def test_a_second_one_of_the_same_workspace_is_refused(shown):
    done = ran(
        [sys.executable, "-m", "sixrayd", "browse", "-w", str(shown.root), "--port", "0"],
        env=OWN_DATABASE,
    )
    database = shown.root / "browse/database"
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: {database}: its database is in use; end the `sixrayd browse` that uses it\n"
    )


def test_killed_it_leaves_nothing_behind(shown):
    """The last here: no process, no port, no socket."""
    children = shown.children
    assert len(children) == 3
    shown.command.send_signal(signal.SIGKILL)
    shown.command.wait()
    gone, left = psutil.wait_procs(children, timeout=60)
    assert (len(gone), left) == (3, [])
    assert ("127.0.0.1", shown.port) not in listening()
    assert not (shown.root / "browse/database/mongodb.sock").exists()
