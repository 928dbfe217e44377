"""Addresses and tokens: what is safe to use, and what never shows a secret."""

import select
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import pytest

from sixrayd.core.errors import ServiceError, SettingsError
from sixrayd.core.workspace import Workspace
from sixrayd.review.label_studio.calls import Calls
from sixrayd.review.label_studio.connection import (
    TOKEN_VARIABLE,
    Connection,
    is_loopback,
    project_address,
    read_token,
)
from sixrayd.review.label_studio.server import find_server

TOKEN = "a-token-that-must-not-be-shown"
URL = "https://labels.example.org"
PLAIN = "save the token to a plain file, or set SIXRAYD_LABEL_STUDIO_TOKEN"


@pytest.fixture(autouse=True)
def no_token(monkeypatch):
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)


def token_file(folder, text, mode=0o600):
    path = folder / "token"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    "url",
    [
        URL,
        f"{URL}:8443",
        f"{URL}/label-studio",
        "HTTPS://LABELS.example.org",
        "http://localhost:8080",
        "http://LOCALHOST",
        "http://127.0.0.1:8080",
        "http://127.9.9.9",
        "http://[::1]:8080",
    ],
)
def test_addresses_that_show_the_token_to_nobody(url):
    assert Connection(url, TOKEN).url == url


@pytest.mark.parametrize(
    "host",
    [
        "labels.example.org",
        "localhost.example.org",
        "example.org:80",
        "10.0.0.7:8080",
        "0.0.0.0",
        "169.254.1.1",
        "[2001:db8::1]",
        "127.0.0.1.example.org",
    ],
)
def test_plain_http_beyond_this_machine_is_refused(host):
    with pytest.raises(SettingsError) as caught:
        Connection(f"http://{host}", TOKEN)
    assert str(caught.value) == (
        f"--url http://{host}: plain http would show the token to the network; use https"
    )


@pytest.mark.parametrize(
    "url",
    [
        "",
        "labels.example.org",
        "labels.example.org:8080",
        "//labels.example.org",
        "ftp://labels.example.org",
        "file:///etc/passwd",
        "https://",
        "https:///projects",
    ],
)
def test_what_is_no_address_of_a_server(url):
    with pytest.raises(SettingsError) as caught:
        Connection(url, TOKEN)
    assert str(caught.value) == f"--url {url!r}: expected https://HOST[:PORT]"


@pytest.mark.parametrize("after", ["?token=abc", "/?token=abc", "#abc", ":99999/?token=abc"])
def test_what_follows_an_address_is_not_shown(after):
    with pytest.raises(SettingsError, match=f"^--url '{URL}") as caught:
        Connection(URL + after, TOKEN)
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://labels.example.org:99999", "Port out of range 0-65535"),
        ("https://labels.example.org:http", "Port could not be cast to integer value as 'http'"),
        ("https://[labels", "Invalid IPv6 URL"),
    ],
)
def test_an_address_that_cannot_be_read_says_why(url, why):
    with pytest.raises(SettingsError) as caught:
        Connection(url, TOKEN)
    assert str(caught.value) == f"--url {url!r}: not an address ({why})"


@pytest.mark.parametrize("who", ["me:secret", "secret", ":secret", "secret:"])
def test_a_password_in_an_address_is_refused_and_not_repeated(who):
    with pytest.raises(SettingsError) as caught:
        Connection(f"https://{who}@labels.example.org", TOKEN)
    assert str(caught.value) == (
        "--url: must not carry a user name or password; "
        "set SIXRAYD_LABEL_STUDIO_TOKEN or pass --token-file"
    )


@pytest.mark.parametrize("rest", ["", ":99999", "/x?y"])
def test_a_password_is_not_repeated_whatever_else_is_wrong(monkeypatch, tmp_path, rest):
    monkeypatch.delenv("SIXRAYD_LABEL_STUDIO_TOKEN", raising=False)
    with pytest.raises(SettingsError) as caught:
        find_server(Workspace(tmp_path), f"https://me:secret@labels.example.org{rest}", None)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("token", ["a\nb", "é", "\x00"])
def test_a_token_that_cannot_be_one_is_said_and_not_shown(token):
    with pytest.raises(SettingsError) as caught:
        Connection(URL, token)
    assert str(caught.value) == (
        f"{URL}: the token holds what no token does; copy it anew from Label Studio"
    )


def test_a_token_is_in_no_text_about_a_connection():
    connection = Connection(URL, TOKEN)
    assert TOKEN not in f"{connection} {connection!r}"
    assert repr(connection) == f"Connection(url='{URL}', local=False)"
    assert asdict(connection)["token"] == TOKEN  # which is why nobody prints that


@pytest.mark.parametrize(
    ("url", "here"),
    [("http://127.0.0.1:1", True), ("https://[::1]", True), ("https://localhost", True),
     (URL, False), ("https://10.0.0.7", False)],
)  # fmt: skip
def test_whether_a_server_is_on_this_machine(url, here):
    assert Connection(url, TOKEN).loopback is here


@pytest.mark.parametrize(
    ("host", "here"),
    [("localhost", True), ("127.255.255.254", True), ("::1", True), ("", False), ("local", False),
     ("128.0.0.1", False), ("::2", False), ("localhost.", False)],
)  # fmt: skip
def test_hosts_that_mean_this_machine(host, here):
    assert is_loopback(host) is here


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (URL, f"{URL}/projects/7/data"),
        (f"{URL}:8443/labels", f"{URL}:8443/labels/projects/7/data"),
        ("http://[::1]:8080", "http://[::1]:8080/projects/7/data"),
    ],
)
def test_where_a_project_is_opened(url, address):
    assert project_address(Connection(url, TOKEN), 7) == address


@pytest.mark.parametrize("text", [TOKEN, f"{TOKEN}\n", f"  {TOKEN}\r\n", f"\n{TOKEN}\n\n"])
def test_blanks_around_a_token_are_not_of_it(tmp_path, monkeypatch, text):
    assert read_token(URL, token_file(tmp_path, text)) == TOKEN
    monkeypatch.setenv(TOKEN_VARIABLE, text)
    assert read_token(URL, None) == TOKEN


def test_a_file_that_is_named_beats_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv(TOKEN_VARIABLE, "another")
    assert read_token(URL, token_file(tmp_path, TOKEN)) == TOKEN


@pytest.mark.parametrize("value", [None, "", "   \n"])
def test_without_a_token_the_message_says_where_to_get_one(monkeypatch, value):
    if value is not None:
        monkeypatch.setenv(TOKEN_VARIABLE, value)
    with pytest.raises(SettingsError) as caught:
        read_token(URL, None)
    assert str(caught.value) == (
        f"{URL}: no token; set SIXRAYD_LABEL_STUDIO_TOKEN or pass --token-file with a token "
        "from Label Studio's page Account & Settings"
    )


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o620, 0o602, 0o610, 0o601, 0o777])
def test_a_token_that_others_can_read_or_change_is_refused(tmp_path, mode):
    path = token_file(tmp_path, TOKEN, mode)
    with pytest.raises(SettingsError) as caught:
        read_token(URL, path)
    assert str(caught.value) == f"{path}: others can read this token; run `chmod 600 {path}`"


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_token_that_its_owner_alone_can_read_is_taken(tmp_path, mode):
    assert read_token(URL, token_file(tmp_path, TOKEN, mode)) == TOKEN


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected one token and nothing else"),
        ("\n", "expected one token and nothing else"),
        (f"token: {TOKEN}", "expected one token and nothing else"),
        (f"{TOKEN}\n{TOKEN}\n", "expected one token and nothing else"),
        (b"\xff\xfe\x00", f"no token file (no text in UTF-8); {PLAIN}"),
    ],
)
def test_a_file_that_holds_no_token_is_named_and_not_shown(tmp_path, text, message):
    path = token_file(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        read_token(URL, path)
    assert str(caught.value) == f"{path}: {message}"


def test_a_token_file_that_is_gone_or_a_folder(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(SettingsError) as caught:
            read_token(URL, path)
        why = "Is a directory" if path.is_dir() else "No such file or directory"
        assert str(caught.value) == f"{path}: no token file ({why}); {PLAIN}"


def test_a_link_to_a_private_file_is_as_private(tmp_path):
    path = token_file(tmp_path, TOKEN)
    link = tmp_path / "link"
    link.symlink_to(path)
    assert read_token(URL, link) == TOKEN
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="others can read this token"):
        read_token(URL, link)


def test_the_server_that_a_command_uses(tmp_path, monkeypatch):
    workspace = Workspace(tmp_path)
    with pytest.raises(ServiceError) as caught:
        find_server(workspace, "", None)
    assert str(caught.value) == (
        f"{tmp_path}: its Label Studio is not running; start it with "
        f"`sixrayd review serve --background -w {tmp_path}`, or name another "
        "server with --url"
    )
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert find_server(workspace, f"{URL}//", None) == Connection(URL, TOKEN)
    assert list(tmp_path.iterdir()) == []


def test_localhost_leads_to_no_other_user_of_the_machine(monkeypatch):
    """Its server has a port of 127.0.0.1; whoever takes the same of ::1 was asked first, with the
    token."""
    with socket.socket() as own, socket.socket(socket.AF_INET6) as thief:
        own.bind(("127.0.0.1", 0))
        port = own.getsockname()[1]
        thief.bind(("::1", port))
        places = [(socket.AF_INET6, ("::1", port, 0, 0)), (socket.AF_INET, ("127.0.0.1", port))]
        found = [(family, socket.SOCK_STREAM, 6, "", at) for family, at in places]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)  # as most systems do
        own.listen()
        thief.listen()
        with ThreadPoolExecutor(1) as pool:
            url = f"http://localhost:{port}"
            asked = pool.submit(Calls(Connection(url, TOKEN)).request, "GET", "api/version")
            ready, _, _ = select.select([own, thief], [], [])
            with ready[0].accept()[0] as connection:
                said = connection.recv(1000)
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            asked.result()
    assert (ready, TOKEN.encode() in said) == ([own], True)
