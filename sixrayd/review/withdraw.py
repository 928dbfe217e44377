"""Decisions that no longer count: a version of their own, nothing is deleted."""

import shlex
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from sixrayd.core.errors import ShapeError, WorkspaceError
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.decision import all_decisions, answers, decisions_of
from sixrayd.decisions.versions import Row, newest_versions, withdrawals
from sixrayd.review.folder import ReviewFolder, newest_review, pushed_project
from sixrayd.review.settings import WithdrawSettings


@dataclass(frozen=True, slots=True)
class WithdrawResult:
    """What was withdrawn."""

    name: str
    withdrawn: int
    file: str  # in the review's folder; two where planted images are among them


def withdraw(workspace: Workspace, settings: WithdrawSettings) -> WithdrawResult:
    """Append a version that ends each decision; one that is changed on the server comes back.

    Raises:
        ShapeError: of an image more than is read stands even then; what was asked is withdrawn.
        WorkspaceError: an image has no decision that stands.
    """
    name = settings.name or newest_review(workspace)
    with workspace.lock("review"):
        folder = ReviewFolder(workspace, name)
        project = pushed_project(folder)
        if not (folder.path / "run.json").exists():  # one was killed that had withdrawn
            with suppress(ShapeError):  # answers that nothing reads: they can be withdrawn
                folder.finish(project)
        newest = dict[bool, list[Row]]()
        for planted in (False, True):
            known = folder.decisions(planted=planted)
            decisions_of(known, name)  # their times are read below
            newest[planted] = list(newest_versions(known).values())
        rows: dict[bool, list[Row]] = {False: [], True: []}
        for image_id in dict.fromkeys(settings.images):
            stands = [
                (planted, row)
                for planted, versions in newest.items()
                for row in versions
                if row["image_id"] == image_id
                and not row["withdrawn"]
                and settings.reviewer in ("", row["reviewer"])
            ]
            if not stands:
                whose = f" of {settings.reviewer}" if settings.reviewer else ""
                others = sorted(
                    said.review
                    for said in answers(all_decisions(workspace))
                    if (said.image_id, said.review != name) == (image_id, True)
                    and settings.reviewer in ("", said.reviewer)
                )
                where = f"; one stands with --name {shlex.quote(others[0])}" if others else ""
                raise WorkspaceError(
                    f"{folder.path}: no decision{whose} on {image_id!r} stands; nothing withdrawn"
                    f"{where}"
                )
            for planted, row in stands:
                rows[planted].append(row)
        note = f"withdrawn by {settings.by}: {settings.reason}"
        moment = datetime.now(UTC).isoformat()
        folder.reopen()
        files = [
            folder.append_decisions(withdrawals(ended, note, moment), planted=planted)
            for planted, ended in rows.items()
            if ended
        ]
        folder.finish(project)
    named = ", ".join(path.relative_to(folder.path).as_posix() for path in files)
    return WithdrawResult(name, sum(map(len, rows.values())), named)
