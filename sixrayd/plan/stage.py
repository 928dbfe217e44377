"""The plan: hours divided, what they bring, and the commands that carry it out."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sixrayd.advice.next_step import Judgement
from sixrayd.core.arrays import FloatArray, IntArray
from sixrayd.core.words import counted
from sixrayd.core.workspace import Workspace
from sixrayd.estimate.planted import planted_unsent
from sixrayd.plan.campaign import INTERVAL, CampaignState, Division, Foresight
from sixrayd.plan.dividing import divide, second_looks, seconds_of
from sixrayd.plan.reading import Campaign, read_campaign
from sixrayd.plan.settings import CampaignSettings
from sixrayd.plan.steps import CampaignStep, steps_of
from sixrayd.review.planting.worth import proof_of

_DRAWS = 1000


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A number that is to come: its middle, and what it lies between in `INTERVAL` of cases."""

    low: float
    middle: float
    high: float

    @classmethod
    def of(cls, draws: FloatArray | IntArray) -> "Foreseen":
        """Quantiles of draws."""
        tail = (1 - INTERVAL) / 2
        return cls(*(round(float(q), 2) for q in np.quantile(draws, (tail, 0.5, 1 - tail))))


@dataclass(frozen=True, slots=True)
class CampaignPart:
    """What a part of the time is spent on.

    Args:
        tasks: images, groups of the checks, or looks at finds.
    """

    name: str
    tasks: int
    hours: Foreseen


@dataclass(frozen=True, slots=True)
class CampaignPlan:
    """Reviewers' hours divided, and what they bring.

    Args:
        hours: of all reviewers together.
        answers: images that reviewers have settled so far.
        finds: images found by the end, those of before included.
        left: groups left at most, by the bound that `sixrayd estimate` will show.
        notes: what the plan could not do.
    """

    name: str
    settings: CampaignSettings
    hours: float
    answers: int
    found: int
    finds: Foreseen
    left: Foreseen
    confidence: float
    interval: float
    parts: tuple[CampaignPart, ...]
    spare_hours: float
    steps: tuple[CampaignStep, ...]
    notes: tuple[str, ...]


def plan(workspace: Workspace, settings: CampaignSettings) -> CampaignPlan:
    """Divide the time that is left so that the least is left open; nothing is written.

    Raises:
        WorkspaceError: nothing has been mined yet, or a file is broken or has changed.
    """
    name = settings.name or workspace.newest("mine")
    workspace.run("mine", name)
    judgement = Judgement(workspace)
    campaign = read_campaign(workspace, name, judgement.push_options(name))
    campaign = replace(campaign, to_strew=judgement.to_strew(name))
    division, campaign, notes = _divided(workspace, campaign, settings)
    state = campaign.state
    forecast = forecast_of(state, division, campaign.overhead)
    return CampaignPlan(
        name=name,
        settings=settings,
        hours=round(settings.seconds / 3600, 2),
        answers=int(state.bands.decided.sum()),
        found=state.found,
        finds=forecast.finds,
        left=forecast.left,
        confidence=1 - state.alpha,
        interval=INTERVAL,
        parts=forecast.parts,
        spare_hours=round(division.rest_s * campaign.overhead / 3600, 1),
        steps=steps_of(workspace, judgement, campaign, division, forecast.hours, settings),
        notes=(
            *notes,
            *_of_hiding(campaign, division),
            *_of_planted(workspace, judgement, campaign, division),
        ),
    )


def _of_hiding(campaign: Campaign, division: Division) -> Iterator[str]:
    """What the images of the queue take that the spot checks are sent among."""
    if campaign.checks_elsewhere:
        return
    limit = campaign.limit(division.queue) + campaign.images(division.checks)
    more = min(limit, campaign.queue) - campaign.sent - max(0, division.queue - campaign.open)
    if more > 0:
        hours = more * campaign.state.task_s * campaign.overhead / 3600
        yield (
            f"{counted(more, 'more image')} of the queue, sent with what is to be hidden "
            f"among them: {hours:,.1f} hours, which are not in the table"
        )


def _of_planted(
    workspace: Workspace, judgement: Judgement, campaign: Campaign, division: Division
) -> Iterator[str]:
    """Planted threats that nobody is sent by this plan, and what sends them."""
    unsent, planted = planted_unsent(workspace).get(campaign.name, (0, 0))
    part = min(1.0, campaign.limit(division.queue) / max(campaign.queue, 1))
    left = min(unsent, planted - math.ceil(planted * part))
    if left > 0:
        whole = judgement.push_of(campaign.name, limit=None, confirm_finds=division.second)
        yield (
            f"{left:,} of {counted(planted, 'planted threat')} will not be sent, and with few "
            "answered reviewers count as overlooking more: they come with more of the queue, all "
            f"with the whole, `{workspace.command(whole)}`"
        )


@dataclass(frozen=True, slots=True)
class CampaignForecast:
    """What a division brings, and the hours that it takes at the expected pace."""

    finds: Foreseen
    left: Foreseen
    parts: tuple[CampaignPart, ...]

    @property
    def hours(self) -> dict[str, float]:
        """By part, in the middle."""
        return {part.name: part.hours.middle for part in self.parts}


def forecast_of(
    state: CampaignState, division: Division, overhead: float = 1.0, draws: int = _DRAWS
) -> CampaignForecast:
    """What comes of a division."""
    sight = Foresight(state, draws)
    outcomes, seconds = sight.outcomes(division), seconds_of(state, sight, division)
    tasks = {
        "queue": division.queue,
        "spot checks": division.checks + round(state.checks_open * state.groups),
        "known items": division.known,
        "second looks": round(second_looks(state, sight, division)),
    }
    spent = (seconds.queue, seconds.checks, seconds.known, seconds.second)
    return CampaignForecast(
        finds=Foreseen.of(outcomes.finds),
        left=Foreseen.of(outcomes.left),
        parts=tuple(
            CampaignPart(name, number, Foreseen.of(part * overhead / 3600 * outcomes.pace))
            for (name, number), part in zip(tasks.items(), spent, strict=True)
        ),
    )


def _divided(
    workspace: Workspace, campaign: Campaign, settings: CampaignSettings
) -> tuple[Division, Campaign, tuple[str, ...]]:
    """The division, with as many known items as there can be."""
    seconds = settings.seconds / campaign.overhead
    there, answered = campaign.known
    state = replace(campaign.state, known_open=there - answered, known_most=campaign.known_left)
    division = divide(state, seconds)
    notes = []
    part = campaign.limit(division.queue) / max(campaign.queue, 1)  # of the queue that goes out
    known = min(division.known, int((there or campaign.known_left) * part) - answered)
    known = max(known, 0)
    if known and not there:
        proof = proof_of(workspace, math.ceil(known / max(part, 1e-9)), known=True)
        if proof.harms or proof_of(workspace, known, known=True).harms:
            known = 0
    if not (known or there or any(side.measured for side in state.sides)):
        notes.append(
            f"nothing measures the reviewers: {campaign.known_left:,} labelled positives are left "
            "to strew in, too few to prove anything in this time; the bound takes them to overlook "
            "nothing"
        )
    return replace(division, known=known), replace(campaign, state=state), tuple(notes)
