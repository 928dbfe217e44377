"""What the next checks would buy."""

from bisect import bisect_left
from dataclasses import replace

from sixrayd.statistics.finite import Block
from sixrayd.statistics.missed import (
    MissedEvidence,
    PlannedEvidence,
    bound_missed,
    bound_planned,
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

    if not halved(pool):
        return None
    return bisect_left(range(pool), True, key=halved)


def after_next_look(evidence: PlannedEvidence, alpha: float = 0.05) -> int | None:
    """The bound after the next planned look, if it finds at the rate so far; None if there is none.

    Finds of units that nobody had found yet are taken off what is left, the others are not.
    """
    done, shares = len(evidence.finds), evidence.looks.fractions
    if not 0 < done < len(shares):
        return None
    finds = round(evidence.finds[-1] * shares[done] / shares[done - 1])
    finds = min(finds, evidence.units)
    new = min(finds - evidence.finds[-1], evidence.units - evidence.found_since)
    continued = replace(
        evidence,
        finds=(*evidence.finds, finds),
        drawn=max(finds, round(evidence.units * shares[done])),
        found_since=evidence.found_since + new,
        sizes=None,
    )
    return bound_planned(continued, alpha).upper


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
