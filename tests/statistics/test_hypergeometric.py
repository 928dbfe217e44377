"""Single-look limits against the distribution itself."""

import itertools
import math

import pytest

from sixrayd.core.errors import SettingsError
from sixrayd.statistics.finite import Block, Limits, Stratum
from sixrayd.statistics.hypergeometric import once_limits, pooled_upper, total_upper


def chance(pool, checks, finds, total):
    """Of at most so many finds, by counting."""
    ways = sum(math.comb(total, k) * math.comb(pool - total, checks - k) for k in range(finds + 1))
    return ways / math.comb(pool, checks)


def test_against_counting():
    for checks in range(13):
        for finds in range(checks + 1):
            totals = [t for t in range(finds, 13) if chance(12, checks, finds, t) > 0.1]
            assert total_upper(12, checks, finds, 0.1) == max(totals)


def test_coverage_of_every_total():
    for total in range(31):
        missed = sum(
            math.comb(total, k) * math.comb(30 - total, 11 - k) / math.comb(30, 11)
            for k in range(max(0, 11 - 30 + total), min(11, total) + 1)
            if total_upper(30, 11, k, 0.1) < total
        )
        assert missed <= 0.1


def test_strata_share_alpha_and_unchecked_ones_count_whole():
    strata = [
        Stratum("a", 900, (Block(1000, 60, 1, 1), Block(940, 40, 0, 0))),
        Stratum("b", 1800, (Block(2000, 150, 0, 3),)),
        Stratum("c", 77),
    ]

    limits = once_limits(strata, 0.05)

    # 1 - 0.075 is the chance to stay undrawn in b: 62 would give 1 find or none in 4.96 %.
    assert sum(math.comb(62, k) * 0.075**k * 0.925 ** (62 - k) for k in (0, 1)) < 0.05
    assert limits == Limits(0, limits.estimate, 57 + 77, (0, 57, 77))
    assert limits.estimate == pytest.approx(900 / 100)


def test_strata_share_alpha_where_one_is_hardly_checked():
    strata = [Stratum("a", 20, (Block(100, 80, 2, 2),)), Stratum("b", 95, (Block(100, 5, 0, 0),))]

    limits = once_limits(strata, 0.05)

    a, b = total_upper(100, 80, 2, 0.025) - 2, total_upper(100, 5, 0, 0.025)
    assert limits.allocation == (a, b)


@pytest.mark.parametrize("checks", [(6, 7), (6, 5), (10, 18), (1, 19)])
def test_pooled_strata_cover_wherever_contraband_lies(checks):
    pools, alpha = (12, 20), 0.1

    def limit(finds):
        blocks = [Block(p, c, k, k) for p, c, k in zip(pools, checks, finds, strict=True)]
        return pooled_upper(blocks, alpha)

    every = list(itertools.product(*(range(number + 1) for number in checks)))
    limits = {finds: limit(finds) for finds in every}
    for totals in itertools.product(range(pools[0] + 1), range(pools[1] + 1)):
        missed = 0.0
        for finds in every:
            if limits[finds] < sum(totals):
                missed += math.prod(
                    math.comb(t, k) * math.comb(p - t, c - k) / math.comb(p, c)
                    for p, c, t, k in zip(pools, checks, totals, finds, strict=True)
                )
        assert missed <= alpha, totals


def test_two_looks_are_refused():
    stratum = Stratum("low", 40, (Block(100, 20, 1, 5), Block(70, 30, 1, 1)))
    with pytest.raises(SettingsError) as error:
        once_limits([stratum], 0.05)
    assert str(error.value) == (
        "stratum low: 2 blocks with other decisions between them, but a single look takes one; "
        "use the limit that holds at every look"
    )


@pytest.mark.parametrize("values", [(10, 11, 0, 0.05), (10, 3, 4, 0.05), (10, 3, 0, 1.0)])
def test_values_out_of_range(values):
    with pytest.raises(SettingsError, match=r"^limit: needs 0 <= finds <= checks <= units and 0"):
        total_upper(*values)
