"""What a bound costs before anyone starts, and what the next checks would buy."""

from collections.abc import Callable
from dataclasses import replace

from sixrayd.core.errors import SettingsError
from sixrayd.statistics.finite import Block, Stratum, joint_limits
from sixrayd.statistics.hypergeometric import total_upper
from sixrayd.statistics.missed import MissedEvidence, bound_missed


def planned_bound(
    pool: int, checks: int, finds: int = 0, alpha: float = 0.05, once: bool = False
) -> int:
    """Findable units that could still be left in one pool after so many checks and finds.

    Args:
        once: with a single look at this number of checks; otherwise with looks at any time.

    Raises:
        SettingsError: more finds than checks or checks than units, or alpha is out of range.
    """
    if once:
        return total_upper(pool, checks, finds, alpha) - finds
    block = Block(pool, checks, finds, found_since=finds)
    return joint_limits([Stratum("plan", pool - checks, (block,))], alpha).upper


def checks_for_bound(
    pool: int, target: int, rate: float = 0.0, alpha: float = 0.05, once: bool = False
) -> int:
    """Fewest checks after which at most `target` findable units could be left in one pool.

    Args:
        rate: finds a check to reckon with, 0..1.
        once: as in `planned_bound`.

    Raises:
        SettingsError: the target is below 0 or the rate out of range.
    """
    if target < 0 or not 0 <= rate <= 1:
        raise SettingsError(f"plan: needs target >= 0 and 0 <= rate <= 1, got {target} and {rate}")
    return _fewest(
        pool,
        lambda checks: planned_bound(pool, checks, round(rate * checks), alpha, once) <= target,
    )


def checks_to_halve(evidence: MissedEvidence, alpha: float = 0.05) -> int | None:
    """Fewest more checks that would halve the bound, if they find at each stratum's rate so far.

    They are spread over the strata like their pools. None if not even checking all units would,
    because it is the reviewers' oversights that make up the bound.
    """
    goal = bound_missed(evidence, alpha).upper / 2
    pool = sum(stratum.pool_now for stratum in evidence.strata)

    def halved(checks: int) -> bool:
        return bound_missed(_continued(evidence, checks / max(pool, 1)), alpha).upper <= goal

    return _fewest(pool, halved) if halved(pool) else None


def _fewest(most: int, enough: Callable[[int], bool]) -> int:
    """Smallest number that is enough, where `most` is and more never harms."""
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low


def _continued(evidence: MissedEvidence, share: float) -> MissedEvidence:
    """The evidence after checks of this share of every pool."""
    strata = []
    for stratum in evidence.strata:
        checks = round(share * stratum.pool_now)
        seen = sum(block.finds for block in stratum.blocks)
        finds = round(checks * seen / stratum.checks) if stratum.checks else 0
        blocks = [replace(b, found_since=b.found_since + finds) for b in stratum.blocks]
        blocks.append(Block(stratum.pool_now, checks, finds, finds))
        strata.append(replace(stratum, pool_now=stratum.pool_now - checks, blocks=tuple(blocks)))
    return replace(evidence, strata=tuple(strata), sizes=None)
