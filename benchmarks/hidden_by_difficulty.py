"""What known contraband is worth where hidden contraband is not a random share of all.

    python -m benchmarks.rehide --release rehearsal --annotations all-classes.zip \
        --classes Folding_Knife,Utility_Knife --out knives --truth knives-truth.csv
    sixrayd download -w ws --release knives --classes Folding_Knife,Utility_Knife
    sixrayd train -w ws --window 0.42
    python -m benchmarks.hidden_by_difficulty -w ws --truth knives-truth.csv --table threats.csv

The pool is all contraband that the model has not learnt as such: held-out positives, and what the
release hides, which on the training side counted as background. Each campaign hides 250 of the pool
among 50,000 negatives: at random, or those that the model scores low, that are small, or around
which the scan is dark (a stand-in for occluded), with some chance. The rest of the pool is known.
Reviewers see a threat with a chance whose log odds fall by one for each standard deviation of the
three together. The queue's likeliest images are decided, three looks are drawn, and the bound of
`sixrayd.statistics` is compared with what is left.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import click
import numpy as np
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import binomtest, t

from sixrayd.core.ahead import chunked
from sixrayd.core.arrays import BoolArray, FloatArray, IntArray, RGBImage
from sixrayd.core.boxes import Box
from sixrayd.core.index import Index
from sixrayd.core.records import Source
from sixrayd.core.workspace import Workspace
from sixrayd.demo.reviewer import load_truth
from sixrayd.detectors.checkpoints import load_checkpoint
from sixrayd.detectors.decoding import DecodeSettings
from sixrayd.detectors.lineage import lineage_of, unlearnt
from sixrayd.detectors.predictor import Predictor
from sixrayd.imaging.decode import decode_rgb
from sixrayd.statistics.missed import PlannedEvidence, bound_planned
from sixrayd.statistics.planned import LookPlan
from sixrayd.statistics.sensitivity import PERFECT, Sensitivity

UNITS, HIDDEN = 50_000, 250
QUEUED = 0.03  # of the clean images: so many are scored above what the queue ends with
LOOKS = LookPlan((0.06, 0.12, 0.18))
SEEN = 0.85  # of the whole pool, without proposals
HELP = 3.0  # times the odds where the model's box is shown
CHANCE = 0.5  # standard deviation of what is added before the hardest are hidden
CLEAN = 800  # clean images that are scored
ALPHA = 0.05
ORDERS = ("random", "scored low", "small", "dark", "all three")


@dataclass(frozen=True)
class Threats:
    """T images with contraband that the model has not learnt as such, and clean ones' scores."""

    label: tuple[str, ...]
    score: FloatArray  # (T,)
    hard: FloatArray  # (T, 3) by score, size and darkness: mean 0, deviation 1
    clean: FloatArray  # (C,)

    @property
    def threshold(self) -> float:
        """The score at which the queue ends."""
        return float(np.quantile(self.clean, 1 - QUEUED))

    @cached_property
    def difficulty(self) -> FloatArray:
        """(T,) all three together."""
        return standard(self.hard.sum(axis=1))

    @cached_property
    def seen(self) -> FloatArray:
        """(2, T) chance to be found, without and with proposals; only what scores gets help."""
        off = brentq(lambda level: expit(level - self.difficulty).mean() - SEEN, -9, 9)
        odds = off - self.difficulty
        shown = self.score >= self.threshold
        return expit(np.stack([odds, odds + np.log(HELP) * shown]))


def standard(values: FloatArray) -> FloatArray:
    """Mean 0, deviation 1."""
    scaled: FloatArray = (values - values.mean()) / values.std()
    return scaled


def measure(workspace: Workspace, truth: Path, model: str) -> list[tuple[str, float, float, float]]:
    """Label, score, area and darkness of each image of the pool; label "" for clean ones."""
    index, boxes = Index.load(workspace), load_truth(truth)
    learnt = lineage_of(workspace, model).images
    positives = unlearnt(index, index.rows(source=Source.POSITIVE), learnt)
    negatives = index.rows(source=Source.NEGATIVE)["image_id"].to_pylist()
    hiding = [image_id for image_id in negatives if boxes.get(image_id)]
    clean = [image_id for image_id in negatives if not boxes.get(image_id)]
    clean = np.random.default_rng(0).permutation(clean)[:CLEAN].tolist()
    ids = [*positives["image_id"].to_pylist(), *hiding]
    checkpoint = load_checkpoint(workspace.output("models", model, "weights.safetensors"))
    looking = Predictor(checkpoint.detector, DecodeSettings(threshold=0.001))
    rows = []
    for batch in chunked([*ids, *clean], 16):
        images = [decode_rgb(index.read(image_id), image_id) for image_id in batch]
        for image_id, image, seen in zip(batch, images, looking.detect(images), strict=True):
            box = max(boxes.get(image_id, ()), key=area, default=None)
            known = (box.label, area(box), darkness(image, box)) if box else ("", 1.0, 0.0)
            rows.append((known[0], float(seen.scores.max(initial=0.001)), *known[1:]))
    return rows


def area(box: Box) -> float:
    """Square pixels."""
    return (box.x2 - box.x1) * (box.y2 - box.y1)


def darkness(image: RGBImage, box: Box) -> float:
    """Median of what surrounds the box, a quarter of its sides wide; 0..1."""
    wide, high = (box.x2 - box.x1) / 4, (box.y2 - box.y1) / 4
    x1, x2 = max(0, round(box.x1 - wide)), round(box.x2 + wide)
    y1, y2 = max(0, round(box.y1 - high)), round(box.y2 + high)
    luma = image.mean(axis=2)
    luma[round(box.y1) : round(box.y2), round(box.x1) : round(box.x2)] = np.nan
    return float(1 - np.nanmedian(luma[y1:y2, x1:x2]) / 255)


def threats_of(rows: list[tuple[str, float, float, float]]) -> Threats:
    """The pool, from what was measured."""
    of = [row for row in rows if row[0]]
    score, size, dark = (np.array([row[n] for row in of]) for n in (1, 2, 3))
    hard = np.stack([-np.log(score / (1 - score + 1e-9)), -np.log(size), dark], axis=1)
    hard = np.stack([standard(column) for column in hard.T], axis=1)
    clean = np.array([row[1] for row in rows if not row[0]])
    return Threats(tuple(row[0] for row in of), score, hard, clean)


@dataclass(frozen=True)
class Campaign:
    """One hiding: which of the pool is found at which look, and what the known ones show."""

    look: IntArray  # (T,) 0 in the queue, 1, 2, … drawn by a look, one more for never; -1 known
    found: BoolArray  # (T,)
    shown: IntArray  # (K,) known ones
    boxed: BoolArray  # (K,) with proposals
    hit: BoolArray  # (K,)

    @classmethod
    def of(
        cls, threats: Threats, order: str, easy: bool, known: int, rng: np.random.Generator
    ) -> "Campaign":
        """A hiding, a draw and what reviewers see.

        Args:
            order: what is hidden; one of `ORDERS`.
            known: so many of the rest are shown to reviewers.
            easy: known ones come of the easier half of the rest, as projections do.
        """
        number, chances = len(threats.label), threats.seen
        columns = (np.zeros(number), *threats.hard.T, threats.difficulty)
        key = columns[ORDERS.index(order)] + CHANCE * rng.standard_normal(number)
        hidden, rest = np.split(np.argsort(-key), [HIDDEN])
        if easy:
            rest = rest[np.argsort(threats.difficulty[rest])[: len(rest) // 2]]
        drawn = 1 + np.searchsorted(LOOKS.fractions, rng.random(number))
        look = np.full(number, -1)
        look[hidden] = np.where(threats.score[hidden] >= threats.threshold, 0, drawn[hidden])
        sees = rng.random(number) < np.where(look == 0, chances[1], chances[0])
        shown = rng.permutation(rest)[:known]
        boxed = (threats.score[shown] >= threats.threshold) & (rng.random(len(shown)) < 0.5)
        hit = rng.random(len(shown)) < np.where(boxed, chances[1, shown], chances[0, shown])
        found = sees & (look >= 0) & (look <= len(LOOKS.fractions))
        return cls(look, found, shown, boxed, hit)

    def left(self, among: BoolArray, looks: int) -> int:
        """Hidden ones of these that nobody has found by a look."""
        return int((among & (self.look >= 0) & ~(self.found & (self.look <= looks))).sum())

    def bound(self, among: BoolArray, looks: int, gamma: float, alpha: float) -> int:
        """What is left of these at most; gamma 0 takes reviewers to overlook nothing."""
        queued = round(QUEUED * UNITS)
        finds = [int((among & self.found & (self.look > 0) & (self.look <= n)).sum())
                 for n in range(1, looks + 1)]  # fmt: skip
        sides = (PERFECT, PERFECT)
        if gamma:
            known = among[self.shown]
            sides = tuple(
                Sensitivity(1, int(side.sum()), int((side & self.hit).sum()), gamma, known=True)
                for side in (known & self.boxed, known & ~self.boxed)
            )
        evidence = PlannedEvidence(
            reviewed=queued,
            found=int((among & self.found & (self.look == 0)).sum()),
            reopened=0,
            units=UNITS - queued,
            found_since=finds[-1],
            finds=tuple(finds),
            drawn=round(LOOKS.fractions[looks - 1] * (UNITS - queued)),
            open=0,
            looks=LOOKS,
            with_proposals=sides[0],
            without_proposals=sides[1],
        )
        return bound_planned(evidence, alpha).upper


@dataclass(frozen=True)
class Told:
    """How campaigns of a kind did."""

    covered: int
    widths: FloatArray  # (N,) bound over what is left

    def __str__(self) -> str:
        number = len(self.widths)
        low, high = binomtest(self.covered, number).proportion_ci()
        half = t.ppf(0.975, number - 1) * self.widths.std(ddof=1) / number**0.5
        return (
            f"{self.covered / number:.0%} ({low:.0%} to {high:.0%}) | "
            f"{self.widths.mean():.2f} ± {half:.2f}"
        )


def told(threats: Threats, campaigns: list[Campaign], label: str, gamma: float) -> Told:
    """Of all contraband, at every look, or of a class at the last one and its share of alpha."""
    classes = sorted(set(threats.label))
    among = np.array([label in ("", one) for one in threats.label])
    alpha = ALPHA / len(classes) if label else ALPHA
    covered, widths, last = 0, [], len(LOOKS.fractions)
    looks = (last,) if label else range(1, last + 1)
    for one in campaigns:
        pairs = [(one.left(among, n), one.bound(among, n, gamma, alpha)) for n in looks]
        covered += all(left <= bound for left, bound in pairs)
        left, bound = pairs[-1]
        widths.append(bound / max(left, 1))
    return Told(covered, np.array(widths))


def odds_ratio(threats: Threats, campaigns: list[Campaign]) -> float:
    """Odds to see known ones over those to see what is hidden, without proposals."""
    chance = threats.seen[0]
    known = np.mean([chance[one.shown].mean() for one in campaigns])
    hidden = np.mean([chance[one.look >= 0].mean() for one in campaigns])
    return float(known / (1 - known) / (hidden / (1 - hidden)))


def lines(threats: Threats, number: int, known: int, seed: int) -> Iterator[str]:
    """A table: each hiding, what measures, all and by class."""
    labels = ("", *sorted(set(threats.label)))
    of = " | ".join(f"{label or 'all'}: covered | bound over left" for label in labels)
    yield f"| hidden | known | odds ratio | Γ | {of} |"
    yield "|" + "---|" * (4 + 2 * len(labels))
    for place, order in enumerate(ORDERS):
        for easy, gammas in ((False, (0, 1, 2, 4)), (True, (1,))):
            rng = np.random.default_rng((seed, place, easy))
            campaigns = [Campaign.of(threats, order, easy, known, rng) for _ in range(number)]
            ratio = odds_ratio(threats, campaigns)
            for gamma in gammas:
                what = "easier half" if easy else "any" if gamma else "none"
                cells = (str(told(threats, campaigns, label, gamma)) for label in labels)
                yield f"| {order} | {what} | {ratio:.1f} | {gamma or ''} | {' | '.join(cells)} |"


def read_table(path: Path) -> list[tuple[str, float, float, float]]:
    """What an earlier run measured."""
    with path.open(encoding="utf-8", newline="") as file:
        return [(name, *map(float, rest)) for name, *rest in csv.reader(file)]


@click.command()
@click.option("-w", "--workspace", "root", type=click.Path(path_type=Path), required=True)
@click.option("--model", default="rfb-lite0", show_default=True)
@click.option("--truth", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--table", type=click.Path(path_type=Path), required=True, help="Measured once.")
@click.option("--campaigns", type=click.IntRange(2), default=100, show_default=True)
@click.option("--known", type=click.IntRange(1), default=150, show_default=True, help="Shown.")
@click.option("--seed", default=0, show_default=True)
def main(
    root: Path, model: str, truth: Path, table: Path, campaigns: int, known: int, seed: int
) -> None:
    """Print what holds and what fails."""
    if not table.exists():
        rows = measure(Workspace(root), truth, model)
        with table.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
    threats = threats_of(read_table(table))
    click.echo(f"{len(threats.label)} in the pool, {len(threats.clean)} clean", err=True)
    for line in lines(threats, campaigns, known, seed):
        click.echo(line)


if __name__ == "__main__":
    main()
