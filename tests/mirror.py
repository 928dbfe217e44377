"""A file server on 127.0.0.1 that can break off, stall, move, change and lie."""

import hashlib
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_PIECE = 2048


@dataclass
class Odd:
    """One answer that is not the file."""

    status: int = 0  # 0: as the file would be sent
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut: int = -1  # bytes after which the connection ends
    stall: bool = False  # says nothing more, instead
    untold: bool = False  # how long it is; it ends with its connection
    drip: bytes = b""  # the raw answer; then an `a` now and then, for ever


@dataclass
class FileServer:
    """What it serves and how."""

    folder: Path
    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)  # of each GET: name, Range
    odd: dict[str, list[Odd]] = field(default_factory=dict)  # name → its first answers
    ranges: bool = True
    most: int = 1 << 30  # bytes of an answer to a Range
    tags: bool = True
    if_range: bool = True  # whether it minds what it sent before
    head: bool = True
    mute: bool = False  # to HEAD it says nothing, for ever
    heads: list[str] = field(default_factory=list)  # names that HEAD asked for
    sizes: dict[str, int] = field(default_factory=dict)  # that HEAD says, whatever is there
    redirect: str = ""
    sent: int = 0  # bytes of files, so far
    told: Callable[[int], object] = lambda sent: None  # of each piece that was sent
    ended: threading.Event = field(default_factory=threading.Event)

    def get(self, request: BaseHTTPRequestHandler) -> None:
        name = request.path.split("?")[0].rsplit("/", 1)[-1]
        asked = request.headers.get("Range", "")
        if asked != "bytes=0-0":  # which only asks for the size
            self.asked.append((name, asked))
            if self.odd.get(name):
                self._send_odd(request, name, self.odd[name].pop(0))
                return
        self._answer(request, name, asked)

    def _send_odd(self, request: BaseHTTPRequestHandler, name: str, odd: Odd) -> None:
        if odd.drip:
            self._drip(request, odd.drip)
            return
        if not odd.status:
            self._answer(request, name, request.headers.get("Range", ""), odd)
            return
        request.send_response(odd.status)
        for key, value in {"Content-Length": str(len(odd.body)), **odd.headers}.items():
            request.send_header(key, value)
        request.end_headers()
        request.wfile.write(odd.body)

    def _drip(self, request: BaseHTTPRequestHandler, answer: bytes) -> None:
        request.close_connection = True
        request.wfile.write(answer)
        while not self.ended.wait(0.02):
            request.wfile.write(b"a")

    def _answer(
        self, request: BaseHTTPRequestHandler, name: str, asked: str, odd: Odd | None = None
    ) -> None:
        path = self.folder / name
        if self.redirect:
            request.send_response(302)
            request.send_header("Location", self.redirect)
            request.end_headers()
        elif not path.is_file():
            request.send_error(404)
        else:
            self._send(request, path.read_bytes(), asked, odd or Odd())

    def _send(self, request: BaseHTTPRequestHandler, data: bytes, asked: str, odd: Odd) -> None:
        tag = '"' + hashlib.sha256(data).hexdigest()[:16] + '"'
        start = 0
        fresh = not self.if_range or request.headers.get("If-Range") == tag
        if asked.endswith("-") and self.ranges and fresh:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start and start >= len(data):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(data)}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(206 if start else 200)
        end = min(start + self.most, len(data)) if start else len(data)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
        if self.tags:
            request.send_header("ETag", tag)
        for key, value in odd.headers.items():
            request.send_header(key, value)
        if not odd.untold:
            request.send_header("Content-Length", str(end - start))
        request.end_headers()
        if request.command == "HEAD":
            return
        body = data[start:end]
        self._write(request, body if odd.cut < 0 else body[: odd.cut])
        if odd.stall:
            request.wfile.flush()
            self.ended.wait()

    def _write(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        for start in range(0, len(body), _PIECE):
            piece = body[start : start + _PIECE]
            request.wfile.write(piece)
            self.sent += len(piece)
            self.told(self.sent)


@contextmanager
def serving(folder: Path, context: ssl.SSLContext | None = None) -> Iterator[FileServer]:
    """A server of the files right in a folder, until the block ends.

    Args:
        context: serve over TLS.
    """
    state = FileServer(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.get(self)

        def do_HEAD(self) -> None:
            name = self.path.split("?")[0].rsplit("/", 1)[-1]
            state.heads.append(name)
            if state.mute:
                state.ended.wait()
            elif not state.head:
                self.send_error(501)
            elif name in state.sizes:
                self.send_response(200)
                self.send_header("Content-Length", str(state.sizes[name]))
                self.end_headers()
            else:
                state._answer(self, name, "")

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass  # whoever asked has gone

    http = Quiet(("127.0.0.1", 0), Handler)
    if context:
        http.socket = context.wrap_socket(http.socket, server_side=True)
    state.url = f"http{'s' * bool(context)}://127.0.0.1:{http.server_port}/data/"
    thread = threading.Thread(target=http.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield state
    finally:
        state.ended.set()
        http.shutdown()
        thread.join()
        http.server_close()
