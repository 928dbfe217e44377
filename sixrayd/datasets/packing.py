"""How tars and members of zips may be packed, and reading no more of them than is allowed."""

import bz2
import gzip
import lzma
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from sixrayd.core.growth import Allowance
from sixrayd.core.memory import check_free

_MOST_LISTED = 160 << 20  # bytes of a zip's list of files; of a million it has some 100 MB
_PIECE, _LZMA_PIECE = 1 << 20, 1 << 12  # bytes; of LZMA they are packed ones
_DICTIONARY = 256 << 20  # bytes of LZMA's, four times those that usual programs take at most


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
        allowance: what may come out of it.
    """

    def __init__(self, stream: IO[bytes], allowance: Allowance) -> None:
        self._stream, self._allowance = stream, allowance
        self.given = 0  # bytes
        self.head = b""  # the first that were given

    def read(self, size: int) -> bytes:
        """At least a byte.

        Raises:
            EOFError: there is none.
            ValueError: it unpacks to more than is read, or asks for too much memory.
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
        data = _read(self._stream, size)
        self.head = self.head if self.given else data[:512]
        self.given += len(data)
        self._allowance.take(len(data))
        return data


def _read(stream: IO[bytes], size: int) -> bytes:
    """Some bytes of a packed stream.

    Raises:
        ValueError: it asks for a dictionary that memory does not take.
    """
    try:
        return stream.read(size)
    except MemoryError as error:
        check_free(_DICTIONARY)
        text = f"asks for more memory than there is, expected at most {_DICTIONARY} bytes"
        raise ValueError(f"{text}; pack it anew") from error


def opened_zip(file: IO[bytes]) -> zipfile.ZipFile:
    """A zip whose list of files is of a size that can be held: each takes half a kilobyte.

    Raises:
        ValueError: the list is too long.
        zipfile.BadZipFile, OSError: it is none.
    """
    end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if end and (size := end[zipfile._ECD_SIZE]) > _MOST_LISTED:  # type: ignore[attr-defined]
        raise ValueError(f"a list of files of {size} bytes, at most {_MOST_LISTED}; split it")
    return zipfile.ZipFile(file)


def member_bytes(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, allowance: Allowance) -> bytes:
    """What a file of a zip holds, no more bytes than it says; these are taken at once.

    In pieces: of one read as a whole, zipfile unpacks all that is there before it counts.

    Raises:
        ValueError: they are too many, or it is packed so that they, or the memory that it takes,
            cannot be bounded. Other errors are zipfile's.
    """
    if entry.compress_type == zipfile.ZIP_BZIP2:  # which zipfile unpacks without a bound
        raise ValueError("packed by bzip2; pack it by deflate, or unpack it")
    allowance.take(entry.file_size)
    step = _LZMA_PIECE if entry.compress_type == zipfile.ZIP_LZMA else _PIECE
    with archive.open(entry) as file:
        return b"".join(iter(lambda: _read(file, step), b""))
