"""Answers on the server → rows of decisions, with who gave them and when."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sixrayd.core.errors import ServiceError, printable
from sixrayd.core.index import Index
from sixrayd.core.moments import read_utc
from sixrayd.core.restored import restored_at
from sixrayd.decisions.decision import decisions_of
from sixrayd.decisions.versions import Row
from sixrayd.review.cursor import Cursor, Known, Outcome, Problem
from sixrayd.review.fetched import Fetched, TakenBack
from sixrayd.review.folder import Project, ReviewFolder
from sixrayd.review.planting.planted import planted_rows
from sixrayd.review.problems import CHANGED_BY_ANOTHER
from sixrayd.review.server import ReviewServer, ServerAnnotation, ServerTask, place_of
from sixrayd.review.verdicts import PAGE, JudgedAnswer, judge

_NO_IMAGE = "left out, the release has no such image; delete the task there, then push again"


def fetch(
    folder: ReviewFolder, project: Project, server: ReviewServer, before: Mapping[int, Cursor]
) -> Fetched:
    """Read what changed in a review from the server; writes nothing.

    Args:
        before: what was known at the last pull, by number of the book.
    """
    reader = _Reader(folder, project, server)
    cursors, lanes = dict[int, Cursor](), dict[int, str]()
    for book in project.books:
        number = server.find_project(project.book_key(book))
        if number is None:
            if book.number and project.server != place_of(server):
                raise ServiceError(
                    f"{server.address}: has no project of review {folder.name!r}, "
                    f"which was pushed to {project.server}; name that server with --url"
                )
            continue  # a push was killed before it was made, or it is gone
        lanes[number] = book.lane
        tasks, annotations = server.counts(number)
        cursor, now = before.get(number), datetime.now(UTC)
        # Of a clock that was ahead, what came since may be dated before.
        asks = cursor is not None and cursor.moment and read_utc(cursor.moment) <= now
        if cursor is not None and cursor.tasks == tasks and asks:
            # No export has a name here, so that there is one in memory at a time.
            newer = reader.read(server.tasks_since(number, cursor.moment), cursor, book.lane)
            # A deleted annotation leaves no trace but the count.
            if len(newer.annotations) == annotations:
                cursors[number] = newer.by(now)
                continue
        reader.forget(number)
        whole = Cursor(number, tasks)
        cursors[number] = reader.read(server.answered_tasks(number), whole, book.lane).by(now)
    return reader.fetched(cursors, lanes)


_Where = tuple[int, int, str]  # task, annotation, image: a restored server gives numbers again


class _Reader:
    def __init__(self, folder: ReviewFolder, project: Project, server: ReviewServer) -> None:
        self.project, self.people = project, server.reviewers()
        self.review = folder.name
        self.restored = restored_at(folder.workspace) if server.local else ""
        self.read_answer = server.read_answer
        self.index = Index.load(folder.workspace)
        self.classes = folder.workspace.classes()
        self.images = folder.images_by_alias(project)
        self.boxes_drawn = cache(folder.boxes_drawn)
        self.pages = {book.number: book.page for book in project.books}
        known = (*folder.decisions(), *folder.decisions(planted=True))
        decisions_of(known, folder.name)  # their times are read below
        self.said: dict[_Where, list[tuple[str, str]]] = {}  # who and when, the oldest first
        self.last_in: dict[int, Row] = {}  # the last that was said in an annotation
        for row in sorted(known, key=lambda row: read_utc(row["decided_at"])):
            where = (row["task"], row["annotation"], row["image_id"])
            self.said.setdefault(where, []).append((row["reviewer"], row["decided_at"]))
            if not row["withdrawn"]:
                self.last_in[row["annotation"]] = row
        self.said_at: dict[tuple[int, int, str, str], str] = {
            (row["task"], row["annotation"], row["image_id"], row["decided_at"]): row["reviewer"]
            for row in known
            if not row["withdrawn"]
        }
        self.taken_back: dict[tuple[int, int], TakenBack] = {}
        self.planted = {
            row["image_id"]: (row["width"], row["height"])
            for row in planted_rows(folder.workspace, folder.name)
        }
        self.rows: dict[tuple[int, int], dict[str, Any]] = {}  # by book and annotation

    def read(self, tasks: Iterable[ServerTask], before: Cursor, lane: str) -> Cursor:
        """Read tasks of one book, which is of a lane; what is known of it then."""
        known, foreign, drafts = [], [], []
        seen = set()
        moment = before.moment
        for task in tasks:
            seen.add(task.task_id)
            moment = max(moment, task.updated_at)
            drafts += [task.task_id] * bool(task.drafts)
            image_id = self.images.get(self.project.alias_in(lane, task.key), "")
            for annotation in task.annotations:
                if image_id:
                    known.append(self._answer(before.project, image_id, lane, task, annotation))
                else:
                    known.append(Known(annotation.annotation_id, task.task_id, Outcome.FOREIGN))
            foreign += [task.task_id] * (not image_id)
        kept = [item for item in before.annotations if item.task not in seen]
        return Cursor(
            project=before.project,
            tasks=before.tasks,
            moment=moment,
            drafts=len(drafts),
            foreign=len({*foreign, *(i.task for i in kept if i.outcome == Outcome.FOREIGN)}),
            annotations=tuple(sorted([*kept, *known], key=lambda item: item.annotation)),
        )

    def forget(self, project: int) -> None:
        """Drop what was read of one book."""
        for read in (self.rows, self.taken_back):
            for key in [key for key in read if key[0] == project]:
                del read[key]

    def _answer(
        self, book: int, image_id: str, lane: str, task: ServerTask, annotation: ServerAnnotation
    ) -> Known:
        number = annotation.annotation_id
        when = _utc(annotation.updated_at)
        known = self._read(book, image_id, lane, task, annotation, when)
        if known.outcome in (Outcome.SKIPPED, Outcome.EMPTY, Outcome.WITHOUT_VERDICT):
            moment = when or _utc(task.updated_at)  # the task's is known to be a time
            by = self._who((task.task_id, number, image_id), lane, annotation, when)
            self.taken_back[book, number] = TakenBack(
                task.task_id, image_id, by, known.outcome, moment
            )
        return known

    def _read(
        self,
        book: int,
        image_id: str,
        lane: str,
        task: ServerTask,
        annotation: ServerAnnotation,
        when: str,
    ) -> Known:
        number = annotation.annotation_id
        where = (task.task_id, number, image_id)
        size_wh = self._size_wh(image_id)
        notes = self._changed_by_another(where, annotation)
        if annotation.cancelled:
            outcome = Outcome.SKIPPED
            notes = notes if where in self.said else []
        elif size_wh is None:
            outcome, notes = Outcome.ODD, [_NO_IMAGE]
        elif not annotation.regions:
            outcome, notes = Outcome.EMPTY, [*notes, "was submitted with nothing in it"]
        else:
            boxes = self.boxes_drawn(lane).get(image_id, {})
            names = {self.project.alias(box_id): box_id for box_id in boxes}
            regions = (  # one at a time: they may be millions
                {**region, "id": names.get(str(region.get("id")), region.get("id"))}
                for region in annotation.regions
            )
            read = self.read_answer(regions, size_wh, boxes, self.classes)
            judged = judge(read, boxes, self.pages.get(book, PAGE))
            answer = judged.answer
            outcome, notes = Outcome.DECISION, [*answer.notes, *notes]
            if answer.verdict is None:
                outcome = Outcome.WITHOUT_VERDICT
                notes.append("has no verdict, so it is no decision")
            elif not when:
                outcome = Outcome.ODD
                notes.append(f"left out, its time {annotation.updated_at[:40]!r} is none")
            elif moved := self._moved_from(where, annotation):
                outcome = Outcome.ODD
                notes.append(moved)
            elif not (who := self._who(where, lane, annotation, when)):
                outcome = Outcome.ODD
                notes.append("left out, who changed it was deleted on the server")
            else:
                row = self._row(image_id, lane, task.task_id, annotation, judged, when)
                self.rows[book, number] = row | {"reviewer": who}
        if when and any(read_utc(at) > read_utc(when) for _, at in self.said.get(where, ())):
            notes = []  # of a restored backup: what was said later stands
        told = (printable(note, 500) for note in notes)
        problems = tuple(Problem(image_id, task.task_id, number, note) for note in told)
        return Known(number, task.task_id, outcome, problems)

    def _changed_by_another(self, where: _Where, annotation: ServerAnnotation) -> list[str]:
        if annotation.author in (0, annotation.reviewer):
            return []
        author = self._name(annotation.author, where, annotation)
        if author in (who for who, _ in self.said.get(where, ())):
            return [f"{CHANGED_BY_ANOTHER}; the answer of {author} stands beside it"]
        return [f"{CHANGED_BY_ANOTHER}; no answer of {author} was pulled before"]

    def _moved_from(self, where: _Where, annotation: ServerAnnotation) -> str:
        """Words on an answer that was given on another task or image; empty for all others."""
        # What was said before it was made, or a backup was put back, is of another of its number.
        row, since = self.last_in.get(annotation.annotation_id), _utc(annotation.created_at)
        if where in self.said or not row or not since:
            return ""
        if read_utc(row["decided_at"]) < read_utc(max(since, self.restored)):
            return ""
        return (
            f"left out, it was given on task {row['task']}, {row['image_id']}, and counts there; "
            "delete it here and submit another"
        )

    def _size_wh(self, image_id: str) -> tuple[int, int] | None:
        if image_id in self.planted:
            return self.planted[image_id]
        if image_id not in self.index:
            return None
        record = self.index.record(image_id)
        return record.width, record.height

    def _row(
        self,
        image_id: str,
        lane: str,
        task: int,
        annotation: ServerAnnotation,
        judged: JudgedAnswer,
        when: str,
    ) -> dict[str, Any]:
        return {
            "image_id": image_id,
            "version": 0,
            "verdict": str(judged.answer.verdict),
            "reviewer": "",  # see `_who`
            "decided_at": when,
            "lead_time_s": annotation.lead_time_s,
            "server": self.project.server,
            "task": task,
            "annotation": annotation.annotation_id,
            "lane": lane,
            "follows": 0,
            "withdrawn": False,
            "note": "",
            "boxes": [
                item.box.as_row() | {"origin": str(item.origin), "candidate": item.candidate}
                for item in judged.answer.boxes
            ],
            "rejected": list(judged.rejected),
        }

    def _who(self, where: _Where, lane: str, annotation: ServerAnnotation, when: str) -> str:
        # The server forgets who answered when it deletes a user, and names who answered before;
        # we do not. An answer of the same time is the same one.
        if said := self.said_at.get((*where, when)):
            return said
        if annotation.author and not annotation.reviewer:
            return ""  # changed by somebody else, whom it forgot before we asked
        # Lanes and reviews are of different people, so two who were deleted are not one.
        known = annotation.reviewer or self._made_by(where, annotation)
        unknown = f"deleted user of lane {lane} of {self.review}"
        return self._name(annotation.reviewer, where, annotation) if known else unknown

    def _name(self, number: int, where: _Where, annotation: ServerAnnotation) -> str:
        before = self._made_by(where, annotation) if number == annotation.author else ""
        if before and before not in self.people.values():
            return before  # whom the server forgot, or calls otherwise now
        return self.people.get(number) or before or f"user {number}"

    def _made_by(self, where: _Where, annotation: ServerAnnotation) -> str:
        """Who is known to have made it; not of an answer of before its number was given again."""
        made_at = _utc(annotation.created_at)
        known = self.said.get(where, ())
        return next(
            (who for who, at in known if not made_at or read_utc(at) >= read_utc(made_at)), ""
        )

    def fetched(self, cursors: Mapping[int, Cursor], lanes: Mapping[int, str]) -> Fetched:
        rows = sorted(self.rows.values(), key=lambda row: (row["image_id"], row["annotation"]))
        return Fetched(
            rows=tuple(row for row in rows if row["image_id"] not in self.planted),
            planted=tuple(row for row in rows if row["image_id"] in self.planted),
            taken_back={number: back for (_, number), back in self.taken_back.items()},
            cursors=cursors,
            lanes=lanes,
            restored=self.restored,
        )


def _utc(text: str) -> str:
    try:
        return read_utc(text).isoformat()
    except ValueError:
        return ""
