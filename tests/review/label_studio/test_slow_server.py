"""A server in Label Studio's place that sends a byte now and then."""

import gzip
import json
import re
import threading
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from label_studio_sdk.core.unchecked_base_model import UncheckedBaseModel

from sixrayd.core import pace
from sixrayd.core.errors import ServiceError
from sixrayd.review.label_studio import calls, client
from sixrayd.review.label_studio.client import LabelStudio
from sixrayd.review.label_studio.connection import Connection
from sixrayd.review.server import AwayError
from tests.mirror import Odd, serving


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n{", b"HTTP/1.1 200 OK\r\nX-Long: "],
    ids=["body", "header"],
)
def test_a_server_that_drips_is_told_of_and_left(tmp_path, monkeypatch, capsys, answer):
    monkeypatch.setattr(client, "SOON_S", 0.75)
    monkeypatch.setattr(pace, "TELL_S", 0.1)
    with serving(tmp_path) as server:
        server.odd["version"] = server.odd[""] = [Odd(drip=answer)] * 9
        with pytest.raises(AwayError) as caught:
            LabelStudio(Connection(server.url.rstrip("/"), "a-token"))
    url = server.url.rstrip("/")
    assert str(caught.value) == f"{url}: less than 65536 bytes came in 1.5 s"
    line = rf"{url}: no whole answer after \d s; waits for it, 1\.5 s at most\n"
    assert re.fullmatch(line, capsys.readouterr().err)


def test_a_server_that_packs_its_answers_is_left(tmp_path):
    with serving(tmp_path) as server:
        packed = Odd(200, {"Content-Encoding": "gzip"}, gzip.compress(b" " * (1 << 20)))
        server.odd["version"] = server.odd[""] = [packed] * 9
        url = server.url.rstrip("/")
        with pytest.raises(ServiceError) as caught:
            LabelStudio(Connection(url, "a-token"))
    assert str(caught.value) == f"{url}: encodes an answer as gzip, which nobody asked for"


class Told(BaseHTTPRequestHandler):
    """Answers like Label Studio, but for lists: `server.rows` of them are empty, on each page.

    At `server.silent` it says nothing, and at `server.drips` never ends. The predictions that
    project 1 shows are of a version of as many signs.
    """

    def do_GET(self):
        at = urlsplit(self.path)
        self.server.asked.append(at.path)
        if at.path == self.server.silent:
            self.server.ended.wait()
        rows = [{}] * self.server.rows
        if at.path == "/api/projects/":
            full = int(parse_qs(at.query)["page_size"][0])
            rows = [{"id": 1, "description": ""}] * (self.server.rows or full)
            rows = self.server.told.get(at.path, rows)
            told = {"count": 1, "next": "?page=2", "previous": None, "results": rows}
        else:
            known = {"/api/version/": {"release": "1.23.2"}}
            known |= self.server.told
            known["/api/projects/1/"] = {"model_version": "v" * self.server.rows}
            known["/api/current-user/whoami"] = {"email": "a@b.c", "org_membership": rows}
            told = known.get(at.path, rows)
        self._tell(told)

    def do_POST(self):
        self.server.posted.append(self.path)
        while self.path == self.server.drips and not self.server.ended.wait(0.05):
            self.wfile.write(b"a")
        self._tell({"task_ids": self.server.numbers, "id": self.server.ids.get(self.path)})

    def do_PATCH(self):
        self.do_POST()

    def do_DELETE(self):
        self.server.deleted.append(self.path)
        self._tell({})

    def _tell(self, told):
        data = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def test_a_token_is_renewed_below_the_address_that_was_named():
    asked = []

    class Shared(BaseHTTPRequestHandler):  # of a host on which paths are of different people
        def do_POST(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    renewing = jwt.encode({"exp": 4_000_000_000, "token_type": "refresh"}, "k" * 32)
    with ThreadingHTTPServer(("127.0.0.1", 0), Shared) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        url = f"http://127.0.0.1:{server.server_port}/~ann/label-studio"
        try:
            with pytest.raises(ServiceError):
                LabelStudio(Connection(url, renewing))
        finally:
            server.shutdown()
    assert asked == ["/~ann/label-studio/api/token/refresh/"]


@contextmanager
def telling(rows, numbers=(), ids=None, deleted=None, told=None, silent="", asked=None, drips=""):
    with ThreadingHTTPServer(("127.0.0.1", 0), Told) as server:
        server.rows, server.numbers, server.ids, server.deleted = rows, numbers, ids or {}, deleted
        server.told, server.silent, server.ended = told or {}, silent, threading.Event()
        server.asked = [] if asked is None else asked
        server.drips, server.posted = drips, server.asked if drips else []
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield LabelStudio(Connection(f"http://127.0.0.1:{server.server_port}", "a-token"))
        finally:
            server.ended.set()
            server.shutdown()


@pytest.mark.parametrize("silent", ["/api/projects/", "/api/projects/1/exports/9/download"])
def test_who_waited_in_vain_does_not_wait_again(monkeypatch, silent):
    monkeypatch.setattr(client, "SOON_S", 1.0)
    monkeypatch.setattr(calls, "TIMEOUT_S", 1.0)
    ids = {"/api/dm/views/": 7, "/api/projects/1/exports/": 9}
    asked, deleted = list[str](), list[str]()
    with telling(0, ids=ids, deleted=deleted, silent=silent, asked=asked) as studio:
        exports = "exports" in silent
        ask = (
            (lambda: studio.answered_tasks(1)) if exports else (lambda: studio.find_project("key"))
        )
        with pytest.raises(AwayError, match=r": no answer within 1 s$"):
            ask()
    assert asked.count(silent) == 1
    assert deleted == ["/api/projects/1/exports/9", "/api/dm/views/7/"] * exports


def test_what_drips_is_not_asked_again_by_the_sdk(monkeypatch):
    monkeypatch.setattr(calls, "TIMEOUT_S", 0.75)
    asked = list[str]()
    with telling(0, drips="/api/dm/views/", asked=asked) as studio:
        del asked[:]
        with pytest.raises(AwayError, match="less than 65536 bytes came in"):
            studio.tasks_since(1, "2026-01-01T00:00:00Z")
    assert asked == ["/api/dm/views/"]


@pytest.mark.parametrize("rows", [0, 101, 1_001, 20_000])
def test_projects_without_end_are_refused(monkeypatch, rows):
    monkeypatch.setattr(client, "_MOST_PROJECTS", 1_000)
    more = pytest.raises(ServiceError, match="more than 1,000 projects, or pages without end")
    with telling(rows) as studio, more:
        studio.find_project("a-key")


@pytest.mark.parametrize("numbers", [[5], [5, 5], [5, 6, 7], [5, None], [5, 1 << 80]])
def test_each_task_that_is_sent_has_a_number_of_its_own(numbers):
    with telling(3, [5, 6]) as studio:
        assert studio.import_tasks(1, [{}, {}]) == [5, 6]
    with telling(3, numbers) as studio, pytest.raises(ServiceError, match="does not answer like"):
        studio.import_tasks(1, [{}, {}])


def test_no_version_is_sent_with_each_task_that_would_fill_memory():
    with telling(1000) as studio:
        assert studio.shown_version(1) == "v" * 1000
    with telling(1001) as studio, pytest.raises(ServiceError) as caught:
        studio.shown_version(1)
    assert str(caught.value).endswith(
        ": shows predictions of a version of 1,001 signs in project 1, at most 1,000; choose "
        "another there"
    )


def test_no_invitation_fills_the_link_of_each_lane():
    for path in ("/user/signup/?token=" + "t" * 982, "user/signup/?token=t\nRun this: x"):
        told, refused = {"/api/invite": {"invite_url": path}}, "its invitation is an address of "
        with telling(0, told=told) as studio, pytest.raises(ServiceError, match=refused):
            studio.sign_up_page()
    with telling(0, told={"/api/invite": {"invite_url": "/user/signup/?token=t"}}) as studio:
        assert studio.sign_up_page() == f"{studio.connection.url}/user/signup/?token=t"


@pytest.mark.parametrize("hostile", ["/api/dm/views/", "/api/projects/1/exports/"])
def test_what_is_made_on_the_way_has_a_number_and_leads_to_nothing_else(hostile):
    made = {"/api/dm/views/": 7, "/api/projects/1/exports/": 9}
    deleted: list[str] = []
    with (
        telling(0, ids={**made, hostile: "../../../tasks/5"}, deleted=deleted) as studio,
        pytest.raises(ServiceError, match="does not answer like Label Studio"),
    ):
        studio.answered_tasks(1)
    assert deleted == ["/api/dm/views/7/"] * (hostile != "/api/dm/views/")


def test_countless_views_that_seem_left_behind_hold_up_no_pull():
    views = [{"id": number, "data": {"title": "changed (sixrayd)"}} for number in range(500)]
    told = {
        "/api/dm/views/": views,
        "/api/projects/1/exports/": [{"id": 5, "title": "changed (sixrayd)"}],
        "/api/projects/1/exports/9/download": [],
    }
    ids, deleted = {"/api/dm/views/": 700, "/api/projects/1/exports/": 9}, list[str]()
    with telling(0, ids=ids, deleted=deleted, told=told) as studio:
        assert studio.answered_tasks(1) == ()
    assert deleted == [
        *(f"/api/dm/views/{number}/" for number in range(100)),
        *("/api/projects/1/exports/5", "/api/projects/1/exports/9", "/api/dm/views/700/"),
    ]


def test_a_page_that_is_not_full_is_the_last():
    with telling(99) as studio:
        assert studio.find_project("a-key") is None


def test_no_copy_of_a_project_is_taken_for_it():
    """Its answers would not be pulled, and all of its images be sent again."""
    line = "Made by sixrayd; keep this line: a-key"
    rows = [{"id": number, "description": line} for number in (9, 4)]
    with telling(0, told={"/api/projects/": rows}) as studio:
        with pytest.raises(ServiceError, match=r"projects 4, 9 hold the line of one, keep this "):
            studio.find_project("a-key")
        del rows[0]
        assert studio.find_project("a-key") == 4


def test_what_a_server_tells_becomes_no_models(monkeypatch):
    """Of as many as are in a megabyte, the SDK would make some for half a minute."""
    made = []
    monkeypatch.setattr(UncheckedBaseModel, "construct", lambda *_, **__: made.append(1))
    monkeypatch.setattr(calls, "_WAITS_S", ())
    with telling(3) as studio:
        for ask in (studio.reviewers, *(partial(a, 1) for a in (studio.uploaded, studio.counts))):
            with pytest.raises(ServiceError, match="does not answer like Label Studio"):
                ask()
    assert made == []


def counting(tasks):
    answers = {"total_annotations_number": 0, "skipped_annotations_number": 0}
    return {"task_number": tasks} | answers


def test_what_an_export_lacks_is_not_sent_again():
    ids = {"/api/dm/views/": 7, "/api/projects/5/exports/": 9}
    told = {"/api/projects/5/exports/9/download": [], "/api/projects/5/": counting(2)}
    lacks = r"gave 0 of the 2 tasks that it counts in project 5; run the same command again$"
    served = telling(0, ids=ids, deleted=[], told=told)
    with served as studio, pytest.raises(ServiceError, match=lacks):
        studio.all_tasks(5)


def test_what_a_server_says_that_it_made_becomes_no_models(monkeypatch):
    """Of three million empty parts of one thing, the SDK would make models for minutes."""
    made = []
    monkeypatch.setattr(UncheckedBaseModel, "construct", lambda *_, **__: made.append(1))
    ids = {"/api/projects/": 5, "/api/dm/views/": 7, "/api/projects/5/exports/": 9}
    ids["/api/tasks/3/annotations/"] = 11
    download = {"/api/projects/5/exports/9/download": [], "/api/projects/5/": counting(0)}
    asks = (
        (lambda studio: studio.make_project("title", "key", "<View/>", ""), 5),
        (lambda studio: studio.set_instruction(5, "Look."), None),
        (lambda studio: studio.import_tasks(5, [{"data": {}}]), [3]),
        (lambda studio: studio.all_tasks(5), ()),
        (lambda studio: studio.submit(3, [], 1.0), 11),
    )
    with telling(0, [3], ids, [], download) as studio:
        for ask, told in asks:
            assert ask(studio) == told
    assert made == []
