"""What reviewers said of images, and where the units of a population stand by it.

An image is *settled* when its reviewers' answers amount to a verdict; a unit is *decided* when it
is found, that is when contraband was confirmed in one of its images, or when all its images are
settled. For a class it is decided when it is found as that class or all its images are settled:
who found a gun may not have gone on to the image with the knife. Unsure and conflicting answers
settle nothing, nor does contraband that nobody boxed.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from sixrayd.core.arrays import BoolArray, IntArray
from sixrayd.core.boxes import Box
from sixrayd.core.classes import ClassList
from sixrayd.core.errors import ShapeError, WorkspaceError
from sixrayd.core.records import BOX_COLUMNS, Rule, Verdict
from sixrayd.decisions.consensus import Settled, settle
from sixrayd.decisions.decision import DecidedBox, Decision, check_reviewer
from sixrayd.statistics.population import Population

# decisions.parquet of a certificate: standing answers by image, the earliest first.
ANSWER_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("reviewer", pa.string(), nullable=False),
        pa.field("lane", pa.string(), nullable=False),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("decided_at", pa.string(), nullable=False),
        pa.field(
            "boxes",
            pa.list_(pa.struct(BOX_COLUMNS)),
            nullable=False,
        ),
    ]
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the standing answers about an image amount to."""

    settled: bool
    found: bool = False
    labels: frozenset[str] = frozenset()
    reason: str = ""  # why it is not settled
    confirmed: bool = False  # two readers saw contraband
    confirmed_as: frozenset[str] = frozenset()  # classes that two readers boxed


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """Where the units of a population stand, (U,) each."""

    found: BoolArray
    decided: BoolArray
    settled: BoolArray  # all images
    found_as: Mapping[str, BoolArray]  # by class
    confirmed: BoolArray  # found, and by two readers of one image
    confirmed_as: Mapping[str, BoolArray]
    cleared_in_found: int  # images
    undecided_in_found: int

    @classmethod
    def of(
        cls, population: Population, answers: Mapping[str, Answer], labels: Sequence[str] = ()
    ) -> "Standing":
        """From what is said of images; those outside the population do not matter.

        Args:
            labels: classes to tell apart.
        """
        rows = population.rows_of(answers)
        known = [(row, answers[image_id]) for image_id, row in rows.items()]
        number = len(population.groups)

        def count(chosen: Sequence[int]) -> IntArray:
            return np.bincount(np.array(chosen, np.int64), minlength=number)

        def any_of(chosen: Sequence[int]) -> BoolArray:
            held: BoolArray = count(chosen) > 0
            return held

        settled = count([row for row, answer in known if answer.settled])
        finds = count([row for row, answer in known if answer.found])
        found = finds > 0
        return cls(
            found=found,
            decided=found | (settled == population.sizes),
            settled=settled == population.sizes,
            found_as={
                label: any_of([row for row, answer in known if label in answer.labels])
                for label in labels
            },
            confirmed=any_of([row for row, answer in known if answer.confirmed]),
            confirmed_as={
                label: any_of([row for row, answer in known if label in answer.confirmed_as])
                for label in labels
            },
            cleared_in_found=int((settled - finds)[found].sum()),
            undecided_in_found=int((population.sizes - settled)[found].sum()),
        )

    def decided_as(self, label: str = "") -> BoolArray:
        """(U,) units of which it is known whether they hold a class, or anything without one."""
        return self.settled | self.found_as[label] if label else self.decided


def answer_rows(decisions: Mapping[str, Sequence[Decision]]) -> pa.Table:
    """Standing decisions as `ANSWER_SCHEMA`."""
    return pa.Table.from_pylist(
        [
            {
                "image_id": said.image_id,
                "reviewer": said.reviewer,
                "lane": said.lane,
                "verdict": str(said.verdict),
                "decided_at": said.decided_at,
                "boxes": [item.box.as_row() for item in said.boxes],
            }
            for image_id in sorted(decisions)
            for said in decisions[image_id]
        ],
        ANSWER_SCHEMA,
    )


def said_in(table: pa.Table) -> dict[str, list[Decision]]:
    """By image, the rows of `ANSWER_SCHEMA`.

    Raises:
        WorkspaceError: a row makes no sense.
    """
    said: dict[str, list[Decision]] = {}
    for row in table.to_pylist():
        try:
            said.setdefault(row["image_id"], []).append(_decision(row))
        except (ValueError, ShapeError) as error:
            raise WorkspaceError(f"decision on {row['image_id']}: {error}") from error
    return said


def settled_answers(table: pa.Table, rule: Rule, classes: ClassList) -> dict[str, Answer]:
    """By image, what the rows of `ANSWER_SCHEMA` amount to.

    Raises:
        WorkspaceError: a row makes no sense.
    """
    said = said_in(table)
    return {image_id: _answer(settle(of, rule), of, classes) for image_id, of in said.items()}


def _answer(settled: Settled, said: Sequence[Decision], classes: ClassList) -> Answer:
    decision = settled.decision
    if decision is None:
        return Answer(False, reason=settled.reason)
    if decision.verdict == Verdict.UNSURE:
        return Answer(False, reason=f"unsure: {decision.reviewer}")
    if decision.verdict == Verdict.NOTHING:
        return Answer(True)
    labels = {item.box.label for item in decision.boxes}
    if not labels or not all(map(classes.covers, labels)):
        what = f"boxes of {', '.join(sorted(labels))}" if labels else "no box"
        return Answer(False, reason=f"{decision.reviewer}: {decision.verdict}, but {what}")
    found = frozenset(map(classes.canonical, labels))
    saw = _seen_by_two([(d.reviewer, "") for d in said if d.verdict == Verdict.MISSED])
    named = _seen_by_two(
        (d.reviewer, classes.canonical(item.box.label))
        for d in said
        if d.verdict == Verdict.MISSED
        for item in d.boxes
        if classes.covers(item.box.label)
    )
    return Answer(True, True, found, confirmed=bool(saw), confirmed_as=found & named)


def _seen_by_two(seen: Iterable[tuple[str, str]]) -> frozenset[str]:
    """What two reviewers or more name, of pairs of reviewer and name."""
    readers = Counter(name for _, name in set(seen))
    return frozenset(name for name, number in readers.items() if number > 1)


def _decision(row: Mapping[str, Any]) -> Decision:
    check_reviewer(row["reviewer"])
    boxes = tuple(DecidedBox(Box.from_row(box), "", "") for box in row["boxes"])
    return Decision(
        image_id=row["image_id"],
        review="",
        version=1,
        verdict=Verdict(row["verdict"]),
        reviewer=row["reviewer"],
        decided_at=row["decided_at"],
        lead_time_s=0.0,
        server="",
        task=0,
        annotation=0,
        lane=row["lane"],
        withdrawn=False,
        boxes=boxes,
    )
