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

    def push(self, checks: int = 0) -> str:
        """As far into the queue as there is time for, and further to hide spot checks.

        Args:
            checks: groups that are to be drawn before it.
        """
        campaign = self.campaign
        limit = campaign.limit(self.division.queue)
        to = None if limit >= campaign.queue else max(limit, 1)
        hidden, second = min(campaign.images(checks), campaign.queue - limit), self.division.second
        return self.judgement.push_of(campaign.name, hidden=hidden, limit=to, confirm_finds=second)

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
            yield "day 1", (self.push(),), "the queue, as far as there is time"
        lines = (*self._each("pull"), self.push())
        yield days.queue, lines, "each evening: answers in, finds to a second person"
        if self.settings.days > 1:
            why = "the plan by what is known then; each day with the days that are left"
            yield "day 2", (self._plan,), why

    def checks(self, days: _Days) -> Iterator[_Line]:
        sampled = self.campaign.state.sampled
        number = self.division.checks
        if not number:
            return
        again = f"{days.checks}, once those are answered"
        among = "among as many more of the queue"
        if sampled.looks:
            then = ("sixrayd estimate --next-look", self._push_of(sampled.next_look))
            yield days.checks, then, f"spot checks of the next look, {among}"
        elif sampled.any_size:
            line = f"sixrayd estimate --sample {number}"
            yield days.checks, (line, self._push_of(number)), f"spot checks, {among}"
        else:
            looks = sorted({math.ceil(part * number) for part in LOOKS})
            looks = looks if number >= _LEAST_LOOKS else [number]
            line = f"sixrayd estimate --looks {','.join(map(str, looks))}"
            why = f"spot checks at random, once the queue is decided, {among}"
            yield days.checks, (line, self._push_of(looks[0])), why
            if len(looks) > 1:
                why = f"the next looks, {len(looks) - 1} times in all, each sent as `next:` says"
                yield again, (*self._each("pull"), "sixrayd estimate --next-look"), why

    def end(self, days: _Days) -> Iterator[_Line]:
        why = "what reviewers differ on, to one who settles it"
        yield _between(days.last, days.last), (*self._each("pull"), *self._each("adjudicate")), why
        yield "the end", (*self._each("pull"), "sixrayd estimate"), "the bound"

    def _each(self, verb: str) -> tuple[str, ...]:
        """A command of reviews, for this one and for that of the spot checks."""
        also = (f" --name {shlex.quote(self.campaign.sample)}",) if self._elsewhere else ()
        return tuple(f"sixrayd review {verb}{name}" for name in (self._review, *also))

    def _push_of(self, checks: int) -> str:
        """The push that sends spot checks once so many groups more are drawn."""
        if not self._elsewhere:
            return self.push(checks)
        sample = self.campaign.sample
        hidden = self.judgement.to_strew(sample) + self.campaign.images(checks)
        return self.judgement.push_of(sample, hidden=hidden)

    @property
    def _elsewhere(self) -> bool:
        return self.campaign.checks_elsewhere

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
