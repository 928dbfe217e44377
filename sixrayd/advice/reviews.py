"""How far the reviews of a workspace are, as its files tell."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from sixrayd.core.classes import ClassList
from sixrayd.core.documents import is_plain, parse_json
from sixrayd.core.files import plain_text
from sixrayd.core.index import Index
from sixrayd.core.locks import holder
from sixrayd.core.records import (
    ADJUDICATION,
    CANDIDATE_SCHEMA,
    IMAGE_IDS,
    LOCAL,
    TASK_DEFAULTS,
    TASK_SCHEMA,
    Kind,
)
from sixrayd.core.stages import SERVER
from sixrayd.core.tables import read_table, some_columns
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.decision import (
    Decision,
    answered_by_lane,
    answers,
    decisions_of,
    ended_tasks,
    numbered_tables,
    read_decisions,
    said_in_all,
)
from sixrayd.decisions.second_looks import second_looks
from sixrayd.decisions.unsettled import (
    Unsettled,
    adjudicating_reviews,
    classes_in_use,
    count_unsettled,
)

Lanes = Mapping[str, tuple[int, int]]  # answers and tasks of each
# Options of a push that are no text, and what numbers lie between.
_KINDS = {"limit": int, "reviewers": int, "share": (int, float), "confirm_finds": (int, float)}
_KINDS |= dict.fromkeys(("duplicates", "again"), bool)
_RANGES = {"limit": (1, math.inf), "reviewers": (1, 9), "share": (0, 1), "confirm_finds": (0, 1)}


@dataclass(frozen=True, slots=True)
class OnServer:
    """What a server says of a review that the workspace may not have yet."""

    lanes: Lanes
    not_pulled: int
    unsettled: Unsettled = field(default_factory=Unsettled)
    lacking: Mapping[str, int] = field(default_factory=dict)  # tasks that are gone, by lane
    skipped: int = 0  # tasks that were skipped and never answered


@dataclass(frozen=True, slots=True)
class ReviewState:
    """One review.

    Args:
        lanes: answers that were pulled, or that the server has where it was asked.
        not_pulled: answers that only the server has; None where it was not asked.
        strewn: spot checks and planted images that were not sent.
        checks_left: spot checks that were sent and not answered, by what was pulled.
        unsettled: what an adjudicator has to settle.
        ended: reviewers' tasks whose answers were withdrawn or taken back, by what was pulled: who
            answered is not given them again.
        to_confirm: finds that were not sent to a second person, where the push's options want it.
        lacking: tasks without an answer that the server has no more, by lane; none unasked.
        skipped: tasks that were skipped and never answered, which nobody who skipped is given
            again; none unasked.
        whole: False where a push or a pull was killed.
        options: of its newest push, by name.
    """

    name: str
    lanes: Lanes
    not_pulled: int | None
    strewn: int
    checks_left: int
    unsettled: Unsettled
    whole: bool
    server: str
    options: Mapping[str, Any] = field(default_factory=dict)
    to_confirm: int = 0
    ended: int = 0
    lacking: Mapping[str, int] = field(default_factory=dict)
    skipped: int = 0

    @property
    def in_all(self) -> tuple[int, int]:
        """Answers and tasks of all lanes, the adjudicator's as well, as `review status` has it."""
        answered, tasks = zip((0, 0), *self.lanes.values(), strict=True)
        return sum(answered), sum(tasks)

    @property
    def tasks(self) -> int:
        """Tasks of reviewers; the adjudicator's do not count."""
        return sum(of for lane, (_, of) in self.lanes.items() if lane != ADJUDICATION)

    @property
    def answered(self) -> int:
        """Those of them that are answered."""
        return sum(done for lane, (done, _) in self.lanes.items() if lane != ADJUDICATION)

    @property
    def left(self) -> int:
        """Those of them that reviewers have yet to answer."""
        return max(self.tasks - self.answered - self.ended, 0)


class Reviews:
    """All reviews of a workspace; tables are read when they are asked for.

    Args:
        on_server: what servers say, by review.
    """

    def __init__(self, workspace: Workspace, on_server: Mapping[str, OnServer]) -> None:
        self.workspace, self.on_server = workspace, on_server

    @cached_property
    def states(self) -> list[ReviewState]:
        """All that were pushed, the newest last: by their mining, which a later push leaves."""
        pushed = self.workspace.folder("review").glob("[!.]*/project.json")
        begun = []
        for path in pushed:
            mined = self.workspace.folder("mine", path.parent.name) / "run.json"
            mark = mined if mined.exists() else path
            begun.append((self.workspace.dates.of(mark), path.parent))
        return [self._state(folder) for _, folder in sorted(begun)]

    @cached_property
    def said(self) -> dict[str, tuple[Decision, ...]]:
        """Standing decisions of all reviews, by image."""
        return said_in_all(self.workspace)

    @cached_property
    def adjudicating(self) -> dict[str, set[str]]:
        """See `adjudicating_reviews`."""
        return adjudicating_reviews(self.workspace)

    @cached_property
    def classes(self) -> ClassList | None:
        """See `classes_in_use`."""
        return classes_in_use(self.workspace)

    def of(self, name: str) -> ReviewState | None:
        """The review of this name, if it was pushed."""
        return next((state for state in self.states if state.name == name), None)

    def not_sent(self, mining: str) -> int:
        """Flagged images that were neither sent in the mining's review nor decided in any."""
        sent = {row["image_id"] for row in self._tasks(self.workspace.folder("review", mining))}
        return len(self._flagged(mining) - sent - self.said.keys())

    def hiding(self, mining: str, strewn: int) -> int:
        """Images of a mining's queue that hide so many others, and the planted ones that each part
        of the queue brings; at most all that were not sent.
        """
        left, flagged = self.not_sent(mining), len(self._flagged(mining))
        folder = self.workspace.folder("review", mining)
        own = flagged - len(_ids(folder / "planted" / "planted.parquet"))
        return min(left, -(-strewn * flagged // own)) if own > 0 else left

    def _flagged(self, mining: str) -> set[str]:
        path = self.workspace.folder("mine", mining) / "candidates.parquet"
        if not path.exists():
            return set()
        return set(pc.unique(read_table(path, CANDIDATE_SCHEMA)["image_id"]).to_pylist())

    def server_is_up(self) -> bool:
        """Whether the workspace's own server runs; see `review.label_studio.server`. Another user's
        cannot be looked at.
        """
        try:
            by = holder(self.workspace.folder("review") / SERVER / "running")
        except PermissionError:
            return False
        return by is not None and not by.doing

    def _tasks(self, folder: Path) -> list[dict[str, Any]]:
        path = folder / "tasks.parquet"
        if not path.exists():
            return []
        return list(read_table(path, TASK_SCHEMA, TASK_DEFAULTS).to_pylist())

    def _state(self, folder: Path) -> ReviewState:
        rows, project = self._tasks(folder), _project(folder / "project.json")
        told = self.on_server.get(folder.name)
        said = _said(folder)
        done = {(each.lane, each.image_id) for each in answers(said)}
        ended = ended_tasks(rows, said)
        closed = done | ended.keys()
        images = {row["image_id"] for row in rows if row["lane"] != ADJUDICATION}
        ruled = {row["image_id"] for row in rows if row["lane"] == ADJUDICATION}
        here = {i: said for i, said in self.said.items() if i in images - ruled}
        elsewhere = {i for i in images if self.adjudicating.get(i, set()) - {folder.name}}
        options = _options(project.get("settings"))
        return ReviewState(
            name=folder.name,
            lanes=told.lanes if told else answered_by_lane(rows, done),
            not_pulled=told.not_pulled if told else None,
            strewn=len(self._strewn(folder, images)),
            checks_left=sum(
                row["kind"] == Kind.SPOT_CHECK and (row["lane"], row["image_id"]) not in closed
                for row in rows
            ),
            unsettled=told.unsettled
            if told
            else count_unsettled(rows, self.said, said, elsewhere, self.classes),
            whole=(folder / "run.json").exists() and (folder / "tasks.parquet").exists(),
            server=str(project.get("server", LOCAL)),
            options=options,
            lacking=told.lacking if told else {},
            skipped=told.skipped if told else 0,
            ended=len(ended),
            to_confirm=_to_confirm(rows, here, str(project.get("key", "")), options),
        )

    def _strewn(self, folder: Path, sent: set[str]) -> set[str]:
        """Spot checks that were not sent, and what was planted where none of it was."""
        checks = _ids(self.workspace.folder("estimate", folder.name) / "sample.parquet")
        planted = _ids(folder / "planted" / "planted.parquet")
        checks -= sent | self.said.keys()
        if checks:  # what the release has no more no push sends
            index = Index.load(self.workspace)
            checks = {image_id for image_id in checks if image_id in index}
        return checks | (set() if planted & sent else planted)


def _said(folder: Path) -> list[Decision]:
    """All versions that were pulled, those on planted images as well."""
    tables = [
        *numbered_tables(folder / "decisions"),
        *numbered_tables(folder / "planted" / "decisions"),
    ]
    return decisions_of((row for path in tables for row in read_decisions(path)), folder.name)


def _to_confirm(
    rows: Sequence[Mapping[str, Any]],
    said: Mapping[str, Sequence[Decision]],
    key: str,
    options: Mapping[str, Any],
) -> int:
    """Finds of one reader that the review's policy sends to a second one, and that are not."""
    share = options.get("confirm_finds")
    if not isinstance(share, int | float) or not share:
        return 0
    negatives = {row["image_id"] for row in rows if row["kind"] != Kind.POSITIVE}
    here = {image_id: given for image_id, given in said.items() if image_id in negatives}
    sent = {(row["lane"], row["image_id"]) for row in rows}
    return sum(
        (lane, find.image_id) not in sent
        for lane, finds in second_looks(here, key, share).items()
        for find in finds
    )


def _ids(path: Path) -> set[str]:
    """Images of a table; none where there is no such table."""
    if not path.exists():
        return set()
    return set(some_columns(path, IMAGE_IDS)["image_id"].to_pylist())


def _options(settings: Any) -> dict[str, Any]:
    """Options of a push that can have been typed: a stranger's file may say anything."""
    if not isinstance(settings, dict):
        return {}
    fit = {key: said for key, said in settings.items() if is_plain(said, _KINDS.get(key, str))}
    for key, (least, most) in _RANGES.items():
        if key in fit and not least <= fit[key] <= most:
            del fit[key]
    return fit


def _project(path: Path) -> dict[str, Any]:
    """What a push left; nothing where the file is broken, which `push` itself tells."""
    try:
        project = parse_json(plain_text(path))
    except (OSError, ValueError):
        return {}
    return project if isinstance(project, dict) else {}
