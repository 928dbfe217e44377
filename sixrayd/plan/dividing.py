"""How the hours are divided: so that the least is left open, by the forecast."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from sixrayd.plan.campaign import OVER, CampaignState, Division, Foresight
from sixrayd.statistics.overlooked import SMALL_SHARE
from sixrayd.statistics.sensitivity import known_for_width

WIDTH = 1.25  # times that known items may widen the bound
_MOST_KNOWN = 0.1  # of the time
_MOST_SECOND = 0.15
_HELD_BACK = 0.05  # of the time, while checks are ahead
_TRIED = 24  # divisions between queue and checks
_DRAWS = 128  # of each
_AS_GOOD = 1.02  # times the least that is left open


@dataclass(frozen=True, slots=True)
class PartSeconds:
    """Seconds of work by what they are spent on."""

    queue: float
    checks: float
    known: float
    second: float

    @property
    def total(self) -> float:
        """Of all together."""
        return self.queue + self.checks + self.known + self.second


def divide(state: CampaignState, seconds: float) -> Division:
    """The division that leaves the least open, as far as can be foreseen.

    Known items are as many as `WIDTH` takes, second looks come first: both within their share of
    the time. What is left goes to queue and checks, in the proportion that bounds best; of those
    that bound about as well, the one with the longest queue, which finds most.

    Args:
        seconds: of work, breaks left out.
    """
    sight = Foresight(state, _DRAWS)
    known = state.known_open + known_items(state, seconds)
    tried = [
        (division, float(sight.outcomes(division, exact=False).left.mean()))
        for checks in _checks(state, seconds)
        if (division := _filled(state, sight, Division(checks=checks, known=known), seconds))
    ]
    least = min((left for _, left in tried), default=0.0)
    good = [division for division, left in tried if left <= _AS_GOOD * least]
    return max(good, key=lambda division: division.queue, default=Division(known=known))


def known_items(state: CampaignState, seconds: float) -> int:
    """Known items to add: those that the width takes, less those that are or will be answered."""
    good, bad = state.sees
    wanted = 2 * known_for_width(good / (good + bad), WIDTH, SMALL_SHARE * state.alpha)
    there = state.known_open + sum(side.planted or 0 for side in state.sides)
    room = int(_MOST_KNOWN * seconds / state.task_s)
    return max(0, min(wanted - there, room, state.known_most))


def seconds_of(state: CampaignState, sight: Foresight, division: Division) -> PartSeconds:
    """What a division takes at the expected pace."""
    return PartSeconds(
        queue=sight.seconds_of(division.queue),
        checks=(state.checks_open + division.checks / state.groups) * state.task_s,
        known=division.known * state.task_s,
        second=second_looks(state, sight, division) * state.task_s,
    )


def second_looks(state: CampaignState, sight: Foresight, division: Division) -> float:
    """Finds that a second person is to look at."""
    return division.second * (state.alone + sight.finds_of(division.queue))


def _checks(state: CampaignState, seconds: float) -> Iterator[int]:
    """Numbers of groups to draw, few first."""
    sampled = state.sampled
    if sampled.looks:  # of the size that was planned
        for look in range(sampled.taken, len(sampled.looks) + 1):
            more = round(sampled.looks[look - 1] * sampled.units) - sampled.drawn
            yield max(0, more) if look > sampled.taken else 0
        return
    undecided = round(int(state.bands.waiting.sum()) * state.groups)
    most = min(int(seconds / state.task_s * state.groups), undecided)
    numbers = (_rounded(round(most * step / _TRIED)) for step in range(_TRIED + 1))
    yield from sorted({*numbers, undecided if most == undecided else 0})


def _filled(
    state: CampaignState, sight: Foresight, division: Division, seconds: float
) -> Division | None:
    """With as much of the queue as there is time for, and with checks where that is all of it.

    A look that is drawn must be answered to its end, so the queue leaves some time. What second
    looks take is known only with the queue, so it is reckoned twice.

    Returns:
        None where the checks do not fit.
    """
    held = _HELD_BACK * seconds * (division.checks > 0)
    for _ in range(2):
        division = _with_second_looks(state, sight, division, seconds)
        spent = seconds_of(state, sight, division)
        rest = seconds - spent.total + spent.queue
        if division.checks and rest < (-OVER * seconds if state.sampled.looks else held):
            return None
        queue = sight.queue_in(max(0.0, rest - held))
        kept = max(0.0, min(held, rest))
        division = replace(division, queue=_rounded(queue, len(state.queue)), held_s=kept)
    if division.queue < len(state.queue):
        return division
    spare = max(0.0, seconds - held - seconds_of(state, sight, division).total)
    each, most = state.task_s / state.groups, division.checks
    if not state.sampled.looks:
        undecided = round((int(state.bands.waiting.sum()) - division.queue) * state.groups)
        most = min(division.checks + int(spare / each), undecided)
    checks = _rounded(most, division.checks)
    rest_s = max(0.0, spare - (most - division.checks) * each)
    return replace(division, checks=checks, rest_s=rest_s)


def _with_second_looks(
    state: CampaignState, sight: Foresight, division: Division, seconds: float
) -> Division:
    """With a smaller share of them where all would take too long."""
    wanted = seconds_of(state, sight, replace(division, second=1.0)).second
    if wanted <= _MOST_SECOND * seconds:
        return replace(division, second=1.0)
    return replace(division, second=max(0.05, int(20 * _MOST_SECOND * seconds / wanted) / 20))


def _rounded(number: int, whole: int = -1) -> int:
    """Three digits of a number, rounded down, unless it is the whole."""
    if number == whole or number < 1000:
        return number
    unit = int(10 ** (len(str(number)) - 3))
    return number // unit * unit
