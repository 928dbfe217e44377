"""The exact limit for one look at a number of checks announced in advance.

It is tighter than what holds at every look, and wrong as soon as anybody looks twice and stops
when it pleases.

Source: test inversion of the hypergeometric distribution; Buonaccorsi 1987, A note on confidence
intervals for proportions in finite populations (The American Statistician 41).
"""

from collections.abc import Sequence
from dataclasses import replace

from scipy.stats import binom, hypergeom

from sixrayd.core.errors import SettingsError
from sixrayd.statistics.finite import Block, Limits, Stratum


def total_upper(pool: int, checks: int, finds: int, alpha: float) -> int:
    """Most findable units a pool can have held for so few finds to have a chance above alpha.

    Raises:
        SettingsError: more finds than checks or checks than units, or alpha is out of range.
    """
    if not 0 <= finds <= checks <= pool or not 0 < alpha < 1:
        raise SettingsError(
            f"limit: needs 0 <= finds <= checks <= units and 0 < alpha < 1, got {finds}, "
            f"{checks}, {pool} and {alpha}"
        )
    low, high = finds, pool - checks + finds
    while low < high:
        middle = (low + high + 1) // 2
        if hypergeom.cdf(finds, pool, middle, checks) > alpha:
            low = middle
        else:
            high = middle - 1
    return low


def pooled_upper(strata: Sequence[Block], alpha: float) -> int:
    """Most findable units that strata can have held together, from their finds together.

    Let f be the least share n / N of a stratum that was checked. Finds in a stratum are
    hypergeometric, and so the sum of independent Bernoulli variables, as many as it has findable
    units at most (Vatutin and Mikhailov 1982: the generating function has real roots alone). Over
    all strata, finds K among M findable units are then M such variables, some of which may be 0,
    with a mean of f M or more. For k <= f M - 1 Hoeffding 1956, theorem 4, has
    P(K <= k) <= P(Bin(M, mean / M) <= k) <= P(Bin(M, f) <= k), wherever the M units lie. So M is
    given up where both hold and the last is at most alpha, and a true M with chance alpha at most.

    Source: Vatutin and Mikhailov 1982, Limit theorems for the number of empty cells (Theory of
    Probability and its Applications 27); Hoeffding 1956, On the distribution of the number of
    successes in independent trials (Annals of Mathematical Statistics 27).

    Args:
        strata: one block of each, with checks.
    """
    share = min(block.checks / block.pool for block in strata)
    finds = sum(block.finds for block in strata)
    low, high = finds, sum(block.pool - block.checks + block.finds for block in strata)
    while low < high:
        middle = (low + high + 1) // 2
        if finds > share * middle - 1 or binom.cdf(finds, middle, share) > alpha:
            low = middle
        else:
            high = middle - 1
    return low


def once_limits(strata: Sequence[Stratum], alpha: float, *, pooled: bool = True) -> Limits:
    """Upper limit of the findable units unfound now, from a single look; the lower one is 0.

    Either alpha is shared out equally among the strata that were checked, or they count as one:
    whichever is tighter should nothing be found. That depends on pools and checks alone, not on
    what was found, so choosing costs nothing.

    Args:
        pooled: whether they may count as one.

    Raises:
        SettingsError: a stratum's checks do not make one block.
    """
    for stratum in strata:
        if len(stratum.joined) > 1:
            raise SettingsError(
                f"stratum {stratum.name}: {len(stratum.joined)} blocks with other decisions "
                "between them, but a single look takes one; use the limit that holds at every look"
            )
    checked = [stratum.joined[0] for stratum in strata if stratum.checks]
    bare = [replace(block, finds=0, found_since=0) for block in checked]
    apart = sum(_total(block, alpha / len(checked)) for block in bare)
    estimate = float(sum(stratum.estimate for stratum in strata))
    if pooled and checked and pooled_upper(bare, alpha) < apart:
        found = sum(stratum.found for stratum in strata if stratum.checks)
        left = _spread(strata, max(pooled_upper(checked, alpha) - found, 0))
    else:
        left = [
            min(_total(s.joined[0], alpha / len(checked)) - s.found, s.pool_now)
            if s.checks
            else s.pool_now
            for s in strata
        ]
    return Limits(lower=0, estimate=estimate, upper=sum(left), allocation=tuple(left))


def _total(block: Block, alpha: float) -> int:
    return total_upper(block.pool, block.checks, block.finds, alpha)


def _spread(strata: Sequence[Stratum], left: int) -> list[int]:
    """So many units over the strata that were checked, the least checked first; others whole."""
    given = {s.name: s.pool_now for s in strata if not s.checks}
    for stratum in sorted((s for s in strata if s.checks), key=lambda s: s.checks / s.units):
        given[stratum.name] = min(left, stratum.pool_now)
        left -= given[stratum.name]
    return [given[stratum.name] for stratum in strata]
