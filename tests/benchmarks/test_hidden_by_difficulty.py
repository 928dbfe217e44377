"""Campaigns whose hidden contraband is harder than the known, in short."""

import numpy as np
import pytest

from benchmarks.hidden_by_difficulty import (
    HIDDEN,
    ORDERS,
    SEEN,
    Campaign,
    darkness,
    odds_ratio,
    threats_of,
)
from sixrayd.core.boxes import Box


@pytest.fixture(scope="module")
def threats():
    """600 of two classes, 200 clean ones that score lower."""
    rng = np.random.default_rng(0)
    values = rng.uniform(0.01, 0.99, (800, 3))
    labels = ["Knife", "Gun"] * 300 + [""] * 200
    rows = [
        (label, score / (1 if label else 2), size, dark)
        for label, (score, size, dark) in zip(labels, values.tolist(), strict=True)
    ]
    return threats_of(rows)


def campaigns(threats, order, easy=False):
    rng = np.random.default_rng(1)
    return [Campaign.of(threats, order, easy, 150, rng) for _ in range(5)]


def test_known_and_hidden_are_parted_as_asked(threats):
    assert threats.seen[0].mean() == pytest.approx(SEEN, abs=0.01)
    assert (threats.seen[1] >= threats.seen[0]).all()
    for order in ORDERS:
        for one in campaigns(threats, order):
            assert ((one.look >= 0).sum(), len(one.shown)) == (HIDDEN, 150)
            assert (one.look[one.shown] == -1).all()
            assert not one.found[one.look == -1].any()


def test_hiding_the_hard_makes_known_ones_easier(threats):
    ratios = {order: odds_ratio(threats, campaigns(threats, order)) for order in ORDERS}

    assert 0.8 < ratios["random"] < 1.25
    assert all(ratios[order] > 1.4 for order in ORDERS[1:])
    assert ratios["all three"] == max(ratios.values())
    assert odds_ratio(threats, campaigns(threats, "random", easy=True)) > 1.4


def test_bounds_widen_with_the_odds_ratio(threats):
    one = campaigns(threats, "random")[0]
    every = np.ones(600, bool)
    bounds = [one.bound(every, 3, gamma, 0.05) for gamma in (0, 1, 2, 4)]

    assert bounds == sorted(set(bounds))
    assert 0 < one.left(every, 3) < one.left(every, 1) < HIDDEN
    assert one.left(every, 3) < bounds[1]


def test_darkness_is_of_what_lies_around():
    image = np.full((20, 20, 3), 255, np.uint8)
    image[4:12, 4:12] = 0
    box = Box("Gun", 4, 4, 12, 12)

    assert darkness(image, box) == 0
    image[2:4] = image[12:14] = image[:, 2:4] = image[:, 12:14] = 51
    assert darkness(image, box) == pytest.approx(0.8)
