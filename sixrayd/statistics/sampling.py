"""Random samples of units by seeded random numbers, drawn bit by bit.

A *unit* is a near-duplicate group; what can be drawn is the *population*, fixed when the first
draw is made. A draw has a seed of its own, made once its pools are known, so that nobody can tell
what it will take and steer the review by it. A unit's random number in it is the SHA-256 of that
seed and its name, read as a fraction: whoever has the seed can compute it again. A draw takes the
first units of each stratum in the order of these numbers, of those not drawn before that nobody
has decided by then; which ones left in between is kept with the draw. Where looks are planned
(`planned`), a draw is a look: it takes the units whose number is below its chance, decided or not.

Source: a public seed and hashes as in Rivest 2011, Reference implementation code for pseudo-random
sampling (election audits).
"""

import hashlib
import heapq
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

import sixrayd
from sixrayd.core.arrays import BoolArray, IntArray
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.progress import Report, untold
from sixrayd.statistics.planned import LookPlan
from sixrayd.statistics.population import CENSUS, Population

_LEAST_SHARE = 0.1  # of a draw, over the strata in equal parts
_DIGEST_BITS = 256
_LONGEST_SEED = 1000  # signs, which are hashed once for each unit

# estimate/NAME/gone.parquet: units of the strata that others had decided before a draw.
GONE_SCHEMA = pa.schema(
    [
        pa.field("group", pa.string(), nullable=False),
        pa.field("draw", pa.int64(), nullable=False),  # the first one that they were not part of
    ]
)


@dataclass(frozen=True, slots=True)
class Draw:
    """What was asked for and of how many; units by stratum.

    Raises:
        TypeError: a value is of another type.
        WorkspaceError: more was asked for than there was, or the seed is too long.
    """

    number: int  # from 1
    drawn_at: str  # ISO 8601, UTC
    pools: Mapping[str, int]  # neither drawn before nor decided
    units: Mapping[str, int]
    gone: str  # `gone_digest` of the units that left before it
    seed: str  # made when all the above was known

    def __post_init__(self) -> None:
        numbers = [self.number, *self.pools.values(), *self.units.values()]
        texts = [self.drawn_at, self.gone, self.seed]
        if {*map(type, numbers)} != {int} or {*map(type, texts)} != {str}:
            raise TypeError(f"draw {self.number}: a value is of another type")
        if len(self.seed) > _LONGEST_SEED:
            raise WorkspaceError(
                f"draw {self.number}: a seed of {len(self.seed):,} signs, at most "
                f"{_LONGEST_SEED:,} are read"
            )
        for name, units in self.units.items():
            if not 0 <= units <= self.pools.get(name, 0):
                raise WorkspaceError(
                    f"draw {self.number}: {units} units of {self.pools.get(name, 0)} in {name!r}"
                )


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """How a sample is drawn; all but the draws is fixed when the first is made."""

    population: str  # SHA-256 of population.parquet
    edges: tuple[float, ...]  # scores at which flagged units are parted, falling
    draws: tuple[Draw, ...] = ()
    version: str = sixrayd.__version__
    looks: LookPlan | None = None  # None: draws of any size, looked at as often as one likes

    @property
    def commitments(self) -> tuple[str, ...]:
        """Of each draw, what is published before its units are reviewed.

        Nobody can choose other strata, pools or seeds then. Each holds the one before it.
        """
        last: Any = [self.population, list(self.edges), self.version]
        if self.looks:
            last.append(asdict(self.looks))
        found = []
        for draw in self.draws:
            text = json.dumps([last, asdict(draw)], sort_keys=True)
            last = hashlib.sha256(text.encode()).hexdigest()
            found.append(last)
        return tuple(found)

    @property
    def commitment(self) -> str:
        """Of the last draw, and so of all; empty before the first."""
        return self.commitments[-1] if self.draws else ""

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "SamplingPlan":
        """What `asdict` gives.

        Raises:
            TypeError, ValueError, KeyError: it is something else.
            WorkspaceError: a draw contradicts itself, or has the seed of another.
        """
        draws = tuple(Draw(**draw) for draw in document["draws"])
        _check_seeds(draws)
        edges = tuple(map(float, document["edges"]))
        if not all(map(math.isfinite, edges)) or list(edges) != sorted(edges, reverse=True):
            raise ValueError(f"edges {edges}: expected falling scores")
        looks = document.get("looks")
        planned = looks and LookPlan(tuple(map(float, looks["fractions"])), float(looks["power"]))
        return cls(**{**document, "edges": edges, "draws": draws, "looks": planned})


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """What was drawn of a population so far, and what left it; (U,) numbers of draws, 0 never."""

    draws: int
    in_draw: IntArray
    gone: IntArray  # the first draw that a unit was not part of because others had decided it
    places: IntArray  # in the random order of its draw and stratum
    looks: LookPlan | None = None

    @classmethod
    def nothing(cls, population: Population, looks: LookPlan | None = None) -> "Drawn":
        """Before the first draw."""
        zero = np.zeros(len(population.groups), np.int64)
        return cls(0, zero, zero, zero, looks)

    @classmethod
    def by(
        cls,
        population: Population,
        plan: SamplingPlan,
        gone: pa.Table,
        report: Report = untold,
    ) -> "Drawn":
        """Draw it all again.

        Args:
            report: told of progress.

        Raises:
            WorkspaceError: the draws are not what these seeds and this population give.
        """
        drawn = cls.nothing(population, plan.looks)
        rows = _gone_rows(population, gone)
        if plan.looks and len(rows):
            raise WorkspaceError("sample: units left it, but planned looks take decided ones too")
        for number, draw in enumerate(plan.draws, 1):
            report("draws", number - 1, len(plan.draws))
            left = rows[gone["draw"].to_numpy() == number]
            if draw.number != number or (number == 1 and len(left)):
                raise WorkspaceError(f"draw {draw.number}: not the {number}. of the sample")
            if gone_digest(population, left) != draw.gone:
                raise WorkspaceError(f"draw {number}: other units left before it than it says")
            if plan.looks:
                drawn = drawn.after_look(population, draw.seed)
                if (units := drawn.taken(population, number)) != dict(draw.units):
                    raise WorkspaceError(
                        f"draw {number}: says it took {dict(draw.units)} units, its seed {units}"
                    )
            else:
                drawn = drawn.after(population, draw.units, left, draw.seed)
            pools = drawn.pools(population, number)
            if pools != dict(draw.pools):
                raise WorkspaceError(
                    f"draw {number}: of pools of {dict(draw.pools)} units, but there were {pools}"
                )
        report("draws", len(plan.draws), len(plan.draws))
        if not set(gone["draw"].to_pylist()) <= set(range(2, len(plan.draws) + 1)):
            raise WorkspaceError("sample: units left before a draw that was never made")
        return drawn

    def after(
        self, population: Population, units: Mapping[str, int], left: IntArray, seed: str = ""
    ) -> "Drawn":
        """With one more draw, before which the units in the rows `left` had been decided."""
        number, names = self.draws + 1, population.groups
        gone, in_draw, places = self.gone.copy(), self.in_draw.copy(), self.places.copy()
        gone[left] = np.where(gone[left] > 0, gone[left], number)
        for name in population.strata:
            rows = population.members[name]
            waiting = rows[(in_draw[rows] == 0) & (gone[rows] == 0)]
            numbers = ((random_number(seed, names[row]), row) for row in waiting.tolist())
            taken = [row for _, row in heapq.nsmallest(units.get(name, 0), numbers)]
            in_draw[taken] = number
            places[taken] = np.arange(1, len(taken) + 1)
        return Drawn(number, in_draw, gone, places)

    def after_look(self, population: Population, seed: str) -> "Drawn":
        """With the draw of the next planned look: each unit not drawn before by its own chance.

        Raises:
            WorkspaceError: all the looks that were planned have been drawn.
        """
        assert self.looks is not None  # what is drawn otherwise goes by `after`
        if self.draws == len(self.looks.fractions):
            raise WorkspaceError(
                f"draw {self.draws + 1}: all {self.draws} looks that were planned are drawn; the "
                "bound at the last one stands"
            )
        chance = self.looks.chance(self.draws)
        below = chance.numerator * 2**_DIGEST_BITS // chance.denominator
        in_draw, places = self.in_draw.copy(), self.places.copy()
        for name in population.strata:
            rows = population.members[name]
            waiting = rows[in_draw[rows] == 0].tolist()
            numbers = ((random_number(seed, population.groups[row]), row) for row in waiting)
            below_it = ((number, row) for number, row in numbers if int.from_bytes(number) < below)
            taken = [row for _, row in sorted(below_it)]  # few of them, so sorted alone
            in_draw[taken] = self.draws + 1
            places[taken] = np.arange(1, len(taken) + 1)
        return replace(self, draws=self.draws + 1, in_draw=in_draw, places=places)

    def taken(self, population: Population, number: int) -> dict[str, int]:
        """Units by stratum that a draw took."""
        return {
            name: int((self.in_draw[population.members[name]] == number).sum())
            for name in population.strata
        }

    def left_since(self, population: Population, decided: BoolArray) -> IntArray:
        """Rows of the units of the strata that were decided though no draw had taken them.

        Args:
            decided: (U,) as things stand.
        """
        never = (self.in_draw == 0) & (self.gone == 0) & decided
        never[population.members[CENSUS]] = False
        return np.flatnonzero(never)

    def in_pool(self, rows: IntArray, number: int) -> BoolArray:
        """Which of some units a draw could have taken."""
        drawn, gone = self.in_draw[rows], self.gone[rows]
        mask: BoolArray = ((drawn == 0) | (drawn >= number)) & ((gone == 0) | (gone > number))
        return mask

    def pools(self, population: Population, number: int) -> dict[str, int]:
        """Units by stratum that a draw could have taken."""
        return {
            name: int(self.in_pool(population.members[name], number).sum())
            for name in population.strata
        }

    def order(self, rows: IntArray, number: int) -> IntArray:
        """Those of some units that a draw took, in their random order."""
        taken = rows[self.in_draw[rows] == number]
        ordered: IntArray = taken[np.argsort(self.places[taken])]
        return ordered

    def units(self, population: Population) -> dict[str, tuple[int, int, str]]:
        """Draw, place and stratum of each unit drawn, in the order to look at them."""
        found = {
            population.groups[row]: (int(self.in_draw[row]), int(self.places[row]), name)
            for name in population.strata
            for row in population.members[name].tolist()
            if self.in_draw[row]
        }
        return dict(sorted(found.items(), key=lambda item: item[1]))

    def sample(self, population: Population, settled: Collection[str]) -> list[dict[str, Any]]:
        """Rows of `SAMPLE_SCHEMA` for the last draw, without images that need no more answers."""
        units = self.units(population)
        members = population.images_of(units)
        return [
            {"image_id": image, "group": group, "stratum": stratum, "place": place, "draw": draw}
            for group, (draw, place, stratum) in units.items()
            if draw == self.draws
            for image in [i for i in members[group] if i not in settled] or members[group]
        ]

    def check_sample(self, population: Population, sample: pa.Table) -> None:
        """See to it that a sample is what was drawn.

        Raises:
            WorkspaceError: a unit is missing or was not drawn, or is in another place, or an image
                stands in it twice.
        """
        expected = {group: (group, *where) for group, where in self.units(population).items()}
        keys = ("group", "draw", "place", "stratum")
        rows = list(zip(*(sample[key].to_pylist() for key in keys), strict=True))
        if wrong := [row for row in rows if expected.get(row[0]) != row]:
            group, draw, place, stratum = wrong[0]
            raise WorkspaceError(
                f"sample: unit {group} is in draw {draw} at place {place} of {stratum!r}, which is "
                "not where the seed puts it"
            )
        if missing := sorted(set(expected) - {row[0] for row in rows}):
            raise WorkspaceError(f"sample: unit {missing[0]} was drawn and is not in it")
        known, images = population.rows_of(sample["image_id"].to_pylist()), sample["image_id"]
        for image_id, row in zip(images.to_pylist(), rows, strict=True):
            if known.get(image_id) != population.row[row[0]]:
                raise WorkspaceError(f"sample: image {image_id} is not of unit {row[0]}")
        if len(known) < len(rows):
            raise WorkspaceError("sample: an image occurs twice")


def random_number(seed: str, group: str) -> bytes:
    """A unit's random number in a draw: the digest read as a fraction, so bytes sort like it."""
    return hashlib.sha256(f"{seed}/{group}".encode()).digest()


def gone_digest(population: Population, rows: IntArray) -> str:
    """SHA-256 of the JSON list of some units, sorted."""
    names = sorted(population.groups[row] for row in rows.tolist())
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()


def allocate(pools: Mapping[str, int], units: int) -> dict[str, int]:
    """How many units of a draw each stratum gets: in proportion, but a tenth in equal parts.

    The equal parts see to it that none goes without checks. Rests go to the largest remainders.
    """
    units = min(units, sum(pools.values()))
    filled = sum(pool > 0 for pool in pools.values())
    least = int(units * _LEAST_SHARE / max(filled, 1))
    given = {name: min(pool, least) for name, pool in pools.items()}
    rest = units - sum(given.values())
    spare = {name: pool - given[name] for name, pool in pools.items()}
    total = max(sum(spare.values()), 1)
    for name, pool in spare.items():
        given[name] += rest * pool // total
    by_remainder = sorted(spare, key=lambda name: (-(rest * spare[name] % total), name))
    for name in by_remainder[: units - sum(given.values())]:
        given[name] += 1
    return given


def _check_seeds(draws: Sequence[Draw]) -> None:
    """Refuse a seed that serves again: what it draws is known, and in a later look nothing."""
    first: dict[str, int] = {}
    for number, draw in enumerate(draws, 1):
        if (before := first.setdefault(draw.seed, number)) < number:
            raise WorkspaceError(
                f"draw {number}: has the seed of draw {before}, so it is known what it draws; each "
                "serves once"
            )


def _gone_rows(population: Population, gone: pa.Table) -> IntArray:
    groups = gone["group"].to_pylist()
    strangers = [group for group in groups if group not in population.row]
    if strangers or len(set(groups)) < len(groups):
        raise WorkspaceError(
            f"sample: units that left it are unknown or occur twice, first "
            f"{(strangers or sorted(groups))[0]}"
        )
    return np.array([population.row[group] for group in groups], np.int64)
