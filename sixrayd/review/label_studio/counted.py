"""Answers whose bytes are counted while they come."""

from collections.abc import Iterator
from typing import Any

import httpx

from sixrayd.core.documents import memory_of
from sixrayd.core.errors import ServiceError
from sixrayd.core.pace import Pace


class Counted(httpx.SyncByteStream):
    """An answer of JSON whose bytes are told.

    Args:
        where: names the server.
        most: bytes that are taken.
        memory: bytes that its values may take, as `memory_of` guesses it.

    Raises:
        ServiceError: while it is read: it is more.
    """

    def __init__(self, stream: Any, pace: Pace, where: str, most: int, memory: int) -> None:
        self._stream, self._pace, self._where = stream, pace, where
        self._most, self._memory = most, memory

    def __iter__(self) -> Iterator[bytes]:
        size = memory = 0
        for piece in self._stream:
            self._pace.came(len(piece))
            size, memory = size + len(piece), memory + memory_of(piece)
            if size > self._most or memory > self._memory:
                raise ServiceError(
                    f"{self._where}: an answer is longer than {self._most >> 20} MiB, or its "
                    f"values take more than {self._memory >> 20} MiB of memory; it is no "
                    "Label Studio, or the project is too large for one export"
                )
            yield piece

    def close(self) -> None:
        self._stream.close()
