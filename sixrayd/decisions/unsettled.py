"""How many images of a review are unsettled: one count, in one set of words."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.records import ADJUDICATION, TASK_DEFAULTS, TASK_SCHEMA, Rule
from sixrayd.core.tables import read_table
from sixrayd.core.words import counted
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.consensus import unsettled
from sixrayd.decisions.decision import Decision


@dataclass(frozen=True, slots=True)
class Unsettled:
    """Images of a review that are unsettled by the rule that `review adjudicate` takes.

    Args:
        to_send: an adjudicator was not sent them.
        with_adjudicator: he was, and has not answered.
        left_open: he has answered, and is unsure, drew no box, or contradicts another, or his
            answer was withdrawn; the server gives it to nobody again.
    """

    to_send: int = 0
    with_adjudicator: int = 0
    left_open: int = 0

    @property
    def images(self) -> int:
        """All of them."""
        return self.to_send + self.with_adjudicator + self.left_open

    def __str__(self) -> str:
        parts = (
            (self.to_send, "to send to an adjudicator"),
            (self.with_adjudicator, "with the adjudicator"),
            (self.left_open, "that the adjudicator left open"),
        )
        told = ", ".join(f"{count:,} {what}" for count, what in parts if count)
        return f"{counted(self.images, 'image')} unsettled" + f": {told}" * bool(told)


def adjudicating_reviews(workspace: Workspace) -> dict[str, set[str]]:
    """By image, the reviews that have sent it to an adjudicator: his ruling counts in all.

    Raises:
        WorkspaceError: a table is broken.
    """
    found: dict[str, set[str]] = {}
    for path in workspace.folder("review").glob("[!.]*/tasks.parquet"):
        for row in read_table(path, TASK_SCHEMA, TASK_DEFAULTS).to_pylist():
            if row["lane"] == ADJUDICATION:
                found.setdefault(row["image_id"], set()).add(path.parent.name)
    return found


def classes_in_use(workspace: Workspace) -> ClassList | None:
    """The classes of the release; None where none is ingested."""
    try:
        return workspace.classes()
    except (WorkspaceError, KeyError):
        return None


def sent_elsewhere(workspace: Workspace, review: str) -> set[str]:
    """Images that other reviews than this one have sent to an adjudicator."""
    return {image_id for image_id, by in adjudicating_reviews(workspace).items() if by - {review}}


def count_unsettled(
    tasks: Iterable[Mapping[str, Any]],
    said: Mapping[str, Sequence[Decision]],
    versions: Iterable[Decision],
    elsewhere: Collection[str] = (),
    classes: ClassList | None = None,
) -> Unsettled:
    """Count the images of a review about which its reviewers, or others, are not at one.

    Args:
        tasks: the review's rows of `TASK_SCHEMA`.
        said: standing decisions of all reviews, by image.
        versions: all decisions of the review.
        elsewhere: images that count in another review, see `sent_elsewhere`.
        classes: see `consensus.unsettled`.
    """
    images, sent = set[str](), set[str]()
    for row in tasks:
        (sent if row["lane"] == ADJUDICATION else images).add(row["image_id"])
    images = images.difference(elsewhere) | sent
    here = {i: given for i, given in said.items() if i in images}
    open_ = set(unsettled(here, Rule.ADJUDICATOR, classes))
    ruled = {d.image_id for d in versions if d.lane == ADJUDICATION}
    answered = {
        i for i in open_ & sent if i in ruled or any(d.lane == ADJUDICATION for d in said[i])
    }
    return Unsettled(len(open_ - sent), len((open_ & sent) - answered), len(answered))
