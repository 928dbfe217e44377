"""Chapman's estimate on numbers worked by hand."""

import math

import pytest

from sixrayd.core.errors import SettingsError
from sixrayd.statistics.recapture import recapture


def test_four_and_three_with_one_in_common():
    # (4 + 1)(3 + 1) / (1 + 1) - 1 = 9 in all, 6 of them seen; variance 5 x 4 x 3 x 2 / (4 x 3).
    result = recapture(4, 3, 1)

    spread = math.exp(1.959964 * math.sqrt(math.log(1 + 10 / 9)))
    assert result.estimate == 3.0
    assert result.low == pytest.approx(3 / spread)
    assert result.high == pytest.approx(3 * spread)
    assert result.optimistic


def test_a_detector_that_adds_nothing_says_nothing():
    assert recapture(5, 5, 5) is None
    assert recapture(0, 4, 0) is None


def test_a_smaller_alpha_is_wider():
    narrow, wide = recapture(120, 90, 70, 0.2), recapture(120, 90, 70, 0.01)

    assert wide.low < narrow.low < narrow.estimate < narrow.high < wide.high


@pytest.mark.parametrize("values", [(3, 2, 3), (3, 2, -1)])
def test_counts_that_contradict_each_other(values):
    first, second, both = values
    with pytest.raises(SettingsError) as error:
        recapture(*values)
    assert str(error.value) == (
        "recapture: needs 0 <= both <= first and second and 0 < alpha < 1, got "
        f"{both} of {first} and {second} and 0.05"
    )
