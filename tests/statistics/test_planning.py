"""What a bound costs: published and hand-worked numbers."""

from dataclasses import replace

import pytest

from sixrayd.core.errors import SettingsError
from sixrayd.statistics.finite import Block, Stratum, joint_limits
from sixrayd.statistics.hypergeometric import total_upper
from sixrayd.statistics.missed import MissedEvidence, bound_missed
from sixrayd.statistics.planning import checks_to_halve
from sixrayd.statistics.sensitivity import Sensitivity

EVIDENCE = MissedEvidence(
    500,
    60,
    (Stratum("a", 4000, (Block(5000, 1000, 5, 5),)), Stratum("b", 9000, (Block(9500, 500, 0, 0),))),
)


def left_at_most(pool, checks, finds=0, once=False):
    """Units that could be left in one pool after so many checks and finds."""
    if once:
        return total_upper(pool, checks, finds, 0.05) - finds
    block = Block(pool, checks, finds, found_since=finds)
    return joint_limits([Stratum("plan", pool - checks, (block,))], 0.05).upper


def test_three_thousand_clear_checks_of_a_million():
    assert left_at_most(1_000_000, 3000, once=True) == 996
    assert left_at_most(1_000_000, 3000) == 1279
    assert left_at_most(1_000_000, 3000, finds=3) > left_at_most(1_000_000, 3000)


@pytest.mark.parametrize(("once", "checks"), [(True, 68_842), (False, 94_983)])
def test_at_most_41_of_a_million(once, checks):
    assert left_at_most(1_000_000, checks, once=once) == 41
    assert left_at_most(1_000_000, checks - 1, once=once) == 42


def test_ends_of_the_range():
    assert left_at_most(100, 95, once=True) == 0  # one among 5 unchecked has a chance of 5 %
    assert left_at_most(100, 94, once=True) == 1
    assert left_at_most(100, 100) == left_at_most(100, 100, once=True) == 0
    assert left_at_most(0, 0) == 0


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
    checks = checks_to_halve(evidence)
    assert left_at_most(1000, checks) <= 500 < left_at_most(1000, checks - 1)


def test_no_number_of_checks_helps_against_oversights():
    blind = replace(EVIDENCE, reviewed=50_000, with_proposals=Sensitivity(0.1))

    assert checks_to_halve(blind) is None


def test_values_out_of_range():
    with pytest.raises(SettingsError, match=r"^block: needs 0 <= finds <= checks"):
        left_at_most(10, 3, finds=4)
    with pytest.raises(SettingsError, match=r"^limit: needs 0 <= finds <= checks <= units"):
        left_at_most(10, 11, once=True)
