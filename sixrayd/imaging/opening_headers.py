"""Opening images by their headers, of which no more is read than a sound one has.

Pillow makes an object of each number in a TIFF's tags, and in EXIF: millions take minutes and more
than memory.
"""

import io
import struct
from collections.abc import Sequence
from typing import IO

from PIL import Image

from sixrayd.core.memory import check_free

MOST_HEADER = 2 << 20  # bytes up to the pixels, tags and EXIF included
_MOST_EXIF = 256 << 10  # bytes, of all a JPEG's segments together; sound ones have at most 64 KiB
_MOST_FRACTIONS = 10_000  # in a TIFF's tags; sound ones have a dozen, and each takes microseconds
_FRACTIONS = (5, 10)  # types of tags, of numbers without and with a sign
_EXIF = b"Exif\0\0"
_CANVAS = 400_000_000  # bytes that opening the largest WebP takes


class HeaderError(ValueError):
    """A header is longer than any sound one."""


class HeaderReader:
    """A file that gives so many bytes, all reads together, of EXIF fewer, and then fails.

    Args:
        file: seekable.
    """

    def __init__(self, file: IO[bytes], most: int = MOST_HEADER) -> None:
        self._file, self._most, self._left, self._exif = file, most, most, 0
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        """As a file's.

        Raises:
            HeaderError: it is more than a header has.
        """
        wanted = self._left + 1 if size < 0 else min(size, self._left + 1)
        data = self._file.read(wanted)
        self._left -= len(data)
        if self._left < 0:
            raise HeaderError(f"a header of more than {self._most} bytes")
        if data.startswith(_EXIF):  # a segment of a JPEG, which Pillow joins to those before
            self._exif += len(data)
            _check_exif(self._exif)
        return data


def open_header(data: bytes | IO[bytes], formats: Sequence[str]) -> Image.Image:
    """An image whose pixels are not to be read.

    Args:
        data: the encoded image, or a file of it.

    Raises:
        HeaderError: its header is too long, or would be unpacked for long.
        MemoryError: there may be too little to open it.
        Exception: it is none, of whatever kind its bytes lead to.
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    start = file.read(16)
    if start.startswith((b"II", b"MM")) and (count := _fractions(file, start)) > _MOST_FRACTIONS:
        raise HeaderError(f"tags of {count} fractions, at most {_MOST_FRACTIONS} are read")
    file.seek(0)
    # A WebP is always read as a whole, and says little before its EXIF is asked for.
    is_webp = start.startswith(b"RIFF")
    try:
        image = Image.open(file if is_webp else HeaderReader(file), formats=formats)  # type: ignore[arg-type]
    except Exception:
        check_free(_CANVAS if is_webp else 0)
        raise
    try:
        _check_exif(len(image.info.get("exif", b"")))
    except HeaderError:
        image.close()
        raise
    return image


def _check_exif(size: int) -> None:
    if size > _MOST_EXIF:
        raise HeaderError(f"EXIF of more than {_MOST_EXIF} bytes")


def _fractions(file: IO[bytes], start: bytes) -> int:
    """How many fractions the first directory of a TIFF's tags says it has.

    Args:
        start: its first 16 bytes.
    """
    order = "<" if start.startswith(b"II") else ">"
    is_big = start[2:3] == b"+"  # BigTIFF as Pillow knows it: places and counts have 8 bytes
    place, many, entry = ("8xQ", "Q", "HHQ8x") if is_big else ("4xI", "H", "HHI4x")
    try:
        file.seek(*struct.unpack_from(order + place, start))
        (rows,) = struct.unpack(order + many, file.read(struct.calcsize(order + many)))
    except (struct.error, OverflowError, OSError):
        return 0  # none, as its reader will find
    size = struct.calcsize(order + entry)
    tags = file.read(min(rows * size, MOST_HEADER) // size * size)
    tags = tags[: len(tags) // size * size]
    rows_read = struct.iter_unpack(order + entry, tags)
    return sum(count for _, kind, count in rows_read if kind in _FRACTIONS)
