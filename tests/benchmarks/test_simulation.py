"""The proof by simulation in short: the bound holds at every look, naive ones do not."""

import numpy as np
import pytest
from scipy.stats import binomtest

from benchmarks.simulation import LOOKS, Cell, peeking, simulate, sum_of_limits

WORST = [
    Cell(0.01, 1.0, 0.0),
    Cell(0.01, 3.0, 0.05, 0.9),
    Cell(0.0001, 1.0, 0.2, 0.5),
    Cell(0.01, 1.0, 0.2, 0.5, second_round=True),
]


def too_few(covered, campaigns):
    """Whether coverage is significantly under 95 %."""
    return binomtest(covered, campaigns, 0.95, "less").pvalue < 0.01


@pytest.mark.parametrize("cell", WORST)
def test_the_bound_holds_at_every_look(cell):
    outcome = simulate(cell, 300, seed=1)

    assert outcome.left.shape == outcome.lower.shape == outcome.upper.shape == (300, LOOKS)
    assert not too_few(outcome.covered, 300)
    assert not too_few(outcome.set_covered, 300)
    assert outcome.covered <= outcome.covered_at_smallest
    assert (np.median(outcome.upper, axis=0)[1:] < np.median(outcome.upper, axis=0)[:-1]).all()


def test_campaigns_depend_on_the_seed_alone():
    first, again, other = (simulate(WORST[1], 50, seed) for seed in (3, 3, 4))

    assert first.upper.tolist() == again.upper.tolist()
    assert first.left.tolist() != other.left.tolist()


def test_the_population_is_as_described():
    outcome = simulate(Cell(0.01, 1.0, 0.2, 0.0), 300, seed=2)

    # Of 500, 26 % are flagged and 90 % of those found; 30 of 7,000 checks a stratum find few more.
    flagged = 1 - 0.7405
    assert outcome.left[:, 0].mean() == pytest.approx(500 - 500 * flagged * 0.9, rel=0.02)


def test_planted_threats_that_are_too_easy_break_the_bound():
    outcome = simulate(Cell(0.01, 1.0, 0.5, 0.5, ease=4.0), 300, seed=1)

    assert too_few(outcome.covered, 300)
    assert not too_few(outcome.set_covered, 300)


@pytest.mark.parametrize("naive_and_joint", [sum_of_limits, peeking])
def test_naive_limits_fail_where_this_one_holds(naive_and_joint):
    naive, joint = naive_and_joint(400, seed=5)

    assert too_few(naive, 400)
    assert not too_few(joint, 400)


@pytest.mark.long
@pytest.mark.parametrize("cell", WORST)
def test_the_bound_holds_in_ten_thousand_campaigns(cell):
    outcome = simulate(cell, 10_000, seed=7)

    assert not too_few(outcome.covered, 10_000)
    assert not too_few(outcome.set_covered, 10_000)
