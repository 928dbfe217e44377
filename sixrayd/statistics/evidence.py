"""What is known of the units, from what was drawn of them and what reviewers said.

A block is a draw. It counts while every undecided unit of its stratum could have been drawn: a
draw before it is complete then, and nothing that had left has come back. Of the units drawn, those
before the first undecided one count, in their random order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sixrayd.core.arrays import BoolArray
from sixrayd.core.records import Kind
from sixrayd.statistics.finite import Block, Stratum
from sixrayd.statistics.missed import MissedEvidence, PlannedEvidence
from sixrayd.statistics.population import CENSUS, Population
from sixrayd.statistics.sampling import Drawn
from sixrayd.statistics.sensitivity import Sensitivity
from sixrayd.statistics.settings import BoundSettings
from sixrayd.statistics.standing import Standing


@dataclass(frozen=True, slots=True)
class Planted:
    """Known threats of one class that reviewers have answered, and how many they found.

    Raises:
        TypeError: a value is of another type.
        ValueError: the counts contradict each other.
    """

    label: str
    with_proposals: bool
    planted: int
    hits: int
    named: int  # hits that were boxed as this class
    kind: str = str(Kind.PLANTED)  # or Kind.KNOWN

    def __post_init__(self) -> None:
        counts, said = (self.named, self.hits, self.planted), f"planted {self.label!r:.99}"
        if {*map(type, counts)} != {int} or type(self.with_proposals) is not bool:
            raise TypeError(f"{said}: a value is of another type")
        if not 0 <= self.named <= self.hits <= self.planted:
            seen = f"{self.named} named, {self.hits} found of {self.planted}"
            raise ValueError(f"{said}: {seen}; expected named <= found <= planted")
        if self.kind not in (Kind.PLANTED, Kind.KNOWN):
            raise ValueError(f"{said}: kind {self.kind!r:.99}")


def sensitivities(
    planted: Sequence[Planted], stated: float, label: str = "", gamma: float = 1.0, cap: float = 1.0
) -> tuple[Sensitivity, Sensitivity]:
    """With and without proposals; of one class where any of it were shown, of all else.

    Known positives count alone where any were shown, since projections look like projections. For
    a class, only what was boxed as the class that it is was found.

    Args:
        gamma: how many times better the odds to see known contraband are than hidden.
        cap: what double reading allows at most.
    """

    def measured(with_proposals: bool) -> Sensitivity:
        shown = [p for p in planted if p.with_proposals == with_proposals and p.planted]
        shown = [p for p in shown if p.kind == Kind.KNOWN] or shown
        shown = [p for p in shown if p.label == label] or shown
        if not shown:
            return Sensitivity(stated, gamma=gamma, cap=cap)
        hits = sum(p.named if label else p.hits for p in shown)
        return Sensitivity(
            stated, sum(p.planted for p in shown), hits, gamma, cap, shown[0].kind == Kind.KNOWN
        )

    return measured(True), measured(False)


def evidence_of(
    population: Population,
    drawn: Drawn,
    standing: Standing,
    sensitivity: tuple[Sensitivity, Sensitivity],
    label: str = "",
    *,
    pooled: bool = True,
) -> MissedEvidence:
    """What is known of the units, of those that hold one class where a label is given."""
    found, decided, shared = _shared(population, standing, sensitivity, label)
    strata = [_stratum(name, population, drawn, decided, found) for name in population.strata]
    if reopened := len(population.members[CENSUS]) - shared["reviewed"]:
        strata.append(Stratum("reopened", reopened))  # withdrawn, or nobody asked for this class
    return MissedEvidence(strata=tuple(strata), pooled=pooled, **shared)


def planned_evidence_of(
    population: Population,
    drawn: Drawn,
    standing: Standing,
    sensitivity: tuple[Sensitivity, Sensitivity],
    label: str = "",
    settings: BoundSettings = BoundSettings(),
) -> PlannedEvidence:
    """As `evidence_of`, where looks were planned."""
    assert drawn.looks is not None
    found, decided, shared = _shared(population, standing, sensitivity, label)
    sure = standing.confirmed_as[label] if label else standing.confirmed
    if settings.confirmed and not label:
        shared["sizes"] = population.sizes[~(found & sure)]
    census = population.members[CENSUS]
    taken, counted = drawn.in_draw > 0, found | ~decided  # what is open may be contraband
    looks = [taken & (drawn.in_draw <= number) for number in range(1, drawn.draws + 1)]
    return PlannedEvidence(
        reopened=len(census) - shared["reviewed"],
        units=population.undecided_at_first,
        found_since=int(found.sum() - found[census].sum()),
        finds=tuple(int(counted[look].sum()) for look in looks),
        drawn=int(taken.sum()),
        open=int((taken & ~decided).sum()),
        looks=drawn.looks,
        unconfirmed=int((found & ~sure).sum()),
        subtract_confirmed=settings.confirmed,
        one_set=settings.one_set,
        **shared,
    )


def _shared(
    population: Population,
    standing: Standing,
    sensitivity: tuple[Sensitivity, Sensitivity],
    label: str,
) -> tuple[BoolArray, BoolArray, dict[str, Any]]:
    """(U,) found, (U,) decided, and what is known however units were drawn."""
    found = standing.found_as[label] if label else standing.found
    decided = standing.decided_as(label)
    census = population.members[CENSUS]
    known = census[decided[census]]
    return (
        found,
        decided,
        {
            "reviewed": len(known),
            "found": int(found[known].sum()),
            "checked_before": population.checked_before,
            "with_proposals": sensitivity[0],
            "without_proposals": sensitivity[1],
            "sizes": None if label else population.sizes[~found],
            "cleared_in_found": standing.cleared_in_found,
        },
    )


def _stratum(
    name: str, population: Population, drawn: Drawn, decided: BoolArray, found: BoolArray
) -> Stratum:
    rows = population.members[name]
    undecided = rows[~decided[rows]]
    blocks = []
    for number in range(1, drawn.draws + 1):
        if not drawn.in_pool(undecided, number).all():
            break
        pool = rows[drawn.in_pool(rows, number)]
        order = drawn.order(rows, number)
        waiting = np.flatnonzero(~decided[order])
        checked = order[: waiting[0]] if len(waiting) else order
        blocks.append(
            Block(len(pool), len(checked), int(found[checked].sum()), int(found[pool].sum()))
        )
    return Stratum(name, len(undecided), tuple(blocks))
