"""Thumbnails with boxes that reach far beyond their image."""

import pytest

from sixrayd.imaging.thumbnails import Outline, thumbnail
from tests.limits import within
from tests.releases import jpeg


def drawn(x1: float, y1: float, x2: float, y2: float) -> str:
    return thumbnail(jpeg(1), "a", (96, 64), [Outline((x1, y1, x2, y2), "red", 2)])


@pytest.mark.parametrize("far", [1e9, 1e300])
def test_a_box_without_end_is_drawn_as_far_as_it_is_seen(far: float) -> None:
    with within(5, "a box"):
        assert drawn(10, -far, far, far) == drawn(10, -50, 150, 150)
    assert drawn(10, 10, far, far) != drawn(10, -far, far, far)
