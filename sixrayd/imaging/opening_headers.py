"""Opening images by their headers, of which no more is read than a sound one has.

Pillow makes an object of each number in a TIFF's tags, and in EXIF: millions take minutes and more
than memory.
"""

import io
from collections.abc import Sequence
from typing import IO

from PIL import Image

from sixrayd.core.memory import check_free

MOST_HEADER = 2 << 20  # bytes up to the pixels, tags and EXIF included
_CANVAS = 400_000_000  # bytes that opening the largest WebP takes


class HeaderError(ValueError):
    """A header is longer than any sound one."""


class HeaderReader:
    """A file that gives so many bytes, all reads together, and then fails.

    Args:
        file: seekable.
    """

    def __init__(self, file: IO[bytes], most: int = MOST_HEADER) -> None:
        self._file, self._most, self._left = file, most, most
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
        return data


def open_header(data: bytes | IO[bytes], formats: Sequence[str]) -> Image.Image:
    """An image whose pixels are not to be read.

    Args:
        data: the encoded image, or a file of it.

    Raises:
        HeaderError: its header is too long.
        MemoryError: there may be too little to open it.
        Exception: it is none, of whatever kind its bytes lead to.
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    start = file.read(4)
    file.seek(0)
    # A WebP is always read as a whole, and says little before its EXIF is asked for.
    try:
        image = Image.open(file if start == b"RIFF" else HeaderReader(file), formats=formats)  # type: ignore[arg-type]
    except Exception:
        check_free(_CANVAS if start == b"RIFF" else 0)
        raise
    if len(image.info.get("exif", b"")) > MOST_HEADER:
        image.close()
        raise HeaderError(f"EXIF of more than {MOST_HEADER} bytes")
    return image
