"""How far the reviewers are, as the server knows it now."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sixrayd.advice.next_step import Judgement, Step
from sixrayd.advice.reviews import OnServer
from sixrayd.core.records import Kind
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.decision import all_decisions, decisions_of, standing_decisions
from sixrayd.decisions.unsettled import Unsettled, classes_in_use, count_unsettled, sent_elsewhere
from sixrayd.review.folder import ReviewFolder, newest_review, pushed_project, reviews_of
from sixrayd.review.problems import addresses, open_problems
from sixrayd.review.progress import Progress, count_progress
from sixrayd.review.queue.image import ReviewImage
from sixrayd.review.queue.order import ORDERED, forecast, order
from sixrayd.review.queue.plan import belief_of, past_reviews
from sixrayd.review.reading import fetch
from sixrayd.review.server import connect
from sixrayd.review.settings import StatusSettings


@dataclass(frozen=True, slots=True)
class ReviewStatus:
    """Live counts; `not_pulled` are decisions that only the server has.

    Args:
        next_hour: finds that an hour of one person's review promises; None before any answer
            where the mining does not say what its scores are worth, and where nothing is left of
            the queue.
        unsettled: with what was not pulled.
        lacking: tasks that the server has no more, by lane.
        not_sent: images that the mining flagged and nobody was sent.
        next: what is to be done, as `sixrayd status` has it.
        addresses: of tasks whose answers were withdrawn or taken back.
    """

    name: str
    address: str
    progress: Progress
    next_hour: float | None
    not_pulled: int
    drafts: int
    skipped: int
    problems: int
    unsettled: Unsettled
    lacking: Mapping[str, int]
    not_sent: int
    next: Step
    addresses: Mapping[int, str]


def review_status(workspace: Workspace, settings: StatusSettings) -> ReviewStatus:
    """Ask the server; writes nothing.

    Raises:
        ServiceError: the server is down, refuses, or lacks the review.
        WorkspaceError: nothing has been pushed under this name.
    """
    folder = ReviewFolder(workspace, settings.name or newest_review(workspace))
    project = pushed_project(folder)
    with connect(workspace, settings.url, settings.token_file, settings.server) as server:
        fetched = fetch(folder, project, server, folder.cursors())
    known = {planted: folder.decisions(planted=planted) for planted in (False, True)}
    everything = all_decisions(workspace)
    fresh, left_out = fetched.within_limits(folder.name, known, everything)
    said, apart = (decisions_of([*known[kind], *fresh[kind]], folder.name) for kind in known)
    progress = count_progress(folder.tasks(), said, apart)
    not_pulled = sum(map(len, fresh.values()))
    in_all = standing_decisions([*everything, *said])
    elsewhere = sent_elsewhere(workspace, folder.name)
    unsettled = count_unsettled(folder.tasks(), in_all, said, elsewhere, classes_in_use(workspace))
    lacking = fetched.lacking(folder, [*said, *apart], left_out)
    skipped = fetched.skipped([*said, *apart])
    told = OnServer(progress.by_lane, not_pulled, unsettled, lacking, skipped)
    judgement = Judgement(workspace, {folder.name: told})
    return ReviewStatus(
        name=folder.name,
        address=server.project_address(next(iter(project.numbers()), 0)),
        progress=progress,
        next_hour=_next_hour(folder, {decision.image_id for decision in said}),
        not_pulled=not_pulled,
        drafts=sum(cursor.drafts for cursor in fetched.cursors.values()),
        skipped=skipped,
        problems=len(open_problems(fetched.known(), [*said, *apart])) + len(left_out),
        unsettled=unsettled,
        lacking=lacking,
        not_sent=judgement.reviews.not_sent(folder.name),
        next=judgement.step,
        addresses=addresses(folder.tasks(), (), progress.ended, server.task_address),
    )


def _next_hour(folder: ReviewFolder, decided: set[str]) -> float | None:
    past = past_reviews(reviews_of(folder.workspace))
    belief = belief_of(folder.workspace, folder.name)
    if not (past or belief):
        return None
    drawn: dict[str, list[dict[str, Any]]] = {}
    for row in folder.candidates():
        drawn.setdefault(row["image_id"], []).append(row)
    items = [
        ReviewImage(i, kind, row["rank"], row["image_score"], tuple(drawn.get(i, ())), group=i)
        for row in folder.tasks()
        if row["lane"] == "1"
        and (i := row["image_id"]) not in decided
        and (kind := Kind(row["kind"])) in ORDERED
    ]
    return round(forecast(order(items, past, belief), hours=1), 1) if items else None
