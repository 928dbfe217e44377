"""A server in Label Studio's place that sends a byte now and then."""

import gzip

import pytest

from sixrayd.core.errors import ServiceError
from sixrayd.review.label_studio import client
from sixrayd.review.label_studio.client import LabelStudio
from sixrayd.review.label_studio.connection import Connection
from sixrayd.review.server import AwayError
from tests.mirror import Odd, serving


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n{", b"HTTP/1.1 200 OK\r\nX-Long: "],
    ids=["body", "header"],
)
def test_a_server_that_drips_is_left(tmp_path, monkeypatch, answer):
    monkeypatch.setattr(client, "TIMEOUT_S", 0.4)
    with serving(tmp_path) as server:
        server.odd["version"] = server.odd[""] = [Odd(drip=answer)] * 9
        with pytest.raises(AwayError) as caught:
            LabelStudio(Connection(server.url.rstrip("/"), "a-token"))
    url = server.url.rstrip("/")
    assert str(caught.value) == f"{url}: less than 65536 bytes came in 0.8 s"


def test_a_server_that_packs_its_answers_is_left(tmp_path):
    with serving(tmp_path) as server:
        packed = Odd(200, {"Content-Encoding": "gzip"}, gzip.compress(b" " * (1 << 20)))
        server.odd["version"] = server.odd[""] = [packed] * 9
        url = server.url.rstrip("/")
        with pytest.raises(ServiceError) as caught:
            LabelStudio(Connection(url, "a-token"))
    assert str(caught.value) == f"{url}: encodes an answer as gzip, which nobody asked for"
