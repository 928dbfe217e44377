"""What an answer says of the boxes that were drawn in advance: kept, or rejected."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from sixrayd.core.records import Verdict
from sixrayd.core.words import counted
from sixrayd.review.server import Origin, ReadAnswer, ReviewedBox

PAGE = 1  # version of the labelling page that new projects get; 0 told people to delete boxes


@dataclass(frozen=True, slots=True)
class JudgedAnswer:
    """An answer, and the ids of the boxes drawn in advance that it does not keep."""

    answer: ReadAnswer
    rejected: tuple[str, ...]


def judge(answer: ReadAnswer, drawn: Collection[str], page: int = PAGE) -> JudgedAnswer:
    """Drop what a reviewer left without meaning it; what does not fit is noted.

    Where boxes are marked, those stand and what the reviewer drew or changed. Under "nothing
    there" none stands that nobody touched; on the first page it was a contradiction.

    Args:
        drawn: ids of the boxes drawn in advance.
        page: version of the page that the answer was given on.
    """
    boxes = answer.boxes
    marked = any(item.marked for item in boxes)
    if marked or (page and answer.verdict == Verdict.NOTHING):
        boxes = tuple(item for item in boxes if item.marked or item.origin != Origin.CONFIRMED)
    kept = {item.candidate for item in boxes}
    notes = (*answer.notes, *_contradictions(answer.verdict, boxes))
    rejected = tuple(sorted(set(drawn) - kept)) if answer.verdict else ()
    return JudgedAnswer(replace(answer, boxes=boxes, notes=notes), rejected)


def _contradictions(verdict: Verdict | None, boxes: Collection[ReviewedBox]) -> list[str]:
    if verdict is Verdict.NOTHING and boxes:
        return [f"says {str(verdict)!r} but keeps {counted(len(boxes), 'box')}"]
    if verdict is Verdict.MISSED and not boxes:
        return [f"says {str(verdict)!r} but has no box"]
    return []
