"""A server that sends a byte now and then is cut off: silence alone would never be long enough."""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NoReturn, Self, TypeVar

T = TypeVar("T")
_BEGUN = "sixrayd-call"
LONGEST_S = 600.0  # for a library's call that tells nothing of what has come


class Pace:
    """Ends requests of httpx that bring too little, headers included; in a `with` statement.

    Args:
        within_s: seconds in which the least must come, again and again; what is sent takes as long
            as it takes.
        least: bytes, as told by `came`.
        sockets: of a client that keeps its connections and asks one thing at a time; it is filled.
    """

    def __init__(
        self, within_s: float, least: int, sockets: list[socket.socket] | None = None
    ) -> None:
        self._within_s, self._least = within_s, least
        self._sockets = list[socket.socket]() if sockets is None else sockets
        self._sending = False
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
        return {"trace": self._note}

    def came(self, count: int) -> None:
        """Count bytes of what was asked for."""
        self._came += count

    def _note(self, event: str, told: Mapping[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            new = told["return_value"].get_extra_info("socket")
            self._sockets[:] = [*(old for old in self._sockets if old.fileno() >= 0), new]
        elif "send_request_body." in event:
            self._sending = event.endswith("started")
            self._begin()

    def _begin(self) -> None:
        self._came, self._until = 0, time.monotonic() + self._within_s

    def _cut_off(self) -> None:
        while not self._ended.wait(max(self._until - time.monotonic(), 0)):
            if time.monotonic() < self._until:  # begun anew meanwhile
                continue
            if self._came < self._least and self._sockets and not self._sending:
                self.too_slow = f"less than {self._least} bytes came in {self._within_s:g} s"
                for connection in tuple(self._sockets):
                    with suppress(OSError):  # it has ended by itself
                        connection.shutdown(socket.SHUT_RDWR)
            self._begin()


class LateError(TimeoutError):
    """What has no limit of its own took too long."""


def within(call: Callable[[], T]) -> T:
    """What a call gives; late, it goes on in a thread that nobody waits for.

    Raises:
        LateError: it takes longer than `LONGEST_S`.
    """
    return in_time(begun(call))


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


def in_time(future: Future[T]) -> T:
    """As `within`, counted from now."""
    try:
        return future.result(LONGEST_S)
    except TimeoutError:
        if future.done():  # it was the call's own
            raise
        raise LateError(f"no whole answer within {LONGEST_S:g} s") from None


def leave(code: int) -> NoReturn:
    """End a program that failed, also while calls go on: at its end pyarrow would wait for them."""
    if any(thread.name == _BEGUN for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
