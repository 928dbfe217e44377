"""Limits of planned looks: against every possible campaign, by hand, and beside one look."""

from fractions import Fraction
from itertools import pairwise
from math import comb

import pytest
from scipy.stats import binom

from sixrayd.core.errors import SettingsError
from sixrayd.statistics import planned
from sixrayd.statistics.planned import LookPlan, limits, total_upper

PLANS = [
    LookPlan((0.3,)),
    LookPlan((0.1, 0.5)),
    LookPlan((0.05, 0.2, 0.6), power=2.0),
    LookPlan((0.2, 0.3, 0.9, 1.0), power=0.5),
]


def paths(total, plan, sensitivity=1.0):
    """Every course of finds over the looks, with its chance, from the definition."""
    chances = [0.0, *(sensitivity * share for share in plan.fractions)]

    def onward(seen, look):
        if look == len(plan.fractions):
            yield (), 1.0
            return
        joins = (chances[look + 1] - chances[look]) / (1 - chances[look])
        left = total - seen
        for more in range(left + 1):
            here = comb(left, more) * joins**more * (1 - joins) ** (left - more)
            for rest, chance in onward(seen + more, look + 1):
                yield (seen + more, *rest), here * chance

    return list(onward(0, 0))


def wrong(total, plan, most, sensitivity=1.0):
    """Chance that a true total is given up at any look."""
    return sum(
        chance
        for path, chance in paths(total, plan, sensitivity)
        if any(finds <= limit for finds, limit in zip(path, most, strict=True))
    )


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"{len(plan.fractions)} looks")
@pytest.mark.parametrize("alpha", [0.05, 0.3])
@pytest.mark.parametrize("total", [0, 1, 2, 5, 9])
def test_a_true_total_is_given_up_with_the_stated_chance_at_most(plan, alpha, total):
    most = limits(total, plan, len(plan.fractions), alpha, 1.0)
    assert wrong(total, plan, most) <= alpha + 1e-12


@pytest.mark.parametrize("plan", PLANS[1:], ids=lambda plan: f"{len(plan.fractions)} looks")
def test_no_limit_could_be_higher_within_what_is_spent_by_its_look(plan):
    alpha, total = 0.3, 7
    most = limits(total, plan, len(plan.fractions), alpha, 1.0)
    for look in range(len(most)):
        part = LookPlan(plan.fractions[: look + 1])
        assert wrong(total, part, most[: look + 1]) <= plan.spent(look, alpha) + 1e-12
        higher = [*most[:look], most[look] + 1]
        assert wrong(total, part, higher) > plan.spent(look, alpha)


def test_limits_of_the_first_looks_do_not_hang_on_later_ones():
    plan = PLANS[2]
    assert limits(9, plan, 2, 0.3, 1.0) == limits(9, plan, 3, 0.3, 1.0)[:2]


def test_reviewers_who_see_better_than_is_said_are_no_harm():
    plan, total, alpha = PLANS[2], 8, 0.2
    most = limits(total, plan, 3, alpha, 0.7)
    assert wrong(total, plan, most, 0.7) <= alpha
    assert wrong(total, plan, most, 0.9) <= wrong(total, plan, most, 0.7)


def test_one_look_is_the_exact_binomial_limit():
    plan = LookPlan((0.1,))
    for finds in (0, 1, 4):
        upper = total_upper([finds], plan, 10_000, 0.05)
        assert binom.cdf(finds, upper, 0.1) > 0.05 >= binom.cdf(finds, upper + 1, 0.1)


@pytest.mark.parametrize("finds", [(0, 0, 1), (1, 1, 4), (0, 3, 3), (2, 2, 9)])
def test_the_bound_is_the_largest_total_that_stands(finds):
    plan, alpha = LookPlan((0.05, 0.2, 0.4)), 0.1
    standing = [
        total
        for total in range(finds[-1], 200)
        if all(
            number > limit
            for number, limit in zip(finds, limits(total, plan, 3, alpha, 1.0), strict=True)
        )
    ]
    assert total_upper(finds, plan, 10_000, alpha) == max(standing)


def test_a_look_left_out_loses_its_share_and_no_more():
    plan, alpha = LookPlan((0.1, 0.2, 0.4)), 0.1
    all_looks = total_upper([1, 2, 4], plan, 10_000, alpha)
    left_out = total_upper([None, 2, 4], plan, 10_000, alpha)
    assert left_out >= all_looks
    assert total_upper([None, None, 4], plan, 10_000, alpha) >= left_out


def test_before_a_look_and_with_blind_reviewers_anything_may_be_left():
    plan = LookPlan((0.1, 0.2))
    assert total_upper([], plan, 77, 0.05) == 77
    assert total_upper([None], plan, 77, 0.05) == 77
    assert total_upper([3], plan, 77, 0.05, sensitivity=0.0) == 77


def test_more_cannot_stand_than_there_are_units_nor_less_than_was_found():
    assert total_upper([0], LookPlan((0.01,)), 50, 0.05) == 50
    assert total_upper([40], LookPlan((1.0,)), 50, 0.05) == 40


def test_the_chance_of_joining_makes_up_the_shares_exactly():
    plan = LookPlan((0.1, 0.25, 0.7))
    missed = Fraction(1)
    for look, share in enumerate(plan.fractions):
        missed *= 1 - plan.chance(look)
        assert 1 - missed == Fraction(share)


def test_half_the_width_of_a_bound_for_every_look():
    # The cell of docs/estimate.md where 27 are left: 47,500 units, 9,000 checks, no finds but 7.
    shares = [n / 47_500 for n in (90, 900, 3_000, 6_000, 9_000)]
    finds = [0, 1, 2, 5, 7]
    assert total_upper(finds, LookPlan(tuple(shares)), 47_500, 0.05) - 7 == 62
    assert total_upper([7], LookPlan((shares[-1],)), 47_500, 0.05) - 7 == 59


@pytest.mark.parametrize(
    "shares", [(), (0.0, 0.1), (0.2, 0.2), (0.3, 0.1), (0.5, 1.1), (float("nan"),)]
)
def test_shares_that_do_not_rise_within_one_are_refused(shares):
    with pytest.raises(SettingsError, match="need rising shares above 0 and up to 1"):
        LookPlan(shares)


def test_a_power_out_of_range_is_refused():
    with pytest.raises(SettingsError, match="a power above 0, which is 0"):
        LookPlan((0.1,), power=0.0)


@pytest.mark.parametrize("finds", [[1, 0], [0, 0, 0, 0]])
def test_finds_that_fall_and_more_looks_than_planned_are_refused(finds):
    with pytest.raises(SettingsError, match=r"expected up to 3 numbers that do not fall"):
        total_upper(finds, LookPlan((0.1, 0.2, 0.3)), 100, 0.05)


def test_what_is_spent_rises_to_alpha():
    for plan in PLANS:
        spent = [plan.spent(look, 0.05) for look in range(len(plan.fractions))]
        assert all(low < high for low, high in pairwise(spent))
        assert spent[-1] == 0.05


def test_many_finds_take_seconds_and_a_hostile_plan_none():
    shares = tuple(0.3 * share for share in (0.1, 0.2, 0.4, 0.7, 1.0))
    assert total_upper([75, 150, 300, 525, 750], LookPlan(shares), 1_000_000, 0.05) == 2653
    with pytest.raises(SettingsError, match=r"^101 looks: at most 100 are planned$"):
        LookPlan(tuple(n / 200 for n in range(1, 102)))


def test_too_much_work_gives_a_wider_limit_at_once(monkeypatch):
    plan = LookPlan((0.05, 0.1, 0.2))
    exact = total_upper([1, 2, 6], plan, 10_000, 0.05)
    monkeypatch.setattr(planned, "_MOST_WORK", 0)
    assert exact < total_upper([1, 2, 6], plan, 10_000, 0.05) < 2 * exact


def test_a_hundred_looks_at_thousands_of_finds_end_soon():
    plan = LookPlan(tuple(n / 200 for n in range(1, 101)))
    finds = [50 * n for n in range(1, 101)]
    assert 10_000 < total_upper(finds, plan, 20_000, 0.05) < 10_600


def test_few_expected_finds_among_very_many_units_end_soon(monkeypatch):
    plan = LookPlan((1e-5, 2e-5, 4e-5, 5e-5))
    most, tried = total_upper([0], plan, 100_000, 0.9), []
    monkeypatch.setattr(planned, "limits", lambda *said: tried.append(said) or limits(*said))
    monkeypatch.setattr(planned, "_MOST_STEPS", 1_000)
    wide = total_upper([0, 0, 0, 0], plan, 100_000, 0.9)
    assert len(tried) == 250
    tried.clear()
    assert most >= total_upper([0, 0, 0, 0], plan, 100_000, 0.9, among=25) == wide + 240
    assert len(tried) == 10
