"""A server that sends a byte now and then is cut off: silence alone would never be long enough."""

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self


class Pace:
    """Ends a request of httpx that brings too little, headers included; in a `with` statement.

    For a client that keeps no connections: only of one that is made here the socket is known.

    Args:
        within_s: seconds in which the least must come, again and again.
        least: bytes, as told by `came`.
    """

    def __init__(self, within_s: float, least: int) -> None:
        self._within_s, self._least = within_s, least
        self._came = 0
        self._socket: socket.socket | None = None
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._cut_off, daemon=True)
        self.too_slow = ""  # why the connection was ended

    def __enter__(self) -> Self:
        self._watch.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
            self._socket = told["return_value"].get_extra_info("socket")

    def _cut_off(self) -> None:
        while not self._ended.wait(self._within_s):
            if self._came < self._least and self._socket is not None:
                self.too_slow = f"less than {self._least} bytes came in {self._within_s:g} s"
                with suppress(OSError):  # it has ended by itself
                    self._socket.shutdown(socket.SHUT_RDWR)
            self._came = 0
