"""What an image's bytes say, in the order in which images come."""

import hashlib
import io

import pytest
from PIL import Image

from sixrayd.download.members import Member
from sixrayd.download.scan import scan, scan_all
from tests.releases import encode, jpeg

PICTURE = Image.open(io.BytesIO(jpeg(1, 320, 160)))


@pytest.mark.parametrize(
    ("form", "mode"),
    [("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGB"), ("PNG", "P"), ("BMP", "RGB"), ("WEBP", "RGB")],
)
def test_images_of_every_format(form, mode):
    data = encode(PICTURE.convert(mode), form)

    found = scan(Member("x/P1.jpg", data))

    assert (found.width, found.height, found.error) == (320, 160, "")
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert len(found.phash) == 16


def test_a_copy_in_another_format_has_the_same_hash():
    hashes = {scan(Member("x", encode(PICTURE, form))).phash for form in ("PNG", "BMP")}

    assert len(hashes) == 1
    assert scan(Member("x", jpeg(2, 320, 160))).phash not in hashes


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", "empty file, expected an image"),
        (b"no image", "begins with b'no image', expected JPEG, PNG, BMP or WebP"),
        (b"\xff\xd8\xff\xe0", "header cut short or broken after 4 bytes"),
        (b"\x89PNG\r\n", "header cut short or broken after 6 bytes"),
        (encode(PICTURE, "GIF"), "begins with b'GIF87a"),
        (jpeg(1)[:-200], "cannot be decoded (image file is truncated"),
    ],
    ids=["empty", "text", "jpeg", "png", "gif", "cut"],
)
def test_why_an_image_cannot_be_read(data, error):
    found = scan(Member("a.tar.gz/P1.jpg", data))

    assert found.error.startswith(error)
    assert (found.width, found.height, found.phash) == (0, 0, "")
    assert found.sha256 == hashlib.sha256(data).hexdigest()


def test_an_image_of_too_many_pixels_is_not_decoded():
    buffer = io.BytesIO()
    Image.new("1", (10_000, 5_001)).save(buffer, "PNG")

    assert scan(Member("x", buffer.getvalue())).error == (
        "10000 x 5001 pixels, at most 50000000 are decoded"
    )


def test_images_come_out_in_the_order_they_went_in():
    members = [Member(str(n), jpeg(n, 16 + 90 * (n % 3), 16)) for n in range(40)]

    found = list(scan_all(iter(members)))

    assert [one.member for one in found] == members
    assert [one.width for one in found] == [16 + 90 * (n % 3) for n in range(40)]
    assert list(scan_all([])) == []
