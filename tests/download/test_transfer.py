"""Transfers from a server that misbehaves: byte for byte the file, or what failed and where."""

import hashlib
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from sixrayd.core.errors import ReleaseError, WorkspaceError
from sixrayd.download import fetch, transfer
from sixrayd.download.faults import Faults
from sixrayd.download.transfer import part_of
from tests.certificates import certificate
from tests.download.test_fetch import at, fetched
from tests.mirror import Odd, serving

ZIP = b"PK" + bytes(range(256)) * 40
NAME = "a.zip"


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / NAME).write_bytes(ZIP)
    with serving(folder) as state:
        yield state


def got(tmp_path, server, **patience):
    """The file as it is stored."""
    return (fetched(tmp_path, at(server.url, files=(NAME,)), **patience) / NAME).read_bytes()


def failed(tmp_path, server, **patience):
    """What is said; nothing is stored."""
    with pytest.raises(ReleaseError) as caught:
        got(tmp_path, server, **patience)
    assert not (tmp_path / "here/release" / NAME).exists()
    return str(caught.value)


@pytest.mark.parametrize("cuts", [[0], [1, 2, 3], [5000, 5000], [len(ZIP) - 1]])
def test_cut_connections(tmp_path, server, cuts):
    server.odd[NAME] = [Odd(cut=cut) for cut in cuts]

    assert got(tmp_path, server) == ZIP
    starts = [sum(cuts[:n]) for n in range(len(cuts) + 1)]
    asked = [how for name, how in server.asked if name == NAME]
    assert asked == [f"bytes={start}-" if start else "" for start in starts]


def test_a_server_that_sends_less_of_the_rest_than_was_asked_for(tmp_path, server):
    server.odd[NAME], server.most = [Odd(cut=300)], len(ZIP) // 3

    assert got(tmp_path, server) == ZIP
    starts = [300, 300 + server.most, 300 + 2 * server.most]
    asked = [how for name, how in server.asked if name == NAME]
    assert asked == ["", *(f"bytes={start}-" for start in starts)]


@pytest.mark.parametrize("head", [True, False])
def test_an_answer_that_ends_with_its_connection_may_be_cut_off(tmp_path, server, head):
    """A text would be taken for whole, with half of its lines."""
    server.odd[NAME], server.head = [Odd(cut=300, untold=True), Odd(untold=True)], head

    assert got(tmp_path, server) == ZIP
    assert [how for name, how in server.asked if name == NAME] == ["", "bytes=300-"]


def test_an_answer_of_untold_length_is_taken_where_nobody_says_more(tmp_path, server):
    server.odd[NAME], server.sizes = [Odd(untold=True)], {NAME: 0}

    assert got(tmp_path, server) == ZIP


def test_no_more_comes_than_a_file_may_have(tmp_path, server, monkeypatch):
    monkeypatch.setattr(fetch, "MOST_SUMS", 1000)
    server.odd["SHA256SUMS"] = [Odd(200, {}, b"x" * 5000)]
    assert failed(tmp_path, server) == (
        f"{server.url}SHA256SUMS: more than 1000 bytes came, expected no more; run it again"
    )


def test_the_last_of_a_disk_is_left(tmp_path, server, monkeypatch):
    monkeypatch.setattr(transfer, "_LOOK", 1)
    monkeypatch.setattr(transfer, "_FREE", 1 << 62)
    assert failed(tmp_path, server) == (
        f"{server.url}{NAME}: less than {1 << 42} MiB are left on the disk; make room"
    )


def test_a_tiny_file_takes_a_block_of_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "_LOOK", 3 * 4096)
    monkeypatch.setattr(transfer, "_FREE", 1 << 62)
    traffic = transfer.Traffic(lambda what, done, total: None)
    for name in ("0.jpg", "1.jpg"):
        traffic.at(tmp_path / name, 1)
    with pytest.raises(ReleaseError, match="are left on the disk"):
        traffic.at(tmp_path / "2.jpg", 1)


def test_cut_at_the_same_byte_for_ever(tmp_path, server):
    server.odd[NAME] = [Odd(cut=100), *[Odd(cut=0)] * 9]

    said = failed(tmp_path, server, attempts=3)

    assert said.startswith(f"{server.url}{NAME}: ")
    assert said.endswith("; run it again to go on")
    assert [how for _, how in server.asked] == ["", "", "bytes=100-", "bytes=100-"]
    server.odd.clear()
    assert got(tmp_path, server) == ZIP


def test_a_server_that_ignores_ranges(tmp_path, server):
    server.odd[NAME], server.ranges = [Odd(cut=100), Odd(cut=50)], False

    assert got(tmp_path, server) == ZIP


def test_a_server_without_validators(tmp_path, server):
    server.odd[NAME], server.tags = [Odd(cut=100)], False

    assert got(tmp_path, server) == ZIP
    assert [how for name, how in server.asked if name == NAME] == ["", ""]


@pytest.mark.parametrize("if_range", [True, False])
def test_a_file_that_changes_between_two_parts(tmp_path, server, if_range):
    other = b"PK" + ZIP[:1:-1]
    server.odd[NAME], server.if_range = [Odd(cut=100), Odd(cut=0), Odd(cut=0)], if_range
    begun = threading.Event()

    def change(*_):
        if not begun.is_set():
            begun.set()
            (server.folder / NAME).write_bytes(other)

    folder = fetched(tmp_path, at(server.url, files=(NAME,)), report=change)

    assert begun.is_set()
    assert (folder / NAME).read_bytes() == other


def test_a_range_that_was_not_asked_for(tmp_path, server):
    wrong = Odd(206, {"Content-Range": f"bytes 7-{len(ZIP) - 1}/{len(ZIP)}"}, ZIP[7:])
    server.odd[NAME] = [Odd(cut=100), wrong]

    assert got(tmp_path, server) == ZIP


def test_a_server_that_has_no_range_where_none_was_asked_for(tmp_path, server):
    server.odd[NAME] = [Odd(416, {"Content-Range": "bytes */0"})]
    assert failed(tmp_path, server) == f"{server.url}{NAME}: the server answered 416"


def test_a_range_of_all_is_not_glued_to_what_lies_there(tmp_path, server):
    whole = Odd(206, {"Content-Range": f"bytes 0-{len(ZIP) - 1}/{len(ZIP)}"}, ZIP)
    server.odd[NAME], server.tags = [Odd(cut=100), whole], False

    assert got(tmp_path, server) == ZIP


def test_busy_servers_are_asked_again(tmp_path, server):
    soon = {"Retry-After": "0"}
    server.odd[NAME] = [Odd(503), Odd(429, soon), Odd(500), Odd(408, {"Retry-After": "soon"})]

    assert got(tmp_path, server) == ZIP


def test_a_wait_until_a_moment_that_no_calendar_has_is_none(tmp_path, server):
    moments = ("01 Jan 99999999999999999999 00:00:00 GMT", "01 Jan 2024 00:00:00 +9999999999999")
    server.odd[NAME] = [Odd(503, {"Retry-After": f"Mon, {moment}"}) for moment in moments]

    assert got(tmp_path, server) == ZIP


def test_a_wait_that_is_asked_for_is_kept(tmp_path, server, capsys):
    server.odd[NAME] = [Odd(429, {"Retry-After": "1"})]

    began = time.monotonic()
    assert got(tmp_path, server) == ZIP
    assert time.monotonic() - began >= 1
    said = f"{server.url}: the server answered 429; asks for a wait of 1 s\n"
    assert capsys.readouterr().err == said


def test_a_wait_that_is_too_long_is_told(tmp_path, server):
    server.odd[NAME] = [Odd(503, {"Retry-After": "7200"})]
    assert failed(tmp_path, server) == (
        f"{server.url}{NAME}: the server answered 503 and asks for a wait of 7200 s; run it again "
        "then"
    )
    date = format_datetime(datetime.now(UTC) + timedelta(days=2), usegmt=True)
    server.odd[NAME] = [Odd(503, {"Retry-After": date})]
    assert "asks for a wait of 17" in failed(tmp_path, server)


def test_a_server_that_stays_busy(tmp_path, server):
    server.odd[NAME] = [Odd(503)] * 3

    assert failed(tmp_path, server, attempts=3) == (
        f"{server.url}{NAME}: the server answered 503; run it again to go on"
    )


def test_a_stalled_transfer_goes_on(tmp_path, server):
    server.odd[NAME] = [Odd(cut=100, stall=True)]

    assert got(tmp_path, server, timeout_s=0.3) == ZIP
    assert server.asked[-1] == (NAME, "bytes=100-")


def test_a_server_that_says_nothing_more(tmp_path, server):
    server.odd[NAME] = [Odd(cut=0, stall=True)] * 2

    assert failed(tmp_path, server, attempts=2, timeout_s=0.3) == (
        f"{server.url}{NAME}: timed out; run it again to go on"
    )


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\nPK",
        b"HTTP/1.1 200 OK\r\nX-Long: ",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;",
    ],
    ids=["body", "header", "chunk"],
)
def test_a_server_that_drips_is_left(tmp_path, server, answer):
    server.odd[NAME] = [Odd(drip=answer)] * 9

    said = failed(tmp_path, server, attempts=2, timeout_s=0.4, least=1000)

    why = "less than 1000 bytes came in 0.8 s; run it again to go on"
    assert said == f"{server.url}{NAME}: {why}"
    server.odd.clear()
    assert got(tmp_path, server) == ZIP


def test_a_byte_an_attempt_is_no_progress_for_ever(tmp_path, server):
    server.odd[NAME] = [Odd(cut=1)] * len(ZIP)

    said = failed(tmp_path, server, attempts=3, timeout_s=0.1, least=1000)

    assert said.startswith(f"{server.url}{NAME}: ") and len(server.odd[NAME]) > 0


def test_little_between_long_waits_is_no_progress_for_ever(tmp_path, server):
    some, busy = Odd(cut=20), Odd(503, {"Retry-After": "1"})
    server.odd[NAME] = [some, busy] * 100

    said = failed(tmp_path, server, attempts=3, timeout_s=0.1, least=20)

    assert said.endswith("; run it again to go on") and len(server.odd[NAME]) == 197


def test_a_version_that_cannot_be_sent_back_is_none(tmp_path, server):
    server.tags = False
    server.odd[NAME] = [Odd(cut=100, headers={"ETag": '"\xe9"'})]

    assert got(tmp_path, server) == ZIP
    assert [how for name, how in server.asked if name == NAME] == ["", ""]


def test_an_error_page_with_200_is_quoted(tmp_path, server):
    page = b"<?xml version='1.0'?>\n<Error><Code>NoSuchKey</Code>\n<Key>a.zip</Key></Error>"
    server.odd[NAME] = [Odd(200, body=page)]

    assert failed(tmp_path, server) == (
        f"{server.url}{NAME}: begins with \"<?xml version='1.0'?> <Error><Code>NoSuchKey</Code> "
        "<Key>a.zip</Key></Error>\": an error page under the archive's name"
    )
    assert got(tmp_path, server) == ZIP


def test_something_else_with_200(tmp_path, server):
    server.odd[NAME] = [Odd(200, body=b"Rar!\x1a\x07 and more")]

    assert failed(tmp_path, server) == (
        f"{server.url}{NAME}: begins with b'Rar!\\x1a\\x07 a', expected b'PK'"
    )


def test_an_encoding_that_nobody_asked_for(tmp_path, server):
    server.odd[NAME] = [Odd(200, {"Content-Encoding": "gzip"}, ZIP)]

    assert failed(tmp_path, server) == (
        f"{server.url}{NAME}: the server encodes it as 'gzip', which nobody asked for"
    )


@pytest.mark.parametrize("status", [400, 401, 402])
def test_refusals(tmp_path, server, status):
    server.odd[NAME] = [Odd(status)]

    assert failed(tmp_path, server) == f"{server.url}{NAME}: the server answered {status}"


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_file_that_goes_away_after_it_was_asked_for(tmp_path, server, status):
    server.odd[NAME] = [Odd(status)]
    (server.folder / "b.zip").write_bytes(ZIP)
    faults = Faults("skip")

    fetched(tmp_path, at(server.url, files=(NAME, "b.zip")), faults)

    assert faults.found == [(f"{server.url}{NAME}", "not there")]


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("/loop", "Exceeded maximum allowed redirects."),
        ("http://xn--/", "not a URL (Malformed A-label, no Punycode eligible content found)"),
        ("https://[::1", "Invalid URL in location header: Invalid port: ':1'."),
    ],
)
def test_a_redirect_that_leads_nowhere_is_one_line(tmp_path, server, where, why):
    server.redirect = where
    assert failed(tmp_path, server, attempts=2).startswith(f"{server.url}SHA256SUMS: {why}")


def test_a_redirect_to_nowhere(tmp_path, server):
    server.redirect = "http://127.0.0.1:1/gone"

    said = failed(tmp_path, server, attempts=2)

    assert said.startswith(f"{server.url}SHA256SUMS: ")
    assert said.endswith("; run it again to go on")


@pytest.fixture
def safe(tmp_path, monkeypatch):
    """A server of the same file over TLS, whose certificate is trusted."""
    path = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    with serving(tmp_path / "served", context) as state:
        yield state


def test_https_never_becomes_http(tmp_path, server, safe):
    assert got(tmp_path / "safe", safe) == ZIP
    safe.redirect = server.url + NAME

    assert failed(tmp_path, safe) == (
        f"{safe.url}SHA256SUMS: redirects from https to http; refused: name the other address "
        "yourself if you trust it"
    )
    assert server.asked == []
    server.redirect, safe.redirect = safe.url + NAME, ""
    assert failed(tmp_path / "up", server).startswith("SHA256SUMS: line 1: ")  # http to https


def test_a_server_without_head_says_what_it_has(tmp_path, server):
    server.head = False

    with pytest.raises(ReleaseError) as caught:
        fetched(tmp_path, at(server.url, files=(NAME, "b.zip")))

    assert str(caught.value) == (f"{server.url}b.zip: not there; mend it or pass --on-error skip")
    assert server.asked == [("SHA256SUMS", "")]  # no file came before that was told


def test_files_come_side_by_side(tmp_path, server):
    names = [f"{n}.zip" for n in range(4)]
    for name in names:
        (server.folder / name).write_bytes(name.encode().replace(name[:1].encode(), b"PK", 1))
    server.odd[names[0]] = [Odd(cut=1, stall=True)]

    folder = fetched(tmp_path, at(server.url, files=names), timeout_s=0.5)

    assert sorted(path.name for path in folder.glob("*.zip")) == names
    assert server.asked[-1] == (names[0], "bytes=1-")  # the others did not wait for it


def test_progress_is_of_all_files_in_all_their_megabytes(tmp_path, server):
    for name in ("b.zip", "c.zip"):
        (server.folder / name).write_bytes(b"PK" + bytes(3 << 20))
    seen = []

    fetched(tmp_path, at(server.url, files=("b.zip", "c.zip")), report=lambda *s: seen.append(s))

    came = [(done, total) for what, done, total in seen if what == "MB fetched"][1:]
    assert {total for _, total in came} == {6}
    assert came == sorted(came)
    assert seen[-1][1] == 6


def test_there_must_be_room_for_archives_and_shards(tmp_path, server):
    server.sizes[NAME] = 1 << 60

    with pytest.raises(ReleaseError) as caught:
        got(tmp_path, server)

    assert str(caught.value).startswith(
        f"{tmp_path}/here: needs 1152921504.6 GB for archives and 1152921504.6 GB for shards, "
    )
    assert str(caught.value).endswith(" are free; make room, or name a workspace elsewhere with -w")
    assert server.asked == [("SHA256SUMS", "")]


def test_a_disk_that_takes_no_more(tmp_path, server):
    (tmp_path / "here/release").mkdir(parents=True)
    (tmp_path / "here/release" / f".{NAME}.part").mkdir()

    with pytest.raises(WorkspaceError) as caught:
        got(tmp_path, server)

    assert str(caught.value) == (
        f"{tmp_path}/here/release/.{NAME}.part: Is a directory; name another place, or move aside "
        "what is there"
    )


def test_a_wrong_hash_of_a_manifest(tmp_path, server, own_manifest):
    place = own_manifest(server.url, sha256="0" * 64)
    digest = hashlib.sha256(ZIP).hexdigest()

    with pytest.raises(ReleaseError) as caught:
        fetched(tmp_path, place)

    assert str(caught.value) == (
        f"{server.url}{NAME}: SHA-256 is {digest[:12]}…, the manifest says 000000000000…; run it "
        "again"
    )
    assert (fetched(tmp_path, own_manifest(server.url, digest)) / NAME).read_bytes() == ZIP


def test_a_wrong_size_of_a_manifest(tmp_path, server, own_manifest):
    with pytest.raises(ReleaseError) as caught:
        fetched(tmp_path, own_manifest(server.url, size=7))

    assert str(caught.value) == (
        f"{server.url}{NAME}: more than 7 bytes came, expected no more; run it again"
    )


@pytest.fixture
def own_manifest(tmp_path):
    """A maker of places by a manifest of one's own, of one file."""
    from sixrayd.download.place import find_place

    def make(url, sha256="", size=0):
        path = tmp_path / "own.toml"
        path.write_text(
            f'[own]\ntitle = "Own"\nterms = "none"\nmirrors = ["{url}"]\n'
            f'archives = [{{files = ["{NAME}"]}}]\n'
            + (f'sha256 = {{"{NAME}" = "{sha256}"}}\n' if sha256 else "")
            + (f'bytes = {{"{NAME}" = {size}}}\n' if size else "")
        )
        return find_place(str(path))

    return make


def test_a_link_in_place_of_a_half_fetched_file_is_removed(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("theirs")
    for name in (".a.zip.part", ".a.zip.validator"):
        (tmp_path / name).symlink_to(precious)
    part_of(tmp_path / "a.zip").write_text("ours")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".a.zip.part", "precious"]
    assert precious.read_text() == "theirs"
