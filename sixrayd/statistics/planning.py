"""What the next checks would buy."""

from bisect import bisect_left
from dataclasses import replace

from sixrayd.statistics.finite import Block
from sixrayd.statistics.missed import MissedEvidence, bound_missed


def checks_to_halve(evidence: MissedEvidence, alpha: float = 0.05) -> int | None:
    """Fewest more checks that would halve the bound, if they find at each stratum's rate so far.

    They are spread over the strata like their pools. None if not even checking all units would,
    because it is the reviewers' oversights that make up the bound.
    """
    goal = bound_missed(evidence, alpha).upper / 2
    pool = sum(stratum.pool_now for stratum in evidence.strata)

    def halved(checks: int) -> bool:
        return bound_missed(_continued(evidence, checks / max(pool, 1)), alpha).upper <= goal

    if not halved(pool):
        return None
    return bisect_left(range(pool), True, key=halved)


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
