"""Answers of servers that mean ill: what nobody asked for is neither read nor unpacked."""

import gzip
import itertools

import httpx
import pytest

from sixrayd.core.answers import PLAIN, packed_as, unread_redirect
from sixrayd.core.errors import ServiceError
from sixrayd.core.pace import Pace, Peer
from sixrayd.detectors.fetching import weights_client
from sixrayd.download.transfer import web_client
from sixrayd.review.label_studio.client import LabelStudio
from sixrayd.review.label_studio.connection import Connection
from sixrayd.review.label_studio.counted import Counted
from tests.mirror import Odd, serving


@pytest.mark.parametrize("client", [web_client, weights_client])
def test_the_body_of_a_redirect_is_not_read(tmp_path, client):
    (tmp_path / "there").write_text("found")
    bomb = gzip.compress(gzip.compress(bytes(1 << 20)))
    packed = {"Location": "there", "Content-Encoding": "gzip, gzip"}
    with serving(tmp_path) as server, client() as asking:
        server.odd["here"] = [Odd(302, packed, bomb), Odd(302, {"Location": "there"}, b"x" * 9999)]
        for _ in range(2):
            answer = asking.get(server.url + "here", follow_redirects=True)
            assert answer.text == "found"
            assert [step.content for step in answer.history] == [b""]


@pytest.mark.parametrize("client", [web_client, weights_client])
def test_no_server_has_its_cookies_kept(tmp_path, client):
    """They would be sent back with each request, thousands more each time."""
    (tmp_path / "there").write_text("found")
    with serving(tmp_path) as server, client() as asking:
        many = {"Set-Cookie": "a=b", "Location": "there"}
        server.odd["here"] = [Odd(302, many)]
        server.odd["there"] = [Odd(200, many, b"found")]
        assert asking.get(server.url + "here").text == "found"
        request = asking.build_request("GET", server.url)
    assert (len(asking.cookies.jar), request.headers.get("cookie")) == (0, None)


def test_nor_by_a_client_of_label_studio(tmp_path):
    with serving(tmp_path) as server:
        moved = Odd(302, {"Location": "/there"}, b"x" * 9999)
        server.odd["version"] = server.odd[""] = [moved]
        with pytest.raises(ServiceError, match="Label Studio answered 404"):
            LabelStudio(Connection(server.url.rstrip("/"), "a-token"))
    assert server.asked[-1][0] == "there"


def test_how_an_answer_is_packed():
    for given, said in (("identity", ""), ("gzip", "gzip"), ("br, " * 99, "br, br, br, br, br,…")):
        assert packed_as(httpx.Response(200, headers={"Content-Encoding": given})) == said
    assert packed_as(httpx.Response(200)) == "" and PLAIN == {"Accept-Encoding": "identity"}


@pytest.mark.parametrize(("piece", "most"), [(b" " * 65536, 1 << 20), (b"[" * 65536, 1 << 30)])
def test_an_answer_of_no_end_is_left(piece, most):
    pace = Pace(30, 1, Peer("https://h"))
    read = 0
    with pytest.raises(ServiceError) as caught:
        for part in Counted(itertools.repeat(piece), pace, "https://h", most, 64 << 20):
            read += len(part)
    assert read <= 1 << 20
    assert str(caught.value).startswith(f"https://h: an answer is longer than {most >> 20} MiB, or")


def test_a_redirect_that_is_none_keeps_its_body():
    answer = httpx.Response(200, content=b"x", request=httpx.Request("GET", "https://h"))
    unread_redirect(answer)
    assert answer.content == b"x"
