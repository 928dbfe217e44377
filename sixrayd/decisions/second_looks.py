"""First looks, and second looks at finds: whose finds go to whom.

The finds of each reviewer make a lane of their own, which is for all others. An answer in it by
that reviewer is a change of mind and no second opinion.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from sixrayd.core.records import ADJUDICATION, Verdict
from sixrayd.decisions.decision import Decision, moment_of

_SECOND_LOOK = "second-look-"


def is_second_look(lane: str) -> bool:
    """Whether reviewers see there what another has boxed."""
    return lane.startswith(_SECOND_LOOK)


def is_first_look(lane: str) -> bool:
    """Whether reviewers see there nothing that others have said."""
    return lane != ADJUDICATION and not is_second_look(lane)


def first_looks(decisions: Iterable[Decision]) -> list[Decision]:
    """Those of people who had seen nothing that others have said, in the order of their times.

    Who changes another's answer in its own annotation has seen that one.
    """
    first: dict[tuple[str, str, int, int, str], str] = {}
    found = []
    for decision in sorted(decisions, key=moment_of):
        where = (decision.review, decision.server, decision.task, decision.annotation)
        by = first.setdefault((*where, decision.image_id), decision.reviewer)
        if decision.reviewer == by and is_first_look(decision.lane):
            found.append(decision)
    return found


def seen_by_one(said: Mapping[str, Sequence[Decision]]) -> dict[str, Decision]:
    """Finds that one reader alone has answered, by image.

    Args:
        said: standing decisions by image.
    """
    return {
        image_id: given[0]
        for image_id, given in said.items()
        if len(given) == 1
        and given[0].lane != ADJUDICATION
        and given[0].verdict == Verdict.MISSED
        and given[0].boxes
    }


def second_looks(
    said: Mapping[str, Sequence[Decision]], key: str, share: float
) -> dict[str, list[Decision]]:
    """Finds that a second person is to look at, by the lane in which that is done.

    Args:
        said: standing decisions by image.
        key: of the review's project; decides for good which images are in a share.
        share: of the finds.
    """
    lanes: dict[str, list[Decision]] = {}
    for image_id, find in seen_by_one(said).items():
        if _part(f"{key}/second look/{image_id}") < share:
            lanes.setdefault(_lane(key, find.reviewer), []).append(find)
    return lanes


def finders_of(lanes: Iterable[str], key: str, people: Iterable[str]) -> dict[str, str]:
    """Whose finds a lane of second looks shows, by lane; none of people who are not named.

    Args:
        key: of the review's project.
    """
    known = {_lane(key, person): person for person in people}
    return {lane: known[lane] for lane in lanes if lane in known}


def _lane(key: str, finder: str) -> str:
    return _SECOND_LOOK + sha256(f"{key}/{finder}".encode()).hexdigest()[:8]


def _part(name: str) -> float:
    return int.from_bytes(sha256(name.encode()).digest()[:8]) / 2**64
