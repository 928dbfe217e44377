"""Does the bound on what is missed hold? Simulate campaigns over a grid, print tables, draw them.

Example:
    OMP_NUM_THREADS=1 python -m benchmarks.coverage --campaigns 10000 --out coverage.png
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import click
import numpy as np
from scipy.stats import binomtest

from benchmarks.simulation import CHECKS, Cell, Outcome, peeking, simulate, sum_of_limits

DETECTORS = {"poor": 1.0, "good": 3.0}  # standard deviations; 26 and 91 % of contraband flagged
GRID = [
    Cell(prevalence, quality, error, correlation)
    for prevalence, quality, (error, correlation) in product(
        (0.0001, 0.001, 0.01),
        DETECTORS.values(),
        product((0.0, 0.05, 0.2), (0.0, 0.5, 0.9)),
    )
]
SECOND_ROUND = [
    Cell(prevalence, 1.0, error, 0.5, second_round=True)
    for prevalence, error in product((0.001, 0.01), (0.0, 0.2))
]
EASY_PLANTS = [Cell(0.01, 1.0, error, 0.5, ease=4.0) for error in (0.2, 0.5)]
DRAWN = [Cell(prevalence, 1.0, 0.05, 0.5) for prevalence in (0.0001, 0.001, 0.01)]


@dataclass(frozen=True)
class Row:
    """A cell and how its bound did."""

    cell: Cell
    outcome: Outcome

    @property
    def coverage(self) -> float:
        return self.outcome.covered / len(self.outcome.left)

    @property
    def p_value(self) -> float:
        """Of 95 % coverage against less, one-sided."""
        campaigns = len(self.outcome.left)
        return float(binomtest(self.outcome.covered, campaigns, 0.95, "less").pvalue)

    def markdown(self) -> str:
        """Coverage as share of campaigns, and the last look's median limits."""
        cell, last = self.cell, [a[:, -1] for a in (self.outcome.left, self.outcome.upper)]
        left, upper = (np.median(values) for values in last)
        low, high = np.quantile(last[1], [0.1, 0.9])
        detector = next(name for name, quality in DETECTORS.items() if quality == cell.quality)
        smallest, in_set = (
            count / len(self.outcome.left)
            for count in (self.outcome.covered_at_smallest, self.outcome.set_covered)
        )
        return (
            f"| {cell.prevalence:g} | {detector} | {cell.error:.0%} | {cell.correlation:g} "
            f"| {self.coverage:.2%} | {smallest:.2%} | {self.p_value:.2g} | {in_set:.2%} "
            f"| {left:.0f} | {upper:.0f} | {low:.0f} to {high:.0f} |"
        )


def table(rows: Iterable[Row]) -> str:
    """A Markdown table of cells."""
    head = (
        "| prevalence | detector | overlooked | correlation | covered at all looks "
        "| at the smallest bound | p | set | left | bound | 10 to 90 % |"
    )
    return "\n".join([head, "|" + "---|" * 11, *(row.markdown() for row in rows)])


def draw(path: Path, rows: list[Row], naive: dict[str, float]) -> None:
    """Coverage of every cell, and the bound against the truth as checks go on, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([100 * row.coverage for row in rows], ".", label="this bound, one dot a cell")
    for number, (name, coverage) in enumerate(naive.items()):
        left.plot(len(rows) * (number + 1) / 3, 100 * coverage, "x", label=name)
    left.axhline(95, color="0.5", linestyle="--", label="promised")
    left.set(xlabel="cell of the grid", ylabel="campaigns covered at every look (%)")
    for cell in DRAWN:
        outcome = next(row.outcome for row in rows if row.cell == cell)
        x = CHECKS * 3
        low, median, high = np.quantile(outcome.upper, [0.1, 0.5, 0.9], axis=0)
        line = right.plot(x, median, label=f"bound, prevalence {cell.prevalence:g}")[0]
        right.fill_between(x, low, high, color=line.get_color(), alpha=0.2)
        truth = np.median(outcome.left, axis=0)
        right.plot(x, truth, ":", color=line.get_color())
    right.set(
        xscale="log",
        yscale="log",
        xlabel="spot checks",
        ylabel="contraband units left (dotted: truly)",
    )
    right.set(title="poor detector, 5 % overlooked: medians, 10 to 90 %")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.savefig(path, format="png", dpi=110, metadata={"Software": None})


@click.command()
@click.option("--campaigns", type=click.IntRange(1), default=10_000, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default="coverage.png", show_default=True)
def main(campaigns: int, seed: int, out: Path) -> None:
    """Print coverage and width of the bound for every cell, and of naive ones where they fail."""
    cells = GRID + SECOND_ROUND + EASY_PLANTS
    rows = []
    for number, cell in enumerate(cells):
        rows.append(Row(cell, simulate(cell, campaigns, seed + number)))
        click.echo(f"{number + 1} of {len(cells)}: {rows[-1].coverage:.2%}", err=True)
    grid, second = rows[: len(GRID)], rows[len(GRID) : -len(EASY_PLANTS)]
    worst = min(grid + second, key=lambda row: row.coverage)
    click.echo(f"{campaigns} campaigns a cell; worst {worst.coverage:.2%}, p {worst.p_value:.2g}\n")
    click.echo(table(grid) + "\n\nWith a second round:\n\n" + table(second))
    click.echo("\nPlanted threats easier than real ones:\n\n" + table(rows[-len(EASY_PLANTS) :]))
    alternatives = {
        "sum of one-look limits": sum_of_limits(campaigns, seed),
        "Clopper-Pearson, 50 looks": peeking(campaigns, seed),
    }
    click.echo("\n| alternative | covered | this bound, same draws |\n|---|---|---|")
    for name, (naive, ours) in alternatives.items():
        click.echo(f"| {name} | {naive / campaigns:.2%} | {ours / campaigns:.2%} |")
    draw(out, grid, {name: pair[0] / campaigns for name, pair in alternatives.items()})


if __name__ == "__main__":
    main()
