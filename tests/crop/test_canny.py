"""The edge crop on drawn luggage, on nothing, and on what defeats it."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from sixrayd.core.errors import SettingsError, ShapeError
from sixrayd.crop.canny import canny_crop
from sixrayd.crop.region import whole
from sixrayd.crop.settings import CannySettings
from sixrayd.imaging.decode import decode_rgb

SCANS = Path(os.environ.get("SIXRAYD_DATA", "../shared/data")) / "sixray-samples" / "original"


def page(height=200, width=300):
    return np.full((height, width, 3), 255, np.uint8)


def bag():
    image = page()
    image[60:140, 80:220] = (40, 90, 160)
    return image


def test_the_region_is_the_rectangle_around_the_luggage():
    # Canny marks the pixel on either side of a step, so edges may lie one pixel off.
    found = canny_crop(bag()).xyxy

    assert np.abs(np.array(found) - (80, 60, 220, 140)).max() <= 1


def test_an_image_without_edges_is_kept_whole():
    assert canny_crop(page()) == whole((300, 200))
    assert canny_crop(page(1, 1)) == whole((1, 1))


def test_a_bar_at_the_border_defeats_it():
    image = bag()
    image[:, 1:4] = 0

    found = canny_crop(image)

    assert found.x1 <= 4
    assert (found.y1, found.y2) == (0, 200)


def test_an_edge_of_a_few_pixels_is_grown():
    image = page()
    image[100:103, 150:153] = 0

    found = canny_crop(image)

    assert found.size_wh == (32, 32)
    assert (found.x1 + found.x2) / 2 == pytest.approx(151.5, abs=1)
    assert (found.y1 + found.y2) / 2 == pytest.approx(101.5, abs=1)


def test_every_setting_is_read():
    faint = page()
    faint[60:140, 80:220] = 225  # a step of 30 grey levels, so a gradient of 120
    dot = page()
    dot[100, 150] = 150  # blurred, it falls under the threshold

    assert canny_crop(faint, CannySettings(lower=150, upper=300)) == whole((300, 200))
    assert canny_crop(faint, CannySettings(lower=20, upper=60)) != whole((300, 200))
    assert canny_crop(faint, CannySettings(lower=20, upper=300)) == whole((300, 200))
    assert canny_crop(dot, CannySettings(blur_px=1)) != whole((300, 200))
    assert canny_crop(dot, CannySettings(blur_px=5)) == whole((300, 200))


def test_an_edge_between_the_thresholds_counts_beside_a_strong_one():
    ramp = page()
    ramp[60:140, 80:220] = np.linspace(220, 100, 140).astype(np.uint8)[
        :, None
    ]  # stronger rightwards

    narrow = canny_crop(ramp, CannySettings(lower=250, upper=250))
    linked = canny_crop(ramp, CannySettings(lower=60, upper=250))

    assert narrow.x1 > linked.x1 + 20
    assert narrow.x2 == linked.x2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"lower": 200, "upper": 100},
            "Canny thresholds: need 0 <= lower <= upper, got 200 and 100",
        ),
        ({"lower": -1}, "Canny thresholds: need 0 <= lower <= upper, got -1 and 200"),
        ({"upper": float("nan")}, "Canny thresholds: need 0 <= lower <= upper, got 100 and nan"),
        ({"blur_px": 4}, "Canny blur: need an odd kernel, got 4"),
        ({"blur_px": 0}, "Canny blur: need an odd kernel, got 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(values, message):
    with pytest.raises(SettingsError) as caught:
        CannySettings(**values)
    assert str(caught.value) == message


def test_a_grey_image_is_refused():
    with pytest.raises(ShapeError):
        canny_crop(np.zeros((5, 5), np.uint8))


@pytest.mark.skipif(not SCANS.is_dir(), reason="needs the sample scans")
def test_on_real_scans_every_edge_lies_inside():
    paths = sorted(SCANS.glob("*.jpg"))[:10]
    assert len(paths) == 10
    for path in paths:
        image = decode_rgb(path.read_bytes(), path.name)
        region = canny_crop(image)
        grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (3, 3), 0)
        rows, columns = np.nonzero(cv2.Canny(grey, 100, 200))
        assert len(rows) > 100
        assert region.xyxy == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
