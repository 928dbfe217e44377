"""How an encoded image holds its pixels, from its first bytes alone."""

from enum import IntEnum

from PIL import ExifTags, Image

from sixrayd.imaging.decode import FORMATS
from sixrayd.imaging.opening_headers import open_header

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_DEPTH = 24  # byte of a PNG that holds the bits of a sample


class Pixels(IntEnum):
    """What an image's samples are."""

    UNKNOWN = 0  # the header cannot be read
    COLOUR = 1  # 8 bits each of red, green and blue
    GREY = 2  # 8 bits
    ALPHA = 3
    PALETTE = 4
    CMYK = 5
    DEEP = 6  # more than 8 bits
    BILEVEL = 7
    OTHER = 8


_MODES = {
    **{"RGB": Pixels.COLOUR, "L": Pixels.GREY, "RGBA": Pixels.ALPHA, "LA": Pixels.ALPHA},
    **{"PA": Pixels.ALPHA, "P": Pixels.PALETTE, "CMYK": Pixels.CMYK, "1": Pixels.BILEVEL},
}


def read_header(data: bytes) -> tuple[Pixels, int]:
    """What the samples are, and EXIF's orientation: 1 upright, 2 to 8 mirrored or turned.

    Args:
        data: an encoded image, or as many of its first bytes as hold its header.
    """
    try:
        with open_header(data, FORMATS) as image:
            return _pixels(image, data), _orientation(image)
    except MemoryError:
        raise
    except Exception:  # whatever a decoder makes of hostile bytes
        return Pixels.UNKNOWN, 1


def _pixels(image: Image.Image, data: bytes) -> Pixels:
    if image.mode.startswith(("I", "F")) or (
        data.startswith(_PNG) and data[_PNG_DEPTH : _PNG_DEPTH + 1] == b"\x10"
    ):
        return Pixels.DEEP
    if "transparency" in image.info:
        return Pixels.ALPHA
    return _MODES.get(image.mode, Pixels.OTHER)


def _orientation(image: Image.Image) -> int:
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # looking further would decode it
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # broken EXIF turns nothing
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
