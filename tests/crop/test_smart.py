"""The library's crop: inside the image, in its own aspect ratio, and plain when it is missing."""

import sys

import numpy as np
import pytest

from sixrayd.core.errors import ServiceError
from sixrayd.crop.region import whole
from sixrayd.crop.smart import smart_crop


def page_with(height, width, *, at=None, side=0):
    """A white page with a square of orange stripes, which have detail and saturation."""
    image = np.full((height, width, 3), 255, np.uint8)
    if at is not None:
        x, y = at
        image[y : y + side, x : x + side] = (220, 120, 30)
        image[y : y + side : 6, x : x + side] = (20, 60, 160)
    return image


@pytest.mark.parametrize(
    ("at", "inside"), [((40, 30), (40, 30, 200, 190)), ((600, 400), (600, 400, 760, 560))]
)
def test_what_stands_out_stays_and_the_page_goes(at, inside):
    pytest.importorskip("smartcrop")

    region = smart_crop(page_with(600, 800, at=at, side=160))

    # The library scores on a grid of 8 pixels in an image a third of this size.
    near = 8 * 3
    assert region.x1 <= inside[0] + near
    assert region.y1 <= inside[1] + near
    assert region.x2 >= inside[2] - near
    assert region.y2 >= inside[3] - near
    assert region.area < 0.6 * 800 * 600


def test_the_region_has_the_images_aspect_ratio_and_half_its_sides_at_least():
    pytest.importorskip("smartcrop")

    width, height = smart_crop(page_with(600, 900, at=(500, 300), side=100)).size_wh

    assert width / height == pytest.approx(1.5, rel=0.03)
    assert 0.48 * 900 <= width <= 900


@pytest.mark.parametrize("shape", [(31, 200), (200, 31), (1, 1), (40, 401)])
def test_tiny_and_drawn_out_images_are_kept_whole(shape):
    pytest.importorskip("smartcrop")

    assert smart_crop(page_with(*shape)) == whole(shape[::-1])


@pytest.mark.parametrize("shape", [(32, 32), (33, 61), (40, 400), (199, 201), (320, 32)])
def test_small_images_give_a_region_inside(shape):
    pytest.importorskip("smartcrop")
    image = np.random.default_rng(5).integers(0, 256, (*shape, 3), dtype=np.uint8)

    region = smart_crop(image)

    assert region.x2 <= shape[1]
    assert region.y2 <= shape[0]
    assert min(region.size_wh) >= min(32, *shape)


def test_the_same_image_gives_the_same_region():
    pytest.importorskip("smartcrop")
    image = page_with(300, 400, at=(50, 60), side=90)

    assert smart_crop(image) == smart_crop(image.copy())


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "smartcrop", None)

    with pytest.raises(ServiceError) as caught:
        smart_crop(page_with(100, 100))
    assert str(caught.value) == (
        "smartcrop cannot be imported (import of smartcrop halted; None in sys.modules); "
        "install it with `pip install 'sixrayd[benchmark]'`"
    )
