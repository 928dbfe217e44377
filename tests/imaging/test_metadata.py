"""What a browser shows of an image is its pixels as they are stored."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from sixrayd.imaging.decode import browsable, decode_rgb
from sixrayd.imaging.metadata import is_turned, without_metadata

SCAN = np.random.default_rng(5).integers(0, 255, (24, 40, 3), np.uint8)
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/" xmlns:tiff="t"><d tiff:Orientation="6"/></x:xmpmeta>'


def encoded(form, orientation=None, **more):
    file, exif = io.BytesIO(), Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.fromarray(SCAN).save(file, form, exif=exif.tobytes() if exif else b"", **more)
    return file.getvalue()


def seen(data):
    """As a browser shows it: turned by what the file says of it."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_no_orientation_turns_what_is_shown(form, orientation):
    data = encoded(form, orientation)
    stored = decode_rgb(data, "x")
    assert not np.array_equal(seen(data), stored)

    shown = browsable(data, "x")

    assert np.array_equal(seen(shown), stored)
    assert np.array_equal(decode_rgb(shown, "x"), stored)
    assert shown[:4] == data[:4] and len(shown) < len(data)  # not encoded again


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_tiff_is_shown_as_it_is_decoded(orientation):
    data = encoded("TIFF", orientation)
    assert np.array_equal(seen(browsable(data, "x")), decode_rgb(data, "x"))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP"])
def test_an_image_without_metadata_stays_as_it_is(form):
    data = encoded(form)
    assert browsable(data, "x") == without_metadata(data) == data


def test_other_places_of_an_orientation():
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", XMP)
    for data in (encoded("JPEG", xmp=XMP.encode()), encoded("PNG", pnginfo=texts)):
        assert is_turned(data)
        assert np.array_equal(seen(browsable(data, "x")), decode_rgb(data, "x"))


def test_a_profile_of_colours_stays():
    data = encoded("JPEG", 6, icc_profile=b"a profile")
    with Image.open(io.BytesIO(browsable(data, "x"))) as image:
        assert image.info["icc_profile"] == b"a profile"


@pytest.mark.parametrize("between", [b"\x00", b"\xff\xd0"])
def test_where_a_file_is_broken_its_pixels_are_encoded_again(between):
    data = encoded("JPEG", 6)
    head, mark, rest = data.partition(b"\xff\xe1")
    stray = head + between + mark + rest  # decoders pass over it, `without_metadata` ends there
    assert without_metadata(stray) == stray and is_turned(stray)

    shown = browsable(stray, "x")

    assert shown.startswith(b"\x89PNG")
    assert np.array_equal(seen(shown), decode_rgb(stray, "x"))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_cut_short_anywhere_nothing_but_the_end_is_lost(form):
    data = encoded(form, 6)
    for end in range(len(data)):
        assert len(without_metadata(data[:end])) <= end


@pytest.mark.long
def test_what_fills_a_jpeg_up_is_passed_over_at_once():
    """One by one, 64 MiB of it took a quarter of a minute."""
    data = encoded("JPEG", 6)
    filled = data[:2] + b"\xff" * (8 << 20) + data[2:]
    assert without_metadata(filled) == without_metadata(data)
    segments = data[:2] + b"\xff\xfe\0\2" * 200_000 + data[2:]
    assert is_turned(without_metadata(segments))  # so that it is encoded anew
