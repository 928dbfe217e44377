"""What a bound costs: published and hand-worked numbers."""

from dataclasses import replace

import pytest

from sixrayd.core.errors import SettingsError
from sixrayd.statistics.finite import Block, Stratum
from sixrayd.statistics.missed import MissedEvidence, bound_missed
from sixrayd.statistics.planning import checks_for_bound, checks_to_halve, planned_bound
from sixrayd.statistics.sensitivity import Sensitivity

EVIDENCE = MissedEvidence(
    500,
    60,
    (Stratum("a", 4000, (Block(5000, 1000, 5, 5),)), Stratum("b", 9000, (Block(9500, 500, 0, 0),))),
)


def test_three_thousand_clear_checks_of_a_million():
    assert planned_bound(1_000_000, 3000, once=True) == 996
    assert planned_bound(1_000_000, 3000) == 1279
    assert planned_bound(1_000_000, 3000, finds=3) > planned_bound(1_000_000, 3000)


@pytest.mark.parametrize(("once", "checks"), [(True, 68_842), (False, 94_983)])
def test_at_most_41_of_a_million(once, checks):
    assert checks_for_bound(1_000_000, 41, once=once) == checks
    assert planned_bound(1_000_000, checks, once=once) == 41
    assert planned_bound(1_000_000, checks - 1, once=once) == 42


def test_ends_of_the_range():
    assert checks_for_bound(100, 100) == 0
    assert checks_for_bound(100, 0, once=True) == 95  # one among 5 unchecked has a chance of 5 %
    assert planned_bound(100, 100) == planned_bound(100, 100, once=True) == 0
    assert planned_bound(0, 0) == 0


def test_finds_to_reckon_with_cost_checks():
    assert checks_for_bound(10_000, 50, rate=0.01) > 1.5 * checks_for_bound(10_000, 50)


def test_the_checks_that_halve_a_bound_do():
    checks = checks_to_halve(EVIDENCE)

    more_a, more_b = round(checks * 4 / 13), round(checks * 9 / 13)
    finds = round(more_a * 5 / 1000)
    after = replace(
        EVIDENCE,
        strata=(
            Stratum("a", 4000 - more_a, (Block(5000, 1000 + more_a, 5 + finds, 5 + finds),)),
            Stratum("b", 9000 - more_b, (Block(9500, 500 + more_b, 0, 0),)),
        ),
    )
    goal = bound_missed(EVIDENCE).upper / 2
    assert 500 < checks < 5000
    assert goal * 0.98 < bound_missed(after).upper <= goal


def test_an_unchecked_stratum_is_halved_too():
    evidence = MissedEvidence(0, 0, (Stratum("a", 1000),))

    assert bound_missed(evidence).upper == 1000
    assert checks_to_halve(evidence) == checks_for_bound(1000, 500)


def test_no_number_of_checks_helps_against_oversights():
    blind = replace(EVIDENCE, reviewed=50_000, with_proposals=Sensitivity(0.1))

    assert checks_to_halve(blind) is None


def test_values_out_of_range():
    with pytest.raises(SettingsError, match=r"^block: needs 0 <= finds <= checks"):
        planned_bound(10, 3, finds=4)
    with pytest.raises(SettingsError, match=r"^limit: needs 0 <= finds <= checks <= units"):
        planned_bound(10, 11, once=True)
    with pytest.raises(
        SettingsError, match=r"^plan: needs target >= 0 and 0 <= rate <= 1, got -1 and 0.0$"
    ):
        checks_for_bound(10, -1)
