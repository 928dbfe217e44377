"""What changed on the server, held against what was pulled before."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

from sixrayd.core.moments import read_utc
from sixrayd.decisions.decision import Decision, crowded, decisions_of
from sixrayd.decisions.versions import Row, new_versions, newest_versions, withdrawals
from sixrayd.review.cursor import Cursor, Known, Outcome, Problem
from sixrayd.review.folder import ReviewFolder, decided_elsewhere

Rows = dict[bool, list[dict[str, Any]]]  # of `DECISION_SCHEMA`; those on planted images apart
_SPARE = "delete the answer there that is none, then pull again"


class TakenBack(NamedTuple):
    """An annotation that is no decision now, whatever it was."""

    task: int
    image_id: str
    by: str  # a reviewer, who takes back what he said himself and nothing else
    outcome: Outcome
    moment: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """What changed on the server as rows of `DECISION_SCHEMA`, `version` still 0.

    Args:
        cursors: what is known now of each book, by its number.
        lanes: of each book, by its number.
        restored: when the server's backup was put back last; see `new_versions`.
    """

    rows: tuple[dict[str, Any], ...]
    planted: tuple[dict[str, Any], ...]
    taken_back: Mapping[int, TakenBack]  # by annotation
    cursors: Mapping[int, Cursor]
    lanes: Mapping[int, str]
    restored: str = ""

    def fresh(self, known: Sequence[Row], *, planted: bool) -> list[dict[str, Any]]:
        """What is to be appended to the decisions known so far."""
        fresh = new_versions(self.planted if planted else self.rows, known, self.restored)
        for row in newest_versions(known).values():
            back = self.taken_back.get(row["annotation"])
            if back is not None and not row["withdrawn"] and _ends(back, row):
                note = f"taken back on the server: {back.outcome}"
                fresh += withdrawals([row], note, back.moment)
        return fresh

    def within_limits(
        self, review: str, known: Rows, everything: Sequence[Decision]
    ) -> tuple[Rows, tuple[Problem, ...]]:
        """What is to be appended, without new answers on an image of which more would stand than
        is read: kept, they would end every command from then on.

        Args:
            known: all rows of the review so far.
            everything: all versions of all reviews, those on planted images left out.

        Returns:
            The rows, and of each image that has others the largest of these answers.
        """
        before = {False: everything, True: decisions_of(known[True], review)}
        kept, left_out = Rows(), list[Problem]()
        for planted, said in before.items():
            rows = self.fresh(known[planted], planted=planted)
            new = {row["image_id"] for row in rows if not row["withdrawn"]}
            # Without some answers, others that stood before them stand again.
            while held := crowded([*said, *decisions_of(rows, review)], new):
                left_out += [_left_out(image_id, held[image_id], rows) for image_id in held]
                rows = [row for row in rows if row["image_id"] not in held or row["withdrawn"]]
                new -= held.keys()
            kept[planted] = rows
        return kept, tuple(left_out)

    def without(self, ended: Mapping[int, int]) -> Self:
        """Of books that have so many tasks less now, by number."""
        cursors = {
            number: replace(cursor, tasks=cursor.tasks - ended.get(number, 0))
            for number, cursor in self.cursors.items()
        }
        return replace(self, cursors=cursors)

    def count(self, outcome: Outcome) -> int:
        """Annotations on the server that came to this."""
        return sum(known.outcome == outcome for known in self.known())

    def skipped(self, said: Iterable[Decision]) -> int:
        """Annotations on the server that were skipped, of tasks that nobody has ever answered:
        what was answered and taken back by Skip is counted as that (`Progress.ended`).

        Args:
            said: all versions of all decisions of the review, on planted images as well.
        """
        answered = {each.task for each in said}
        return sum(
            known.outcome == Outcome.SKIPPED and known.task not in answered
            for known in self.known()
        )

    def known(self) -> list[Known]:
        """All annotations on the server."""
        return [known for cursor in self.cursors.values() for known in cursor.annotations]

    def lacking(
        self, folder: ReviewFolder, said: Sequence[Decision], left_out: Iterable[Problem]
    ) -> dict[str, int]:
        """By lane, tasks without an answer that the server has no more: a restored backup is older
        than their push, or they were deleted there. As many at least; none is not named.

        Args:
            said: all decisions of the review, on planted images as well.
            left_out: answers that stay on the server, see `within_limits`.
        """
        out = {problem.image_id for problem in left_out}
        done, tasks = {(d.lane, d.image_id) for d in said}, {d.task for d in said}
        open_ = (row for row in folder.tasks() if row["image_id"] not in out)
        left = [row for row in open_ if (row["lane"], row["image_id"]) not in done]
        there = Counter[str]()
        for number, cursor in self.cursors.items():
            answered = {
                known.task
                for known in cursor.annotations
                if known.outcome == Outcome.DECISION or known.task in tasks
            }
            there[self.lanes[number]] += max(0, cursor.tasks - len(answered))
        if len(left) <= there.total():
            return {}
        elsewhere = decided_elsewhere(folder.workspace, folder.name)  # what a push leaves out
        lacking = Counter(row["lane"] for row in left if row["image_id"] not in elsewhere) - there
        return dict(sorted(lacking.items()))


def _left_out(image_id: str, what: str, rows: Iterable[Row]) -> Problem:
    """What is said of an image whose new answers are left on the server, by the largest of them."""
    largest = max(
        (row for row in rows if row["image_id"] == image_id and not row["withdrawn"]),
        key=lambda row: (len(row["boxes"]), row["annotation"]),
    )
    told = f"left out with all new answers on the image: {what}; {_SPARE}"
    return Problem(image_id, largest["task"], largest["annotation"], told)


def _ends(back: TakenBack, row: Row) -> bool:
    """Whether this is what was taken back, after it was said: before, it is of a backup, after
    which numbers of tasks and annotations are given again."""
    own = (back.task, back.by, back.image_id) == (row["task"], row["reviewer"], row["image_id"])
    return own and read_utc(back.moment) >= read_utc(row["decided_at"])
