"""How far the reviewers are, as the server knows it now."""

from dataclasses import dataclass
from pathlib import Path

from sixrayd.core.workspace import Workspace
from sixrayd.review.folder import ReviewFolder
from sixrayd.review.label_studio import LabelStudio, project_address
from sixrayd.review.progress import Progress, count_progress
from sixrayd.review.pull import fetch, newest_review, pushed_project
from sixrayd.review.server import find_server


@dataclass(frozen=True, slots=True)
class StatusSettings:
    """Which review, on which server."""

    name: str = ""  # of the review; empty takes the newest
    url: str = ""  # empty takes the workspace's own server
    token_file: Path | None = None


@dataclass(frozen=True, slots=True)
class ReviewStatus:
    """Live counts; `not_pulled` are decisions that only the server has."""

    name: str
    address: str
    progress: Progress
    not_pulled: int
    skipped: int
    problems: int


def review_status(workspace: Workspace, settings: StatusSettings) -> ReviewStatus:
    """Ask the server; writes nothing.

    Raises:
        ServiceError: the server is down, refuses, or lacks the review.
        WorkspaceError: nothing has been pushed under this name.
    """
    folder = ReviewFolder(workspace, settings.name or newest_review(workspace))
    project = pushed_project(folder)
    connection = find_server(workspace, settings.url, settings.token_file)
    with LabelStudio(connection) as server:
        fetched = fetch(folder, project, server)
    known = {(row["annotation"], row["decided_at"]) for row in folder.decisions()}
    return ReviewStatus(
        name=folder.name,
        address=project_address(connection, project.project),
        progress=count_progress(folder.task_images(), fetched.rows),
        not_pulled=sum((r["annotation"], r["decided_at"]) not in known for r in fetched.rows),
        skipped=fetched.skipped,
        problems=len(fetched.problems),
    )
