"""What is held while it waits."""

import pytest

from sixrayd.core.ahead import MOST_PIXELS, as_pixels, begun_ahead

_ENCODED = as_pixels(64 << 20)  # of the largest file of an image


@pytest.mark.parametrize(
    ("pixels", "most"), [(0, 9), (1000, 9), (_ENCODED, 5), (MOST_PIXELS - 1, 2), (MOST_PIXELS, 1)]
)
def test_fewer_are_begun_where_each_holds_much(pixels, most):
    begun, waiting = [], []
    for item in begun_ahead(begun.append, range(20), 8, lambda item: pixels):
        assert item is None
        waiting.append(len(begun) - len(waiting))
    assert len(waiting) == 20
    assert max(waiting) == most
