"""Decoding: the same pixels by either decoder, and one error for everything foreign."""

import io
import struct
import subprocess
import sys
import zlib
from concurrent.futures import Future, ThreadPoolExecutor, wait

import numpy as np
import pytest
from PIL import Image

from sixrayd.core.ahead import Budget
from sixrayd.core.errors import ImageError
from sixrayd.imaging import decode
from sixrayd.imaging.decode import decode_rgb, image_size_wh
from tests.limits import raised_in_little_memory
from tests.releases import encode, jpeg


@pytest.fixture(params=["simplejpeg", "Pillow"])
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    name: str = request.param
    if name == "Pillow":
        monkeypatch.setattr(decode, "simplejpeg", None)
    elif decode.simplejpeg is None:
        pytest.skip("simplejpeg is not installed")
    return name


@pytest.mark.usefixtures("decoder")
@pytest.mark.parametrize(
    ("min_side_px", "shape"),
    [
        (0, (201, 301, 3)),
        (150, (201, 301, 3)),
        (100, (101, 151, 3)),
        (50, (51, 76, 3)),
        (25, (26, 38, 3)),
        (1, (26, 38, 3)),
    ],
)
def test_reduced_size(min_side_px: int, shape: tuple[int, int, int]) -> None:
    image = decode_rgb(jpeg(1, 301, 201), "x.jpg", min_side_px=min_side_px)
    assert (image.shape, image.dtype) == (shape, np.uint8)
    assert image.flags.c_contiguous


@pytest.mark.skipif(decode.simplejpeg is None, reason="simplejpeg is not installed")
@pytest.mark.parametrize("min_side_px", [0, 100, 50])
def test_both_decoders_agree(min_side_px: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = jpeg(2, 333, 222)
    fast = decode_rgb(data, "x.jpg", min_side_px=min_side_px)
    monkeypatch.setattr(decode, "simplejpeg", None)
    assert np.array_equal(fast, decode_rgb(data, "x.jpg", min_side_px=min_side_px))


@pytest.mark.usefixtures("decoder")
@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpeg_of_other_colours_becomes_rgb(mode: str) -> None:
    grey = Image.new("RGB", (40, 30), (90, 90, 90)).convert(mode)
    image = decode_rgb(encode(grey, "JPEG"), "x.jpg")
    assert image.shape == (30, 40, 3)
    assert np.abs(image.astype(int) - 90).max() <= 2


@pytest.mark.parametrize("form", ["PNG", "BMP", "WEBP"])
def test_other_formats(form: str) -> None:
    image = decode_rgb(encode(Image.new("RGB", (40, 30), (10, 200, 30)), form), "x")
    assert image.shape == (30, 40, 3)
    assert np.abs(image.astype(int) - (10, 200, 30)).max() <= 3


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "1"])
def test_png_modes(mode: str) -> None:
    image = decode_rgb(encode(Image.new("RGB", (8, 6), "white").convert(mode), "PNG"), "x.png")
    assert image.tolist() == np.full((6, 8, 3), 255).tolist()


def test_sixteen_bits_of_grey_keep_their_high_byte() -> None:
    grey = Image.fromarray(np.full((6, 8), 0x80FF, np.uint16))
    assert decode_rgb(encode(grey, "PNG"), "x.png").tolist() == np.full((6, 8, 3), 128).tolist()


def test_rotation_in_exif_is_not_applied() -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30)).save(buffer, "JPEG", exif=exif)
    assert decode_rgb(buffer.getvalue(), "x.jpg").shape == (30, 40, 3)


@pytest.mark.usefixtures("decoder")
@pytest.mark.parametrize("kept", [-1, -30, 0.5])
def test_truncated_jpeg_is_not_silently_grey(kept: float) -> None:
    data = jpeg(3)
    cut = data[:kept] if isinstance(kept, int) else data[: int(len(data) * kept)]
    with pytest.raises(ImageError, match=r"^P1\.jpg: cannot be decoded \(image file is truncated"):
        decode_rgb(cut, "P1.jpg")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file, expected an image"),
        (b"<?xml version", "begins with b'<?xml version', expected JPEG, PNG, BMP, WebP or TIFF"),
        (b"GIF89a", "begins with b'GIF89a', expected JPEG, PNG, BMP, WebP or TIFF"),
        (b"\xff\xd8\xff\xe0\x00", "header cut short or broken after 5 bytes"),
    ],
)
def test_what_is_no_image(data: bytes, reason: str) -> None:
    for read in (decode_rgb, image_size_wh):
        with pytest.raises(ImageError) as caught:
            read(data, "P1.jpg")
        assert str(caught.value) == f"P1.jpg: {reason}"


def chunk(name: bytes, body: bytes = b"") -> bytes:
    crc = struct.pack(">I", zlib.crc32(name + body))
    return struct.pack(">I", len(body)) + name + body + crc


def png_that_claims(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body)


def test_bomb_is_refused_by_its_header() -> None:
    with pytest.raises(ImageError) as caught:
        decode_rgb(png_that_claims(9000, 8000), "P1.png")
    assert str(caught.value) == "P1.png: 9000 x 8000 pixels, at most 50000000 are decoded"
    with pytest.raises(ImageError) as caught:  # Pillow itself refuses it
        decode_rgb(png_that_claims(20_000, 20_000), "P1.png")
    assert str(caught.value) == "P1.png: more than 89478485 pixels, at most 50000000 are decoded"
    with pytest.raises(ImageError, match="96 x 64 pixels, at most 6143 are decoded"):
        decode_rgb(jpeg(1), "P1.jpg", max_pixels=6143)


def test_size_from_the_header() -> None:
    assert image_size_wh(jpeg(1, 301, 201), "x.jpg") == (301, 201)


def test_browsers_are_shown_tiffs_as_pngs():
    pixels = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "TIFF")
    shown = decode.browsable(file.getvalue(), "x")
    assert shown.startswith(b"\x89PNG")
    assert np.array_equal(decode.decode_rgb(shown, "x"), pixels)
    assert decode.browsable(shown, "x") == shown


def scans(number: int, size_wh: tuple[int, int] = (640, 480)) -> bytes:
    """A progressive JPEG whose last scan comes again and again, until there are so many."""
    file = io.BytesIO()
    Image.new("RGB", size_wh, (9, 99, 199)).save(file, "JPEG", progressive=True)
    whole = file.getvalue()
    assert whole.count(b"\xff\xda") == 10
    last = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + last * (number - 10) + b"\xff\xd9"


def test_a_jpeg_of_many_scans_is_refused_undecoded() -> None:
    assert decode_rgb(scans(100), "a.jpg").shape == (480, 640, 3)
    with pytest.raises(ImageError) as caught:
        decode_rgb(scans(101), "a.jpg")
    assert str(caught.value) == "a.jpg: 101 scans, at most 100 are decoded"
    with pytest.raises(ImageError) as caught:
        decode_rgb(scans(46, (8000, 5500)), "a.jpg")
    assert str(caught.value) == "a.jpg: 46 scans, at most 45 are decoded"


def test_a_bmp_of_many_runs_is_refused_undecoded() -> None:
    def bmp(runs: int) -> bytes:
        body, palette = b"\1\5" * runs, bytes(1024)
        header = struct.pack("<IiiHHIIiiII", 40, runs, 1, 1, 8, 1, len(body), 0, 0, 256, 0)
        return b"BM" + struct.pack("<IHHI", 0, 0, 0, 1078) + header + palette + body

    assert decode_rgb(bmp(20), "a.bmp").shape == (1, 20, 3)
    with pytest.raises(ImageError) as caught:
        decode_rgb(bmp(1 << 21), "a.bmp")
    assert str(caught.value) == "a.bmp: 4195382 bytes of runs, at most 4194304 are decoded"


def test_a_picture_of_one_long_side_is_refused_undecoded() -> None:
    """What scales pictures keeps a table as long as a side: gigabytes of 50 million pixels."""
    for width, height in ((65_536, 1), (1, 50_000_000)):
        with pytest.raises(ImageError) as caught:
            decode_rgb(png_that_claims(width, height), "a.png")
        assert str(caught.value) == (
            f"a.png: {width} x {height} pixels, at most 65535 a side are read"
        )


@pytest.mark.parametrize("name", [b"abCd", b"IDAT"])
def test_a_png_of_many_chunks_is_refused_undecoded(name: bytes) -> None:
    whole = encode(Image.new("RGB", (8, 6)), "PNG")
    end = whole.rindex(b"IEND") - 4
    for count in (1000, 100_000):
        data = whole[:end] + chunk(name) * count + whole[end:]
        if count == 1000:
            assert decode_rgb(data, "a.png").shape == (6, 8, 3)
            continue
        for read in (decode_rgb, decode.browsable):
            with pytest.raises(ImageError) as caught:
                read(data, "a.png")
            assert str(caught.value) == "a.png: more than 100000 chunks, which no encoder writes"


def test_threads_decode_so_many_pixels_at_once() -> None:
    budget = Budget(5)
    with ThreadPoolExecutor(1) as pool:

        def begun(amount: int) -> Future[int]:
            def take() -> int:
                with budget.taken(amount):
                    return amount

            return pool.submit(take)

        with budget.taken(3):
            assert begun(2).result(9) == 2
            waits = begun(3)
            assert not wait([waits], 0.1).done
        assert waits.result(9) == 3
        assert begun(99).result(9) == 99  # alone
        with decode._AT_ONCE.taken(decode.MAX_PIXELS):
            waits = pool.submit(lambda: decode_rgb(jpeg(1), "a").size)
            assert not wait([waits], 0.1).done
        assert waits.result(9)


# VmHWM is this process's own; ru_maxrss has the peak of the process that started it, too.
DECODING = """
import io
from concurrent.futures import ThreadPoolExecutor
from PIL import Image
from sixrayd.imaging.hashes import image_hash

file = io.BytesIO()
Image.new("RGB", (7000, 7000)).save(file, "WEBP", lossless=True, method=0)
with ThreadPoolExecutor(8) as pool:
    assert len(set(pool.map(lambda name: image_hash(file.getvalue(), name), "abcdefgh"))) == 1
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""


@pytest.mark.long
def test_memory_of_large_images_does_not_grow_with_threads() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", DECODING], capture_output=True, text=True, check=True
    )
    assert int(ran.stdout) < 2 << 20  # KiB; 8 threads took 6 GiB


LARGE = """
from PIL import Image
from sixrayd.imaging.decode import decode_rgb, image_size_wh
from sixrayd.imaging.headers import read_header
from tests.releases import encode
data = encode(Image.new("RGB", (4000, 3000), "red"), "{form}")
broken = encode(Image.effect_noise((64, 48), 90), "PNG")[:-99]
"""


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
def test_an_image_is_not_called_broken_for_want_of_memory(form: str) -> None:
    before = LARGE.format(form=form)
    assert raised_in_little_memory(before, 'decode_rgb(data, "x")') == "MemoryError"
    assert raised_in_little_memory(before, 'decode_rgb(broken, "x")') == "ImageError"


@pytest.mark.parametrize("call", ['image_size_wh(data, "x")', "read_header(data)"])
def test_a_header_is_not_called_broken_for_want_of_memory(call: str) -> None:
    assert raised_in_little_memory(LARGE.format(form="WEBP"), call) == "MemoryError"
