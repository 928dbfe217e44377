"""What web pages can do to a real Label Studio in whose browser somebody has signed in."""

import json
import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import psutil
import pytest

from sixrayd.review.label_studio.environment import server_program
from sixrayd.review.label_studio.server import _environment, _keep_key_alone, server_folder
from sixrayd.review.pull import pull
from sixrayd.review.settings import PullSettings

KEY = "SECRET_KEY=@x$ih^0juzt5xey5dl!zl7h&d(@3m&si1ww%b0kc&sswjv)i-p\n"


@pytest.fixture(scope="module")
def browser(site):
    """A browser in which the administrator has signed in; it sends cookies to all ports."""
    secret = json.loads((server_folder(site.workspace) / "secret.json").read_text())
    with httpx.Client(base_url=site.server.url, trust_env=False, timeout=60) as client:
        client.get("/user/login/").raise_for_status()
        form = {"email": secret["user"], "password": secret["password"]}
        form["csrfmiddlewaretoken"] = client.cookies["csrftoken"]
        answer = client.post("/user/login/", data=form, headers={"Origin": site.server.url})
        assert answer.status_code == 302
        assert client.get("/api/current-user/whoami").json()["email"] == secret["user"]
        yield client


def projects(browser):
    return browser.get("/api/projects").json()["count"]


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:127.0.0.1", "0.0.0.0", "[::]"]
)
def test_a_foreign_host_is_refused(browser, host):
    for path in ("/", "/user/login/", "/api/projects", "/health"):
        answer = browser.get(path, headers={"Host": host})
        assert answer.status_code == 400
        assert "evil" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Dest": "document"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "empty"},
    ],
)
def test_a_form_of_another_page_changes_nothing(browser, headers):
    before = projects(browser)
    forms = [{"data": {"title": "forged"}}, {"json": {"title": "forged"}}]
    for form in [*forms, {"content": b'{"title": "forged"}'}]:
        answer = browser.post("/api/projects", headers=headers, **form)
        assert (answer.status_code, answer.text) == (403, "Origin: not this server's")
    assert browser.request("DELETE", "/api/projects", headers=headers).status_code == 403
    assert projects(browser) == before


def test_another_page_reads_and_frames_nothing(browser):
    crossed = {"Sec-Fetch-Site": "same-site"}
    for dest in ("empty", "image", "script", "iframe", "frame", "object", "embed"):
        answer = browser.get("/api/projects", headers=crossed | {"Sec-Fetch-Dest": dest})
        assert (answer.status_code, answer.text) == (403, "Origin: not this server's")
    answer = browser.options("/api/projects", headers={"Origin": "http://127.0.0.1:1"})
    assert "access-control-allow-origin" not in answer.headers


def test_its_own_pages_links_and_programs_work(browser, site):
    own = {"Origin": site.server.url, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "empty"}
    made = browser.post("/api/projects", json={"title": "of the page"}, headers=own)
    assert made.status_code == 201
    browser.delete(f"/api/projects/{made.json()['id']}", headers=own).raise_for_status()
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}
    assert browser.get("/projects/", headers=followed).status_code == 200
    port = site.server.url.rpartition(":")[2]
    assert browser.get("/", headers={"Host": f"localhost:{port}"}).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/samples/time-series.csv?time=0&values=9", 403),  # as many columns as the last number
        ("/x/samples/time-series.csv?time=0&values=9", 403),
        ("/heidi-tips/", 403),  # which asks a server elsewhere
        ("/samples/paragraphs.json", 302),
        ("/admin/login/", 302),
        ("/docs/api/schema/json/", 401),
        ("/trigger500/", 401),
        ("/api/users/", 401),
    ],
)
def test_who_has_not_signed_in_has_nothing_worked_out(site, browser, path, status):
    stranger = httpx.get(site.server.url + path, trust_env=False)
    assert (stranger.status_code, len(stranger.content) < 1000) == (status, True)
    if status == 403:
        assert browser.get(path).text == "Not served here"
    if status == 302:
        assert stranger.headers["location"].startswith("/user/login/?next=/")


def test_no_label_config_of_a_strangers_is_looked_at(site, browser):
    form = {"label_config": "<View>"}
    for headers in ({}, {"Authorization": "Token x"}, {"Authorization": "Basic x"}):
        url = f"{site.server.url}/api/projects/validate/"
        answer = httpx.post(url, data=form, headers=headers, trust_env=False)
        assert (answer.status_code, answer.text) == (401, "Sign in first")
    assert browser.post("/api/projects/validate/", data=form).status_code == 400


def test_a_link_elsewhere_leads_to_pages_alone(browser):
    followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}
    for path in ("/api/projects", "/logout", "/data/upload/1/x.svg", "/docs/api/schema/json/"):
        answer = browser.get(path, headers=followed)
        assert (answer.status_code, answer.text) == (403, "Origin: not this server's")
    for path in ("/", "/user/login/", "/projects/", "/projects/1/data"):
        assert browser.get(path, headers=followed, follow_redirects=True).status_code in (200, 404)
    assert browser.get("/api/current-user/whoami").status_code == 200


def test_no_address_that_a_reviewer_names_is_told_the_owners_token(site):
    told = []

    class Listener(BaseHTTPRequestHandler):
        def do_GET(self):
            told.append(f"{self.requestline} {self.headers}")
            self.send_error(404)

        def log_message(self, *args):
            pass

    person = {"Authorization": f"Token {site.person().token}"}
    with HTTPServer(("127.0.0.1", 0), Listener) as elsewhere:
        threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
        at = f"127.0.0.1:{elsewhere.server_port}"
        config = '<View><Image name="i" value="$image"/><Choices name="c" toName="i">'
        config += '<Choice value="a"/></Choices></View>'
        with httpx.Client(base_url=site.server.url, trust_env=False, headers=person) as client:
            made = client.post("/api/projects/", json={"title": "asks", "label_config": config})
            place = f"/api/projects/{made.json()['id']}"
            task = {"data": {"image": "/data/upload/1/no.jpg"}, "annotations": [{"result": []}]}
            assert client.post(f"{place}/import", json=[task]).status_code == 201
            words = {"exportType": "YOLO_WITH_IMAGES"}
            answer = client.get(f"{place}/export", params=words, headers={"Host": at})
            assert answer.status_code == 200
            model = {"project": made.json()["id"], "url": "https://model.example.org"}
            answer = client.post("/api/ml/", json=model)
            assert (answer.status_code, answer.text) == (403, "Not served here")
            assert client.get("/api/ml/", params=model).status_code == 200  # which pages ask for
            assert client.delete(place).status_code == 204
        elsewhere.shutdown()
    assert told == []


def test_no_reviewer_ends_how_the_owners_commands_sign_in(site, browser):
    project, refused = site.pushed("signed-in", 2), (403, "Not served here")
    site.answer(project)
    secret = json.loads((server_folder(site.workspace) / "secret.json").read_text())
    person = {"Authorization": f"Token {site.person().token}"}
    with httpx.Client(base_url=site.server.url, trust_env=False, headers=person) as client:
        users = {user["email"]: user["id"] for user in client.get("/api/users/").json()}
        off = {"api_tokens_enabled": False, "legacy_api_tokens_enabled": False}
        assert client.post("/api/jwt/settings", json=off).status_code == 200
        on = off | {"api_tokens_enabled": True}
        assert client.post("/api/jwt/settings", json=on).status_code == 200
        for number in (users[secret["user"]], f"0{users[secret['user']]}"):
            out = client.patch(f"/api/users/{number}/", json={"active_organization": None})
            assert (out.status_code, out.text) == refused
        policy = client.patch("/api/session-policy/", json={"max_session_age": 1})
        assert (policy.status_code, policy.text) == refused
    own = {"Origin": site.server.url, "X-CSRFToken": browser.cookies["csrftoken"]}
    new = browser.post("/api/current-user/reset-token/", headers=own)
    assert (new.status_code, new.text) == refused
    named = browser.patch(f"/api/users/{users[secret['user']]}/", json={"phone": "1"}, headers=own)
    assert (named.status_code, named.json()["phone"]) == (200, "1")  # what its page sends
    result = pull(site.workspace, PullSettings("signed-in"))
    assert (result.new, result.gone) == (1, 0)


@pytest.mark.parametrize("path", ["/api/projects", "/user/login/", "/api/token/refresh/", "/none"])
def test_what_a_stranger_sends_takes_no_memory(site, path):
    nested = b"[" + b"[]," * 8_000_000 + b"0]"
    process = Path(f"/proc/{site.server.pid}")
    if not process.exists():
        pytest.skip("no /proc")
    httpx.post(site.server.url + path, trust_env=False)  # the first loads what it needs
    (process / "clear_refs").write_text("5")  # forget the most memory that it had
    before = _most_memory(process)
    sent = {"content": nested, "headers": {"Content-Type": "application/json"}}
    for headers in ({}, {"Origin": "http://evil.example"}):
        sent["headers"] |= headers
        answer = httpx.post(site.server.url + path, **sent, timeout=60, trust_env=False)
        assert answer.status_code in (401, 403, 404, 413)
    assert _most_memory(process) - before < 16 << 10


@pytest.mark.parametrize("length", ["x", "-1", "100000", "9" * 5000, "１"])
def test_an_odd_length_is_refused(site, length):
    host = site.server.url.removeprefix("http://")
    with socket.create_connection(host.split(":"), timeout=60) as link:
        head = f"POST /user/login/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n"
        link.sendall(head.encode())
        link.shutdown(socket.SHUT_WR)
        assert link.recv(12) == b"HTTP/1.1 413"


def _most_memory(process):
    """KiB that it had at most."""
    return int((process / "status").read_text().partition("VmHWM:")[2].split()[0])


def test_it_listens_on_loopback_alone(site):
    started = psutil.Process(site.server.pid)
    found = {
        connection.laddr[0]
        for process in (started, *started.children(recursive=True))
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert found == {"127.0.0.1"}


def test_of_a_restored_file_of_settings_the_key_alone_is_left(tmp_path, site):
    path = tmp_path / ".env"
    _keep_key_alone(path)
    assert not path.exists()
    path.write_text(
        f"\nLABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=/\nexport DEBUG=true\n{KEY}ALLOWED_HOSTS=*\n"
        "SECRET_KEY=short\nSECRET_KEY='quoted'\nexport SECRET_KEY=x\r\nDJANGO_DB=default\n"
    )
    _keep_key_alone(path)
    assert (path.read_text(), path.stat().st_mode & 0o777) == (KEY, 0o600)
    path.write_bytes(b"PYTHONPATH=/tmp\n\xff\x00")
    _keep_key_alone(path)
    assert not path.exists()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(KEY + "DEBUG=true\n")
    path.symlink_to(elsewhere)
    _keep_key_alone(path)
    assert (path.is_symlink(), path.read_text()) == (False, KEY)
    assert elsewhere.read_text() == KEY + "DEBUG=true\n"

    own = server_folder(site.workspace) / "data" / ".env"
    made = own.read_text()
    _keep_key_alone(own)
    assert own.read_text() == made.lstrip("\n")


def test_the_callers_settings_are_not_the_servers(monkeypatch, tmp_path):
    for name in ("ALLOWED_HOSTS", "LABEL_STUDIO_ALLOWED_HOSTS", "HEARTEX_DEBUG", "PYTHONPATH"):
        monkeypatch.setenv(name, "*")
    made = _environment(tmp_path, {"user": "u", "password": "p", "token": "t"})
    assert made["ALLOWED_HOSTS"] == "127.0.0.1,localhost"
    assert "*" not in made.values()


def test_no_storage_of_a_reviewers_finds_the_keys_of_who_serves(monkeypatch, tmp_path):
    home, program = tmp_path / "home", server_program(print)
    for path in (home / ".aws" / "credentials", tmp_path / "data" / ".aws" / "credentials"):
        path.parent.mkdir(parents=True)
        path.write_text("[default]\naws_access_key_id = owner\naws_secret_access_key = own\n")
    monkeypatch.setenv("HOME", str(home))
    made = _environment(tmp_path, {"user": "u", "password": "p", "token": "t"})
    look = "import botocore.session as b; print(b.get_session().get_credentials())"
    words = [str(program.with_name("python")), "-c", look]
    found = subprocess.run(words, env=made, capture_output=True, text=True, check=True)
    assert found.stdout == "None\n"


def test_a_server_of_a_relative_workspace_reads_images_by_their_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = _environment(Path("server"), {"user": "u", "password": "p", "token": "t"})
    assert made["LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT"] == str(tmp_path / "server" / "images")
