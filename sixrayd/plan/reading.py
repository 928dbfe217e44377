"""What a workspace knows of its campaign."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sixrayd.core.arrays import FloatArray, IntArray
from sixrayd.core.records import Kind, Rule
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.second_looks import seen_by_one
from sixrayd.estimate.reading import flagged_by
from sixrayd.estimate.stage import EstimateInputs, gather
from sixrayd.plan.bands import Bands, bands_of, believed_of
from sixrayd.plan.campaign import CampaignState, Sampled
from sixrayd.review.folder import ReviewFolder, reviews_of
from sixrayd.review.planting.known import plan_known
from sixrayd.review.planting.planted import planted_rows
from sixrayd.review.push import wanted
from sixrayd.review.queue.image import ReviewImage
from sixrayd.review.queue.order import MOST_BOXES, Past, task_seconds
from sixrayd.review.queue.plan import mining_belief, past_reviews, spot_checks
from sixrayd.review.settings import PlantSettings, PushSettings
from sixrayd.statistics.double_reading import double_reading
from sixrayd.statistics.evidence import evidence_of, planned_evidence_of, sensitivities
from sixrayd.statistics.sensitivity import Sensitivity
from sixrayd.statistics.settings import BoundSettings
from sixrayd.statistics.standing import Standing

_MOST_OVERHEAD = 3.0
_LEAST_TIMED = 20  # answers; fewer say nothing of the time between them


@dataclass(frozen=True, slots=True, eq=False)
class Campaign:
    """A campaign as it stands, and what its next commands need.

    Args:
        name: of the mining and its review.
        sample: name under which spot checks are drawn.
        queue: images of the whole queue, those decided included.
        sent, open: of them, sent, and of these not answered.
        known: known items of the review, and of them answered.
        known_left: positives that may still become known items.
        to_strew: spot checks and planted images that were not sent.
        overhead: time at work over the seconds that tasks take.
    """

    name: str
    sample: str
    state: CampaignState
    queue: int
    sent: int
    open: int
    known: tuple[int, int]
    known_left: int
    overhead: float
    to_strew: int = 0

    def limit(self, queue: int) -> int:
        """What `review push --limit` is given so that so many more images are reviewed."""
        waiting = min(self.to_strew, self.queue - self.sent)  # are hidden among as many
        return self.sent + max(0, queue - self.open, waiting)

    def images(self, groups: int) -> int:
        """Images in so many groups, about."""
        return math.ceil(groups / self.state.groups)

    @property
    def checks_elsewhere(self) -> bool:
        """Whether the spot checks are in the review of a round before."""
        return self.state.sampled.taken > 0 and self.sample != self.name


def read_campaign(workspace: Workspace, name: str, options: Mapping[str, Any]) -> Campaign:
    """Look at mining, reviews and sample; nothing is written.

    Args:
        options: of the push that goes on.

    Raises:
        WorkspaceError: nothing has been mined yet, or a file is broken or has changed.
    """
    workspace.check_idle("review")
    folder = ReviewFolder(workspace, name)
    material = gather(workspace, "", Rule.ADJUDICATOR)
    kept = {key: options[key] for key in ("duplicates", "again") if key in options}
    queue = wanted(folder, PushSettings(name, **kept)).queue
    sent = {row["image_id"] for row in folder.tasks()}
    waiting = [item for item in queue if item.image_id not in material.said]
    there = {i["image_id"] for i in planted_rows(workspace, name) if i["kind"] == Kind.KNOWN}
    answered = {row["image_id"] for row in folder.decisions(planted=True)} & there
    past = past_reviews(reviews_of(workspace))
    return Campaign(
        name=name,
        sample=material.name,
        state=_state(workspace, name, material, waiting, past, _readings(options)),
        queue=len(queue),
        sent=sum(item.image_id in sent for item in queue),
        open=sum(item.image_id in sent for item in waiting),
        known=(len(there), len(answered)),
        known_left=0 if there else plan_known(workspace, PlantSettings(name)).available,
        overhead=_overhead(workspace, past),
    )


def _readings(options: Mapping[str, Any]) -> float:
    """People who see an image, on average."""
    return 1 + (int(options.get("reviewers", 1)) - 1) * float(options.get("share", 1.0))


def _state(
    workspace: Workspace,
    name: str,
    material: EstimateInputs,
    waiting: Sequence[ReviewImage],
    past: Sequence[Past],
    readings: float,
) -> CampaignState:
    checks = [item.image_id for item in spot_checks(workspace, material.name)]
    bands, place = _bands(workspace, name, material, checks)
    times, last = task_seconds(past), len(bands.images) - 1
    seconds: FloatArray = np.array(
        [times[item.kind, min(len(item.drawn), MOST_BOXES)] for item in waiting]
    )
    band: IntArray = np.array([place.get(item.image_id, last) for item in waiting], np.int64)
    population = material.population
    sampled, sides = _sampled(material)
    return CampaignState(
        bands=bands,
        queue=band,
        seconds=readings * seconds,
        task_s=readings * times[Kind.SPOT_CHECK, 0],
        timed=sum(each.seconds > 0 for each in past),
        groups=len(population.groups) / max(len(population.table), 1),
        sampled=sampled,
        sides=sides,
        alpha=BoundSettings().alpha,
        checks_open=sum(image_id not in material.said for image_id in checks),
        alone=len(seen_by_one(material.said)),
        found=sum(answer.found for answer in material.answers.values()),
    )


def _bands(
    workspace: Workspace, name: str, material: EstimateInputs, checks: Iterable[str]
) -> tuple[Bands, dict[str, int]]:
    """The bands, and that of each flagged image.

    What nobody flagged and the queue has decided all the same was chosen, so it is left out.
    """
    scores = flagged_by(workspace, name)
    negatives = set(material.population.table["image_id"].to_pylist())
    flagged = sorted(scores.keys() & negatives)
    doubt, each, others = believed_of(
        np.array([scores[i] for i in flagged]), len(negatives), mining_belief(workspace, name)
    )
    band, believed = bands_of(each, others)
    place = dict(zip(flagged, band.tolist(), strict=True))
    last, count = len(believed) - 1, len(believed)
    settled = {i: a for i, a in material.answers.items() if a.settled and i in negatives}
    drawn = set(checks)
    counted = [i for i in settled if i in place or i in drawn]
    decided = [place.get(i, last) for i in counted]
    found = [place.get(i, last) for i in counted if settled[i].found]
    images = np.bincount(band, minlength=count)
    images[last] = len(negatives) - len(flagged) - (len(settled) - len(counted))
    counts = (np.bincount(np.array(rows, np.int64), minlength=count) for rows in (decided, found))
    return Bands(doubt, believed, images, *counts), place


def _sampled(material: EstimateInputs) -> tuple[Sampled, tuple[Sensitivity, Sensitivity]]:
    """What was drawn, and how well reviewers see, as the bound counts them."""
    population, drawn = material.population, material.drawn
    standing = Standing.of(population, material.answers)
    cap = double_reading(material.said, material.answers, population).cap
    sides = sensitivities(material.planted, 1.0, cap=cap)
    if drawn.looks:
        planned = planned_evidence_of(population, drawn, standing, sides)
        finds = (planned.finds[-1] if planned.finds else 0) - planned.open
        numbers = (planned.reviewed, planned.found, planned.units, planned.found_since)
        more = (planned.drawn, planned.open, finds, planned.finds[:-1])
        return Sampled(*numbers, *more, drawn.looks.fractions, drawn.draws), sides
    evidence = evidence_of(population, drawn, standing, sides)
    taken = drawn.in_draw > 0
    return (
        Sampled(
            reviewed=evidence.reviewed,
            found=evidence.found,
            units=sum(stratum.units for stratum in evidence.strata),
            found_since=sum(stratum.found for stratum in evidence.strata),
            drawn=int(taken.sum()),
            open=int((taken & ~standing.decided).sum()),
            finds=int((taken & standing.found).sum()),
            taken=drawn.draws,
        ),
        sides,
    )


def _overhead(workspace: Workspace, past: Sequence[Past]) -> float:
    """Time from answer to answer over the seconds of the tasks: loading, and short pauses."""
    timed = [each for each in past if each.seconds > 0]
    answers, work_s = 0, 0.0
    for review in reviews_of(workspace):
        progress = review.progress()
        for reviewer, speed in progress.images_an_hour.items():
            answers += progress.by_reviewer[reviewer]
            work_s += progress.by_reviewer[reviewer] * 3600 / speed
    if min(answers, len(timed)) < _LEAST_TIMED:
        return 1.0
    tasks_s = task_seconds(timed)[Kind.SPOT_CHECK, 0]
    return min(_MOST_OVERHEAD, max(1.0, work_s / answers / tasks_s))
