"""One set for what is left and what is overlooked, in every campaign of tiny releases."""

from itertools import product
from math import comb, factorial

import pytest

from sixrayd.statistics.missed import PlannedEvidence, bound_planned
from sixrayd.statistics.overlooked import OneSet
from sixrayd.statistics.planned import LookPlan, limits
from sixrayd.statistics.sensitivity import Sensitivity

PLAN = LookPlan((0.5, 0.95))
UNITS = 12


def binomial(number, rate):
    return [comb(number, k) * rate**k * (1 - rate) ** (number - k) for k in range(number + 1)]


def courses(units, seen, waits):
    """(drawn and found by each look, found in the end) of so many units alike, with chances.

    Args:
        seen: chance that a unit is found.
        waits: found only once it is drawn; else whenever the queue comes to it.
    """
    first, second = PLAN.fractions[0], PLAN.fractions[1] - PLAN.fractions[0]
    cells = {
        (1, 1, 1): first * seen,
        (0, 1, 1): second * seen,
        (0, 0, int(not waits)): (1 - first - second) * seen,
        (0, 0, 0): 0.0,
    }
    cells[0, 0, 0] += 1 - sum(cells.values())
    keys, found = list(cells), {}
    for counts in product(range(units + 1), repeat=len(keys)):
        if sum(counts) != units:
            continue
        chance = float(factorial(units))
        for key, count in zip(keys, counts, strict=True):
            chance *= cells[key] ** count / factorial(count)
        course = tuple(sum(k[i] * n for k, n in zip(keys, counts, strict=True)) for i in range(3))
        found[course] = found.get(course, 0.0) + chance
    return found


def wrong(queued, checked, decided, seen, shown, alpha):
    """Chance that the bound is below what is left, at any look of a tiny release.

    Args:
        queued, checked: contraband units that the queue comes to, and that checks alone would.
        decided: contraband units that the queue had decided before the first draw.
        seen: with proposals and without.
        shown: known contraband of each kind; 0 where the lower sensitivity is stated, truly.
    """
    total, known = 0.0, {}
    before = dict(enumerate(binomial(decided, seen[0])))
    hits = [binomial(number, rate) for number, rate in zip(shown, seen, strict=True)]
    of_queue, of_checks = courses(queued, seen[0], False), courses(checked, seen[1], True)
    for found, (one, p1), (two, p2), with_, without in product(
        before, of_queue.items(), of_checks.items(), range(shown[0] + 1), range(shown[1] + 1)
    ):
        chance = before[found] * p1 * p2 * hits[0][with_] * hits[1][without]
        finds = (one[0] + two[0], one[1] + two[1])
        for look in (1, 2):
            since = one[2] + (two[0] if look == 1 else two[2])
            key = (finds[:look], since, found, with_, without)
            if key not in known:
                known[key] = upper(*key, decided, shown, alpha, min(seen))
            if known[key] < queued + checked + decided - since - found:
                total += chance
                break
    return total


def upper(finds, since, found, with_, without, decided, shown, alpha, stated):
    def sensitivity(number, hits):
        return Sensitivity(planted=number, hits=hits) if number else Sensitivity(stated)

    evidence = PlannedEvidence(
        reviewed=decided + 2 * (decided > 0),
        found=found,
        reopened=0,
        units=UNITS,
        found_since=since,
        finds=finds,
        drawn=UNITS,
        open=0,
        looks=PLAN,
        with_proposals=sensitivity(shown[0], with_),
        without_proposals=sensitivity(shown[1], without),
    )
    return bound_planned(evidence, alpha).upper


@pytest.mark.parametrize(
    ("queued", "checked", "decided", "seen", "shown"),
    [
        (0, 5, 0, (0.9, 0.9), (0, 0)),
        (3, 2, 0, (0.9, 0.6), (0, 0)),
        (3, 2, 0, (0.6, 0.9), (0, 0)),
        (2, 2, 2, (0.8, 0.7), (0, 0)),
        (2, 1, 1, (0.8, 0.7), (3, 2)),
        (0, 0, 3, (0.5, 0.9), (4, 4)),
    ],
)
@pytest.mark.parametrize("alpha", [0.2, pytest.param(0.5, marks=pytest.mark.long)])
def test_every_campaign_of_a_tiny_release(queued, checked, decided, seen, shown, alpha):
    assert wrong(queued, checked, decided, seen, shown, alpha) <= alpha


def test_the_bound_is_wrong_nearly_as_often_as_it_may_be():
    assert wrong(0, 5, 0, (0.9, 0.9), (0, 0), 0.5) > 0.2


def chance_to_give_up(rates, most):
    """Of one look at all that is drawn: units with these chances, given up at `most` finds."""
    chances = [1.0]
    for rate in rates:
        longer = [0.0, *chances]
        chances = [
            (1 - rate) * (chances[k] if k < len(chances) else 0.0) + rate * longer[k]
            for k in range(len(longer))
        ]
    return sum(chances[: most + 1])


def worst_of_mean(total, seen, share, most):
    """The worst fixed difficulties of this mean: some 0, some 1, the others alike (Hoeffding)."""
    found = []
    for never, always in product(range(total + 1), repeat=2):
        alike = total - never - always
        rest = total * seen - always
        if alike > 0 and 0 <= rest <= alike:
            rates = [0.0] * never + [1.0] * always + [rest / alike] * alike
            found.append(chance_to_give_up([share * rate for rate in rates], most))
    return max(found)


@pytest.mark.parametrize(("total", "share"), [(6, 0.5), (10, 0.5), (6, 0.8), (10, 0.8), (20, 0.2)])
def test_fixed_difficulties_of_this_mean_do_no_harm_where_few_are_drawn(total, share):
    seen, alpha = 0.9, 0.1
    most = limits(total, LookPlan((share,)), 1, alpha, seen)[0]
    assert most >= 0
    alike = chance_to_give_up([share * seen] * total, most)
    assert worst_of_mean(total, seen, share, most) <= alike + 1e-12


def test_fixed_difficulties_do_harm_where_all_is_drawn():
    # One of three is always overlooked, two never are: 2 finds come for sure.
    most = limits(3, LookPlan((1.0,)), 1, 0.71, 2 / 3)[0]
    assert most == 2
    assert worst_of_mean(3, 2 / 3, 1.0, most) == 1.0


def test_shares_go_to_what_is_in_use():
    sides = Sensitivity(planted=100, hits=98), Sensitivity(planted=100, hits=90)
    shares = OneSet.of(0.05, sides, 3)
    assert shares.sampling == pytest.approx(0.035)
    assert shares.before == pytest.approx(0.005)
    assert shares.sensitivity == (shares.before, shares.before)
    assert shares.seen_before == sides[0].lower(shares.before)
    assert shares.seen == sides[1].lower(shares.before)
    alone = OneSet.of(0.05, sides, 0)
    assert (alone.sampling, alone.sensitivity[1]) == (pytest.approx(0.045), 0.0)
    other = OneSet.of(0.05, (Sensitivity(), sides[1]), 3)
    assert (other.seen_before, other.seen) == (sides[1].lower(0.005), sides[1].lower(0.005))
    assert OneSet.of(0.05, (Sensitivity(), Sensitivity()), 3) == OneSet(0.05, 0, (0, 0), 1, 1)
    stated = OneSet.of(0.05, (Sensitivity(0.9), Sensitivity()), 3)
    assert (stated.sampling, stated.seen) == (pytest.approx(0.045), 0.9)


def test_what_was_decided_before_counts_with_what_lies_behind_it():
    perfect = OneSet(0.05, 0.0, (0.0, 0.0), 1.0, 1.0)
    assert perfect.of_decided(40, 300) == 40
    shares = OneSet(0.035, 0.005, (0.005, 0.005), 0.5, 0.9)
    assert 40 / 0.9 < shares.of_decided(40, 300) < 65
    assert shares.of_decided(0, 0) == 0
