"""A server that sends a byte now and then is cut off: silence alone would never be long enough."""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn, Self, TypeVar

from sixrayd.core.printing import echo
from sixrayd.core.progress import LINE_S

T = TypeVar("T")
TELL_S = 4.0  # after which a person is told who is waited for; later every `LINE_S`
_BEGUN = "sixrayd-call"
_CONNECT_S = 15.0
LONGEST_S = 600.0  # for a library's call that tells nothing of what has come


@dataclass(slots=True)
class Peer:
    """Who is asked, one thing at a time.

    Args:
        name: that may be shown.
    """

    name: str
    sockets: list[socket.socket] = field(default_factory=list)  # of its connections
    told: float = -LINE_S  # when a person was told that it is waited for, on the monotonic clock


class Pace:
    """Ends requests of httpx that bring too little, headers included; in a `with` statement.

    A person is told of it before, on stderr.

    Args:
        timeout_s: seconds that a server may be silent, see `extensions`; in twice that time the
            least must come, again and again. What is sent takes as long as it takes.
        least: bytes, as told by `came`.
        peer: the same for all requests of a client that keeps its connections.
    """

    def __init__(self, timeout_s: float, least: int, peer: Peer) -> None:
        self._timeout_s, self._within_s, self._least = timeout_s, 2 * timeout_s, least
        self._peer, self._sending = peer, False
        self._begin()
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._cut_off, daemon=True)
        self.too_slow = ""  # why the connection was ended

    def __enter__(self) -> Self:
        self._watch.start()
        return self

    def __exit__(self, *said: object) -> None:
        self._ended.set()
        self._watch.join()

    @property
    def extensions(self) -> Mapping[str, Any]:
        """What the request is to be made with."""
        silence = dict.fromkeys(("connect", "read", "write", "pool"), self._timeout_s)
        silence["connect"] = min(self._timeout_s, _CONNECT_S)
        return {"trace": self._note, "timeout": silence}

    def came(self, count: int) -> None:
        """Count bytes of what was asked for."""
        self._came += count

    def _note(self, event: str, told: Mapping[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            new = told["return_value"].get_extra_info("socket")
            sockets = self._peer.sockets
            sockets[:] = [*(old for old in sockets if old.fileno() >= 0), new]
        elif "send_request_body." in event:
            self._sending = event.endswith("started")
            self._begin()

    def _begin(self) -> None:
        self._came, self._since = 0, time.monotonic()

    def _cut_off(self) -> None:
        while not self._ended.wait(max(self._next() - time.monotonic(), 0)):
            now = time.monotonic()
            passed, sending = now - self._since, self._sending
            if now < self._next():  # begun anew meanwhile
                continue
            if passed < self._within_s:
                self._peer.told = now
                if sending:
                    tell_waiting(self._peer.name, "not all taken", passed, self._timeout_s)
                elif self._came < self._least * passed / self._within_s:
                    tell_waiting(self._peer.name, "no whole answer", passed, self._within_s)
                continue
            if self._came < self._least and self._peer.sockets and not sending:
                self.too_slow = f"less than {self._least} bytes came in {self._within_s:g} s"
                for connection in tuple(self._peer.sockets):
                    with suppress(OSError):  # it has ended by itself
                        connection.shutdown(socket.SHUT_RDWR)
            self._begin()

    def _next(self) -> float:
        """When to look again, on the monotonic clock."""
        tell = max(self._since + TELL_S, self._peer.told + LINE_S)
        return min(tell, self._since + self._within_s)


def tell_waiting(whom: str, what: str, passed_s: float, most_s: float) -> None:
    """Say on stderr who is waited for."""
    line = f"{whom}: {what} after {passed_s:.0f} s; waits for it, {most_s:g} s at most"
    with suppress(OSError):  # nobody reads
        echo(line, err=True)


class LateError(TimeoutError):
    """What has no limit of its own took too long."""


def within(call: Callable[[], T], whom: str) -> T:
    """What a call gives; late, it goes on in a thread that nobody waits for.

    Raises:
        LateError: it takes longer than `LONGEST_S`.
    """
    return in_time(begun(call), whom)


def begun(call: Callable[[], T]) -> Future[T]:
    """A call in a thread of its own, which does not keep the program from ending."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name=_BEGUN, daemon=True).start()
    return future


def in_time(future: Future[T], whom: str) -> T:
    """As `within`, counted from now; tells every `LINE_S` who is waited for."""
    since = time.monotonic()
    while True:
        left = since + LONGEST_S - time.monotonic()
        try:
            return future.result(max(min(left, LINE_S), 0))
        except TimeoutError:
            if future.done():  # it was the call's own
                raise
            if left <= LINE_S:
                raise LateError(f"no whole answer within {LONGEST_S:g} s") from None
            tell_waiting(whom, "no whole answer", time.monotonic() - since, LONGEST_S)


def leave(code: int) -> NoReturn:
    """End a program that failed, also while calls go on: at its end pyarrow would wait for them."""
    if any(thread.name == _BEGUN for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
