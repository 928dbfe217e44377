"""How many contraband units are left: what checks leave open, and what reviewers overlook.

What follows is for looks at any time; for planned looks see `overlooked`.

A release's negatives are two populations. *Reviewed* are units decided in the queue, where a
reviewer sees the detector's proposals. *Checked* are those that were undecided when the first spot
check of their stratum began; spot checks come without proposals. A stratum never checked counts
with its whole pool. Left are the contraband units of both that nobody found.

Each part that can be wrong by chance takes its share of alpha, by Bonferroni: the findable units
of the strata (`finite`), the units overlooked behind the found, and the two sensitivities, of
those parts that are in use. What a stated sensitivity or the assumption of perfect reviewers is
worth is not part of the guarantee.

The bound holds at every look if checks follow a random order fixed in advance and if whether a
unit would be found does not depend on who comes by: what the queue finds in a stratum between two
of its blocks would have been found by a spot check as well, and what it clears would not. Where
the queue has decided any of a stratum, the lower of both sensitivities is taken for what was
checked.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from sixrayd.core.arrays import IntArray
from sixrayd.core.errors import SettingsError
from sixrayd.core.progress import Report, untold
from sixrayd.statistics.finite import Limits, Stratum, joint_limits
from sixrayd.statistics.hypergeometric import once_limits
from sixrayd.statistics.overlooked import SMALL_SHARE, OneSet
from sixrayd.statistics.planned import LookPlan
from sixrayd.statistics.sensitivity import PERFECT, Sensitivity, units_behind


@dataclass(frozen=True, slots=True)
class MissedEvidence:
    """Everything a bound on the missed is computed from.

    Raises:
        SettingsError: more units were found than reviewed, or the sizes are of other units.
    """

    reviewed: int  # units decided in the queue, outside the strata's first pools
    found: int  # of them
    strata: tuple[Stratum, ...]
    with_proposals: Sensitivity = PERFECT
    without_proposals: Sensitivity = PERFECT
    sizes: IntArray | None = field(default=None, compare=False)  # (U,) images of unfound units
    cleared_in_found: int = 0  # images that were cleared although their unit was found
    pooled: bool = True  # False: a single look shares alpha, as in certificates before format 3
    checked_before: bool = False  # some of the reviewed were seen without proposals

    def __post_init__(self) -> None:
        if not 0 <= self.found <= self.reviewed:
            raise SettingsError(f"evidence: {self.found} found among {self.reviewed} reviewed")
        unfound = self.reviewed - self.found + sum(s.units - s.found for s in self.strata)
        if self.sizes is not None and len(self.sizes) != unfound:
            raise SettingsError(f"evidence: {len(self.sizes)} sizes for {unfound} unfound units")

    @property
    def found_in_all(self) -> int:
        """Contraband units found by anybody."""
        return self.found + sum(stratum.found for stratum in self.strata)

    @property
    def queue_in_strata(self) -> bool:
        """Whether a stratum holds units decided out of turn since its first draw."""
        return any(s.units - s.pool_now > s.checks for s in self.strata if s.blocks)

    def seen(self, with_proposals: float, without: float) -> tuple[float, float]:
        """Shares of contraband seen with and without proposals, for what was reviewed so.

        A side that was not measured sees no more than the other one, and what the queue decided
        in a stratum counts at the lower of both, as does what was reviewed where some of it was
        seen without proposals.
        """
        lower = min(with_proposals, without)
        one, two = self.with_proposals.measured, self.without_proposals.measured
        return (
            lower if self.checked_before or (two and not one) else with_proposals,
            lower if one and (not two or self.queue_in_strata) else without,
        )


@dataclass(frozen=True, slots=True)
class PlannedEvidence:
    """As `MissedEvidence`, from a sample that was drawn for planned looks.

    Raises:
        SettingsError: the counts contradict each other.
    """

    reviewed: int  # units decided before the first draw
    found: int  # of them
    reopened: int  # decided before it and no longer: any of them may be contraband
    units: int  # all others, from which the sample is drawn
    found_since: int  # of those, by anybody
    finds: tuple[int, ...]  # drawn units by each look that are found, or still open
    drawn: int  # units by the last look
    open: int  # of them that nobody has settled: counted as finds, so that none is left out
    looks: LookPlan
    with_proposals: Sensitivity = PERFECT
    without_proposals: Sensitivity = PERFECT
    sizes: IntArray | None = field(default=None, compare=False)  # (U,) images of unfound units
    cleared_in_found: int = 0  # images that were cleared although their unit was found
    unconfirmed: int = 0  # of all found units, those that no second reader confirmed
    subtract_confirmed: bool = False  # count what nobody confirmed among the missed
    one_set: bool = True  # False: a share of alpha for each part, as certificates before format 3
    checked_before: bool = False  # some of the reviewed were seen without proposals

    def __post_init__(self) -> None:
        finds = (0, *self.finds)
        if (
            not 0 <= self.found <= self.reviewed
            or not 0 <= self.found_since <= self.units
            or any(late < early for early, late in pairwise(finds))
            or not 0 <= self.open <= finds[-1] <= self.drawn <= self.units
            or finds[-1] - self.open > self.found_since
            or not 0 <= self.unconfirmed <= self.found + self.found_since
        ):
            raise SettingsError(f"evidence: counts that contradict each other: {self}")

    @property
    def sensitivity(self) -> tuple[Sensitivity, Sensitivity]:
        """With and without proposals."""
        return self.with_proposals, self.without_proposals


@dataclass(frozen=True, slots=True)
class AlphaSplit:
    """The chances of being wrong that make up alpha; 0 where nothing can be."""

    sampling: float  # with planned looks, what checks overlook as well
    overlooked_reviewed: float
    overlooked_checked: float
    sensitivity_reviewed: float  # with planned looks, of the lower side
    sensitivity_checked: float  # with planned looks, of the queue's, where it is in use

    @classmethod
    def of(cls, alpha: float, reviewed: Sensitivity, checked: Sensitivity) -> "AlphaSplit":
        """A tenth for each part in use beside the sampling, which has the rest."""
        shown = reviewed.measured or checked.measured  # which may lower the other one
        used = (
            *(not side.perfect or shown for side in (reviewed, checked)),
            *(reviewed.measured, checked.measured),
        )
        return cls(alpha * (1 - SMALL_SHARE * sum(used)), *(alpha * SMALL_SHARE * u for u in used))


@dataclass(frozen=True, slots=True)
class MissedBound:
    """Contraband units that nobody has found, with what the bound rests on."""

    found: int
    lower: int
    estimate: float
    upper: int
    images: int | None  # upper bound on the contraband images left; none without sizes
    limits: Limits  # of the findable ones in the strata
    split: AlphaSplit
    sensitivity_with: float  # lower bounds
    sensitivity_without: float
    unchecked: int  # units in strata without a check, of which no estimate knows anything

    @property
    def recall(self) -> float:
        """Share of the contraband units found, at least; 1 when there can be none."""
        total = self.found + self.upper
        return self.found / total if total else 1.0

    def meets(self, recall: float | None = None, left: int | None = None) -> bool:
        """Whether the targets that are given are reached."""
        return (recall is None or self.recall >= recall) and (left is None or self.upper <= left)


def bound_missed(evidence: MissedEvidence, alpha: float = 0.05, once: bool = False) -> MissedBound:
    """What is left, from below and above with 1 - alpha, at every look.

    Args:
        once: a single look at a number of checks announced in advance; nothing from below.

    Raises:
        SettingsError: alpha is out of range, or a single look does not fit the blocks.
    """
    split = AlphaSplit.of(alpha, evidence.with_proposals, evidence.without_proposals)
    limits = (
        once_limits(evidence.strata, split.sampling, pooled=evidence.pooled)
        if once
        else joint_limits(evidence.strata, split.sampling)
    )
    with_proposals, without = evidence.seen(
        evidence.with_proposals.lower(split.sensitivity_reviewed),
        evidence.without_proposals.lower(split.sensitivity_checked),
    )
    queue = _Part(evidence.reviewed, evidence.found)
    checked = _Part.of([stratum for stratum in evidence.strata if stratum.blocks])
    whole = sum(stratum.pool_now for stratum in evidence.strata if not stratum.blocks)
    upper = (
        queue.left(0, with_proposals, split.overlooked_reviewed)
        + checked.left(limits.upper - whole, without, split.overlooked_checked)
        + whole
    )
    rates = evidence.seen(evidence.with_proposals.estimate, evidence.without_proposals.estimate)
    return MissedBound(
        found=evidence.found_in_all,
        lower=limits.lower,
        estimate=queue.estimate(0, rates[0]) + checked.estimate(limits.estimate, rates[1]),
        upper=upper,
        images=_images(evidence, upper, min(with_proposals, without) < 1),
        limits=limits,
        split=split,
        sensitivity_with=with_proposals,
        sensitivity_without=without,
        unchecked=sum(stratum.pool_now for stratum in evidence.strata if not stratum.checks),
    )


def bound_planned(evidence: PlannedEvidence, alpha: float = 0.05, among: int = 1) -> MissedBound:
    """What is left at most with 1 - alpha, at all planned looks together; nothing from below.

    A drawn unit may have been decided with proposals or without, so both count at the lower of
    the two sensitivities (`overlooked`); what was decided before the first draw, at the queue's
    where all of it was seen with proposals.

    Args:
        among: bounds that share the work which is done.

    Raises:
        SettingsError: alpha is out of range.
    """
    finds, looks, units = evidence.finds, evidence.looks, evidence.units
    if evidence.one_set:
        queued = not evidence.checked_before
        part = OneSet.of(alpha, evidence.sensitivity, evidence.reviewed, queued=queued)
    else:
        part = _before_format_3(evidence, alpha)
    total = part.of_drawn(finds, looks, units, among)
    left = max(total, evidence.found_since) - evidence.found_since
    before = part.of_decided(evidence.found, evidence.reviewed) - evidence.found
    unconfirmed = evidence.unconfirmed if evidence.subtract_confirmed else 0
    upper = left + evidence.reopened + before + unconfirmed
    rate = min(side.estimate for side in evidence.sensitivity)
    own = evidence.one_set and evidence.with_proposals.measured and not evidence.checked_before
    rate_before = evidence.with_proposals.estimate if own else rate
    queue = _Part(evidence.reviewed, evidence.found)
    settled = evidence.drawn - evidence.open
    share = rate * looks.fractions[len(finds) - 1] * settled / evidence.drawn if settled else 0.0
    seen = (finds[-1] - evidence.open) / share if share else 0.0
    estimate = min(max(seen - evidence.found_since, 0.0), float(units))
    return MissedBound(
        found=evidence.found + evidence.found_since - unconfirmed,
        lower=0,
        estimate=estimate + queue.estimate(0, rate_before),
        upper=upper,
        images=_images(evidence, upper, part.seen < 1),
        limits=Limits(0, estimate, left, ()),
        split=AlphaSplit(part.sampling, part.before, 0, *part.sensitivity),
        sensitivity_with=part.seen_before,
        sensitivity_without=part.seen,
        unchecked=evidence.reopened + (0 if settled else units - evidence.found_since),
    )


def _before_format_3(evidence: PlannedEvidence, alpha: float) -> OneSet:
    """A share of alpha for each part, as certificates before format 3 have it."""
    split = AlphaSplit.of(alpha, *evidence.sensitivity)
    shares = (split.sensitivity_reviewed, split.sensitivity_checked)
    seen = min(side.lower(share) for side, share in zip(evidence.sensitivity, shares, strict=True))
    sampling = split.sampling + split.overlooked_checked
    return OneSet(sampling, split.overlooked_reviewed, shares, seen, seen)


def bound_by_class(
    evidence: Mapping[str, MissedEvidence | PlannedEvidence],
    alpha: float = 0.05,
    once: bool = False,
    report: Report = untold,
) -> dict[str, MissedBound]:
    """The bounds of several classes, all true at once with 1 - alpha, by Bonferroni.

    Args:
        evidence: by class, with the finds of that class; a unit may be found for several.
        report: told of progress.

    Raises:
        SettingsError: as `bound_missed`.
    """
    share = alpha / max(1, len(evidence))
    among, found = len(evidence), {}
    for number, (name, one) in enumerate(evidence.items(), 1):
        found[name] = bound_of(one, share, once, among)
        report("bounds of classes", number, among)
    return found


def bound_of(
    evidence: MissedEvidence | PlannedEvidence,
    alpha: float = 0.05,
    once: bool = False,
    among: int = 1,
) -> MissedBound:
    """By planned looks where they were planned.

    Args:
        among: bounds that share the work which is done.

    Raises:
        SettingsError: as `bound_missed`, or a single look where several are planned.
    """
    if isinstance(evidence, MissedEvidence):
        return bound_missed(evidence, alpha, once)
    if once:
        raise SettingsError("--once: looks were planned at the first draw; leave it out")
    return bound_planned(evidence, alpha, among)


def percent_down(share: float) -> str:
    """A share in percent, never more than it is: 2,999 of 3,000 are not all."""
    return f"{math.floor(1000 * share + 1e-9) / 10:.1f} %"


@dataclass(frozen=True, slots=True)
class _Part:
    """One of the two populations."""

    units: int
    found: int

    @classmethod
    def of(cls, strata: Sequence[Stratum]) -> "_Part":
        return cls(sum(s.units for s in strata), sum(s.found for s in strata))

    def left(self, findable: int, sensitivity: float, alpha: float) -> int:
        """Most units unfound when so many findable ones are."""
        findable_in_all, units = np.array([self.found + findable]), np.array([self.units])
        behind = units_behind(findable_in_all, np.array([sensitivity]), alpha, units)
        return int(behind[0]) - self.found

    def estimate(self, findable: float, sensitivity: float) -> float:
        total = self.found + findable
        return (min(total / sensitivity, self.units) if sensitivity else self.units) - self.found


def _images(evidence: MissedEvidence | PlannedEvidence, units: int, overlooked: bool) -> int | None:
    """The largest unfound units, and what was cleared in found ones if reviewers overlook."""
    if evidence.sizes is None:
        return None
    largest = np.sort(evidence.sizes)[len(evidence.sizes) - units :]
    return int(largest.sum()) + (evidence.cleared_in_found if overlooked else 0)
