"""Limits for strata against hand-worked values, brute force and every possible campaign."""

import itertools
import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaln

from sixrayd.core.errors import SettingsError
from sixrayd.statistics.finite import (
    Block,
    Counts,
    Limits,
    Stratum,
    joint_limits,
    lower_limits,
    upper_limits,
)


def once(name, pool, checks, finds):
    return Stratum(name, pool - checks, (Block(pool, checks, finds, finds),))


@pytest.mark.parametrize(("alpha", "upper"), [(0.6, 0), (0.5, 1), (0.2, 1), (0.19, 2), (0.01, 2)])
def test_two_clear_checks_of_four(alpha, upper):
    # The bet is 1 x 2 / (1.1 x 2.1) = 0.87; chances are 1, 1/2, 1/6: ratios 0.87, 1.73 and 5.19.
    limits = joint_limits([once("a", 4, 2, 0)], alpha)

    assert limits == Limits(lower=0, estimate=0.0, upper=upper, allocation=(upper,))


def test_three_thousand_clear_checks_of_a_million():
    def ratio(left):
        bet = betaln(0.1, 3001) - betaln(0.1, 1)
        return bet - sum(math.log1p(-left / (1_000_000 - i)) for i in range(3000))

    assert joint_limits([once("a", 1_000_000, 3000, 0)], 0.05).upper == 1279
    assert ratio(1279) < math.log(20) <= ratio(1280)


def test_nothing_checked_leaves_everything_open():
    strata = [Stratum("a", 70), Stratum("b", 30, (Block(30, 0, 0, 0),))]

    assert joint_limits(strata, 0.05) == Limits(0, 0.0, 100, (70, 30))
    assert joint_limits([], 0.05) == Limits(0, 0.0, 0, ())


def test_everything_checked_leaves_nothing():
    assert joint_limits([once("a", 50, 50, 7)], 0.05) == Limits(0, 0.0, 0, (0,))


def test_a_billion_units_whose_prices_no_double_tells_apart():
    upper = joint_limits([once("a", 10**9, 10, 0)], 0.05).upper

    bet = math.exp(betaln(0.1, 11) - betaln(0.1, 1))
    assert upper == pytest.approx(10**9 * (1 - (0.05 * bet) ** 0.1), rel=1e-6)


def test_blocks_with_nothing_between_them_are_one():
    parts = (Block(100, 10, 2, 3), Block(90, 20, 1, 1))

    stratum = Stratum("a", 70, parts)

    assert stratum.joined == (Block(100, 30, 3, 3),)
    assert (stratum.checks, stratum.found, stratum.units) == (30, 3, 100)
    assert joint_limits([stratum], 0.05) == joint_limits([once("a", 100, 30, 3)], 0.05)


def test_what_others_find_between_blocks_counts_for_the_earlier_ones():
    # Block 1 held l + 5, block 2 l + 1: 20 checks found 1 of them, then 30 found 1.
    stratum = Stratum("a", 40, (Block(100, 20, 1, 5), Block(70, 30, 1, 1)))
    limits = joint_limits([stratum], 0.05)

    assert stratum.joined == stratum.blocks
    assert limits.estimate == pytest.approx((100 * 1 - 20 * 5 + 70 * 1 - 30 * 1) / 50)
    assert (limits.lower, limits.upper) == brute_force([stratum], 0.05)


def ratio_of(strata, left):
    """The martingale in whole fractions, from the definition."""
    chance = 1.0
    for stratum, unfound in zip(strata, left, strict=True):
        for block in stratum.blocks:
            inside, clear = unfound + block.found_since, block.checks - block.finds
            ways = math.perm(inside, block.finds) * math.perm(block.pool - inside, clear)
            chance *= ways / math.perm(block.pool, block.checks)
    finds = [sum(b.finds for b in s.blocks) for s in strata]
    clear = [s.checks - k for s, k in zip(strata, finds, strict=True)]

    def mixture(k, c):
        return math.exp(betaln(0.1 + k, 1 + c) - betaln(0.1, 1))

    bet = math.prod(map(mixture, finds, clear)) / 2 + mixture(sum(finds), sum(clear)) / 2
    return bet / chance if chance else math.inf


def brute_force(strata, alpha):
    """Smallest and largest sum over every allocation in the set."""
    every = itertools.product(*(range(stratum.pool_now + 1) for stratum in strata))
    sums = [sum(left) for left in every if ratio_of(strata, left) < 1 / alpha]
    return (min(sums), max(sums)) if sums else None


@st.composite
def campaigns(draw):
    """Up to three small strata, with blocks between which others find and clear units."""
    strata = []
    for name in "abc"[: draw(st.integers(1, 3))]:
        pool = draw(st.integers(0, 14))
        hidden = draw(st.integers(0, pool))
        rows = []
        for _ in range(draw(st.integers(0, 3))):
            checks = draw(st.integers(0, pool))
            finds = draw(st.integers(max(0, checks - pool + hidden), min(checks, hidden)))
            others = draw(st.integers(0, min(2, hidden - finds)))
            cleared = draw(st.integers(0, min(2, pool - checks - hidden + finds)))
            rows.append((pool, checks, finds, finds + others))
            pool, hidden = pool - checks - others - cleared, hidden - finds - others
        since = np.cumsum([row[3] for row in rows][::-1])[::-1].tolist()
        blocks = (Block(*row[:3], found) for row, found in zip(rows, since, strict=True))
        strata.append(Stratum(name, pool, tuple(blocks)))
    return strata


@settings(max_examples=150)
@given(campaigns(), st.sampled_from([0.01, 0.05, 0.3]))
def test_the_limits_are_those_of_brute_force(strata, alpha):
    limits = joint_limits(strata, alpha)

    expected = brute_force(strata, alpha)
    if expected:
        assert (limits.lower, limits.upper) == expected
        assert ratio_of(strata, limits.allocation) < 1 / alpha
    assert sum(limits.allocation) == limits.upper


@settings(max_examples=100)
@given(campaigns(), st.integers(0, 50))
def test_what_widens_the_limits(strata, more):
    limits = joint_limits(strata, 0.1)
    stricter = joint_limits(strata, 0.01)
    longer = joint_limits([*strata, Stratum("unchecked", more)], 0.1)

    assert limits.lower <= limits.upper
    assert stricter.upper >= limits.upper
    assert stricter.lower <= limits.lower
    assert (longer.lower, longer.upper) == (limits.lower, limits.upper + more)


def test_many_campaigns_at_once_are_as_one_by_one():
    rng = np.random.default_rng(0)
    pools, checks = np.array([900, 3000, 20_000]), np.array([300, 400, 500])
    finds = rng.hypergeometric([9, 12, 20], pools - [9, 12, 20], checks, (40, 3))
    each, one = finds[..., None], np.ones((40, 3, 1), np.int64)
    counts = Counts(
        (pools - checks) * one[..., 0], pools[:, None] * one, checks[:, None] * one, each, each
    )

    upper, lower = upper_limits(counts, 0.05)[0], lower_limits(counts, 0.05)

    single = [joint_limits(map(once, "abc", pools, checks, row), 0.05) for row in finds]
    assert upper.tolist() == [limits.upper for limits in single]
    assert lower.tolist() == [limits.lower for limits in single]
    assert len(set(upper.tolist())) > 10


@cache
def _limits(pools, checks, finds, alpha):
    strata = [once(*each) for each in zip("ab", pools, checks, finds, strict=True)]
    limits = joint_limits(strata, alpha)
    return limits.lower, limits.upper


def chance_of_ever_failing(pools, hidden, alpha):
    """Over every order of answers, one check at a time, until nothing is left to check.

    The stratum of the next check depends on the answers: a find keeps the checks where they are.
    """
    states, failed = {((0, 0), (0, 0), 0): 1.0}, 0.0
    for _ in range(sum(pools)):
        following = {}
        for (checks, finds, at), weight in states.items():
            stratum = at if checks[at] < pools[at] else 1 - at
            left, units = hidden[stratum] - finds[stratum], pools[stratum] - checks[stratum]
            for found, share in ((1, left / units), (0, 1 - left / units)):
                if share == 0:
                    continue
                n = tuple(c + (s == stratum) for s, c in enumerate(checks))
                k = tuple(f + found * (s == stratum) for s, f in enumerate(finds))
                low, high = _limits(pools, n, k, alpha)
                if low <= sum(hidden) - sum(k) <= high:
                    state = (n, k, stratum if found else 1 - stratum)
                    following[state] = following.get(state, 0.0) + weight * share
                else:
                    failed += weight * share
        states = following
    assert sum(states.values()) + failed == pytest.approx(1)
    return failed


def test_every_possible_campaign_of_a_tiny_release():
    pools, alpha = (9, 6), 0.3

    chances = [
        chance_of_ever_failing(pools, hidden, alpha)
        for hidden in itertools.product(range(10), range(7))
    ]

    assert len(chances) == 70
    assert 0.02 < max(chances) <= alpha


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            (10, 3, 4, 4),
            "block: needs 0 <= finds <= checks and finds <= found since <= pool, got 4 finds, "
            "3 checks, 4 found since and a pool of 10",
        ),
        (
            (10, 3, 2, 1),
            "block: needs 0 <= finds <= checks and finds <= found since <= pool, got 2 finds, "
            "3 checks, 1 found since and a pool of 10",
        ),
    ],
)
def test_a_block_that_contradicts_itself(values, message):
    with pytest.raises(SettingsError) as error:
        Block(*values)
    assert str(error.value) == message


def test_a_stratum_that_contradicts_its_blocks():
    with pytest.raises(SettingsError) as error:
        Stratum("low", 90, (Block(100, 10, 1, 1), Block(95, 5, 1, 3)))
    assert str(error.value) == (
        "stratum low: block 2 began with 95 units, but 97 were checked, found or left since; "
        "count both at the same moment"
    )
    with pytest.raises(SettingsError, match=r"^stratum low: a pool of -1 units$"):
        Stratum("low", -1)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_alpha_out_of_range(alpha):
    with pytest.raises(SettingsError, match=f"^alpha: must be above 0 and below 1, got {alpha}$"):
        joint_limits([Stratum("a", 3)], alpha)
