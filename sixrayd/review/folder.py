"""`review/NAME/`: which project it is, what was sent, what came back."""

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sixrayd.core.boxes import Box
from sixrayd.core.decisions import decision_files, read_decisions
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import read_table, sha256_file, write_json, write_table
from sixrayd.core.records import CANDIDATE_SCHEMA, DECISION_SCHEMA, TASK_SCHEMA
from sixrayd.core.workspace import Run, Workspace

LOCAL = "local"  # the workspace's own server, whose address changes


@dataclass(frozen=True, slots=True)
class Project:
    """Where a review takes place; `key` is in the project and in every task of it."""

    key: str
    server: str  # address at the first push, or "local"
    project: int = 0  # 0 until it has been made
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the newest push
    inputs: Mapping[str, str] = field(default_factory=dict)

    def task_key(self, image_id: str) -> str:
        """What tells the task of an image from all others on any server."""
        return f"{self.key}/{image_id}"

    def image_of(self, task_key: str) -> str:
        """The image of a task; empty when the task is not ours."""
        head, _, image_id = task_key.partition("/")
        return image_id if head == self.key else ""


class ReviewFolder:
    """The files of one review.

    Raises:
        WorkspaceError: the name is taken by the server's own folder.
    """

    def __init__(self, workspace: Workspace, name: str) -> None:
        if name == "server":
            raise WorkspaceError("name 'server': kept for Label Studio's own data; mine as another")
        self.workspace, self.name = workspace, name
        self.path = workspace.folder("review", name)

    def project(self) -> Project | None:
        """The project, or None before the first push."""
        path = self.path / "project.json"
        try:
            return Project(**json.loads(path.read_text("utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise WorkspaceError(
                f"{path}: broken; put it back from a backup, the reviewers' tasks hang on it"
            ) from error

    def new_project(self, server: str) -> Project:
        """Decide on the key of a project that is to be made."""
        return self.keep(Project(secrets.token_hex(8), server))

    def keep(self, project: Project) -> Project:
        """Write `project.json`."""
        write_json(self.path / "project.json", asdict(project))
        return project

    def candidates(self) -> list[dict[str, Any]]:
        """What was drawn in advance, as it was when it was sent."""
        path = self.path / "candidates.parquet"
        return read_table(path, CANDIDATE_SCHEMA).to_pylist() if path.exists() else []

    def candidate_boxes(self) -> dict[str, dict[str, Box]]:
        """What was drawn in advance, by image and box id."""
        found: dict[str, dict[str, Box]] = {}
        for row in self.candidates():
            box = Box(row["label"], row["x1"], row["y1"], row["x2"], row["y2"])
            found.setdefault(row["image_id"], {})[row["box_id"]] = box
        return found

    def write_candidates(self, rows: Iterable[dict[str, Any]]) -> None:
        """Keep what is about to be sent."""
        write_table(self.path / "candidates.parquet", rows, CANDIDATE_SCHEMA)

    def task_images(self) -> list[str]:
        """Images that were sent, the likeliest first."""
        table = read_table(self.path / "tasks.parquet", TASK_SCHEMA)
        return [str(image_id) for image_id in table["image_id"].to_pylist()]

    def write_tasks(self, rows: Iterable[dict[str, Any]]) -> None:
        """Write `tasks.parquet`."""
        write_table(self.path / "tasks.parquet", rows, TASK_SCHEMA)

    def decisions(self) -> list[dict[str, Any]]:
        """All rows that were ever pulled, the oldest first."""
        rows: list[dict[str, Any]] = []
        for path in decision_files(self.workspace, self.name):
            rows += read_decisions(path)
        return rows

    def append_decisions(self, rows: list[dict[str, Any]]) -> Path:
        """Write the next file of decisions."""
        known = [int(path.stem) for path in decision_files(self.workspace, self.name)]
        path = self.path / "decisions" / f"{max(known, default=0) + 1:05d}.parquet"
        write_table(path, rows, DECISION_SCHEMA)
        return path

    def reopen(self) -> None:
        """Take `run.json` away while tables change."""
        (self.path / "run.json").unlink(missing_ok=True)

    def finish(self, project: Project, summary: Mapping[str, Any]) -> None:
        """Write `run.json` for the tables as they are."""
        tables = [self.path / "tasks.parquet", self.path / "candidates.parquet"]
        tables += decision_files(self.workspace, self.name)
        outputs = {
            path.relative_to(self.path).as_posix(): sha256_file(path)
            for path in tables
            if path.exists()
        }
        run = Run("review", self.name, project.settings, project.inputs, outputs, summary)
        self.workspace.finish(run)


def decided_elsewhere(workspace: Workspace, name: str) -> set[str]:
    """Images that reviewers have decided on in other reviews of the workspace."""
    # Any review counts, one that was killed before its run.json as well.
    folders = {path.parent.name for path in workspace.folder("review").glob("*/decisions")}
    reviews = [ReviewFolder(workspace, other) for other in sorted(folders - {name, "server"})]
    return {row["image_id"] for review in reviews for row in review.decisions()}


def with_push(project: Project, settings: Mapping[str, Any], inputs: Mapping[str, str]) -> Project:
    """The project after a push with these settings."""
    return replace(project, settings=dict(settings), inputs=dict(inputs))
