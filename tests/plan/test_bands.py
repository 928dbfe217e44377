"""How much is still to be found: belief beforehand, moved by what was found."""

import numpy as np
import pytest
from scipy.special import expit, logit

from sixrayd.plan.bands import FLAGGED, HIDDEN, OF_BELIEF, OF_SIZE, Bands, bands_of, believed_of
from sixrayd.statistics.belief import Belief

BELIEVED = np.array([0.4, 0.1, 0.02, 0.001])
IMAGES = np.array([100, 400, 2000, 50_000])


def shares(decided=(0, 0, 0, 0), found=(0, 0, 0, 0)):
    bands = Bands(OF_BELIEF, BELIEVED, IMAGES, np.array(decided), np.array(found))
    return bands.shares(4000, np.random.default_rng(1))


def test_beforehand_it_is_what_is_believed_with_its_doubt():
    drawn = logit(shares()) - logit(BELIEVED)

    assert drawn.shape == (4000, 4)
    assert drawn.mean(axis=0) == pytest.approx([-0.35, -0.35, -0.35, 0.05], abs=0.05)
    spreads = np.sqrt([0.36, 0.36 + 0.0625, 0.36 + 0.125, 0.36 + 0.125 + 0.64])
    assert drawn.std(axis=0) == pytest.approx(spreads, rel=0.05)


def test_what_was_found_moves_a_band_and_its_neighbours():
    before, after = shares(), shares((100, 0, 0, 0), (70, 0, 0, 0))
    moved = np.median(logit(after), axis=0) - np.median(logit(before), axis=0)

    assert np.median(after[:, 0]) == pytest.approx(0.68, abs=0.03)
    assert moved[0] == pytest.approx(moved[1:], abs=0.1) and moved[0] > 1
    assert after[:, 0].std() < 0.5 * before[:, 0].std()


def test_many_decisions_leave_nothing_of_the_belief():
    drawn = shares(IMAGES * 10, (600, 320, 600, 150))

    observed = np.array([0.6, 0.08, 0.03, 0.0003])
    assert np.median(drawn, axis=0) == pytest.approx(observed, rel=0.08)
    low, high = np.quantile(drawn, (0.05, 0.95), axis=0)
    assert (low < observed).all() and (observed < high).all()


def test_draws_depend_on_the_seed_alone():
    assert (shares() == shares()).all()


def test_a_release_in_which_nothing_was_flagged():
    bands = Bands(OF_SIZE, np.array([HIDDEN]), *np.array([[1000], [0], [0]]))

    drawn = logit(bands.shares(4000, np.random.default_rng(1)))
    assert drawn[:, 0].mean() == pytest.approx(logit(HIDDEN), abs=0.1)
    assert drawn[:, 0].std() == pytest.approx(1.2, rel=0.05)


def test_without_a_belief_the_release_s_size_says_how_much():
    doubt, each, others = believed_of(np.array([0.5, 0.25, 0.25]), 10_000, None)

    assert doubt == OF_SIZE
    assert each == pytest.approx([0.9, 0.9, 0.9])  # 20 of 3 images: no more than most
    _, each, others = believed_of(np.linspace(0.1, 0.9, 2000), 100_000, None)
    assert each.sum() == pytest.approx(FLAGGED * HIDDEN * 100_000)
    assert each[-1] == pytest.approx(9 * each[0])
    assert others * 98_000 == pytest.approx((1 - FLAGGED) * HIDDEN * 100_000)


def test_what_a_mining_believes_is_taken():
    belief = Belief(1000, 40, 12.0, (0.2, 0.8), (0.01, 0.5))
    doubt, each, others = believed_of(np.array([0.9, 0.1]), 1000, belief)

    chance = 2.4 / 1.51**0.5  # two images at most are believed in
    assert (doubt.shift, doubt.spread) == pytest.approx((chance - 0.35, np.hypot(0.6, chance)))
    assert each.tolist() == [0.5, 0.01]
    assert others == pytest.approx((12 - 0.51) / 998)
    few = Belief(1000, 40, 0.3, (0.2, 0.8), (0.01, 0.5))
    assert believed_of(np.array([0.9]), 1000, few)[2] == pytest.approx(0.02 * 0.3 / 999)


def test_bands_hold_as_much_of_the_belief_each():
    each = expit(np.linspace(-6, 1, 3000))[::-1]
    band, means = bands_of(each, 0.0001)

    sums = np.bincount(band, each)
    assert len(sums) == 12 and sums == pytest.approx(sums.mean(), rel=0.02)
    assert (np.diff(band) >= 0).all() and (np.diff(means) < 0).all()
    assert means[-1] == 0.0001
    assert means[:-1] == pytest.approx(sums / np.bincount(band))


def test_few_images_make_few_bands():
    assert bands_of(np.zeros(0), 0.1)[1].tolist() == [0.1]
    band, means = bands_of(np.array([0.5]), 0.1)
    assert (band.tolist(), means.tolist()) == ([0], [0.5, 0.1])
