"""Candidates → tasks of Label Studio, the likeliest first, each image exactly once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from more_itertools import batched

from sixrayd.core.errors import ServiceError, SettingsError, WorkspaceError
from sixrayd.core.files import read_table, write_bytes
from sixrayd.core.index import Index
from sixrayd.core.records import CANDIDATE_SCHEMA, TASK_SCHEMA
from sixrayd.core.shards import extension
from sixrayd.core.workspace import Workspace
from sixrayd.review.connection import Connection
from sixrayd.review.folder import LOCAL, Project, ReviewFolder, decided_elsewhere, with_push
from sixrayd.review.label_studio import LabelStudio, ProjectPlan, ServerTask, project_address
from sixrayd.review.labelling import instruction, labelling_configuration, prediction
from sixrayd.review.progress import count_progress
from sixrayd.review.server import find_server, image_root

TASKS_PER_REQUEST = 200
UPLOADS_PER_REQUEST = 50


@dataclass(frozen=True, slots=True)
class PushSettings:
    """What is sent where.

    Raises:
        SettingsError: the limit is below 1.
    """

    name: str = ""  # of the mining; empty takes the newest
    limit: int | None = None  # images in the review altogether
    url: str = ""  # empty takes the workspace's own server
    token_file: Path | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise SettingsError(f"--limit {self.limit}: expected 1 or more")


@dataclass(frozen=True, slots=True)
class PushResult:
    """What a push did; `added` and `already_there` count images."""

    name: str
    project: int
    address: str
    added: int
    already_there: int
    decided_elsewhere: int
    duplicates_removed: int


@dataclass(frozen=True, slots=True)
class _Flagged:
    """An image with its candidates, rows of `CANDIDATE_SCHEMA`."""

    image_id: str
    rank: int
    image_score: float
    rows: tuple[Mapping[str, Any], ...]


def push(
    workspace: Workspace,
    settings: PushSettings,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> PushResult:
    """Send a mining's candidates to reviewers; a second push adds only what is missing.

    Args:
        advance: told how many of how many images have been sent.

    Raises:
        ServiceError: the server is down or refuses.
        WorkspaceError: there is no finished mining, or a shard has changed.
    """
    name = settings.name or workspace.newest("mine")
    with workspace.lock():
        workspace.run("mine", name)
        connection = find_server(workspace, settings.url, settings.token_file)
        with LabelStudio(connection) as server:
            return _Push(workspace, name, connection, server).run(settings.limit, advance)


class _Push:
    def __init__(
        self, workspace: Workspace, name: str, connection: Connection, server: LabelStudio
    ) -> None:
        self.workspace, self.name = workspace, name
        self.connection, self.server = connection, server
        self.folder = ReviewFolder(workspace, name)
        self.index = Index.load(workspace)

    def run(self, limit: int | None, advance: Callable[[int, int], None]) -> PushResult:
        flagged = load_flagged(self.workspace.folder("mine", self.name) / "candidates.parquet")
        elsewhere = decided_elsewhere(self.workspace, self.name) & {f.image_id for f in flagged}
        wanted = [item for item in flagged if item.image_id not in elsewhere][:limit]
        project = self._project()
        there = self._tasks(project)
        decided = {row["image_id"] for row in self.folder.decisions()}
        new = [f for f in wanted if f.image_id not in there and f.image_id not in decided]

        self.folder.reopen()
        project = self.folder.keep(self._pushed(project, limit))
        self._keep_candidates(new, there.keys() | decided)
        self._send(project, new, advance)
        tasks = self._tasks(project) if new else there
        removed = self._remove_duplicates(tasks)
        self._keep_tasks(project, tasks)
        progress = count_progress(self.folder.task_images(), self.folder.decisions())
        self.folder.finish(project, asdict(progress))
        return PushResult(
            name=self.name,
            project=project.project,
            address=project_address(self.connection, project.project),
            added=len(new),
            already_there=len(wanted) - len(new),
            decided_elsewhere=len(elsewhere),
            duplicates_removed=removed,
        )

    def _project(self) -> Project:
        # The key is on disk before the project is made, so that a killed push finds it again.
        where = LOCAL if self.connection.local else self.connection.url
        project = self.folder.project() or self.folder.new_project(where)
        number = self.server.find_project(project.key)
        if number is None and project.project:
            raise ServiceError(
                f"{self.connection.url}: has no project of review {self.name!r}, which was pushed "
                f"to {project.server}; name that server, or mine under another --name"
            )
        if number is None:
            classes = self.workspace.classes()
            labelling = labelling_configuration(classes)
            plan = ProjectPlan(f"sixrayd {self.name}", project.key, labelling, instruction())
            number = self.server.create_project(plan)
        return self.folder.keep(replace(project, project=number))

    def _pushed(self, project: Project, limit: int | None) -> Project:
        settings = {"name": self.name, "limit": limit, "server": project.server}
        return with_push(
            project, settings, self.workspace.upstream(("shards", ""), ("mine", self.name))
        )

    def _tasks(self, project: Project) -> dict[str, list[ServerTask]]:
        found: dict[str, list[ServerTask]] = {}
        for task in self.server.export(project.project, annotated_only=False):
            if image_id := project.image_of(task.key):
                found.setdefault(image_id, []).append(task)
        return found

    def _keep_candidates(self, new: Sequence[_Flagged], sent: set[str]) -> None:
        rows = [row for row in self.folder.candidates() if row["image_id"] in sent]
        rows += [dict(row) for item in new for row in item.rows]
        self.folder.write_candidates(sorted(rows, key=_likeliest))

    def _send(
        self, project: Project, new: Sequence[_Flagged], advance: Callable[[int, int], None]
    ) -> None:
        shown = self._show_from_disk if self.connection.local else self._show_by_upload
        done = 0
        for batch in batched(new, TASKS_PER_REQUEST):
            addresses = shown(project, batch)
            tasks = [self._task(project, item, addresses[item.image_id]) for item in batch]
            self.server.import_tasks(project.project, tasks)
            done += len(batch)
            advance(done, len(new))

    def _task(self, project: Project, item: _Flagged, address: str) -> dict[str, Any]:
        record = self.index.record(item.image_id)
        data = {
            "image": address,
            "image_id": item.image_id,
            "rank": item.rank,
            "score": round(item.image_score, 4),
            "width": record.width,
            "height": record.height,
            "sixrayd": project.task_key(item.image_id),
        }
        return {
            "data": data,
            "predictions": [prediction(item.rows, (record.width, record.height))],
        }

    def _show_from_disk(self, project: Project, batch: Sequence[_Flagged]) -> dict[str, str]:
        folder = image_root(self.workspace) / self.name
        addresses = {}
        for item in batch:
            data = self.index.read(item.image_id)
            file = item.image_id + extension(data)
            if Path(file).name != file:
                raise WorkspaceError(f"image {item.image_id!r}: its id cannot be a file name")
            if not (folder / file).exists():
                write_bytes(folder / file, data)
            path = quote(f"{self.name}/{file}")
            addresses[item.image_id] = f"/data/local-files/?d={path}"
        self.server.serve_images(project.project, folder)
        return addresses

    def _show_by_upload(self, project: Project, batch: Sequence[_Flagged]) -> dict[str, str]:
        # The server alters names, so they are hashes, from which a repeated push knows them.
        data = {item.image_id: self.index.read(item.image_id) for item in batch}
        names = {
            image_id: sha256(project.task_key(image_id).encode()).hexdigest()[:32] + extension(d)
            for image_id, d in data.items()
        }
        there = self.server.uploaded(project.project)
        missing = [image_id for image_id in data if names[image_id] not in there]
        for part in batched(missing, UPLOADS_PER_REQUEST):
            self.server.upload(project.project, {names[i]: data[i] for i in part})
        there = self.server.uploaded(project.project) if missing else there
        if lost := [image_id for image_id in data if names[image_id] not in there]:
            raise ServiceError(
                f"{self.connection.url}: took {lost[0]} but does not list it; push again"
            )
        return {image_id: there[names[image_id]] for image_id in data}

    def _remove_duplicates(self, tasks: dict[str, list[ServerTask]]) -> int:
        # Two tasks for one image come of a push that was killed while the server still imported.
        removed = 0
        for image_id, same in tasks.items():
            first = next((task for task in same if not task.untouched), same[0])
            spare = [task for task in same if task.untouched and task is not first]
            for task in spare:
                self.server.delete_task(task.task)
            removed += len(spare)
            tasks[image_id] = [first]
        return removed

    def _keep_tasks(self, project: Project, tasks: dict[str, list[ServerTask]]) -> None:
        path = self.folder.path / "tasks.parquet"
        before = read_table(path, TASK_SCHEMA).to_pylist() if path.exists() else []
        rows = {row["image_id"]: row for row in before}
        for row in self.folder.candidates():
            image_id = row["image_id"]
            if image_id in tasks:
                number = tasks[image_id][0].task
                kept = rows.get(image_id, {})
                if kept.get("task") != number or kept.get("project") != project.project:
                    rows[image_id] = _task_row(row, project.project, number)
                if row["box_id"] not in rows[image_id]["candidates"]:
                    rows[image_id]["candidates"].append(row["box_id"])
        self.folder.write_tasks(sorted(rows.values(), key=lambda r: (r["rank"], r["image_id"])))


def load_flagged(path: Path) -> list[_Flagged]:
    """The images of a mining with their candidates, the likeliest first, ties by image id."""
    images: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(read_table(path, CANDIDATE_SCHEMA).to_pylist(), key=_likeliest):
        images.setdefault(row["image_id"], []).append(row)
    return [
        _Flagged(image_id, rows[0]["rank"], rows[0]["image_score"], tuple(rows))
        for image_id, rows in images.items()
    ]


def _likeliest(row: Mapping[str, Any]) -> tuple[float, str, float, str]:
    return -row["image_score"], row["image_id"], -row["score"], row["box_id"]


def _task_row(row: Mapping[str, Any], project: int, task: int) -> dict[str, Any]:
    kept = {key: row[key] for key in ("image_id", "rank", "image_score")}
    where = {"lane": "1", "kind": "candidate", "project": project, "task": task}
    return {**kept, **where, "candidates": []}
