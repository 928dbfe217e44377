"""TIFFs whose tiles are far larger than the image, and headers of millions of numbers."""

import io
import struct
import subprocess
import sys
import zlib

import pytest
from PIL import Image

from sixrayd.core.errors import ImageError
from sixrayd.imaging.decode import browsable, decode_rgb, image_size_wh
from sixrayd.imaging.headers import Pixels, read_header
from tests.limits import address_space, within


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


@pytest.mark.parametrize("counted", [True, False])
def test_strips_that_share_their_bytes_are_not_copied_for_each(counted):
    """Their bits in the other order, libtiff copies the bytes of each."""
    rows, shared = 60_000, 1 << 20
    tags = {256: 8, 257: rows, 258: 8, 259: 8, 262: 1, 266: 2, 277: 1, 278: 1}
    count = len(tags) + 1 + counted
    at = 8 + 2 + 12 * count + 4
    lists = {273: at} | ({279: at + 4 * rows} if counted else {})
    entries = {tag: struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()}
    entries |= {tag: struct.pack("<HHII", tag, 4, rows, place) for tag, place in lists.items()}
    head = (
        b"II*\0" + struct.pack("<IH", 8, count) + b"".join(entries[tag] for tag in sorted(entries))
    )
    place = struct.pack("<I", at + 4 * rows * len(lists)) * rows
    other_way = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
    packed = zlib.compress(bytes(8)).translate(other_way) + bytes(shared)
    data = head + bytes(4) + place + (struct.pack("<I", shared) * rows if counted else b"") + packed
    said = r"a.tif: strips or tiles of \d+ bytes in \d+, at most 67108864 are read"
    with within(5, "strips"), pytest.raises(ImageError, match=said):
        decode_rgb(data, "a.tif")


def with_numbers(tag, bytes_of_numbers, order="<", is_big=False, kind=5):
    """A grey TIFF of 8 x 8 pixels, or EXIF, one of whose tags is a list of fractions."""
    sizes = [(256, 8), (257, 8), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 8)]
    sizes += [(279, 64)]
    entry, count, place = ("HHQQ", "Q", "Q") if is_big else ("HHII", "H", "I")
    rows = {number: struct.pack(order + entry, number, 4, 1, value) for number, value in sizes}
    if order == ">":  # a number shorter than its place stands at its start
        rows = {number: struct.pack(">HHIHH", number, 3, 1, value, 0) for number, value in sizes}
    start = {"<": b"II+\0\10\0\0\0" if is_big else b"II*\0", ">": b"MM\0*"}[order]
    start += struct.pack(order + place, len(start) + struct.calcsize(place))
    at = len(start) + struct.calcsize(count) + len(rows[256]) * (len(rows) + 1) + 8
    size = {3: 2, 5: 8}[kind]
    rows[tag] = struct.pack(order + entry, tag, kind, bytes_of_numbers // size, at)
    head = start + struct.pack(order + count, len(rows))
    numbers = struct.pack(order + "II", 7, 3) * (bytes_of_numbers // 8)
    return head + b"".join(rows[number] for number in sorted(rows)) + bytes(8) + numbers


@pytest.mark.parametrize(("order", "is_big"), [("<", False), (">", False), ("<", True)])
def test_tags_of_thousands_of_fractions_are_not_unpacked(order, is_big):
    data = with_numbers(282, 8 * 10_001, order, is_big)
    said = "a.tif: tags of 10001 fractions, at most 10000 are read; refused"
    for read in (decode_rgb, image_size_wh, browsable):
        with pytest.raises(ImageError) as caught:
            read(data, "a.tif")
        assert str(caught.value) == said
    with pytest.raises(ImageError) as caught:
        image_size_wh(io.BytesIO(data), "a.tif")
    assert str(caught.value) == said
    assert read_header(data) == (Pixels.UNKNOWN, 1)
    assert image_size_wh(with_numbers(40000, 8 * 10_000, order, is_big), "a.tif") == (8, 8)


def test_a_header_of_megabytes_is_not_read():
    with pytest.raises(ImageError) as caught:
        image_size_wh(with_numbers(40000, 3 << 20, kind=3), "a.tif")
    assert str(caught.value) == "a.tif: a header of more than 2097152 bytes; refused"


def test_tags_within_tags_are_not_unpacked():
    """Of 32 MiB of small numbers Pillow makes a tuple of 256."""
    data, count = with_numbers(34665, 8), 32 << 20
    (at,) = struct.unpack_from("<I", data, len(data) - 8 - 8 - 4)
    within_it = struct.pack("<HHHIII", 1, 0x9000, 6, count, at + 18, 0)
    data = data.replace(
        struct.pack("<HHII", 34665, 5, 1, at), struct.pack("<HHII", 34665, 4, 1, at)
    )
    data = data[:at] + within_it + b"\x90" * count
    with address_space(200 << 20):
        assert decode_rgb(data, "a.tif").shape == (8, 8, 3)


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_exif_of_millions_of_fractions_is_not_unpacked(form):
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, form, exif=with_numbers(274, 3 << 20))
    assert read_header(file.getvalue()) == (Pixels.UNKNOWN, 1)
    assert image_size_wh(browsable(file.getvalue(), "a"), "a") == (8, 8)


def test_exif_in_many_parts_of_a_jpeg_is_not_unpacked():
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG")
    exif, plain = with_numbers(282, 3 << 20), file.getvalue()
    parts = [b"Exif\0\0" + exif[at : at + 65_000] for at in range(0, len(exif), 65_000)]
    segments = [b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part for part in parts]
    data = plain[:2] + b"".join(segments) + plain[2:]
    assert read_header(data) == (Pixels.UNKNOWN, 1)
    assert browsable(data, "a.jpg") == plain
    assert decode_rgb(data, "a.jpg").shape == (8, 8, 3)


@pytest.mark.parametrize("fault", ["code", "tag", "samples"])
def test_what_is_wrong_is_said_by_us_alone(fault):
    """Neither libtiff nor Pillow says it a second time, without the image's name."""
    file = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(file, "TIFF", compression="tiff_lzw")
    data = bytearray(file.getvalue())
    (tags,) = struct.unpack_from("<I", data, 4)
    rows = {struct.unpack_from("<H", data, at)[0]: at for at in range(tags + 2, len(data) - 11, 12)}
    if fault == "code":
        data[8 + 600 : 8 + 700] = bytes(range(100, 200))
    elif fault == "tag":
        struct.pack_into("<I", data, rows[273] + 4, 1 << 30)
    else:
        struct.pack_into("<I", data, rows[277] + 8, 81)
    code = """if True:
        import sys
        from sixrayd.core.errors import ImageError
        from sixrayd.imaging.decode import decode_rgb
        try:
            decode_rgb(sys.stdin.buffer.read(), "a.tif")
        except ImageError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True)
    assert done.stdout.startswith(b"a.tif: ")
    assert done.stderr == b""
