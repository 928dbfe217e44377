"""Decisions that no longer count: a version of their own, nothing is deleted."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.versions import newest_versions, withdrawals
from sixrayd.review.folder import ReviewFolder, newest_review, pushed_project


@dataclass(frozen=True, slots=True)
class WithdrawSettings:
    """Which decisions, by whom, and why.

    Raises:
        SettingsError: no image, no reason, or nobody is named.
    """

    images: tuple[str, ...]
    reason: str
    by: str
    reviewer: str = ""  # whose decisions; empty means everybody's
    name: str = ""  # of the review; empty takes the newest

    def __post_init__(self) -> None:
        for option in ("images", "reason", "by"):
            if not getattr(self, option):
                raise SettingsError(f"--{option}: needs to be said, it is kept with the decision")


@dataclass(frozen=True, slots=True)
class WithdrawResult:
    """What was withdrawn."""

    name: str
    withdrawn: int
    file: str  # in the review's folder


def withdraw(workspace: Workspace, settings: WithdrawSettings) -> WithdrawResult:
    """Append a version that ends each decision; one that is changed on the server comes back.

    Raises:
        WorkspaceError: an image has no decision that stands.
    """
    name = settings.name or newest_review(workspace)
    with workspace.lock():
        folder = ReviewFolder(workspace, name)
        newest = newest_versions(folder.decisions()).values()
        rows = []
        for image_id in dict.fromkeys(settings.images):
            stands = [
                row
                for row in newest
                if row["image_id"] == image_id
                and not row["withdrawn"]
                and settings.reviewer in ("", row["reviewer"])
            ]
            if not stands:
                whose = f" of {settings.reviewer}" if settings.reviewer else ""
                raise WorkspaceError(
                    f"{folder.path}: no decision{whose} on {image_id!r} stands; nothing withdrawn"
                )
            rows += stands
        note = f"withdrawn by {settings.by}: {settings.reason}"
        fresh = withdrawals(rows, note, datetime.now(UTC).isoformat())
        project = pushed_project(folder)
        folder.reopen()
        path = folder.append_decisions(fresh)
        folder.finish(project)
    return WithdrawResult(name, len(fresh), path.relative_to(folder.path).as_posix())
