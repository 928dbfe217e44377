"""What browsers turn images by, cut out of their bytes: EXIF and its kin. Pixels stay encoded."""

import io
import re
import struct
from collections.abc import Iterator

from PIL import ExifTags, Image

from sixrayd.imaging.opening_headers import open_header

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
_APP1 = 0xE1
_WITHOUT_LENGTH = (0x00, 0x01, *range(0xD0, 0xDB))  # markers up to the start of a scan
_PNG_CHUNKS = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")
_MOST_PARTS = 100_000  # that are looked through; the rest stays as it is
_FILL = re.compile(rb"\xff+")
_WEBP_CHUNKS = (b"EXIF", b"XMP ")
_WEBP_FLAGS = 0x08 | 0x04  # in VP8X: such chunks follow


def without_metadata(data: bytes) -> bytes:
    """A JPEG, PNG or WebP without EXIF, XMP and texts; other bytes as they are.

    What comes after a place where the file is broken stays.
    """
    if data.startswith(_JPEG):
        return b"".join(_jpeg_parts(data))
    if data.startswith(_PNG):
        return b"".join(_png_parts(data))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        body = b"".join(_webp_parts(data))
        return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
    return data


def is_turned(data: bytes) -> bool:
    """Whether a browser may show an image otherwise than its pixels are stored."""
    try:
        open_header(data, _FORMATS).close()  # what follows reads the same header, without a bound
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            return bool(image.getexif().get(ExifTags.Base.Orientation, 1) != 1)
    except Exception:  # what its reader cannot make sense of, a browser's might
        return True


def png_chunks(data: bytes, most: int) -> int:
    """How many chunks a PNG has, as their lengths tell; counting ends beyond `most`."""
    at, count = 8, 0
    while at + 12 <= len(data) and count <= most:
        at += 12 + int.from_bytes(data[at : at + 4])
        count += 1
    return count


def _jpeg_parts(data: bytes) -> Iterator[bytes]:
    yield data[:2]
    at = 2
    for _ in range(_MOST_PARTS):
        fill = _FILL.match(data, at)
        at = max(at, fill.end() - 1) if fill else at
        known = at + 4 <= len(data) and data[at] == 0xFF
        if not known or data[at + 1] in _WITHOUT_LENGTH:
            break
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if data[at + 1] != _APP1:
            yield data[at:end]
        at = end
    yield data[at:]


def _png_parts(data: bytes) -> Iterator[bytes]:
    yield data[:8]
    at = 8
    for _ in range(_MOST_PARTS):
        if at + 12 > len(data):
            break
        end = at + 12 + int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] not in _PNG_CHUNKS:
            yield data[at:end]
        at = end
    yield data[at:]


def _webp_parts(data: bytes) -> Iterator[bytes]:
    at = 12
    for _ in range(_MOST_PARTS):
        if at + 8 > len(data):
            break
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + size + size % 2
        if kind == b"VP8X":
            flags = bytes(byte & ~_WEBP_FLAGS for byte in data[at + 8 : at + 9])
            yield data[at : at + 8] + flags + data[at + 9 : end]
        elif kind not in _WEBP_CHUNKS:
            yield data[at:end]
        at = end
    yield data[at:]
