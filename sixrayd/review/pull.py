"""What reviewers submitted → append-only tables of decisions."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from sixrayd.core.workspace import Workspace
from sixrayd.decisions.decision import all_decisions, decisions_of, standing_decisions
from sixrayd.decisions.second_looks import finders_of
from sixrayd.decisions.unsettled import Unsettled, classes_in_use, count_unsettled, sent_elsewhere
from sixrayd.decisions.versions import Row, newest_versions
from sixrayd.review.cursor import Outcome, Problem
from sixrayd.review.folder import ReviewFolder, newest_review, pushed_project
from sixrayd.review.leaving import end_tasks_of_gone
from sixrayd.review.problems import addresses, open_problems
from sixrayd.review.progress import Progress
from sixrayd.review.reading import fetch
from sixrayd.review.server import connect
from sixrayd.review.settings import PullSettings


@dataclass(frozen=True, slots=True)
class PullResult:
    """What a pull brought. Drafts, skipped, empty and undecided ones are no decisions."""

    name: str
    new: int  # decisions about images of the release
    planted: int  # and about planted images
    tasks_ended: int  # not begun, of images that the release has no more: deleted there
    taken_back: int  # answers that their reviewers skipped or emptied since: withdrawn here, too
    files: tuple[str, ...]  # in the review's folder; none when nothing was new
    drafts: int  # begun, not submitted
    skipped: int  # cancelled by a reviewer, and never answered; see `Fetched.skipped`
    empty: int  # submitted with nothing in them
    without_verdict: int  # with boxes, but no verdict
    gone: int  # decisions that stand although their annotation is no longer on the server
    gone_images: tuple[str, ...]  # theirs, one for each
    lacking: Mapping[str, int]  # see `Fetched.lacking`
    foreign_tasks: int  # in the projects, but not ours
    problems: tuple[Problem, ...]  # that are not settled
    unsettled: Unsettled
    progress: Progress
    addresses: Mapping[int, str]  # of tasks that people have to see to


def pull(workspace: Workspace, settings: PullSettings) -> PullResult:
    """Append what is new or changed since the last pull; nothing new writes no file.

    Raises:
        ServiceError: the server is down, refuses, or lacks the review.
        ShapeError: an image has more boxes or answers than are read; nothing is appended.
        WorkspaceError: nothing has been pushed under this name.
    """
    name = settings.name or newest_review(workspace)
    with workspace.lock("review"):
        folder = ReviewFolder(workspace, name)
        project = pushed_project(folder)
        cursors = {} if settings.full else folder.cursors()
        with connect(workspace, settings.url, settings.token_file, settings.server) as server:
            fetched = fetch(folder, project, server, cursors)
            ended = end_tasks_of_gone(folder, project, server)
            fetched = fetched.without(ended)
        known = {planted: folder.decisions(planted=planted) for planted in (False, True)}
        everything = all_decisions(workspace)
        fresh, left_out = fetched.within_limits(name, known, everything)
        said = decisions_of(chain(*known.values(), *fresh.values()), name)
        problems = (*open_problems(fetched.known(), said), *left_out)
        in_all = standing_decisions([*everything, *decisions_of(fresh[False], name)])
        files, counts, taken_back = [], [], 0
        for planted, rows in fresh.items():
            taken_back += sum(row["withdrawn"] for row in rows)
            counts.append(sum(not row["withdrawn"] for row in rows))
            if rows:
                folder.reopen()
                files.append(folder.append_decisions(rows, planted=planted))
        # Last: without it the same is asked for again, as what was left out has to be.
        folder.write_cursors({} if left_out else fetched.cursors)
        progress = folder.finish(project)
        server.keep_safe()
    gone = _gone(folder.decisions(), project.key, {item.annotation for item in fetched.known()})
    return PullResult(
        name=name,
        new=counts[0],
        planted=counts[1],
        tasks_ended=ended.total(),
        taken_back=taken_back,
        files=tuple(path.relative_to(folder.path).as_posix() for path in files),
        drafts=sum(cursor.drafts for cursor in fetched.cursors.values()),
        skipped=fetched.skipped(said),
        empty=fetched.count(Outcome.EMPTY),
        without_verdict=fetched.count(Outcome.WITHOUT_VERDICT),
        gone=len(gone),
        gone_images=gone,
        lacking=fetched.lacking(folder, said, left_out),
        foreign_tasks=sum(cursor.foreign for cursor in fetched.cursors.values()),
        problems=problems,
        unsettled=count_unsettled(
            *(folder.tasks(), in_all, said, sent_elsewhere(workspace, name)),
            classes_in_use(workspace),
        ),
        progress=progress,
        addresses=addresses(folder.tasks(), problems, progress.ended, server.task_address),
    )


def _gone(known: Sequence[Row], key: str, there: Collection[int]) -> tuple[str, ...]:
    """Images of answers that stand and that the server has no more, once for each answer.

    A finder's look at an own find is none: `pull` asks for it to be deleted there.
    """
    stands = [row for row in newest_versions(known).values() if not row["withdrawn"]]
    finders = finders_of({r["lane"] for r in stands}, key, {r["reviewer"] for r in stands})
    return tuple(
        sorted(
            row["image_id"]
            for row in stands
            if row["annotation"] not in there and finders.get(row["lane"]) != row["reviewer"]
        )
    )
