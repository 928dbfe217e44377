"""Decoding images of unknown origin within limits; nothing but `ImageError` comes out."""

import ctypes
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

import numpy as np
from PIL import Image

from sixrayd.core.ahead import Budget
from sixrayd.core.arrays import RGBImage
from sixrayd.core.errors import ImageError
from sixrayd.core.memory import check_free
from sixrayd.core.shards import MAX_IMAGE_BYTES
from sixrayd.imaging.metadata import is_turned, png_chunks, without_metadata
from sixrayd.imaging.opening_headers import HeaderError, open_header

try:
    import simplejpeg
except ImportError:  # decoding is slower and the pixels are the same
    simplejpeg = None

MAX_PIXELS = 50_000_000
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
_MAX_SIDE = 65_535  # pixels, JPEG's own; what scales a picture keeps a table as long as its sides
_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II", b"MM")
_MAX_TILED = 2 * MAX_PIXELS
_TILE_WIDTH, _TILE_HEIGHT, _PACKED = 322, 323, 259  # tags of a TIFF
_STRIPS, _TILES = (273, 279), (324, 325)  # where they lie, and their bytes
_SCAN = b"\xff\xda"
_MAX_SCANS = 100  # of a JPEG; progressive ones have about 10
_MAX_SCANNED = 2_000_000_000  # pixels, since each scan goes over all of them
_USUAL_DENSITY = 20  # pixels in a byte of a JPEG, below which its scans cost less than its bytes
_MAX_CHUNKS = 100_000  # of a PNG, which Pillow reads one by one; usual ones hold 8 KiB each
_LEAN_JPEG = 4  # times fewer bytes for a pixel than others while it is decoded
_BYTES_A_PIXEL = 20  # that decoding a WebP takes, others fewer
# Of all threads, since there may be a hundred cores.
_AT_ONCE = Budget(MAX_PIXELS)
# What is wrong with an image we say ourselves, by its name; a block silences no other thread.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())
with suppress(OSError, AttributeError):  # libtiff is built in elsewhere
    ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)  # type: ignore[attr-defined]
# Above what glibc keeps for each thread once it is freed; small images take blocks of their size.
Image.core.set_block_size(64 << 20)  # type: ignore[attr-defined]
_MAX_RUNS = 4 << 20  # bytes of a BMP packed as runs, which Pillow unpacks one by one


def decode_rgb(
    data: bytes, where: str, *, max_pixels: int = MAX_PIXELS, min_side_px: int = 0
) -> RGBImage:
    """Decode a JPEG, PNG, BMP, WebP or TIFF; grey becomes RGB, EXIF rotation is not applied.

    Args:
        where: names the image in messages.
        max_pixels: a larger image is refused before any of it is decoded, and so is one that would
            take minutes.
        min_side_px: a JPEG may come at 1/2, 1/4 or 1/8 of its size as long as both sides keep
            this length; 0 means full size.

    Returns:
        (H, W, 3) uint8 RGB, contiguous.

    Raises:
        ImageError: truncated, broken, too large, or not one of the formats.
        MemoryError: there may be too little to decode it.
    """
    with decoded(data, where, max_pixels=max_pixels, min_side_px=min_side_px) as image:
        return image


@contextmanager
def decoded(
    data: bytes, where: str, *, max_pixels: int = MAX_PIXELS, min_side_px: int = 0
) -> Iterator[RGBImage]:
    """What `decode_rgb` gives, for work on it within the block, while other threads wait as they do
    for decoding: a large image has no copies beside others'.
    """
    size_wh = _checked_size_wh(data, where, max_pixels)
    with _AT_ONCE.taken(decoding_pixels(data, size_wh)):
        yield _decode(data, where, size_wh, _reduction(size_wh, min_side_px))


def decoding_pixels(data: bytes, size_wh: tuple[int, int]) -> int:
    """Pixels of another form than JPEG that take as much memory while they are decoded."""
    pixels = size_wh[0] * size_wh[1]
    return pixels // _LEAN_JPEG if data.startswith(_JPEG) else pixels


def pixels_gone_over(data: bytes) -> int:
    """Pixels that decoding goes over, from the header: for each scan of a JPEG anew where it packs
    more than usual, tiles of a TIFF as a whole; of what is refused none.
    """
    try:
        width, height = image_size_wh(data, "image")
        tiled = _tiled_pixels(data, "image") if data.startswith(_TIFF) else 0
    except ImageError:
        return 0
    pixels = width * height
    if pixels > MAX_PIXELS or tiled > _MAX_TILED:
        return 0
    is_dense = data.startswith(_JPEG) and pixels > _USUAL_DENSITY * len(data)
    return max(pixels * data.count(_SCAN) if is_dense else pixels, tiled)


def _decode(data: bytes, where: str, size_wh: tuple[int, int], factor: int) -> RGBImage:
    if simplejpeg is not None and data.startswith(_JPEG):
        try:
            return _decode_jpeg(data, size_wh, factor)
        except ValueError:
            pass  # Pillow tells a truncated image from one with stray bytes
    try:
        return _decode_pillow(data, size_wh, factor)
    except Exception as error:  # the one place where a decoder's failures are translated
        check_free(_BYTES_A_PIXEL * size_wh[0] * size_wh[1])  # decoders tell it in many ways
        if isinstance(error, MemoryError):  # some ask for what no machine has
            raise ImageError(f"{where}: its pixels ask for more memory than there is") from error
        raise ImageError(f"{where}: cannot be decoded ({error})") from error


def browsable(data: bytes, where: str) -> bytes:
    """An encoded image in a form that browsers show, its pixels as they are stored.

    TIFF becomes PNG; others lose what browsers turn them by, and are not encoded again unless
    they are broken there.

    Raises:
        ImageError: it cannot be decoded.
    """
    if not data.startswith((b"II*\x00", b"MM\x00*")):
        plain = without_metadata(data)
        _checked_size_wh(plain, where, MAX_PIXELS)  # whether it is turned, pixels may tell
        if not is_turned(plain):
            return plain
    file = io.BytesIO()
    Image.fromarray(decode_rgb(data, where)).save(file, "PNG")
    return file.getvalue()


def image_size_wh(data: bytes | IO[bytes], where: str) -> tuple[int, int]:
    """Width and height in pixels from the header alone.

    Args:
        data: the encoded image, or a file of it, of which no more than the header is read.

    Raises:
        ImageError: the header cannot be read.
    """
    if simplejpeg is not None and isinstance(data, bytes) and data.startswith(_JPEG):
        with suppress(Exception):  # Pillow takes some headers that this one does not
            height, width, *_ = simplejpeg.decode_jpeg_header(data)
            return int(width), int(height)
    with _header(data, where) as image:
        return image.size


def channel_count(data: bytes, where: str) -> int:
    """How many channels an image has as it is stored, from the header alone.

    Raises:
        ImageError: the header cannot be read.
    """
    with _header(data, where) as image:
        return len(image.getbands())


@contextmanager
def _header(data: bytes | IO[bytes], where: str) -> Iterator[Image.Image]:
    try:
        with open_header(data, FORMATS) as image:
            yield image
    except Image.DecompressionBombError as error:
        raise ImageError(
            f"{where}: more than {Image.MAX_IMAGE_PIXELS} pixels, at most {MAX_PIXELS} are decoded"
        ) from error
    except HeaderError as error:
        raise ImageError(f"{where}: {error}; refused") from error
    except MemoryError:
        raise
    except Exception as error:
        whole = data if isinstance(data, bytes) else b""
        raise ImageError(f"{where}: {_not_an_image(whole)}") from error


def _checked_size_wh(data: bytes, where: str, max_pixels: int) -> tuple[int, int]:
    width, height = image_size_wh(data, where)
    if width * height > max_pixels:
        raise ImageError(f"{where}: {width} x {height} pixels, at most {max_pixels} are decoded")
    if width == 0 or height == 0:
        raise ImageError(f"{where}: {width} x {height} pixels, expected at least 1 x 1")
    # Within a scan the two bytes never meet; thumbnails count, so that no parser is needed.
    if data.startswith(_JPEG):
        scans, most = data.count(_SCAN), min(_MAX_SCANS, _MAX_SCANNED // (width * height))
        if scans > most:
            raise ImageError(f"{where}: {scans} scans, at most {most} are decoded")
    if data.startswith(_TIFF) and (pixels := _tiled_pixels(data, where)) > _MAX_TILED:
        raise ImageError(f"{where}: tiles of {pixels} pixels, at most {_MAX_TILED} are decoded")
    if data.startswith(_TIFF) and (count := _packed_bytes(data, where)) > MAX_IMAGE_BYTES:
        text = f"strips or tiles of {count} bytes in {len(data)}, at most {MAX_IMAGE_BYTES}"
        raise ImageError(f"{where}: {text} are read")
    if data.startswith(_PNG) and png_chunks(data, _MAX_CHUNKS) > _MAX_CHUNKS:
        raise ImageError(f"{where}: more than {_MAX_CHUNKS} chunks, which no encoder writes")
    if data.startswith(b"BM") and data[30:31] in (b"\1", b"\2") and len(data) > _MAX_RUNS:
        raise ImageError(f"{where}: {len(data)} bytes of runs, at most {_MAX_RUNS} are decoded")
    if max(width, height) > _MAX_SIDE:
        raise ImageError(f"{where}: {width} x {height} pixels, at most {_MAX_SIDE} a side are read")
    return width, height


def _tiled_pixels(data: bytes, where: str) -> int:
    """Pixels that a TIFF's tiles unpack to, however many of them lie in the image."""
    try:
        with open_header(data, ("TIFF",)) as image:
            tags = image.tag_v2  # type: ignore[attr-defined]
            tile = [max(int(tags.get(tag, 1)), 1) for tag in (_TILE_WIDTH, _TILE_HEIGHT)]
            tiled = [-(-side // part) * part for side, part in zip(image.size, tile, strict=True)]
            return tiled[0] * tiled[1]
    except Exception as error:
        raise ImageError(f"{where}: {_not_an_image(data)}") from error


def _packed_bytes(data: bytes, where: str) -> int:
    """Bytes that libtiff reads of a TIFF's strips or tiles: of those that share some, each its own;
    of those whose length is not said, as many as the file has."""
    try:
        with open_header(data, ("TIFF",)) as image:
            tags = image.tag_v2  # type: ignore[attr-defined]
            if tags.get(_PACKED, 1) == 1:
                return 0  # Pillow reads them itself, and no more than pixels take
            parts, counts = _TILES if _TILE_WIDTH in tags else _STRIPS
            places, lengths = (tags.get(tag, ()) for tag in (parts, counts))
            many = len(places) or _MAX_SIDE
            return sum(lengths) if len(lengths) >= many else many * len(data)
    except Exception as error:
        raise ImageError(f"{where}: {_not_an_image(data)}") from error


def _not_an_image(data: bytes) -> str:
    if not data:
        return "empty file, expected an image"
    if data.startswith((_JPEG, b"\x89PNG", b"BM", b"RIFF")):
        return f"header cut short or broken after {len(data)} bytes"
    return f"begins with {data[:16]!r}, expected JPEG, PNG, BMP, WebP or TIFF"


def _reduction(size_wh: tuple[int, int], min_side_px: int) -> int:
    if min_side_px <= 0:
        return 1
    return next((f for f in (8, 4, 2) if min(size_wh) // f >= min_side_px), 1)


def _decode_jpeg(data: bytes, size_wh: tuple[int, int], factor: int) -> RGBImage:
    width, height = (-(-side // factor) for side in size_wh)
    image: RGBImage = simplejpeg.decode_jpeg(
        data, "RGB", min_height=height, min_width=width, min_factor=factor
    )
    if image.shape != (height, width, 3):
        raise ValueError(f"decoded to {image.shape}")
    return image


def _decode_pillow(data: bytes, size_wh: tuple[int, int], factor: int) -> RGBImage:
    open_header(data, FORMATS).close()  # what follows reads the same header, without a bound
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        if image.format == "TIFF":  # else tags within tags, which that bound does not cover, follow
            image.is_animated = True  # type: ignore[attr-defined]
        if factor > 1:
            image.draft("RGB", (size_wh[0] // factor, size_wh[1] // factor))
        if image.mode.startswith("I"):  # 16 bits of grey
            grey = (np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)
            return np.ascontiguousarray(np.stack([grey] * 3, axis=2))  # (H, W, 3)
        return np.ascontiguousarray(np.asarray(image.convert("RGB")))  # (H, W, 3)
