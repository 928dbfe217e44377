import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixrayd.train.augment import (
    LabelledImage,
    View,
    change_light,
    draw_view,
    draw_window,
    take_view,
)

BOX = (30, 20, 70, 50)


def _sample():
    image = np.full((80, 120, 3), 255, np.uint8)
    image[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 0
    return LabelledImage(image, np.array([BOX], np.float32), np.array([2]))


def _dark_extent(image):
    rows, columns = np.nonzero(image[..., 0] < 128)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@given(st.integers(0, 10_000))
def test_a_box_stays_on_its_object_through_any_view(seed):
    rng = np.random.default_rng(seed)
    sample = _sample()
    view = draw_window((120, 80), sample.boxes, 0.9, rng)

    seen = take_view(sample, view, 128, rng)

    assert seen.image.shape == (128, 128, 3)
    assert seen.labels.tolist() == [2]
    assert np.abs(np.array(_dark_extent(seen.image)) - seen.boxes[0]).max() <= 1.5


def test_the_whole_image_is_only_resized_and_mirrored():
    rng = np.random.default_rng(3)

    seen = take_view(_sample(), View(0, 0, 120, 80), 240, rng)

    x1, y1, x2, y2 = seen.boxes[0].tolist()
    assert sorted((x1, 240 - x2)) == [60.0, 100.0]
    assert sorted((y1, 240 - y2)) == [60.0, 90.0]


def test_a_box_that_is_mostly_outside_is_dropped():
    seen = take_view(_sample(), View(60, 0, 60, 80), 64, np.random.default_rng(0))

    assert seen.boxes.shape == (0, 4)
    assert seen.labels.tolist() == []


@pytest.mark.parametrize("turned", [False, True])
def test_an_image_longer_than_opencv_warps_keeps_its_boxes_in_place(turned):
    image, box = np.full((8, 65_000, 3), 255, np.uint8), [13_000, 2, 39_000, 6]
    image[box[1] : box[3], box[0] : box[2]] = 0
    wh = (65_000, 8)
    if turned:
        image, box, wh = image.transpose(1, 0, 2).copy(), [box[i] for i in (1, 0, 3, 2)], wh[::-1]
    sample = LabelledImage(image, np.array([box], np.float32), np.array([2]))
    seen = take_view(sample, View(0, 0, *wh), 64, np.random.default_rng(0))
    assert np.abs(np.array(_dark_extent(seen.image)) - seen.boxes[0]).max() <= 4


@given(st.integers(0, 2000))
def test_views_of_an_empty_image_keep_their_bounds(seed):
    rng = np.random.default_rng(seed)
    none = np.zeros((0, 4), np.float32)

    inside = draw_window((120, 80), none, 0.4, rng)
    any_view = draw_view((120, 80), none, rng)

    assert inside.x >= 0 and inside.x + inside.width <= 120.001
    assert inside.y >= 0 and inside.y + inside.height <= 80.001
    assert any_view.width > 0 and any_view.height > 0


def test_light_changes_pixels_but_keeps_the_empty_belt_light():
    image = np.full((4, 4, 3), 255, np.uint8)
    image[0] = 100

    changed = [change_light(image, np.random.default_rng(seed)) for seed in range(20)]

    assert min(c[1:].min() for c in changed) >= 243
    assert len({c[0, 0].tobytes() for c in changed}) > 15


@given(st.integers(0, 5000))
def test_a_window_lies_inside_the_image_where_it_can_and_on_the_box_where_it_fits(seed):
    rng = np.random.default_rng(seed)
    width, height = (int(side) for side in rng.integers(80, 900, 2))
    corner = rng.uniform(0, 0.8, 2) * (width, height)
    box = np.concatenate([corner, corner + rng.uniform(5, 60, 2)]).astype(np.float32)
    box[2:] = np.minimum(box[2:], (width, height))

    view = draw_window((width, height), box[None], 0.5, rng)

    for start, length, low, high, limit in (
        (view.x, view.width, box[0], box[2], width),
        (view.y, view.height, box[1], box[3], height),
    ):
        assert -0.01 <= start <= limit - length + 0.01
        assert (start <= low + 0.01 and high - 0.01 <= start + length) or length < high - low
