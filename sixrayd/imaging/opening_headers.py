"""Opening images by their headers, of which no more is read than a sound one has.

Pillow makes an object of each number in a TIFF's tags, and in EXIF: millions take minutes and more
than memory.
"""

import io
from collections.abc import Sequence
from typing import IO

from PIL import Image

MOST_HEADER = 2 << 20  # bytes up to the pixels, tags and EXIF included


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
        Exception: it is none, of whatever kind its bytes lead to.
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    start = file.read(4)
    file.seek(0)
    # A WebP is always read as a whole, and says little before its EXIF is asked for.
    image = Image.open(file if start == b"RIFF" else HeaderReader(file), formats=formats)  # type: ignore[arg-type]
    if len(image.info.get("exif", b"")) > MOST_HEADER:
        image.close()
        raise HeaderError(f"EXIF of more than {MOST_HEADER} bytes")
    return image
