"""What several reviewers of one image say together, and what they must be asked about again."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import NamedTuple

import numpy as np

from sixrayd.core.arrays import FloatArray
from sixrayd.core.boxes import Box, iou_matrix, stack_xyxy
from sixrayd.core.classes import ClassList
from sixrayd.core.errors import ShapeError
from sixrayd.core.records import ADJUDICATION, Rule, Verdict
from sixrayd.decisions.decision import DecidedBox, Decision, check_count, moment_of

MIN_IOU = 0.5  # two reviewers mean the same thing
_AT_ONCE = 256  # boxes that are compared with all others
AGREED = "agreed"  # origin of a box that several drew, none of them exactly so


class Pair(NamedTuple):
    """A box of the first list and one of the second."""

    first: int
    second: int
    iou: float


@dataclass(frozen=True, slots=True)
class Matching:
    """Which boxes of two lists show one thing; each box occurs once at most."""

    pairs: tuple[Pair, ...]  # of one label
    clashes: tuple[Pair, ...]  # in one place under different labels, among the boxes left over


@dataclass(frozen=True, slots=True)
class Settled:
    """What stands for one image; `reason` says how it was settled, empty where all agree."""

    decision: Decision | None  # None: it needs an adjudicator, `reason` says why
    reason: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """An image that needs an adjudicator, and what to show of it: matched boxes once."""

    image_id: str
    reason: str
    boxes: tuple[Box, ...]


class _Drawn(NamedTuple):
    by: Decision
    item: DecidedBox


def match_boxes(first: Sequence[Box], second: Sequence[Box], min_iou: float = MIN_IOU) -> Matching:
    """Pair boxes one to one so that the sum of their IoU is greatest.

    Boxes pair only with their label; what is left is then compared across labels.

    Args:
        min_iou: in (0, 1], below which two boxes show different things.

    Source: Kuhn 1955, The Hungarian method for the assignment problem.
    """
    iou = iou_matrix(stack_xyxy(first), stack_xyxy(second))  # (N, M)
    iou[iou < min_iou] = 0
    one, two = (np.array([box.label for box in boxes], object) for boxes in (first, second))
    same = one[:, None] == two[None, :]  # (N, M)
    pairs = _assign(np.where(same, iou, 0))
    iou[[p.first for p in pairs], :] = 0
    iou[:, [p.second for p in pairs]] = 0
    return Matching(pairs, _assign(np.where(same, 0, iou)))


def settle(said: Sequence[Decision], rule: Rule) -> Settled:
    """What the standing decisions of one image amount to.

    Unsure is no vote for either side; under `adjudicator` it differs from a verdict all the same.
    Decisions that agree become one that names all their reviewers, at the latest one's time.

    Args:
        said: one or more, the earliest first, at most one a reviewer.

    Raises:
        ShapeError: nobody has answered, or more than `check_count` lets pass.
    """
    if not said:
        raise ShapeError("settle: needs a decision or more, got none")
    check_count(said)
    if ruled := [decision for decision in said if decision.lane == ADJUDICATION]:
        others = [decision for decision in said if decision.lane != ADJUDICATION]
        sure = [decision for decision in ruled if decision.verdict != Verdict.UNSURE] or ruled
        agreed = settle([replace(decision, lane="") for decision in sure], Rule.ADJUDICATOR)
        if agreed.decision is None:
            return Settled(None, f"adjudicators disagree: {_words(ruled)}")
        decision = replace(agreed.decision, lane=ADJUDICATION)
        return Settled(decision, f"adjudicated; before: {_words(others)}" if others else "")
    votes = [decision for decision in said if decision.verdict != Verdict.UNSURE]
    if len(said) == 1:
        return Settled(said[0], "")
    if not votes:
        return Settled(_joined(said, ()), "")
    verdict = _verdict(said, votes, rule)
    if verdict is None:
        return Settled(None, f"reviewers disagree: {_words(said)}")
    side = [decision for decision in votes if decision.verdict == verdict]
    how = f"by {rule}: {_words(said)}" if len(side) < len(said) else ""
    if len(side) == 1:
        return Settled(side[0], how)
    if verdict == Verdict.NOTHING:
        return Settled(_joined(side, ()), how)
    return _settle_boxes(side, rule, how)


def conflicts(decisions: Mapping[str, Sequence[Decision]], rule: Rule) -> tuple[Conflict, ...]:
    """The images that need an adjudicator, in the order given.

    Args:
        decisions: standing ones by image, as `standing_decisions` gives them.
    """
    found = []
    for image_id, said in decisions.items():
        settled = settle(said, rule)
        if settled.decision is None:
            boxes = tuple(_merged(drawn).box for drawn in _things(said))
            found.append(Conflict(image_id, settled.reason, boxes))
    return tuple(found)


def unsettled(
    decisions: Mapping[str, Sequence[Decision]], rule: Rule, classes: ClassList | None = None
) -> dict[str, tuple[Box, ...]]:
    """Images that an adjudicator has to settle, and what to show of them.

    Reviewers disagree about them, are unsure, or saw contraband and drew no box, or one of a class
    that the release has no more: whether anything else is there nobody has said.

    Args:
        decisions: standing ones by image, as `standing_decisions` gives them.
        classes: that the release has; boxes of others are not shown. None: not known.
    """
    open_ = {item.image_id: item.boxes for item in conflicts(decisions, rule)}
    for image_id in decisions.keys() - open_.keys():
        settled = settle(decisions[image_id], rule).decision
        assert settled is not None  # else it would be in conflict
        boxes = tuple(item.box for item in settled.boxes)
        usable = boxes and boxes == _known(boxes, classes)
        if settled.verdict == Verdict.UNSURE or (settled.verdict == Verdict.MISSED and not usable):
            open_[image_id] = boxes
    return {image_id: _known(boxes, classes) for image_id, boxes in open_.items()}


def _known(boxes: tuple[Box, ...], classes: ClassList | None) -> tuple[Box, ...]:
    return tuple(box for box in boxes if classes is None or classes.covers(box.label))


def _assign(gain: FloatArray) -> tuple[Pair, ...]:
    # Loading it takes as long as all else that most commands load, and few of them assign.
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(gain, maximize=True)
    chosen = zip(rows.tolist(), columns.tolist(), gain[rows, columns].tolist(), strict=True)
    return tuple(Pair(*found) for found in chosen if found[2] > 0)


def _verdict(said: Sequence[Decision], votes: Sequence[Decision], rule: Rule) -> Verdict | None:
    verdict, count = Counter(decision.verdict for decision in votes).most_common(1)[0]
    if rule == Rule.ADJUDICATOR:
        return verdict if count == len(said) else None
    if rule == Rule.MAJORITY:
        return verdict if 2 * count > len(votes) else None
    saw = any(decision.verdict == Verdict.MISSED for decision in votes)
    return Verdict.MISSED if saw else Verdict.NOTHING


def _settle_boxes(side: Sequence[Decision], rule: Rule, how: str) -> Settled:
    things = _things(side)
    doubtful = [drawn for drawn in things if _in_doubt(len(drawn), len(side), rule)]
    kept = [drawn for drawn in things if rule == Rule.STRICTEST or 2 * len(drawn) > len(side)]
    if doubtful or (things and not kept):
        return Settled(None, f"reviewers disagree: {_difference(doubtful or things)}")
    if len(kept) < len(things):
        left_out = _difference([drawn for drawn in things if 2 * len(drawn) <= len(side)])
        how = "; ".join(filter(None, (how, f"by {rule}, left out: {left_out}")))
    return Settled(_joined(side, tuple(_drawn_by(drawn, len(side)) for drawn in kept)), how)


def _in_doubt(drew: int, of: int, rule: Rule) -> bool:
    return (rule == Rule.ADJUDICATOR and drew < of) or (rule == Rule.MAJORITY and 2 * drew == of)


def _things(said: Sequence[Decision]) -> list[list[_Drawn]]:
    """Boxes of all reviewers by the thing that they show, one a reviewer at most.

    Reviewers take their turn by what they drew, so that names and times change nothing.
    """
    things: list[list[_Drawn]] = []
    known: list[Box] = []  # of each thing, as those who drew it so far did
    for decision in sorted(said, key=lambda d: [(i.box.label, *i.box.xyxy) for i in d.boxes]):
        matching = match_boxes(known, [item.box for item in decision.boxes])
        place = {pair.second: pair.first for pair in matching.pairs}
        for number, item in enumerate(decision.boxes):
            if number in place:
                things[place[number]].append(_Drawn(decision, item))
                known[place[number]] = _merged(things[place[number]]).box
            else:
                things.append([_Drawn(decision, item)])
                known.append(item.box)
    return things


def _drawn_by(drawn: Sequence[_Drawn], of: int) -> DecidedBox:
    """A box that stands, with those who drew it where that is not everybody."""
    if len(drawn) == of:
        return _merged(drawn)
    names = tuple(sorted(by.reviewer for by, _ in drawn))
    last = max((by for by, _ in drawn), key=moment_of)
    return replace(_merged(drawn), reviewers=names, decided_at=last.decided_at)


def _merged(drawn: Sequence[_Drawn]) -> DecidedBox:
    items = [item for _, item in drawn]
    if len(set(items)) == 1:
        return items[0]
    edges = (fmean(edge) for edge in zip(*(item.box.xyxy for item in items), strict=True))
    candidates = {item.candidate for item in items}
    candidate = candidates.pop() if len(candidates) == 1 else ""
    return DecidedBox(Box(items[0].box.label, *edges), AGREED, candidate)


def _joined(side: Sequence[Decision], boxes: tuple[DecidedBox, ...]) -> Decision:
    return replace(
        side[-1],
        reviewer=", ".join(sorted(decision.reviewer for decision in side)),
        lead_time_s=sum(decision.lead_time_s for decision in side),
        boxes=boxes,
    )


def _words(said: Sequence[Decision]) -> str:
    return "; ".join(f"{decision.reviewer}: {decision.verdict}" for decision in said)


def _clash(boxes: Sequence[Box]) -> bool:
    """Whether two boxes are in one place under different labels."""
    xyxy, labels = stack_xyxy(boxes), np.array([box.label for box in boxes], object)
    for start in range(0, len(boxes), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        there = iou_matrix(xyxy[rows], xyxy) >= MIN_IOU  # (R, N)
        if (there & (labels[rows, None] != labels[None, :])).any():
            return True
    return False


def _difference(things: Sequence[Sequence[_Drawn]]) -> str:
    boxes = [_merged(drawn).box for drawn in things]
    clash = _clash(boxes)
    words = (
        f"{', '.join(sorted(by.reviewer for by, _ in drawn))}: {box.label} at "
        f"({', '.join(f'{edge:g}' for edge in box.xyxy)})"
        for drawn, box in zip(things, boxes, strict=True)
    )
    what = "different classes in one place" if clash else "boxes that others lack"
    return f"{what}: {'; '.join(words)}"
