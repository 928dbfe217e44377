"""What reviewers submitted → append-only tables of decisions."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sixrayd.core.boxes import Box
from sixrayd.core.errors import ServiceError, WorkspaceError
from sixrayd.core.index import Index
from sixrayd.core.workspace import Workspace
from sixrayd.review.folder import Project, ReviewFolder
from sixrayd.review.label_studio import LabelStudio, ServerAnnotation, ServerTask
from sixrayd.review.progress import Progress, count_progress
from sixrayd.review.regions import Answer, read_answer
from sixrayd.review.server import find_server


@dataclass(frozen=True, slots=True)
class PullSettings:
    """What is fetched from where."""

    name: str = ""  # of the review; empty takes the newest
    url: str = ""  # empty takes the workspace's own server
    token_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in an annotation that people should look at."""

    image_id: str
    task: int
    annotation: int
    what: str

    def __str__(self) -> str:
        return f"{self.image_id}: task {self.task}, annotation {self.annotation}: {self.what}"


@dataclass(frozen=True, slots=True)
class PullResult:
    """What a pull brought; `skipped` and `without_verdict` are no decisions."""

    name: str
    new: int
    file: str  # in the review's folder; empty when nothing was new
    skipped: int  # annotations that a reviewer cancelled
    without_verdict: int
    gone: int  # decisions kept although their annotation is no longer on the server
    foreign_tasks: int  # in the project, but not ours
    problems: tuple[Problem, ...]
    progress: Progress


@dataclass(frozen=True, slots=True)
class Fetched:
    """The server's answers as rows of `DECISION_SCHEMA`, `version` still 0."""

    rows: tuple[dict[str, Any], ...]
    annotations: frozenset[int]
    skipped: int
    without_verdict: int
    foreign_tasks: int
    problems: tuple[Problem, ...]


def pull(workspace: Workspace, settings: PullSettings) -> PullResult:
    """Append what is new or changed since the last pull; nothing new writes no file.

    Raises:
        ServiceError: the server is down, refuses, or lacks the review.
        WorkspaceError: nothing has been pushed under this name.
    """
    name = settings.name or newest_review(workspace)
    with workspace.lock():
        folder = ReviewFolder(workspace, name)
        project = pushed_project(folder)
        connection = find_server(workspace, settings.url, settings.token_file)
        with LabelStudio(connection) as server:
            fetched = fetch(folder, project, server)
        known = folder.decisions()
        rows = _new_versions(fetched.rows, known)
        file = ""
        if rows:
            folder.reopen()
            file = folder.append_decisions(rows).relative_to(folder.path).as_posix()
        progress = count_progress(folder.task_images(), [*known, *rows])
        folder.finish(project, asdict(progress))
    return PullResult(
        name=name,
        new=len(rows),
        file=file,
        skipped=fetched.skipped,
        without_verdict=fetched.without_verdict,
        gone=len({row["annotation"] for row in known} - fetched.annotations),
        foreign_tasks=fetched.foreign_tasks,
        problems=fetched.problems,
        progress=progress,
    )


def newest_review(workspace: Workspace) -> str:
    """The review that was pushed to or pulled from last, finished or not.

    Raises:
        WorkspaceError: there is none.
    """
    found = list(workspace.folder("review").glob("*/project.json"))
    if not found:
        return workspace.newest("review")
    return max(found, key=lambda path: (path.stat().st_mtime_ns, path)).parent.name


def pushed_project(folder: ReviewFolder) -> Project:
    """The project of a review.

    Raises:
        WorkspaceError: nothing has been pushed, or the push did not end.
    """
    project = folder.project()
    if project is None or not (folder.path / "tasks.parquet").exists():
        raise WorkspaceError(
            f"{folder.path}: nothing was pushed, or not to the end; run `sixrayd review push`"
        )
    return project


def fetch(folder: ReviewFolder, project: Project, server: LabelStudio) -> Fetched:
    """Read all annotations of a review from the server; writes nothing."""
    number = server.find_project(project.key)
    if number is None:
        raise ServiceError(
            f"{server.connection.url}: has no project of review {folder.name!r}, "
            f"which was pushed to {project.server}; name that server with --url"
        )
    reader = _Reader(folder, project, server.reviewers())
    for task in server.export(number, annotated_only=True):
        reader.add(task)
    return reader.fetched()


class _Reader:
    def __init__(self, folder: ReviewFolder, project: Project, people: dict[int, str]) -> None:
        self.project, self.people = project, people
        self.index = Index.load(folder.workspace)
        self.classes = folder.workspace.classes()
        self.candidates: dict[str, dict[str, Box]] = folder.candidate_boxes()
        self.rows: list[dict[str, Any]] = []
        self.problems: list[Problem] = []
        self.annotations: set[int] = set()
        self.skipped = self.without_verdict = self.foreign = 0

    def add(self, task: ServerTask) -> None:
        image_id = self.project.image_of(task.key)
        if not image_id:
            self.foreign += 1
            return
        for annotation in task.annotations:
            self.annotations.add(annotation.annotation)
            if annotation.cancelled:
                self.skipped += 1
            elif image_id not in self.index:
                what = "left out, the release has no such image"
                self.problems.append(Problem(image_id, task.task, annotation.annotation, what))
            else:
                self._add_answer(image_id, task.task, annotation)

    def _add_answer(self, image_id: str, task: int, annotation: ServerAnnotation) -> None:
        record = self.index.record(image_id)
        boxes = self.candidates.get(image_id, {})
        size_wh = (record.width, record.height)
        answer = read_answer(annotation.regions, size_wh, boxes, self.classes)
        notes = list(answer.notes)
        if answer.verdict is None:
            self.without_verdict += 1
            notes.append("has no verdict, so it is no decision")
        elif when := _utc(annotation.updated_at):
            self.rows.append(self._row(image_id, task, annotation, answer, when))
        else:
            notes.append(f"left out, its time {annotation.updated_at[:40]!r} is none")
        self.problems += [Problem(image_id, task, annotation.annotation, note) for note in notes]

    def _row(
        self, image_id: str, task: int, annotation: ServerAnnotation, answer: Answer, when: str
    ) -> dict[str, Any]:
        by = annotation.reviewer
        return {
            "image_id": image_id,
            "version": 0,
            "verdict": str(answer.verdict),
            "reviewer": self.people.get(by, f"user {by}"),
            "decided_at": when,
            "lead_time_s": annotation.lead_time_s,
            "server": self.project.server,
            "task": task,
            "annotation": annotation.annotation,
            "lane": "1",
            "follows": 0,
            "withdrawn": False,
            "boxes": [
                asdict(item.box) | {"origin": str(item.origin), "candidate": item.candidate}
                for item in answer.boxes
            ],
        }

    def fetched(self) -> Fetched:
        return Fetched(
            rows=tuple(sorted(self.rows, key=lambda row: (row["image_id"], row["annotation"]))),
            annotations=frozenset(self.annotations),
            skipped=self.skipped,
            without_verdict=self.without_verdict,
            foreign_tasks=self.foreign,
            problems=tuple(self.problems),
        )


def _new_versions(
    rows: Sequence[Mapping[str, Any]], known: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    newest: dict[int, Mapping[str, Any]] = {}
    for row in known:
        if row["version"] > newest.get(row["annotation"], {"version": 0})["version"]:
            newest[row["annotation"]] = row
    fresh = []
    for row in rows:
        before = newest.get(row["annotation"])
        if before is None:
            fresh.append({**row, "version": 1})
        elif {**row, "version": before["version"], "follows": before["follows"]} != before:
            version = before["version"] + 1
            fresh.append({**row, "version": version, "follows": before["version"]})
    return fresh


def _utc(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return ""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
