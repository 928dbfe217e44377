"""Simulated campaigns by plan: do the forecasts' intervals hold?

Example:
    python -m benchmarks.campaign_plan --seeds 200

A release hides contraband in 0.25 % of its negatives. A detector scores them, known positives that
it has not learnt from make its belief as `sixrayd mine` does, and three reviewers of different
skill and pace work two weeks by `sixrayd.plan`: the queue in order of score with known positives
strewn in, a second look at finds, then planned looks of spot checks. The plan is made anew each
morning from what was answered. Nothing in it knows how the world is made: its team is slower or
faster than assumed, known positives are easier than hidden ones, reviewers err in both directions.
"""

import json
from dataclasses import dataclass, replace

import click
import numpy as np
from scipy.special import expit

from sixrayd.core.arrays import BoolArray, IntArray
from sixrayd.plan.bands import Bands, bands_of, believed_of
from sixrayd.plan.campaign import LOOKS, CampaignState, Division, Sampled
from sixrayd.plan.dividing import divide
from sixrayd.plan.stage import CampaignForecast, Foreseen, forecast_of
from sixrayd.statistics.belief import believe
from sixrayd.statistics.missed import PlannedEvidence, bound_planned
from sixrayd.statistics.planned import LookPlan
from sixrayd.statistics.sensitivity import Sensitivity

UNMEASURED_S = 10.0  # what the plan takes a task for before the first answer


@dataclass(frozen=True, slots=True)
class World:
    """How a campaign really is."""

    negatives: int = 100_000
    hidden: float = 0.0025
    quality: tuple[float, float] = (2.2, 3.0)  # standard deviations that contraband scores higher
    easier: tuple[float, float] = (0.0, 0.6)  # and known positives higher still
    threshold: float = 1.9  # standard deviations of clean scores
    held_out: int = 400
    sees: tuple[float, ...] = (0.95, 0.88, 0.75)  # each reviewer, of hidden contraband
    known_easier: float = 0.02  # share of known positives that they see more
    wrong: float = 0.0005  # clean images in which they see something
    cleared: float = 0.9  # of these, by a second look
    task_s: tuple[float, ...] = (7.0, 10.0, 14.0)
    pace: float = 0.3  # standard deviation of the log of the team's pace
    days: int = 10
    hours: float = 0.7  # a tenth of the release, in a tenth of the time
    known: int = 800  # positives that may be strewn in

    @property
    def day_s(self) -> float:
        """Seconds of work on a day, of all."""
        return len(self.sees) * self.hours * 3600


class Run:
    """A campaign on its way; flagged images are in order of score, all others are counted."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.rng = world, np.random.default_rng(seed)
        hidden = self.rng.binomial(world.negatives, world.hidden)
        scores = self.rng.standard_normal(world.negatives)
        quality, easier = (self.rng.uniform(*ends) for ends in (world.quality, world.easier))
        scores[:hidden] += quality
        known = quality + easier + self.rng.standard_normal(world.held_out)
        flagged = np.flatnonzero(scores >= world.threshold)
        order = flagged[np.argsort(-scores[flagged], kind="stable")]
        held = np.where(known >= world.threshold, expit(known - 3), 0.0)
        mined = expit(scores[order] - 3)
        belief = believe(held, mined, world.negatives)
        self.doubt, each, others = believed_of(mined, world.negatives, belief)
        self.band, self.believed = bands_of(each, others)
        self.hidden = order < hidden  # (N,) of the flagged
        self.decided, self.found = np.zeros((2, len(order)), bool)  # (N,)
        left = hidden - int(self.hidden.sum())
        self.rest = np.array([world.negatives - len(order) - left, left])  # clean, hidden
        self.checked = np.zeros(2, np.int64)  # of those, decided and found
        self.alone = np.zeros(2, np.int64)  # finds of one reader: false ones, all
        self.sides = [Sensitivity(), Sensitivity()]
        self.sampled: Sampled | None = None  # from the first look on
        self.finds: list[int] = []  # by look
        self.task_s = np.array(world.task_s) * np.exp(world.pace * self.rng.standard_normal())
        self.answers, self.spent_s = 0, 0.0

    @property
    def mean_s(self) -> float:
        """Seconds of a task, of people who work as long as each other."""
        return float(len(self.task_s) / (1 / self.task_s).sum())

    @property
    def n_found(self) -> int:
        """Images found."""
        return int(self.found.sum() + self.checked[1])

    @property
    def n_decided(self) -> int:
        """Images decided."""
        return int(self.decided.sum() + self.checked[0])

    def state(self) -> CampaignState:
        """What the plan is told."""
        world, count = self.world, len(self.believed)
        images, decided, found = (
            np.bincount(self.band[rows], minlength=count)
            for rows in (slice(None), self.decided, self.found)
        )
        images[-1], decided[-1], found[-1] = self.rest.sum() + self.checked[0], *self.checked
        queue = self.band[~self.decided]
        seconds = self.spent_s / self.answers if self.answers else UNMEASURED_S
        undecided = world.negatives - self.n_decided
        return CampaignState(
            bands=Bands(self.doubt, self.believed, images, decided, found),
            queue=queue,
            seconds=np.full(len(queue), seconds),
            task_s=seconds,
            timed=self.answers,
            groups=1.0,
            sampled=self.sampled or Sampled(self.n_decided, self.n_found, undecided),
            sides=(self.sides[0], self.sides[1]),
            alpha=0.05,
            known_most=0 if self.sides[0].measured else world.known,
            alone=int(self.alone[1]),
            found=self.n_found,
        )

    def work(self, tasks: int) -> None:
        """Time that so many tasks take."""
        self.spent_s += float(self.rng.lognormal(-0.125, 0.5, tasks).sum()) * self.mean_s
        self.answers += tasks

    def saw(self, hidden: BoolArray) -> BoolArray:
        """Where reviewers see contraband; the faster ones see more images."""
        speeds = 1 / self.task_s
        who = self.rng.choice(len(speeds), len(hidden), p=speeds / speeds.sum())
        chance = np.where(hidden, np.array(self.world.sees)[who], self.world.wrong)
        seen: BoolArray = self.rng.random(len(hidden)) < chance
        self.work(len(hidden))
        return seen

    def look_again(self) -> None:
        """A second person looks at the finds of one: most false ones are cleared."""
        wrong = np.flatnonzero(self.found & ~self.hidden)[: self.alone[0]]
        self.found[wrong[self.rng.random(len(wrong)) < self.world.cleared]] = False
        self.work(int(self.alone[1]))
        self.alone[:] = 0

    def review(self, number: int) -> None:
        """The next images of the queue."""
        rows = np.flatnonzero(~self.decided)[:number]
        self._decide(rows)
        if self.sampled:
            since = self.sampled.found_since + int(self.found[rows].sum())
            self.sampled = replace(self.sampled, found_since=since)

    def _decide(self, rows: IntArray) -> None:
        self.decided[rows] = True
        self.found[rows] = self.saw(self.hidden[rows])
        self.alone += [(self.found & ~self.hidden)[rows].sum(), self.found[rows].sum()]

    def show_known(self, number: int) -> None:
        """Known positives, half with proposals."""
        hits = self.saw(np.ones(number, bool)) | (self.rng.random(number) < self.world.known_easier)
        parts = hits[: number // 2], hits[number // 2 :]
        self.sides = [Sensitivity(planted=len(p), hits=int(p.sum()), known=True) for p in parts]

    def check(self, looks: tuple[float, ...]) -> None:
        """The next planned look; its first draw fixes the looks."""
        if self.sampled is None:
            undecided = self.world.negatives - self.n_decided
            self.sampled = Sampled(self.n_decided, self.n_found, undecided, looks=looks)
        before = self.sampled
        chance = float(LookPlan(before.looks).chance(before.taken))
        again = int(self.rng.binomial(before.found_since - before.finds, chance))
        rows = np.flatnonzero(~self.decided & (self.rng.random(len(self.decided)) < chance))
        self._decide(rows)
        clean, hidden = (int(number) for number in self.rng.binomial(self.rest, chance))
        seen = self.saw(np.arange(clean + hidden) < hidden)
        self.rest -= [clean, hidden]
        self.checked += [clean + hidden, seen.sum()]
        new = int(seen.sum() + self.found[rows].sum())
        self.finds.append(before.finds + new + again)
        self.sampled = replace(
            before,
            drawn=before.drawn + clean + hidden + len(rows) + again,
            finds=self.finds[-1],
            by_look=tuple(self.finds[:-1]),
            found_since=before.found_since + new,
            taken=before.taken + 1,
        )

    def bound(self) -> int:
        """Left at most, by the looks so far."""
        sample = self.sampled
        if sample is None:
            return self.world.negatives - self.n_decided
        evidence = PlannedEvidence(
            *(sample.reviewed, sample.found, 0, sample.units, sample.found_since),
            *(tuple(self.finds), sample.drawn, 0, LookPlan(sample.looks), *self.sides),
        )
        return bound_planned(evidence).upper


@dataclass(frozen=True, slots=True)
class Told:
    """What the plan said on a morning, beside what came of it.

    Args:
        hours: of all tasks that were planned.
    """

    day: int
    finds: Foreseen
    left: Foreseen
    hours: Foreseen
    true_finds: int
    true_left: int
    true_hours: float


def campaign(world: World, seed: int, mornings: tuple[int, ...], draws: int) -> list[Told]:
    """Two weeks by plan; what it said on some mornings."""
    run, told = Run(world, seed), []
    for day in range(world.days):
        left_s = world.days * world.day_s - run.spent_s
        if left_s <= 0:
            break
        state = run.state()
        division = divide(state, left_s)
        if day in mornings:
            told.append((day, forecast_of(state, division, draws=draws), _hours(run, division)))
        _work_a_day(run, division, world.day_s * (day + 1))
    left = run.bound()
    return [
        Told(day, f.finds, f.left, _in_all(f), run.n_found, left, hours) for day, f, hours in told
    ]


def _hours(run: Run, division: Division) -> float:
    """That the planned tasks will take in truth, at the team's own pace."""
    finds = run.hidden[~run.decided][: division.queue].sum() + run.alone[1]
    tasks = division.queue + division.checks + division.known + finds
    return float(tasks * run.mean_s / 3600)


def _in_all(forecast: CampaignForecast) -> Foreseen:
    parts = [part.hours for part in forecast.parts]
    return Foreseen(*(sum(getattr(p, key) for p in parts) for key in ("low", "middle", "high")))


def _work_a_day(run: Run, division: Division, until_s: float) -> None:
    """The queue first, then looks; a look that is drawn is answered to its end."""
    run.look_again()
    if division.known:
        run.show_known(division.known)
    room = int(max(0.0, until_s - run.spent_s) / run.mean_s)
    queue = min(division.queue, room)
    run.review(queue)
    undecided = run.world.negatives - run.n_decided
    looks = tuple(part * division.checks / undecided for part in LOOKS)
    ahead = division.checks
    while ahead > 0 and run.spent_s < until_s and queue == division.queue:
        before = run.sampled.drawn if run.sampled else 0
        if run.sampled and run.sampled.taken == len(run.sampled.looks):
            break
        run.check(looks)
        ahead -= run.sampled.drawn - before if run.sampled else 0
    run.look_again()


def shares_held(told: list[Told]) -> dict[int, dict[str, float]]:
    """By morning: shares of the campaigns whose outcome lay within, and middles over truths."""
    found: dict[int, dict[str, float]] = {}
    for day in sorted({each.day for each in told}):
        here = [each for each in told if each.day == day]
        row: dict[str, float] = {"campaigns": len(here)}
        for name in ("finds", "left", "hours"):
            said = [getattr(each, name) for each in here]
            true = np.array([getattr(each, f"true_{name}") for each in here])
            low, middle, high = np.array([(s.low, s.middle, s.high) for s in said]).T
            row[name] = round(float(((low <= true) & (true <= high)).mean()), 3)
            row[f"{name} middle"] = round(float(np.median(middle)), 1)
            row[f"{name} width"] = round(float(np.median((high - low) / np.maximum(middle, 1))), 2)
            row[f"{name} true"] = round(float(np.median(true)), 1)
            row[f"{name} below"] = round(float((true < low).mean()), 3)
        found[day] = row
    return found


@click.command()
@click.option("--seeds", type=click.IntRange(1), default=200, show_default=True)
@click.option("--first", type=int, default=0, show_default=True, help="Seed to begin with.")
@click.option("--negatives", type=click.IntRange(1000), default=100_000, show_default=True)
@click.option("--hours", type=float, default=0.7, show_default=True, help="Of each, a day.")
@click.option("--hidden", type=float, default=0.0025, show_default=True)
@click.option("--draws", type=click.IntRange(50), default=400, show_default=True)
def main(seeds: int, first: int, negatives: int, hours: float, hidden: float, draws: int) -> None:
    """Run campaigns; a line of JSON for each morning, with the shares that held."""
    world, told = World(negatives=negatives, hours=hours, hidden=hidden), []
    for seed in range(first, first + seeds):
        told += campaign(world, seed, (0, 3, 6), draws)
        click.echo(f"{seed + 1 - first} of {seeds}", err=True)
    for day, row in shares_held(told).items():
        click.echo(json.dumps({"morning": day + 1, **row}))


if __name__ == "__main__":
    main()
