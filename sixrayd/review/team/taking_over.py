"""The rest of a lane goes to the reader of another, who never sees an image twice.

A person without a lane needs none of this: the server gives out what nobody has answered.
"""

from contextlib import closing
from dataclasses import dataclass, replace

from sixrayd.core.errors import SettingsError
from sixrayd.core.records import ADJUDICATION
from sixrayd.core.workspace import Workspace
from sixrayd.review.folder import Project, ReviewFolder, newest_review, pushed_project
from sixrayd.review.queue.plan import Pictures
from sixrayd.review.sending import Places, Sender
from sixrayd.review.server import connect
from sixrayd.review.settings import TakeOverSettings
from sixrayd.review.team.joining import project_to_do


@dataclass(frozen=True, slots=True)
class TakenOver:
    """What became of the rest of a lane.

    Args:
        to_do: tasks that are left in it, for the reader of the other lane.
        left_out: tasks that were removed: their images are in the other lane, so the same person
            would have been asked twice. One opinion fewer of each.
    """

    name: str
    of: str
    by: str
    to_do: int
    left_out: int
    address: str


def take_over(workspace: Workspace, settings: TakeOverSettings) -> TakenOver:
    """Give what nobody has answered of a lane to the reader of another; again goes on.

    Nothing that was answered or begun is touched; what was skipped is neither. Later pushes give
    an image to one of the two.

    Raises:
        ServiceError: the server is down, refuses, or lacks the review.
        SettingsError: there is no such lane, or it was taken over already.
        WorkspaceError: nothing has been pushed under this name.
    """
    with workspace.lock("review"):
        folder = ReviewFolder(workspace, settings.name or newest_review(workspace))
        project = _with_rule(pushed_project(folder), settings)
        pictures = Pictures(workspace, folder.name, {row["image_id"] for row in folder.tasks()})
        where = (settings.url, settings.token_file, settings.server)
        with closing(Sender(folder, pictures, lambda: connect(workspace, *where))) as sender:
            project = replace(project, books=sender.open_project().books)
            job = _TakeOver(folder, project, sender)
            left_out = len(job.spare()) if settings.dry_run else job.finish()
            return TakenOver(
                name=folder.name,
                of=settings.of,
                by=settings.by,
                to_do=sum(lane == settings.of for lane, _ in job.open() - job.spare()),
                left_out=left_out,
                address=sender.server.project_address(
                    project_to_do(project, settings.of, sender.server)
                ),
            )


def _with_rule(project: Project, settings: TakeOverSettings) -> Project:
    of, by = settings.of, settings.by
    lanes = {book.lane for book in project.books} - {ADJUDICATION}
    for option, lane in (("--of", of), ("--by", by)):
        if lane not in lanes:
            known = ", ".join(sorted(lanes))
            raise SettingsError(f"{option} {lane!r}: no reviewer of this review, expected {known}")
    if (project.taken_over.get(of, by) != by) or of in (by, *project.readers_lanes(by)):
        raise SettingsError(
            f"--of {of} --by {by}: one person does the rest of both already, expected two; "
            "`sixrayd review invite` prints the link for a new person"
        )
    return replace(project, taken_over={**project.taken_over, of: by})


class _TakeOver:
    """What of a review is in two lanes of one person."""

    def __init__(self, folder: ReviewFolder, project: Project, sender: Sender) -> None:
        self.folder, self.project, self.sender = folder, project, sender
        self.places: Places = sender.there(project)
        said = (*folder.decisions(), *folder.decisions(planted=True))
        self.decided = {(row["lane"], row["image_id"]) for row in said}
        self.given = self.decided | self.places.keys()

    def open(self) -> set[tuple[str, str]]:
        """Lane and image of tasks that nobody has begun, also of those that were skipped, which the
        server gives to whoever comes. What was ever pulled of a task keeps it.
        """
        found = self.places.items()
        return {
            key
            for key, same in found
            if all(sent.untouched or (sent.skipped and key not in self.decided) for sent in same)
        }

    def spare(self) -> set[tuple[str, str]]:
        """Those of them whose image is also in a lane of their next reader."""
        return {key for key in self.open() if self._is_twice(*key)}

    def finish(self) -> int:
        """Remove these, on the server and here; how many."""
        self.folder.reopen()
        self.folder.keep(self.project)  # a push that comes before the end adds nothing again
        for key in self.spare():
            for sent in self.places[key]:
                self.sender.server.delete_task(sent.task_id)
        self.places = self.sender.there(self.project)
        kept, rows = self.decided | self.places.keys(), self.folder.tasks()
        left = [
            row
            for row in rows
            if (key := (row["lane"], row["image_id"])) in kept or not self._is_twice(*key)
        ]
        self.folder.write_tasks(left)
        self.folder.finish(self.project)
        return len(rows) - len(left)

    def _is_twice(self, lane: str, image_id: str) -> bool:
        return any((each, image_id) in self.given for each in self.project.readers_lanes(lane))
