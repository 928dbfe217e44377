"""How a tar may be packed, by its name, and reading it no further than its files can hold."""

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

_GROWTH, _LEAST_LIMIT = 100, 1 << 30  # 100 times the packed size, or 1 GiB, is a bomb


@dataclass(frozen=True, slots=True)
class Packing:
    """One way to pack a tar.

    Args:
        magic: the bytes that it begins with; none where it has no fixed ones.
    """

    suffixes: tuple[str, ...]
    magic: bytes
    open: Callable[[Any], IO[bytes]]


_PACKINGS = (
    Packing((".gz", ".tgz"), b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file)),  # type: ignore[arg-type, return-value]
    Packing((".bz2", ".tbz", ".tbz2"), b"BZh", bz2.BZ2File),
    Packing((".xz", ".txz"), b"\xfd7zXZ\x00", lzma.LZMAFile),
    Packing((".lzma", ".tlz"), b"", lzma.LZMAFile),
)
_PLAIN = Packing((".tar",), b"", lambda file: file)


def packing_of(name: str) -> Packing:
    """How the tar of this name, without part number, is packed."""
    return next((p for p in _PACKINGS if name.lower().endswith(p.suffixes)), _PLAIN)


class BoundedStream:
    """A stream that `tarfile` may skip in: reading past the end fails, and so does a bomb.

    Args:
        packed_bytes: size of the files that it comes from.
    """

    def __init__(self, stream: IO[bytes], packed_bytes: int) -> None:
        self._stream = stream
        self._limit = max(_GROWTH * packed_bytes, _LEAST_LIMIT)
        self.given = 0  # bytes

    def read(self, size: int) -> bytes:
        """At least a byte.

        Raises:
            EOFError: there is none.
            tarfile.ReadError: it unpacks to more than is read.
        """
        if not (data := self._next(size)):
            raise EOFError
        return data

    def has_more(self) -> bool:
        """Read to the end, so that the checksum is checked; whether anything but zeros came."""
        more = False
        while chunk := self._next(1 << 20):
            more = more or any(chunk)
        return more

    def _next(self, size: int) -> bytes:
        data = self._stream.read(size)
        self.given += len(data)
        if self.given > self._limit:
            raise tarfile.ReadError(f"unpacks to more than {self._limit} bytes")
        return data
