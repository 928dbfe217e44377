"""Tasks and images to the server: each image once in its lane, whatever happens on the way."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Any

from sixrayd.core.ahead import chunked, map_ahead
from sixrayd.core.errors import ServiceError
from sixrayd.core.printing import echo
from sixrayd.core.records import Kind
from sixrayd.review.folder import Book, Project, ReviewFolder, shown_in
from sixrayd.review.guidance import guidance
from sixrayd.review.queue.image import ReviewImage
from sixrayd.review.queue.plan import Pictures
from sixrayd.review.server import AwayError, NewTask, ProjectPlan, ReviewServer, place_of
from sixrayd.review.showing import show_again, show_pictures
from sixrayd.review.verdicts import PAGE

TASKS_PER_REQUEST = 1000
TASKS_PER_PROJECT = 50_000  # its makers advise at most twice as many
AWAY_S = 300.0  # how long a server may be away in the middle of a push


@dataclass(frozen=True, slots=True)
class Sent:
    """A task that is on the server."""

    project_id: int
    task_id: int
    untouched: bool
    skipped: bool = False  # by some, and not answered or begun by anybody


Places = dict[tuple[str, str], list[Sent]]  # by lane and image


class Sender:
    """Sends tasks to the books of a review.

    Args:
        connect: opens a client of the server; called again when the server was away.
    """

    def __init__(
        self, folder: ReviewFolder, pictures: Pictures, connect: Callable[[], ReviewServer]
    ) -> None:
        self.folder, self.pictures, self.connect = folder, pictures, connect
        self.server = connect()
        self.images: dict[str, str] = {}  # by alias
        self.titles: dict[str, str] = {}  # what the titles of lanes begin with
        self.gone = 0  # projects that the server has no more

    def close(self) -> None:
        """Close the client."""
        self.server.close()

    def open_project(self) -> Project:
        """The review's project with the numbers of its books on the server.

        Raises:
            ServiceError: it was pushed to another server.
        """
        # The key is on disk before anything is made, so that a killed push finds it again.
        where = place_of(self.server)
        project = self.folder.project() or self.folder.new_project(where)
        books = []
        for book in project.books:
            number = self.server.find_project(project.book_key(book))
            if number is None and book.number and project.server != where:
                raise ServiceError(
                    f"{self.server.address}: has no project of review "
                    f"{self.folder.name!r}, which was pushed to {project.server}; name that "
                    "server, or mine under another --name"
                )
            self.gone += number is None and book.number > 0
            books.append(replace(book, number=number or 0))
        self.images = self.folder.images_by_alias(project, self.pictures.ids())
        return self.folder.keep(replace(project, books=tuple(books)))

    def there(self, project: Project) -> Places:
        """All tasks of the review that the server has."""
        found: Places = {}
        for book in project.books:
            if book.number == 0 or self.server.counts(book.number)[0] == 0:
                continue
            for task in self.server.all_tasks(book.number):
                if image_id := self.images.get(project.alias_in(book.lane, task.key), ""):
                    sent = Sent(book.number, task.task_id, task.untouched, task.skipped)
                    found.setdefault((book.lane, image_id), []).append(sent)
        return found

    def show_again(self, project: Project, places: Places) -> int:
        """Have the workspace's own server show the tasks' images; how many it had lost."""
        if not self.server.local:
            return 0
        sent = {image_id for _, image_id in places}
        return show_again(self.server, self.folder.name, project, self.pictures, sent)

    def send(
        self,
        project: Project,
        lane: str,
        planned: Sequence[ReviewImage],
        places: Places,
        advance: Callable[[int], None],
    ) -> Project:
        """Add the tasks of a lane that are missing; goes on when a server that was away is back.

        Args:
            places: what is there; what is added is put in.
            advance: told how many more have been sent.

        Returns:
            The project with the books that were added.
        """
        end, told = time.monotonic() + AWAY_S, False
        while missing := [item for item in planned if (lane, item.image_id) not in places]:
            try:
                project, book, room = self._open_book(project, lane, places)
                prepare = partial(self._tasks, project, book, lane)
                for batch, tasks in _one_ahead(prepare, missing[:room]):
                    numbers = self.server.add_tasks(book.number, tasks)
                    for item, number in zip(batch, numbers, strict=True):
                        places[lane, item.image_id] = [Sent(book.number, number, True)]
                    advance(len(batch))
                    end, told = time.monotonic() + AWAY_S, False
            except AwayError:
                if time.monotonic() > end:
                    raise
                if not told:
                    waits = f"does not answer; waits up to {AWAY_S:.0f} s for it"
                    echo(f"{self.server.address}: {waits}", err=True)
                told = True
                time.sleep(1)
                self._wait(end)
                places.update(self.there(project))
        return project

    def remove_duplicates(self, project: Project, places: Places) -> int:
        """Delete second tasks of one image in one lane, unless somebody worked on them.

        They come of a push that was killed while the server still imported, or of an answer
        that got lost; `places` is put right.
        """
        expected = Counter(sent.project_id for same in places.values() for sent in same)
        numbers = project.numbers()
        again = any(len(same) > 1 for same in places.values())
        if again or any(self.server.counts(number)[0] != expected[number] for number in numbers):
            places.clear()
            places.update(self.there(project))
        removed = 0
        for key, same in places.items():
            first = next((sent for sent in same if not sent.untouched), same[0])
            spare = [sent for sent in same if sent.untouched and sent is not first]
            removed += sum(self.server.delete_task(sent.task_id) for sent in spare)
            places[key] = [first]
        return removed

    def _open_book(self, project: Project, lane: str, places: Places) -> tuple[Project, Book, int]:
        """The first book of a lane that has room, made where there is none, and its room."""
        full = Counter(sent.project_id for same in places.values() for sent in same)
        books = [book for book in project.books if book.lane == lane]
        for book in books:
            if book.number and full[book.number] < TASKS_PER_PROJECT:
                return project, book, TASKS_PER_PROJECT - full[book.number]
        classes = self.folder.workspace.classes()
        new = Book(lane, len(books), 0, PAGE, classes.names)
        book = next((book for book in books if not book.number), new)
        if book not in project.books:  # on disk before it is made
            project = self.folder.keep(replace(project, books=(*project.books, book)))
        key, page, asked = project.book_key(book), book.page, book.classes
        number = self.server.find_project(key)
        if number is None:
            title = f"sixrayd {self.folder.name}"
            title += f", reviewer {lane}" * lane.isdecimal() * (lane != "1")
            title += f", {lane}" * (not lane.isdecimal() and lane not in self.titles)
            title += f", part {book.part + 1}" * bool(book.part)
            told = guidance(self.folder.workspace, self.folder.path)
            title = f"{self.titles[lane]}, {title}" if lane in self.titles else title
            plan = ProjectPlan(title, key, classes, told.guidelines, told.examples)
            number, page, asked = self.server.create_project(plan), PAGE, classes.names
        made = replace(book, number=number, page=page, classes=asked)
        kept = tuple(made if other == book else other for other in project.books)
        project = self.folder.keep(replace(project, books=kept))
        return project, made, TASKS_PER_PROJECT - full[number]

    def _wait(self, end: float) -> None:
        while True:
            self.server.close()
            try:
                self.server = self.connect()
                return
            except ServiceError:
                if time.monotonic() > end:
                    raise
                time.sleep(1)

    def _tasks(
        self, project: Project, book: Book, lane: str, batch: Sequence[ReviewImage]
    ) -> list[NewTask]:
        wanted = {item.image_id: self._name(project, item.image_id) for item in batch}
        number, review = book.number, self.folder.name
        at = show_pictures(self.server, number, review, self.pictures, wanted)
        return [self._task(project, lane, item, at[item.image_id]) for item in batch]

    def _name(self, project: Project, image_id: str) -> str:
        # What an image is called tells nothing, and is the same when the push is repeated.
        if self.server.local:
            return project.alias(image_id)
        return sha256(project.task_key(image_id).encode()).hexdigest()[:32]

    def _task(self, project: Project, lane: str, item: ReviewImage, address: str) -> NewTask:
        return NewTask(
            project.task_key(item.image_id, lane),
            address,
            self.pictures.size_wh(item.image_id),
            tuple({**row, "box_id": project.alias(row["box_id"])} for row in item.drawn),
        )


def _one_ahead(
    prepare: Callable[[Sequence[ReviewImage]], list[NewTask]], items: Sequence[ReviewImage]
) -> Iterator[tuple[Sequence[ReviewImage], list[NewTask]]]:
    """Batches and their tasks; the next is made ready while the server takes the last."""
    batches = chunked(items, TASKS_PER_REQUEST)
    with ThreadPoolExecutor(1) as pool:
        yield from map_ahead(pool, lambda batch: (batch, prepare(batch)), batches, 1)


def task_rows(
    before: Sequence[Mapping[str, Any]],
    planned: Mapping[str, ReviewImage],
    places: Places,
    drawn: Mapping[tuple[str, str], Sequence[str]],
) -> list[dict[str, Any]]:
    """Rows of `TASK_SCHEMA` for all that is on the server and what was sent in earlier pushes.

    Args:
        before: rows as they were.
        drawn: box ids drawn in advance, by table of `folder.SHOWN` and image.
    """
    rows = {(row["lane"], row["image_id"]): dict(row) for row in before}
    for (lane, image_id), (sent, *_) in places.items():
        row = rows.get((lane, image_id))
        if row is None:
            row = _new_row(image_id, planned, rows) | {"lane": lane}
        rows[lane, image_id] = row | {
            "project": sent.project_id,
            "task": sent.task_id,
            "candidates": list(drawn.get((shown_in(lane), image_id), ())),
        }
    return sorted(rows.values(), key=lambda row: (row["lane"], row["rank"], row["image_id"]))


def _new_row(
    image_id: str,
    planned: Mapping[str, ReviewImage],
    rows: Mapping[tuple[str, str], dict[str, Any]],
) -> dict[str, Any]:
    item = planned.get(image_id)
    if item is None:  # sent by a push that was killed, and decided since
        other = (row for (_, known), row in rows.items() if known == image_id)
        item = next(
            (
                ReviewImage(image_id, Kind(r["kind"]), r["rank"], r["image_score"], ())
                for r in other
            ),
            None,
        )
    if item is None:
        item = ReviewImage(image_id, Kind.CANDIDATE, 0, 0.0, ())
    kept = {"rank": item.rank, "image_score": item.image_score}
    return {"image_id": image_id, "kind": str(item.kind), **kept}
