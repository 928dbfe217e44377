"""Answers whose bytes are counted while they come."""

from collections.abc import Iterator
from typing import Any

import httpx

from sixrayd.core.pace import Pace


class Counted(httpx.SyncByteStream):
    """An answer whose bytes are told."""

    def __init__(self, stream: Any, pace: Pace) -> None:
        self._stream, self._pace = stream, pace

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._stream:
            self._pace.came(len(piece))
            yield piece

    def close(self) -> None:
        self._stream.close()
