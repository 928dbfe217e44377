"""Reviewers' sensitivity and what is overlooked, by hand and over every order of answers."""

import numpy as np
import pytest
from scipy.special import betaln

from sixrayd.core.errors import SettingsError
from sixrayd.statistics.sensitivity import PERFECT, Sensitivity, sensitivity_lower, units_behind


def behind(found, sensitivity, alpha, cap=1000):
    arrays = np.array([found]), np.array([sensitivity])
    return int(units_behind(*arrays, alpha, np.array([cap]))[0])


@pytest.mark.parametrize("planted", [1, 20, 300])
def test_all_planted_threats_seen(planted):
    # The ratio is bet / s^m; it is 1 / alpha where s^m is alpha x bet.
    bet = np.exp(betaln(2 + planted, 0.5) - betaln(2, 0.5))

    bound = Sensitivity(planted=planted, hits=planted).lower(0.05)

    assert bound == pytest.approx((0.05 * bet) ** (1 / planted))


def test_the_ratio_at_the_bound_is_one_in_alpha():
    (bound,) = sensitivity_lower(np.array([85]), np.array([100]), 0.005)

    bet = betaln(87, 15.5) - betaln(2, 0.5)
    assert bet - 85 * np.log(bound) - 15 * np.log(1 - bound) == pytest.approx(np.log(200))
    assert bound == pytest.approx(0.686, abs=0.005)


def test_planted_threats_only_ever_lower_what_is_stated():
    assert Sensitivity(0.5, planted=1000, hits=1000).lower(0.05) == 0.5
    assert Sensitivity(0.9, planted=20, hits=12).lower(0.05) < 0.6
    assert Sensitivity(0.9).lower(0.05) == 0.9
    assert Sensitivity(planted=0).lower(0.05) == 0
    assert Sensitivity(planted=50, hits=0).lower(0.05) == 0


def test_hidden_contraband_may_be_harder_to_see_by_an_odds_ratio():
    known = Sensitivity(planted=200, hits=190)
    low, harder = known.lower(0.005), Sensitivity(planted=200, hits=190, gamma=4.0)
    assert harder.lower(0.005) == pytest.approx(low / (low + 4 * (1 - low)))
    assert harder.estimate == pytest.approx(0.95 / (0.95 + 4 * 0.05))
    assert Sensitivity(0.9, gamma=4.0).lower(0.005) == 0.9  # what is stated is said of hidden


def test_double_reading_caps_and_proves_nothing():
    assert Sensitivity(planted=200, hits=190, cap=0.6).lower(0.005) == 0.6
    assert Sensitivity(cap=0.6).lower(0.005) == Sensitivity(cap=0.6).estimate == 0.6
    assert not Sensitivity(cap=0.6).perfect
    assert not Sensitivity(cap=0.6).measured


def test_what_is_taken_for_granted():
    assert (PERFECT.perfect, PERFECT.measured, PERFECT.estimate) == (True, False, 1.0)
    stated, shown = Sensitivity(0.8), Sensitivity(planted=40, hits=30)
    assert (stated.perfect, stated.measured, stated.estimate) == (False, False, 0.8)
    assert (shown.perfect, shown.measured, shown.estimate) == (False, True, 0.75)
    assert Sensitivity(0.6, planted=40, hits=30).estimate == 0.6


@pytest.mark.parametrize(("alpha", "most"), [(0.2, 3), (0.15, 4), (0.1, 4), (0.09, 5)])
def test_nothing_found_by_reviewers_who_see_half(alpha, most):
    # Ratios 2 (1 - 2^-(T+1)) / (T + 1) x 2^T: 3.75, 6.2, 10.5 for 3, 4 and 5 units.
    assert behind(0, 0.5, alpha) == most


def test_ends_of_the_range():
    assert behind(7, 1.0, 0.0) == 7
    assert behind(7, 1.0, 0.005) == 7
    assert behind(7, 0.0, 0.005, cap=90) == 90
    assert behind(7, 0.01, 0.005, cap=90) == 90
    assert behind(10**6, 0.8, 0.005, cap=10**8) == 1_252_754


def test_more_found_and_blinder_reviewers_leave_more_behind():
    by_found = [behind(found, 0.8, 0.01) for found in range(100)]
    by_sensitivity = [behind(20, s, 0.01) for s in np.linspace(0.1, 1, 30)]

    assert by_found == sorted(by_found)
    assert by_sensitivity == sorted(by_sensitivity, reverse=True)
    assert by_sensitivity[-1] == 20


def chance_of_ever_failing(rate, trials, fails):
    """Over every order of so many answers; `fails(seen, number)` says where a bound is wrong."""
    states, failed = {0: 1.0}, 0.0
    for number in range(1, trials + 1):
        following = {}
        for seen, weight in states.items():
            for hit, share in ((1, rate), (0, 1 - rate)):
                if fails(seen + hit, number):
                    failed += weight * share
                else:
                    following[seen + hit] = following.get(seen + hit, 0.0) + weight * share
        states = following
    return failed


@pytest.mark.parametrize("rate", [0.3, 0.8, 0.9])
def test_the_bounds_hold_at_every_one_of_eighty_looks(rate):
    planted, hits = np.indices((81, 81))
    hits = np.minimum(hits, planted)
    lower = sensitivity_lower(hits.ravel(), planted.ravel(), 0.1).reshape(81, 81)
    found = np.arange(81)
    most = units_behind(found, np.full(81, rate), 0.1, np.full(81, 10_000))

    too_high = chance_of_ever_failing(rate, 80, lambda k, m: lower[m, k] > rate)
    too_few = chance_of_ever_failing(rate, 80, lambda k, m: most[k] < m)

    assert 0.001 < too_high <= 0.1
    assert 0.001 < too_few <= 0.1


@pytest.mark.parametrize("values", [(1.2, None, 0), (1.0, 3, 4), (1.0, None, 1), (1.0, 3, -1)])
def test_values_out_of_range(values):
    stated, planted, hits = values
    with pytest.raises(SettingsError) as error:
        Sensitivity(*values)
    assert str(error.value) == (
        "sensitivity: needs 0 <= stated <= 1 and 0 <= hits <= planted, got "
        f"{stated}, {hits} and {planted or 0}"
    )
