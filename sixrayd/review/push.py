"""The push: candidates, spot checks and the rest become tasks of Label Studio, once each."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sixrayd.core.index import check_known
from sixrayd.core.records import ADJUDICATION, APART, POSITIVES, TAGS
from sixrayd.core.words import counted
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.decision import all_decisions
from sixrayd.decisions.second_looks import finders_of, is_first_look
from sixrayd.review.folder import (
    RULED,
    SECOND,
    SHOWN,
    ReviewFolder,
    decided_elsewhere,
    newest_review,
    pushed_project,
    reviews_of,
)
from sixrayd.review.guidance import GUIDELINES, keep_guidelines, read_guidelines
from sixrayd.review.leaving import end_tasks_of_gone
from sixrayd.review.queue import plan
from sixrayd.review.queue.bare import caution_of, hold_back
from sixrayd.review.queue.image import ReviewImage
from sixrayd.review.queue.plan import Pictures
from sixrayd.review.queue.tagged import tagged_images
from sixrayd.review.sending import Places, Sender, task_rows
from sixrayd.review.server import LABEL_STUDIO, connect
from sixrayd.review.settings import AdjudicateSettings, PushSettings


@dataclass(frozen=True, slots=True)
class PushResult:
    """What a push did; `added` and `already_there` count images, `tasks` tasks of all lanes."""

    name: str
    project: int  # the first on the server
    address: str
    lanes: Mapping[str, str]  # where each reviewer works
    added: int
    already_there: int
    tasks: int
    decided_elsewhere: int
    duplicates_removed: int
    images_written: int = 0  # of tasks that were there, whose images the server had lost
    tasks_ended: int = 0  # not begun, of images that the release has no more: deleted there
    cautions: tuple[str, ...] = ()  # of what a model has learnt from, and what cannot be hidden
    second_looks: int = 0  # finds that were sent to a second person
    finders: Mapping[str, str] = field(default_factory=dict)  # of lanes that are for all others


Advance = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Images that a push sends, those that are there already included."""

    queue: list[ReviewImage]
    strewn: list[ReviewImage]  # at random into the queue
    elsewhere: int  # images decided in other reviews
    inputs: dict[str, str]
    cautions: tuple[str, ...] = ()


def push(
    workspace: Workspace,
    settings: PushSettings,
    advance: Advance = lambda done, total: None,
) -> PushResult:
    """Send images to reviewers; a second push adds only what is missing.

    Args:
        advance: told how many of how many tasks have been sent.

    Raises:
        ServiceError: the server is down or refuses.
        WorkspaceError: there is no finished mining, or a shard has changed.
    """
    default = settings.origin if settings.origin in APART else ""
    name = settings.name or default or workspace.newest("mine")
    with workspace.lock("review"):
        folder = ReviewFolder(workspace, name)
        all_of = wanted(folder, settings)
        images = [*all_of.queue, *all_of.strewn]
        with closing(_Push(folder, settings, images)) as job:
            parts = hold_back(all_of.queue, all_of.strewn, job.project)
            queue, strewn = (job.missing("1", part) for part in parts)
            cautions = caution_of(len(queue), len(strewn), settings.limit is not None)
            fresh = plan.interleave(queue, strewn, job.project.key)
            lanes = {"1": fresh}
            for lane in map(str, range(2, settings.reviewers + 1)):
                shared = [
                    [i for i in part if plan.lane_share(job.project, i.image_id) < settings.share]
                    for part in parts
                ]
                queue, strewn = (job.missing(lane, part) for part in shared)
                mixed = plan.interleave(queue, strewn, job.project.key + lane)
                lanes[lane] = [job.as_sent(item) for item in mixed]
            again = plan.finds_of_one(workspace, name, job.project, settings.confirm_finds)
            second = {lane: job.missing(lane, items) for lane, (_, items) in again.items()}
            finders = {lane: finder for lane, (finder, _) in again.items()}
            kept = ("origin", "limit", "reviewers", "share", "duplicates", "again")
            lasting = {key: getattr(settings, key) for key in (*kept, "boxes", "draw_from")}
            if settings.confirm_finds:
                lasting["confirm_finds"] = settings.confirm_finds
            if settings.server != LABEL_STUDIO:
                lasting["kind"] = settings.server
            if settings.guidelines:
                job.instruct(settings.guidelines)
            job.begin(lasting, all_of.inputs)
            job.keep_candidates(fresh)
            job.look_again(second, finders)
            job.send(lanes | second, advance)
            result = job.finish("1", len(fresh), len(images), all_of.elsewhere)
            return replace(
                result,
                cautions=(*all_of.cautions, *cautions, *result.cautions),
                second_looks=sum(map(len, second.values())),
            )


def adjudicate(
    workspace: Workspace,
    settings: AdjudicateSettings,
    advance: Advance = lambda done, total: None,
) -> PushResult:
    """Send the images that reviewers could not settle to an adjudicator; again only new ones.

    Raises:
        ServiceError: the server is down or refuses.
        WorkspaceError: nothing has been pushed under this name.
    """
    name = settings.name or newest_review(workspace)
    with workspace.lock("review"):
        folder = ReviewFolder(workspace, name)
        project = pushed_project(folder)
        images = plan.to_adjudicate(workspace, name, settings.consensus)
        with closing(_Push(folder, settings, images)) as job:
            fresh = job.missing(ADJUDICATION, images)
            job.begin(project.settings, project.inputs)
            folder.show(RULED, {item.image_id: item.drawn for item in fresh})
            job.send({ADJUDICATION: fresh}, advance)
            return job.finish(ADJUDICATION, len(fresh), len(images))


def wanted(folder: ReviewFolder, settings: PushSettings) -> Wanted:
    """What a push sends, in its order: what was sent before comes first.

    Raises:
        WorkspaceError: a candidate is of no image of the release, or a table is broken.
    """
    workspace, name = folder.workspace, folder.name
    shards, cautions = ("shards", ""), tuple[str, ...]()
    if settings.origin == POSITIVES:
        from sixrayd.detectors.lineage import lineage_of
        from sixrayd.review.queue.positives import disputants

        models = disputants(workspace)
        queue, strewn, planted = plan.doubtful(workspace, models), [], []
        inputs = workspace.upstream(shards, *(("models", model) for model in models))
        told = (lineage_of(workspace, model).caution(model) for model in models)
        cautions = tuple(filter(None, told))
    elif settings.origin == TAGS:
        queue = tagged_images(workspace, settings.boxes, settings.draw_from)
        strewn, planted = list[ReviewImage](), list[ReviewImage]()
        inputs = workspace.upstream(shards)
    else:
        workspace.run("mine", name)
        drawing = plan.drawing_of(workspace, name, settings.boxes, settings.draw_from)
        queue = plan.load_flagged(workspace.folder("mine", name) / "candidates.parquet", drawing)
        if settings.duplicates:
            queue += plan.duplicates(workspace, {item.image_id for item in queue})
        drawn_at_random = plan.spot_checks(workspace, name)
        here = Pictures(workspace, name, [item.image_id for item in drawn_at_random])
        strewn = [item for item in drawn_at_random if item.image_id in here]
        cautions = _caution_of_drawn(workspace, len(drawn_at_random) - len(strewn))
        planted = plan.planted(workspace, name, drawing)
        inputs = workspace.upstream(shards, ("mine", name))
    known = {item.image_id for item in queue}
    again = settings.again or settings.origin == TAGS  # who tags a decided image wants it seen
    elsewhere = set() if again else decided_elsewhere(workspace, name) & known
    drawn = {item.image_id for item in strewn}
    queue = [item for item in queue if item.image_id not in elsewhere | drawn]
    groups = Pictures(workspace, name, [item.image_id for item in queue]).groups
    check_known({item.image_id for item in queue} - groups.keys(), name)
    if settings.origin not in APART:
        past = plan.past_reviews(reviews_of(workspace))
        belief = plan.mining_belief(workspace, name)
        queue = plan.by_finds_per_second(queue, past, groups, belief)
    sent = {row["image_id"] for row in folder.tasks()}
    queue.sort(key=lambda item: item.image_id not in sent)  # what was sent counts first
    end = settings.limit or len(queue)
    while 0 < end < len(queue) and groups[queue[end].image_id] == groups[queue[end - 1].image_id]:
        end += 1  # a group is reviewed together
    # As many planted ones as the part of the queue that goes out is of all, the first ones again.
    part = math.ceil(len(planted) * min(end, len(queue)) / max(len(queue), 1))
    return Wanted(queue[:end], strewn + planted[:part], len(elsewhere), inputs, cautions)


def _caution_of_drawn(workspace: Workspace, images: int) -> tuple[str, ...]:
    if not images:
        return ()
    told = f"{counted(images, 'image')} drawn that the release has no more"
    return (f"not sent, {told}; `{workspace.command('sixrayd estimate')}` says what to do",)


def _caution_of_gone(projects: int) -> tuple[str, ...]:
    if not projects:
        return ()
    lost = "with all that was not pulled, unless a backup has it"
    return (f"gone from the server: {counted(projects, 'project')} of the review, {lost}",)


class _Push:
    """One push to one review; to be closed."""

    def __init__(
        self,
        folder: ReviewFolder,
        settings: PushSettings | AdjudicateSettings,
        images: Sequence[ReviewImage],
    ) -> None:
        workspace = folder.workspace
        self.folder = folder
        self.planned = {item.image_id: item for item in images}
        known = {row["image_id"] for row in folder.tasks()}
        pictures = Pictures(workspace, folder.name, known.union(self.planned))
        where = (settings.url, settings.token_file, settings.server)
        self.sender = Sender(folder, pictures, lambda: connect(workspace, *where))
        self.project = self.sender.open_project()
        self.places: Places = self.sender.there(self.project)
        self.next: list[tuple[str, str]] = []  # lane and image of what is about to be sent
        self.tasks = 0  # sent
        self.images_written = 0
        self.drawn: dict[str, list[dict[str, Any]]] = {}
        for row in folder.candidates():
            self.drawn.setdefault(row["image_id"], []).append(row)
        self.sent = {row["image_id"] for row in folder.tasks() if is_first_look(row["lane"])}
        said = (*folder.decisions(), *folder.decisions(planted=True))
        self.decided = {(row["lane"], row["image_id"]) for row in said}

    def close(self) -> None:
        """Close the client."""
        self.sender.close()

    def missing(self, lane: str, items: Sequence[ReviewImage]) -> list[ReviewImage]:
        """Those that are neither on the server nor decided nor about to be sent.

        Of lanes that one person does, an image is in one.
        """
        lanes = self.project.one_readers(lane)
        done = {
            image_id
            for each, image_id in (*self.places, *self.decided, *self.next)
            if each in lanes
        }
        found = [item for item in items if item.image_id not in done]
        self.next += [(lane, item.image_id) for item in found]
        return found

    def as_sent(self, item: ReviewImage) -> ReviewImage:
        """An image with what was drawn in it when it was sent first, if it was."""
        rows = self.drawn.get(item.image_id)
        if rows or item.image_id in self.sent:
            return replace(item, drawn=tuple(rows or ()))
        return item

    def begin(self, settings: Mapping[str, Any], inputs: Mapping[str, str]) -> None:
        """Take `run.json` away and note what this push is of."""
        self.folder.reopen()
        named = {**settings, "name": self.folder.name, "server": self.project.server}
        self.project = self.folder.keep(replace(self.project, settings=named, inputs=dict(inputs)))

    def instruct(self, guidelines: Path) -> None:
        """Tell reviewers what a file says: those of projects to come and those at work."""
        keep_guidelines(self.folder.path, guidelines)
        text = read_guidelines(self.folder.path / GUIDELINES)
        for number in filter(None, self.project.numbers()):
            self.sender.server.instruct(number, text)

    def keep_candidates(self, fresh: Sequence[ReviewImage]) -> None:
        """Note what is about to be drawn in advance, beside what was sent before."""
        new = {item.image_id for item in fresh}
        rows = [row for row in self.folder.candidates() if row["image_id"] not in new]
        rows += [dict(row) for item in fresh for row in item.drawn]
        self.folder.write_candidates(sorted(rows, key=plan.likeliest))

    def look_again(
        self, lanes: Mapping[str, Sequence[ReviewImage]], finders: Mapping[str, str]
    ) -> None:
        """Note what is about to be drawn in finds of one reader, and who that is."""
        items = [item for lane in lanes.values() for item in lane]
        if items:
            self.folder.show(SECOND, {item.image_id: item.drawn for item in items})
        for lane, finder in finders.items():
            self.sender.titles[lane] = f"Not for {finder}: second looks"

    def send(self, lanes: Mapping[str, Sequence[ReviewImage]], advance: Advance) -> None:
        """Add the tasks of each lane."""
        total = sum(map(len, lanes.values()))
        self.images_written = self.sender.show_again(self.project, self.places)

        def more(count: int) -> None:
            self.tasks += count
            advance(self.tasks, total)

        for lane, items in lanes.items():
            self.project = self.sender.send(self.project, lane, items, self.places, more)

    def finish(self, lane: str, added: int, of: int, elsewhere: int = 0) -> PushResult:
        """Write what is on the server now.

        Args:
            lane: that the result names first.
            added, of: images that are new in it, and all that were wanted.
        """
        removed = self.sender.remove_duplicates(self.project, self.places)
        drawn: dict[tuple[str, str], list[str]] = {}
        for table in SHOWN:
            for row in self.folder.shown(table):
                drawn.setdefault((table, row["image_id"]), []).append(row["box_id"])
        known = plan.strewn_kinds(self.folder.workspace, self.folder.name)
        tasks = task_rows(self.folder.tasks(), known | self.planned, self.places, drawn)
        self.folder.write_tasks(tasks)
        ended = end_tasks_of_gone(self.folder, self.project, self.sender.server)
        self.folder.finish(self.project)
        where = self.sender.server.project_address
        first: dict[str, int] = {}
        for book in self.project.books:
            if book.number:
                first.setdefault(book.lane, book.number)
        lanes = {each: where(number) for each, number in sorted(first.items())}
        return PushResult(
            name=self.folder.name,
            project=first.get(lane, 0),
            address=lanes.get(lane, ""),
            lanes=lanes,
            added=added,
            already_there=of - added,
            tasks=self.tasks,
            decided_elsewhere=elsewhere,
            duplicates_removed=removed,
            images_written=self.images_written,
            tasks_ended=ended.total(),
            cautions=_caution_of_gone(self.sender.gone),
            finders=finders_of(
                lanes,
                self.project.key,
                {said.reviewer for said in all_decisions(self.folder.workspace)},
            ),
        )
