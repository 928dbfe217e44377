"""Do planned looks cover over the grid of `benchmarks.coverage`, and where do they fail?

Cells, releases, detectors, reviewers and known threats are those of `benchmarks.simulation`; what
the detector flags is decided before the first draw, the rest is drawn by looks at the same shares
of it. A campaign is covered if what lies undecided, and what lies behind the finds of the decided,
stands at every look. Cells beside the grid break an assumption each.

Example:
    OMP_NUM_THREADS=1 python -m benchmarks.planned_coverage --campaigns 10000 --out coverage.csv
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from scipy.special import bdtr
from scipy.stats import binomtest

from benchmarks.coverage import DETECTORS, GRID
from benchmarks.planned_looks import drawn_by_looks
from benchmarks.simulation import CHECKS, Cell, looks_of, population_of
from sixrayd.core.arrays import BoolArray, FloatArray, IntArray
from sixrayd.statistics.overlooked import SMALL_SHARE
from sixrayd.statistics.planned import LookPlan, limits, total_upper
from sixrayd.statistics.sensitivity import sensitivity_lower, units_behind

ALPHA = 0.05
DRAWN = 3 * CHECKS[-1] / 47_500  # share of what is undecided that the last look has drawn
_STEP = 0.01  # sensitivities are rounded down to it
_WIDTH_NAMES = ("left", "bound", "one_look", "half_bound", "half_one_look")
_WIDTHS = 60  # campaigns whose bound is computed, not only whether the truth stands


@dataclass(frozen=True, slots=True)
class Row:
    """How a cell did; widths are medians at the last look and at half the checks."""

    cell: str
    looks: int
    campaigns: int
    covered: int
    left: float
    bound: float
    one_look: float
    half_bound: float
    half_one_look: float

    @property
    def p_value(self) -> float:
        """Of 95 % coverage against less, one-sided."""
        return float(binomtest(self.covered, self.campaigns, 1 - ALPHA, "less").pvalue)


@dataclass(frozen=True, slots=True)
class Campaigns:
    """C campaigns of one cell: what is tested, and what is true."""

    total: IntArray  # (C,) contraband undecided at the first draw
    finds: IntArray  # (C, looks) of the drawn ones
    seen: FloatArray  # (C, looks) lower limits of sensitivity
    hold: BoolArray  # (C,) whether what was decided before stands at every look
    found: IntArray  # (C, looks) of the total, by anybody
    behind: IntArray  # (C, looks) at most behind the finds of what was decided before
    decided: IntArray  # (C,) truly behind them
    share: float = 1.0  # of alpha for the sampling


def plan_of(looks: int, drawn: float = DRAWN) -> LookPlan:
    """Looks at growing shares, as the checks of `benchmarks.simulation` grow."""
    return LookPlan(tuple(drawn * np.geomspace(0.01, 1, looks)))


def rejected(of: Campaigns, plan: LookPlan) -> BoolArray:
    """(C,) whether the true total is given up at any look.

    Who is given up by a look has finds there or before whose chance, or that of fewer, is within
    what is spent by then. Only where that is so the recursion is made.
    """
    result, alpha = np.zeros(len(of.total), bool), ALPHA * of.share
    shares, looks = np.array(plan.fractions), len(plan.fractions)
    spent = np.array([plan.spent(look, alpha) for look in range(looks)]) * (1 + 1e-9)
    for seen in np.unique(of.seen[of.seen > 0]).tolist():
        here = (of.seen == seen) & ~result[:, None]  # (C, looks)
        rows = np.flatnonzero(here.any(axis=1))
        near = bdtr(of.finds[rows], of.total[rows, None], seen * shares) <= spent  # (R, looks)
        rows = rows[(np.logical_or.accumulate(near, axis=1) & here[rows]).any(axis=1)]
        for total in np.unique(of.total[rows]).tolist():
            alike = rows[of.total[rows] == total]
            most = limits(total, plan, looks, alpha, seen)
            crossed = np.logical_or.accumulate(of.finds[alike] <= most, axis=1)
            result[alike] = (crossed & here[alike]).any(axis=1)
    return result


def row_of(name: str, of: Campaigns, plan: LookPlan) -> Row:
    """Coverage of all campaigns, and widths of some."""
    covered = int((~rejected(of, plan) & of.hold).sum())
    shares = np.array(plan.fractions)
    half = int(np.abs(shares - shares[-1] / 2).argmin())
    widths = [widths_at(of, plan, look) for look in (len(shares) - 1, half)]
    left = np.median(of.total - of.found[:, -1] + of.decided)
    (bound, one), (half_bound, half_one) = widths
    looks, number = len(shares), len(of.total)
    return Row(name, looks, number, covered, float(left), bound, one, half_bound, half_one)


def widths_at(of: Campaigns, plan: LookPlan, look: int) -> tuple[float, float]:
    """Medians at a look of the bound and of one look's exact limit at the same sensitivity."""
    once = LookPlan((plan.fractions[look],))
    bounds, alone = [], []
    for c in range(min(_WIDTHS, len(of.total))):
        finds, seen = of.finds[c, : look + 1].tolist(), float(of.seen[c, look])
        beside = int(of.behind[c, look] - of.found[c, look])
        alpha = ALPHA * of.share
        bounds.append(total_upper(finds, plan, 50_000, alpha, seen) + beside)
        alone.append(total_upper(finds[-1:], once, 50_000, alpha, seen) + beside)
    return float(np.median(bounds)), float(np.median(alone))


def of_cell(cell: Cell, plan: LookPlan, campaigns: int, seed: int) -> Campaigns:
    """A cell of the grid."""
    rng, looks = np.random.default_rng(seed), len(plan.fractions)
    contraband, clean = population_of(cell, campaigns, rng)
    flagged, rest = contraband[:, 0], contraband[:, 1:].sum(axis=1)  # (C, kinds)
    reviewed, found = flagged.sum(axis=-1) + clean[:, 0], flagged[:, 1:].sum(axis=-1)
    finds = np.stack(drawn_by_looks(rest[:, 2], plan, rng), axis=1)
    part = SMALL_SHARE if cell.error else 0.0
    ones = np.ones((2, campaigns, looks))
    seen, by_queue = known_to(cell, campaigns, looks, rng) if cell.error else ones
    behind = np.stack(
        [
            units_behind(found, by_queue[:, look], ALPHA * part, reviewed) - found
            if cell.error
            else np.zeros(campaigns, np.int64)
            for look in range(looks)
        ],
        axis=1,
    )
    decided = flagged[:, 0]
    return Campaigns(
        total=rest.sum(axis=-1),
        finds=finds,
        seen=seen,
        hold=(behind >= decided[:, None]).all(axis=1),
        found=finds,
        behind=behind,
        decided=decided,
        share=1 - 3 * part,
    )


def known_to(cell: Cell, campaigns: int, looks: int, rng: np.random.Generator) -> FloatArray:
    """(2, C, looks) lower limits of what queue and checks see, and of what the queue sees."""
    shown, hits = np.zeros((2, 2, campaigns), np.int64)  # each with proposals, without
    found = []
    for number in np.diff(np.linspace(0, cell.planted, looks + 1).astype(int)).tolist():
        level, kind = looks_of(cell, campaigns * number, cell.ease, rng)
        flagged, kind = (level == 0).reshape(campaigns, -1), kind.reshape(campaigns, -1)
        shown = shown + np.stack([flagged.sum(axis=1), (~flagged).sum(axis=1)])
        hit = (flagged & (kind > 0)).sum(axis=1), (~flagged & (kind == 2)).sum(axis=1)
        hits = hits + np.stack(hit)
        limit = [sensitivity_lower(hits[n], shown[n], ALPHA * SMALL_SHARE) for n in (0, 1)]
        found.append(np.floor(np.stack([np.minimum(*limit), limit[0]]) / _STEP) * _STEP)
    return np.stack(found, axis=2)


def simple(
    total: IntArray,
    finds: IntArray,
    found: IntArray,
    seen: float | FloatArray = 1.0,
    share: float = 1.0,
) -> Campaigns:
    """Campaigns in which nothing was decided before the first draw."""
    none = np.zeros_like(finds)
    sees = np.broadcast_to(np.asarray(seen, np.float64), finds.shape)
    return Campaigns(total, finds, sees, np.ones(len(total), bool), found, none, none[:, 0], share)


def outside(plan: LookPlan, campaigns: int, seed: int) -> Iterator[tuple[str, LookPlan, Campaigns]]:
    """Cells that break an assumption, at 50 contraband units but where that is said."""
    rng = np.random.default_rng(seed)
    fifty = np.full(campaigns, 50)
    for false in (20, 40):
        true, wrong = (paths(n, plan, rng) for n in (fifty, np.full(campaigns, false)))
        finds = true + wrong
        # What is truly left is more than total - found by the finds that are none.
        yield f"{false} false finds, all subtracted", plan, simple(fifty + false, finds, finds)
        yield f"{false} false finds, left out", plan, simple(fifty, finds, true)
    following = follows(plan, campaigns, rng)
    yield "queue follows the finds, sees 95 %, checks 80 %", plan, following
    for drawn in (DRAWN, 0.9):
        hard = LookPlan(tuple(np.array(plan.fractions) * drawn / DRAWN))
        visible = paths(np.full(campaigns, 40), hard, rng)
        yield (
            f"fixed difficulties: 10 of 50 seen by nobody, {drawn:.0%} drawn",
            hard,
            simple(fifty, visible, visible, 0.8),
        )
    for odds in (1, 2, 4):
        # Known threats are seen in 80 %; hidden ones at odds 3 times worse.
        hidden = rng.binomial(500, 0.8 / (0.8 + 3 * 0.2), campaigns)
        known = sensitivity_lower(
            rng.binomial(400, 0.8, campaigns), np.full(campaigns, 400), ALPHA * SMALL_SHARE
        )
        seen = np.floor(known / (known + odds * (1 - known)) / _STEP) * _STEP
        finds = paths(hidden, plan, rng)
        yield (
            f"known threats at 3 times the odds of hidden ones, 500 units, gamma {odds}",
            plan,
            simple(np.full(campaigns, 500), finds, finds, seen[:, None], 1 - SMALL_SHARE),
        )


def paths(number: IntArray, plan: LookPlan, rng: np.random.Generator) -> IntArray:
    """(C, looks) of so many units that each look has drawn."""
    return np.stack(drawn_by_looks(number, plan, rng), axis=1)


def follows(plan: LookPlan, campaigns: int, rng: np.random.Generator) -> Campaigns:
    """Of 200 units the queue takes a third of those untouched wherever a look found few.

    It sees 95 % of them, checks 80 %, which is what is stated of both.
    """
    total, expected = 200, 200 * 0.8 * np.array(plan.fractions)
    untouched, queued, missed = np.full(campaigns, total), *np.zeros((2, campaigns), np.int64)
    found, finds = np.zeros((2, campaigns), np.int64)
    rows = []
    for look in range(len(plan.fractions)):
        chance = float(plan.chance(look))
        drawn, again = rng.binomial(untouched, chance), rng.binomial(queued, chance)
        seen = rng.binomial(drawn, 0.8)
        finds, found = finds + seen + again, found + seen
        missed = missed - rng.binomial(missed, chance)  # drawn, and overlooked before
        untouched, queued = untouched - drawn, queued - again
        taken = np.where(finds < expected[look], rng.binomial(untouched, 1 / 3), 0)
        hits = rng.binomial(taken, 0.95)
        untouched, queued = untouched - taken, queued + hits
        missed, found = missed + taken - hits, found + hits
        rows.append((finds, found))
    both = np.array(rows)
    return simple(np.full(campaigns, total), both[:, 0].T, both[:, 1].T, 0.8)


def holm(rows: list[Row]) -> list[bool]:
    """Which cells are under 95 % with 5 % over all cells, by Holm's step-down test."""
    order = sorted(range(len(rows)), key=lambda n: rows[n].p_value)
    fails, going = [False] * len(rows), True
    for rank, number in enumerate(order):
        going = going and rows[number].p_value <= 0.05 / (len(rows) - rank)
        fails[number] = going
    return fails


def name_of(cell: Cell) -> str:
    """As the tables of `benchmarks.coverage` have it."""
    detector = next(name for name, quality in DETECTORS.items() if quality == cell.quality)
    return f"{cell.prevalence:g} {detector} {cell.error:.0%} {cell.correlation:g}"


def read_rows(path: Path) -> list[Row]:
    """What an earlier run wrote; none without one."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Row(
                line["cell"],
                int(line["looks"]),
                int(line["campaigns"]),
                round(float(line["covered"]) * int(line["campaigns"])),
                *(float(line[name]) for name in _WIDTH_NAMES),
            )
            for line in csv.DictReader(file)
        ]


def write_rows(path: Path, rows: list[Row]) -> list[Row]:
    """Write a row a cell, those of the grid first; give back which of the grid fail."""
    names = {name_of(cell) for cell in GRID}
    grid = [row for row in rows if row.cell in names]
    beside = [row for row in rows if row.cell not in names]
    failed = [row for row, fails in zip(grid, holm(grid), strict=True) if fails]
    wrong = failed + [row for row in beside if row.p_value < 0.001]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("cell", "looks", "campaigns", "covered", "p", "fails", *_WIDTH_NAMES))
        for row in grid + beside:
            shares = (f"{row.covered / row.campaigns:.4f}", f"{row.p_value:.2g}")
            widths = (f"{getattr(row, name):g}" for name in _WIDTH_NAMES)
            head = (row.cell, row.looks, row.campaigns)
            writer.writerow((*head, *shares, int(row in wrong), *widths))
    return failed


@click.command()
@click.option("--campaigns", type=click.IntRange(1), default=10_000, show_default=True)
@click.option("--looks", multiple=True, type=click.IntRange(2), default=(10, 30))
@click.option("--seed", default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default="planned.csv", show_default=True)
def main(campaigns: int, looks: tuple[int, ...], seed: int, out: Path) -> None:
    """Write a row a cell, and say which fail; what stands in the file is not made again."""
    rows = read_rows(out)
    done = {(row.cell, row.looks) for row in rows}

    def add(name: str, plan: LookPlan, of: Campaigns) -> None:
        rows.append(row_of(name, of, plan))
        click.echo(f"{rows[-1]}", err=True)
        write_rows(out, rows)

    for number in looks:
        plan = plan_of(number)
        for place, cell in enumerate(GRID):
            if (name_of(cell), number) not in done:
                add(name_of(cell), plan, of_cell(cell, plan, campaigns, seed + place))
        for name, plan_of_cell, of in outside(plan, campaigns, seed):
            if (name, number) not in done:
                add(name, plan_of_cell, of)
    failed = write_rows(out, rows)
    worst = min(rows, key=lambda row: row.p_value)
    click.echo(f"{len(failed)} cells of the grid fail; lowest p {worst.p_value:.2g}: {worst.cell}")


if __name__ == "__main__":
    main()
