"""One link for each lane, by which a new person joins and begins to review.

A link holds the server's invitation: who has it can join. It is shown on a terminal, or where it
was asked for; no file of ours holds it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sixrayd.core.workspace import Workspace
from sixrayd.decisions.decision import all_decisions
from sixrayd.decisions.second_looks import finders_of
from sixrayd.review.folder import Project, ReviewFolder, newest_review, pushed_project
from sixrayd.review.server import ReviewServer, connect
from sixrayd.review.settings import InviteSettings


@dataclass(frozen=True, slots=True)
class Invitations:
    """Where a new person joins each lane of a review.

    Args:
        finders: for whom a lane is not, by lane: it shows their own finds.
    """

    name: str
    links: Mapping[str, str] = field(repr=False)
    finders: Mapping[str, str] = field(default_factory=dict)


def invitations(workspace: Workspace, settings: InviteSettings) -> Invitations:
    """A link for each lane; it leads to the first of its projects that has something to do.

    A lane whose projects the server has no more, as after a restore, is left out.

    Raises:
        ServiceError: the server is down, refuses, or lacks the review.
        WorkspaceError: nothing has been pushed under this name.
    """
    folder = ReviewFolder(workspace, settings.name or newest_review(workspace))
    project = pushed_project(folder)
    with connect(workspace, settings.url, settings.token_file, settings.server) as server:
        if settings.renew:
            server.end_invitations()
        numbers = [server.find_project(project.book_key(book)) for book in project.books]
        there = (replace(b, number=n) for b, n in zip(project.books, numbers, strict=True) if n)
        project = replace(project, books=tuple(there))
        lanes = sorted({book.lane for book in project.books})
        links = {lane: server.invitation(project_to_do(project, lane, server)) for lane in lanes}
    people = {said.reviewer for said in all_decisions(workspace)}
    return Invitations(folder.name, links, finders_of(lanes, project.key, people))


def project_to_do(project: Project, lane: str, server: ReviewServer) -> int:
    """The first project of a lane with more tasks than annotations, else its last."""
    *others, last = project.numbers(lane)
    for number in others:
        tasks, annotations = server.counts(number)
        if annotations < tasks:
            return number
    return last
