"""The commands that carry a plan out, each as it is typed."""

import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sixrayd.advice.next_step import Judgement
from sixrayd.core.workspace import Workspace
from sixrayd.plan.campaign import LOOKS, Division
from sixrayd.plan.reading import Campaign
from sixrayd.plan.settings import HOURS, CampaignSettings

_LEAST_LOOKS = 8  # checks; fewer make one look


@dataclass(frozen=True, slots=True)
class CampaignStep:
    """What is typed when."""

    when: str
    command: str
    why: str


def steps_of(
    workspace: Workspace,
    judgement: Judgement,
    campaign: Campaign,
    division: Division,
    hours: Mapping[str, float],
    settings: CampaignSettings,
) -> tuple[CampaignStep, ...]:
    """In the order in which they are typed."""
    total = max(sum(hours.values()), 1e-9)
    first = total - hours["spot checks"] if division.checks else total
    last = math.ceil(settings.days)
    turn = min(math.floor(settings.days * first / total) + 1, last) if division.checks else last + 1
    days = _Days(turn, last)
    steps = _Steps(judgement, campaign, division, settings)
    found = [*steps.queue(days), *steps.checks(days), *steps.end(days)]
    return tuple(
        CampaignStep(when, " && ".join(map(workspace.command, lines)), why)
        for when, lines, why in found
    )


_Line = tuple[str, tuple[str, ...], str]


@dataclass(frozen=True, slots=True)
class _Days:
    turn: int  # the day on which checks begin
    last: int

    @property
    def queue(self) -> str:
        return _between(1, max(1, self.turn - 1))

    @property
    def checks(self) -> str:
        return _between(self.turn, self.last)


@dataclass(frozen=True, slots=True)
class _Steps:
    judgement: Judgement
    campaign: Campaign
    division: Division
    settings: CampaignSettings

    @property
    def push(self) -> str:
        """As far into the queue as there is time for."""
        limit = self.campaign.limit(self.division.queue)
        whole = limit >= self.campaign.queue
        to = None if whole else max(limit, 1)
        second = self.division.second
        return self.judgement.push_of(self.campaign.name, limit=to, confirm_finds=second)

    def queue(self, days: _Days) -> Iterator[_Line]:
        campaign, division = self.campaign, self.division
        if division.known and not campaign.known[0]:
            part = campaign.limit(division.queue) / campaign.queue
            number = min(campaign.known_left, math.ceil(division.known / part))
            line = f"sixrayd review plant --from positives --number {number}"
            yield "day 1", (line + self._mining,), "known items, strewn into the queue"
        if serve := self.judgement.server_start(campaign.name):
            yield "day 1", (serve,), "the review server"
        if division.queue or division.known:
            yield "day 1", (self.push,), "the queue, as far as there is time"
        lines = (*self._each("pull"), self.push)
        yield days.queue, lines, "each evening: answers in, finds to a second person"
        if self.settings.days > 1:
            why = "the plan by what is known then; each day with the days that are left"
            yield "day 2", (self._plan,), why

    def checks(self, days: _Days) -> Iterator[_Line]:
        campaign, sampled = self.campaign, self.campaign.state.sampled
        number = self.division.checks
        if not number:
            return
        push = self.judgement.push_of(campaign.sample) if self._elsewhere else self.push
        then = ("sixrayd estimate --next-look", push)
        again = f"{days.checks}, once those are answered"
        if sampled.looks:
            yield days.checks, then, "spot checks of the next look"
        elif sampled.any_size:
            yield days.checks, (f"sixrayd estimate --sample {number}", push), "spot checks"
        else:
            looks = sorted({math.ceil(part * number) for part in LOOKS})
            looks = looks if number >= _LEAST_LOOKS else [number]
            line = f"sixrayd estimate --looks {','.join(map(str, looks))}"
            why = "spot checks at random, once the queue is decided"
            yield days.checks, (line, push), why
            if len(looks) > 1:
                why = f"the next looks, {len(looks) - 1} times in all"
                yield again, (*self._each("pull"), *then), why

    def end(self, days: _Days) -> Iterator[_Line]:
        why = "what reviewers differ on, to one who settles it"
        yield _between(days.last, days.last), (*self._each("pull"), *self._each("adjudicate")), why
        yield "the end", (*self._each("pull"), "sixrayd estimate"), "the bound"

    def _each(self, verb: str) -> tuple[str, ...]:
        """A command of reviews, for this one and for that of the spot checks."""
        also = (f" --name {shlex.quote(self.campaign.sample)}",) if self._elsewhere else ()
        return tuple(f"sixrayd review {verb}{name}" for name in (self._review, *also))

    @property
    def _elsewhere(self) -> bool:
        """Whether the spot checks are in the review of a round before."""
        return self.campaign.state.sampled.taken > 0 and self.campaign.sample != self.campaign.name

    @property
    def _plan(self) -> str:
        left = self.settings.days - 1
        hours = f" --hours {self.settings.hours:g}" if self.settings.hours != HOURS else ""
        people = self.settings.reviewers
        return f"sixrayd plan --reviewers {people} --days {left:g}{hours}{self._mining}"

    @property
    def _mining(self) -> str:
        """The name, where a command would take another mining."""
        newest = self.judgement.workspace.names("mine")[-1:] == [self.campaign.name]
        return "" if newest else self._named

    @property
    def _review(self) -> str:
        """The name, where a command would take another review."""
        others = any(s.name != self.campaign.name for s in self.judgement.reviews.states)
        return self._named if others else ""

    @property
    def _named(self) -> str:
        return f" --name {shlex.quote(self.campaign.name)}"


def _between(first: int, last: int) -> str:
    return f"day {first}" if first >= last else f"days {first} to {last}"
