"""TIFFs of few bytes whose tiles are far larger than the image."""

import struct
import zlib

import pytest

from sixrayd.core.errors import ImageError
from sixrayd.imaging.decode import decode_rgb
from tests.limits import within


def tiled(size_wh, tile_wh):
    """A grey TIFF whose tiles all share the same packed bytes."""
    (width, height), (across, down) = size_wh, tile_wh
    count = -(-width // across) * -(-height // down)
    packed = zlib.compress(bytes(across * down))
    at = 8 + 2 + 12 * 10 + 4
    tags = [(256, width), (257, height), (258, 8), (259, 8), (262, 1), (277, 1)]
    tags += [(322, across), (323, down)]
    rows = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags]
    rows += [
        struct.pack("<HHII", tag, 4, count, at + n * 4 * count) for n, tag in ((0, 324), (1, 325))
    ]
    head = b"II*\0" + struct.pack("<IH", 8, len(rows)) + b"".join(rows) + bytes(4)
    places = [at + 8 * count] * count + [len(packed)] * count
    return head + struct.pack(f"<{2 * count}I", *places) + packed


def test_tiles_that_unpack_to_hours_are_refused():
    with within(10, "tiles"), pytest.raises(ImageError) as caught:
        decode_rgb(tiled((65520, 16), (16, 1 << 20)), "a.tif")
    assert str(caught.value) == (
        "a.tif: tiles of 68702699520 pixels, at most 100000000 are decoded"
    )


def test_tiles_are_read():
    assert decode_rgb(tiled((100, 70), (64, 64)), "a.tif").shape == (70, 100, 3)
