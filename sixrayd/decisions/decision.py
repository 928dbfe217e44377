"""What reviewers said, as the stages after the review read it."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sixrayd.core.boxes import Box
from sixrayd.core.documents import NONSENSE, parse_json
from sixrayd.core.errors import ShapeError, WorkspaceError
from sixrayd.core.files import plain_text
from sixrayd.core.moments import read_moment, read_utc
from sixrayd.core.records import ADJUDICATION, DECISION_DEFAULTS, DECISION_SCHEMA, Verdict
from sixrayd.core.restored import check_restored
from sixrayd.core.tables import read_table
from sixrayd.core.workspace import Workspace

_MOST_VERSIONS = 2**31  # of an answer
_AT_ONCE = 10_000  # rows of a table as objects
MOST_BOXES, MOST_ANSWERS = 2_000, 100  # that stand about one image, boxes of all answers together
_MOST_PAIRS = 50_000_000  # of boxes on one image that several drew, over all images: seconds
_WAY_OUT = (  # of a review of one's own
    "delete the answer that is none on the server, or, where it was pulled, end it with "
    "`sixrayd review withdraw`, and pull again"
)
_LONGEST_NAME = 1_000  # signs of a reviewer's name, which is said of each box that he alone drew


@dataclass(frozen=True, slots=True)
class DecidedBox:
    """A box that a reviewer confirmed, changed or drew."""

    box: Box
    origin: str  # "confirmed", "moved", "relabelled", "drawn", or "agreed" by several
    candidate: str  # box id of the detection it goes back to, or empty
    # Who drew it and the latest of their times, where others who saw contraband did not; empty
    # where it is of all of them.
    reviewers: tuple[str, ...] = field(default=(), compare=False)
    decided_at: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Decision:
    """One version of one reviewer's answer about one image."""

    image_id: str
    review: str  # name of the review that it was given in
    version: int
    verdict: Verdict
    reviewer: str
    decided_at: str  # ISO 8601, UTC
    lead_time_s: float
    server: str
    task: int
    annotation: int
    lane: str  # "1", "2" …, ADJUDICATION, or one of second looks
    withdrawn: bool
    boxes: tuple[DecidedBox, ...]
    rejected: tuple[str, ...] = ()  # box ids drawn in advance that it does not keep, where noted


def mining_of(workspace: Workspace, review: str) -> str:
    """The mining whose candidates a review was made of, empty for a review of something else.

    Raises:
        WorkspaceError: the review has not been pushed.
    """
    for path in _made_of(workspace, review):
        if named := re.fullmatch(r"mine/([^/]+)/.+", path):
            return named[1]
    return review if review in workspace.names("mine") else ""


def _made_of(workspace: Workspace, review: str) -> Iterable[str]:
    """What a review's `run.json` says; where a push, a pull or a withdrawal was killed that had
    taken it away, what the push had noted before."""
    folder = workspace.folder("review", review)
    if not (folder / "run.json").exists():
        with suppress(OSError, *NONSENSE):
            noted = parse_json(plain_text(folder / "project.json"))["inputs"]
            return [str(path) for path in dict(noted)]
    return workspace.run("review", review).inputs


def decision_files(workspace: Workspace, review: str) -> list[Path]:
    """The tables of a review's decisions in the order they were pulled; none before the first.

    Raises:
        WorkspaceError: a table bears no number, or a backup is half put back.
    """
    check_restored(workspace)
    return numbered_tables(workspace.folder("review", review) / "decisions")


def numbered_tables(folder: Path) -> list[Path]:
    """`00001.parquet` and so on.

    Raises:
        WorkspaceError: a table bears no such number, as a copy would.
    """
    found = sorted(folder.glob("*.parquet"))
    for path in found:
        if not re.fullmatch(r"\d{5,}", path.stem):
            raise WorkspaceError(
                f"{path}: decisions are in tables named by number; move this one elsewhere"
            )
    return found


def reviews_with_decisions(workspace: Workspace) -> list[str]:
    """All reviews that have any, one that was killed before its `run.json` as well.

    Raises:
        WorkspaceError: a backup is half put back.
    """
    check_restored(workspace)
    files = workspace.folder("review").glob("[!.]*/decisions/*.parquet")
    return sorted({path.parent.parent.name for path in files})


def read_decisions(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of one table of decisions, which is checked first, some at a time: they take far
    more memory than the table. One of an earlier version of sixrayd is understood.

    Raises:
        WorkspaceError: the file is missing, broken, or has other columns, or versions that nothing
            can follow.
    """
    table = read_table(path, DECISION_SCHEMA, DECISION_DEFAULTS)
    if wrong := [n for n in table["version"].to_pylist() if not 0 < n <= _MOST_VERSIONS]:
        raise WorkspaceError(
            f"{path}: version {wrong[0]}, expected 1 to {_MOST_VERSIONS}; put it back from a backup"
        )
    return (row for batch in table.to_batches(_AT_ONCE) for row in batch.to_pylist())


def load_decisions(workspace: Workspace, review: str) -> tuple[Decision, ...]:
    """All versions of all decisions of a review.

    Raises:
        WorkspaceError: a table is broken, or a row makes no sense.
    """
    found: list[Decision] = []
    for path in decision_files(workspace, review):
        rows = read_decisions(path)
        try:
            found += decisions_of(rows, review)
        except WorkspaceError as error:
            raise WorkspaceError(f"{path}: {error}") from error
    return tuple(found)


def all_decisions(workspace: Workspace) -> list[Decision]:
    """All versions of all decisions of all reviews.

    Raises:
        WorkspaceError: see `load_decisions`.
    """
    names = reviews_with_decisions(workspace)
    return [each for name in names for each in load_decisions(workspace, name)]


def said_in_all(
    workspace: Workspace, fresh: Iterable[Decision] = ()
) -> dict[str, tuple[Decision, ...]]:
    """Standing decisions of all reviews, by image.

    Args:
        fresh: versions that only a server has yet.

    Raises:
        WorkspaceError: see `load_decisions`.
    """
    return standing_decisions([*all_decisions(workspace), *fresh])


def decisions_of(rows: Iterable[Mapping[str, Any]], review: str) -> list[Decision]:
    """Rows of `DECISION_SCHEMA` as decisions.

    Raises:
        WorkspaceError: a row makes no sense.
    """
    found = []
    for row in rows:
        try:
            found.append(_decision(row, review))
        except (ShapeError, ValueError) as error:
            raise WorkspaceError(f"decision on {row['image_id']}: {error}") from error
    return found


def answers(decisions: Iterable[Decision]) -> list[Decision]:
    """The newest version of each answer, none of those withdrawn.

    An answer is what one reviewer says in one annotation; the server may give its number again
    to another once a backup is restored.
    """
    newest: dict[tuple[str, str, int, int, str, str], Decision] = {}
    for decision in decisions:
        where = (decision.review, decision.server, decision.task, decision.annotation)
        key = (*where, decision.reviewer, decision.image_id)
        if key not in newest or _version(newest[key]) < _version(decision):
            newest[key] = decision
    return [decision for decision in newest.values() if not decision.withdrawn]


def answered_by_lane(
    tasks: Iterable[Mapping[str, Any]], done: AbstractSet[tuple[str, str]]
) -> dict[str, tuple[int, int]]:
    """By lane, the adjudicator's as well, tasks that are answered and all.

    Args:
        tasks: rows of `TASK_SCHEMA`.
        done: lanes and images of answers that stand.
    """
    sent = {(row["lane"], row["image_id"]) for row in tasks}
    all_, answered = (Counter(lane for lane, _ in keys) for keys in (sent, sent & done))
    return {lane: (answered[lane], all_[lane]) for lane in sorted(all_)}


def ended_tasks(
    tasks: Iterable[Mapping[str, Any]], decisions: Iterable[Decision]
) -> dict[tuple[str, str], int]:
    """By lane and image, reviewers' tasks that were answered and of which no answer stands: what
    was withdrawn or taken back, and is given to nobody again.

    Args:
        tasks: rows of `TASK_SCHEMA`.
        decisions: all versions, those of planted images as well.
    """
    said = list(decisions)
    there = {(each.lane, each.image_id) for each in said}
    there -= {(each.lane, each.image_id) for each in answers(said)}
    return {
        key: row["task"]
        for row in tasks
        if (key := (row["lane"], row["image_id"])) in there and row["lane"] != ADJUDICATION
    }


def standing_decisions(decisions: Iterable[Decision]) -> dict[str, tuple[Decision, ...]]:
    """By image, the last word of each reviewer, the earliest first.

    Of an answer its newest version stands, none where that was withdrawn; of a reviewer who
    answered twice about one image, the later answer. Answers of different reviewers stand side
    by side.

    Raises:
        ShapeError: see `check_counts`.
    """
    standing = _last_words(decisions)
    check_counts(standing.values())
    return {image_id: tuple(sorted(said, key=_when)) for image_id, said in sorted(standing.items())}


def crowded(decisions: Iterable[Decision], new: Collection[str]) -> dict[str, str]:
    """Of some images, those of which more would stand than is read, and what that is.

    Args:
        new: the images; others are given room first.
    """
    last = sorted(_last_words(decisions).items(), key=lambda item: item[0] in new)
    found = _beyond(said for _, said in last)
    return {image_id: what for image_id, what in found if image_id in new}


def _last_words(decisions: Iterable[Decision]) -> dict[str, tuple[Decision, ...]]:
    standing: dict[str, dict[tuple[str, bool], Decision]] = {}
    for decision in sorted(answers(decisions), key=_when):
        standing.setdefault(decision.image_id, {})[role_of(decision)] = decision
    return {image_id: tuple(by_role.values()) for image_id, by_role in standing.items()}


def role_of(decision: Decision) -> tuple[str, bool]:
    """In what somebody has one say on an image: who settles a conflict may have been a party."""
    return decision.reviewer, decision.lane == ADJUDICATION


def check_count(said: Sequence[Decision]) -> None:
    """Refuse what no image has: boxes are paired, which takes long where they are many.

    Args:
        said: the decisions on one image.

    Raises:
        ShapeError: too many decisions, or too many boxes.
    """
    check_counts([said])


def check_reviewer(name: str) -> None:
    """Refuse a name that nobody has.

    Raises:
        ValueError: it is too long.
    """
    if len(name) > _LONGEST_NAME:
        raise ValueError(f"a reviewer of {len(name):,} signs, at most {_LONGEST_NAME:,} are read")


def check_counts(said: Iterable[Sequence[Decision]]) -> None:
    """As `check_count`, and refuse what takes hours though each image is within its limits.

    Args:
        said: the decisions on each image.

    Raises:
        ShapeError: too many decisions or boxes on one image, or of boxes to be paired on all.
    """
    for image_id, what in _beyond(said):
        raise ShapeError(f"{image_id}: {what}; where the review is yours, {_WAY_OUT}")


def _beyond(said: Iterable[Sequence[Decision]]) -> Iterator[tuple[str, str]]:
    pairs = 0
    for given in said:
        boxes = sum(len(each.boxes) for each in given)
        more = boxes**2 if len(given) > 1 else 0
        if boxes > MOST_BOXES or len(given) > MOST_ANSWERS:
            what = f"{boxes:,} boxes in {len(given):,} answers, expected at most "
            yield given[0].image_id, f"{what}{MOST_BOXES:,} and {MOST_ANSWERS}"
        elif pairs + more > _MOST_PAIRS:
            yield (
                given[0].image_id,
                f"with those before it more than {_MOST_PAIRS:,} pairs of boxes on images that "
                "several answered, which nobody draws",
            )
        else:
            pairs += more


def _decision(row: Mapping[str, Any], review: str) -> Decision:
    check_reviewer(row["reviewer"])
    boxes = tuple(
        DecidedBox(Box.from_row(box), box["origin"], box["candidate"]) for box in row["boxes"]
    )
    read_moment(row["decided_at"])
    kept = (
        *("image_id", "version", "reviewer", "decided_at", "lead_time_s", "server", "task"),
        *("annotation", "lane", "withdrawn"),
    )
    verdict = Verdict(row["verdict"])
    rejected = tuple(row.get("rejected") or ())
    given = {key: row[key] for key in kept}
    return Decision(review=review, verdict=verdict, boxes=boxes, rejected=rejected, **given)


def moment_of(decision: Decision) -> datetime:
    """When it was decided; UTC where its time names no zone."""
    return read_utc(decision.decided_at)


def _version(decision: Decision) -> tuple[int, datetime]:
    """Two machines may have given one number, between which a backup went; see `versions`."""
    return decision.version, moment_of(decision)


def _when(decision: Decision) -> tuple[datetime, str, int, int]:
    return moment_of(decision), decision.reviewer, decision.version, decision.annotation
