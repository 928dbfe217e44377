"""A server in Label Studio's place that sends a byte now and then."""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from label_studio_sdk import LabelStudio as Sdk

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


class Endless(BaseHTTPRequestHandler):
    """Says after each page of projects that there is another."""

    def do_GET(self):
        asked = int(parse_qs(urlsplit(self.path).query)["page_size"][0])
        rows = [{"id": 1, "description": "of another"}] * (asked if self.server.full else 1)
        data = json.dumps({"count": 1, "next": "?page=2", "previous": None, "results": rows})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(data.encode())

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("full", [True, False])
def test_projects_without_end_are_refused(monkeypatch, full):
    monkeypatch.setattr(client, "_MOST_PROJECTS", 300)
    with ThreadingHTTPServer(("127.0.0.1", 0), Endless) as server:
        server.full = full
        threading.Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}"
        studio = object.__new__(LabelStudio)
        studio.connection, studio._sdk = Connection(url, "a-token"), Sdk(base_url=url, api_key="a")
        try:
            if full:
                with pytest.raises(ServiceError, match="more than 300 projects, or pages without"):
                    list(studio._projects())
            else:
                assert len(list(studio._projects())) == 1
        finally:
            server.shutdown()
