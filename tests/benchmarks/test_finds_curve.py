"""Curves of finds on orders worked out by hand."""

import numpy as np
import pytest

from benchmarks.finds_curve import finds_curve
from sixrayd.core.errors import ShapeError


def test_two_of_four():
    curve = finds_curve(np.array([True, False, True, False]))
    assert curve.recall.tolist() == [0, 0.5, 0.5, 1, 1]
    assert curve.random.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert curve.perfect.tolist() == [0, 0.5, 1, 1, 1]


def test_hidden_images_that_were_never_ranked():
    curve = finds_curve(np.array([True, False]), total_hidden=4, total_images=10)
    assert curve.recall.tolist() == [0, 0.25, 0.25]
    assert curve.random.tolist() == [0, 0.1, 0.2]
    assert curve.perfect.tolist() == [0, 0.25, 0.5]


@pytest.mark.parametrize(
    ("flags", "hidden", "images"),
    [([False], None, None), ([], None, None), ([True, True], 1, None), ([True, True], 2, 1)],
)
def test_totals_that_do_not_fit(flags, hidden, images):
    with pytest.raises(ShapeError, match=r"^finds: \d+ hidden of .* ranked does not fit"):
        finds_curve(np.array(flags, bool), hidden, images)
