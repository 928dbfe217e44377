"""Does the bound of planned looks hold at all of them, and how wide is it beside a single look?

A release of 50,000 units; the queue finds all contraband that the detector flags, and each look
draws every unit with a chance of its own, as `sixrayd.statistics.planned` has it.

Example:
    OMP_NUM_THREADS=1 python -m benchmarks.planned_looks --campaigns 10000
"""

import click
import numpy as np

from sixrayd.core.arrays import IntArray
from sixrayd.statistics.planned import LookPlan, limits, total_upper

UNITS = 50_000
CHECKED = 9_000 / 47_500  # share of the units that the last look has drawn
CELLS = ((0.001, 0.26), (0.001, 0.91), (0.01, 0.26))  # prevalence, share that is flagged
ALPHA = 0.05


def drawn_by_looks(number: IntArray, plan: LookPlan, rng: np.random.Generator) -> list[IntArray]:
    """(C,) of so many units that each look has drawn in all."""
    drawn, found = np.zeros_like(number), []
    for look in range(len(plan.fractions)):
        drawn = drawn + rng.binomial(number - drawn, float(plan.chance(look)))
        found.append(drawn)
    return found


def campaigns_of(
    prevalence: float, flagged_share: float, plan: LookPlan, campaigns: int, seed: int
) -> tuple[float, float, float, float]:
    """Share covered at all looks, and medians at the last: left, bound, bound of one look."""
    rng = np.random.default_rng(seed)
    total = rng.binomial(UNITS, prevalence, campaigns)
    flagged = rng.binomial(total, flagged_share)
    looks = range(len(plan.fractions))
    # Of each possible total, the finds with which each look gives it up.
    most = np.array([limits(n, plan, len(looks), ALPHA, 1.0) for n in range(2 * total.max() + 200)])
    by_queue, by_checks = (drawn_by_looks(n, plan, rng) for n in (flagged, total - flagged))
    standing = np.ones((campaigns, len(most)), bool)
    covered = np.ones(campaigns, bool)
    for look in looks:
        finds, found = by_queue[look] + by_checks[look], flagged + by_checks[look]
        standing &= finds[:, None] > most[None, :, look]
        upper = len(most) - 1 - standing[:, ::-1].argmax(axis=1)
        covered &= np.maximum(upper, finds) >= total
    once = LookPlan(plan.fractions[-1:])
    single = {n: total_upper([n], once, UNITS, ALPHA) for n in np.unique(finds).tolist()}
    alone = np.array([single[n] for n in finds.tolist()]) - found
    left, bound = total - found, np.maximum(upper, finds) - found
    return float(covered.mean()), *(float(np.median(x)) for x in (left, bound, alone))


@click.command()
@click.option("--campaigns", default=10_000, show_default=True)
@click.option("--looks", default=10, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(campaigns: int, looks: int, seed: int) -> None:
    """Print a table."""
    plan = LookPlan(tuple(CHECKED * np.geomspace(0.01, 1, looks)))
    print("| prevalence | flagged | covered at all looks | left | bound | one look |")
    print("|---|---|---|---|---|---|")
    for prevalence, flagged in CELLS:
        covered, left, bound, once = campaigns_of(prevalence, flagged, plan, campaigns, seed)
        print(
            f"| {prevalence:g} | {flagged:.0%} | {covered:.2%} | {left:.0f} | {bound:.0f} "
            f"| {once:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
