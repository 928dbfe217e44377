"""The exact limit for one look at a number of checks announced in advance.

It is tighter than what holds at every look, and wrong as soon as anybody looks twice and stops
when it pleases.

Source: test inversion of the hypergeometric distribution; Buonaccorsi 1987, A note on confidence
intervals for proportions in finite populations (The American Statistician 41).
"""

from collections.abc import Sequence

from scipy.stats import hypergeom

from sixrayd.core.errors import SettingsError
from sixrayd.statistics.finite import Limits, Stratum


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


def once_limits(strata: Sequence[Stratum], alpha: float) -> Limits:
    """Upper limit of the findable units unfound now, from a single look; the lower one is 0.

    Alpha is shared out equally among the strata that were checked.

    Raises:
        SettingsError: a stratum's checks do not make one block.
    """
    checked = sum(stratum.checks > 0 for stratum in strata)
    left = []
    for stratum in strata:
        blocks = stratum.joined
        if len(blocks) > 1:
            raise SettingsError(
                f"stratum {stratum.name}: {len(blocks)} blocks with other decisions between them, "
                "but a single look takes one; use the limit that holds at every look"
            )
        total = stratum.pool_now + stratum.found
        if stratum.checks:
            block = blocks[0]
            share = alpha / checked
            total = total_upper(block.pool, block.checks, block.finds, share)
        left.append(min(total - stratum.found, stratum.pool_now))
    estimate = float(sum(stratum.estimate for stratum in strata))
    return Limits(lower=0, estimate=estimate, upper=sum(left), allocation=tuple(left))
