"""`review/NAME/`: which project it is, what was sent, what came back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from sixrayd.advice.next_step import Judgement
from sixrayd.core.boxes import Box
from sixrayd.core.documents import NONSENSE, parse_json
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import plain_text, sha256_file, sync_folder, write_json
from sixrayd.core.records import (
    ADJUDICATION,
    APART,
    CANDIDATE_SCHEMA,
    DECISION_SCHEMA,
    IMAGE_IDS,
    TASK_DEFAULTS,
    TASK_SCHEMA,
)
from sixrayd.core.restored import check_restored
from sixrayd.core.stages import SERVER
from sixrayd.core.tables import read_table, some_columns, write_table
from sixrayd.core.workspace import Run, Workspace
from sixrayd.decisions.decision import (
    decision_files,
    decisions_of,
    load_decisions,
    numbered_tables,
    read_decisions,
    reviews_with_decisions,
    standing_decisions,
)
from sixrayd.decisions.second_looks import is_second_look
from sixrayd.review.cursor import Cursor
from sixrayd.review.keys import new_key, shown_key
from sixrayd.review.progress import Progress, count_progress

# Tables of what is drawn in advance: for reviewers, the adjudicator, and second looks at finds.
SHOWN = (CANDIDATES, RULED, SECOND) = ("candidates", "adjudication", "second_looks")


def shown_in(lane: str) -> str:
    """Which of `SHOWN` holds what is drawn in a lane."""
    if lane == ADJUDICATION:
        return RULED
    return SECOND if is_second_look(lane) else CANDIDATES


@dataclass(frozen=True, slots=True)
class Book:
    """One project on the server: a part of a lane, since a project holds only so many tasks."""

    lane: str
    part: int  # from 0
    number: int  # the server's; 0 until it has been made
    page: int = 0  # of `review.verdicts`, that its answers are given on
    classes: tuple[str, ...] = ()  # that it asks for; earlier versions did not note them


@dataclass(frozen=True, slots=True)
class Project:
    """Where a review takes place; of `key` its books and every task show the `shown_key`."""

    key: str
    server: str  # address at the first push, or "local"
    books: tuple[Book, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the newest push
    inputs: Mapping[str, str] = field(default_factory=dict)
    taken_over: Mapping[str, str] = field(default_factory=dict)  # lanes, by whose reader does them

    def alias(self, name: str) -> str:
        """What an image or a box is called on the server: nothing that tells what it is."""
        return sha256(f"{self.key}/{name}".encode()).hexdigest()[:20]

    def task_key(self, image_id: str, lane: str = "1") -> str:
        """What tells the task of an image in a lane from all others on any server."""
        return f"{self._lane_key(lane)}/{self.alias(image_id)}"

    def book_key(self, book: Book) -> str:
        """What a book is found by on its server."""
        return self._lane_key(book.lane) + (f"+{book.part}" if book.part else "")

    def task_of(self, task_key: str) -> tuple[str, str]:
        """Alias of the image, and lane, of a task; both empty when the task is not ours."""
        head, _, alias = task_key.partition("/")
        key, _, lane = head.partition(".")
        return (alias, lane or "1") if key == shown_key(self.key) and alias else ("", "")

    def alias_in(self, lane: str, task_key: str) -> str:
        """Alias of the image of a task that lies in a lane; empty when the task is not ours, or
        says that it is of another lane: whose answers count for more, and how, ours alone say."""
        alias, said = self.task_of(task_key)
        return alias if said == lane else ""

    def numbers(self, lane: str = "") -> list[int]:
        """The server's numbers of the books of a lane that are made; of all where none is named."""
        return [b.number for b in self.books if b.number and (not lane or b.lane == lane)]

    def readers_lanes(self, lane: str) -> list[str]:
        """The lanes whose reader does the rest of a lane, the next one first."""
        found: list[str] = []
        while (lane := self.taken_over.get(lane, "")) and lane not in found:
            found.append(lane)
        return found

    def one_readers(self, lane: str) -> set[str]:
        """All lanes that one person does, this one among them: an image goes to one of them."""
        last = [lane, *self.readers_lanes(lane)][-1]
        return {last, *(each for each in self.taken_over if last in self.readers_lanes(each))}

    def _lane_key(self, lane: str) -> str:
        key = shown_key(self.key)
        return key if lane == "1" else f"{key}.{lane}"


class ReviewFolder:
    """The files of one review.

    Raises:
        WorkspaceError: the name is taken by the server's own folder.
    """

    def __init__(self, workspace: Workspace, name: str) -> None:
        if name == SERVER:
            raise WorkspaceError(
                f"name {SERVER!r}: kept for Label Studio's own data; mine as another"
            )
        self.workspace, self.name = workspace, name
        self.path = workspace.folder("review", name)

    def project(self) -> Project | None:
        """The project, or None before the first push."""
        path = self.path / "project.json"
        try:
            document = parse_json(plain_text(path))
            alone = document.pop("project", 0)  # before reviews had several
            books = document.pop("books", [])
            if alone:
                books = [{"lane": "1", "part": 0, "number": alone}]
            made = tuple(Book(**{**b, "classes": tuple(b.get("classes", ()))}) for b in books)
            project = Project(**document, books=made)
            _check_kinds(project)
            return project
        except FileNotFoundError:
            return None
        except NONSENSE as error:
            raise WorkspaceError(
                f"{path}: broken; put it back from a backup, the reviewers' tasks hang on it"
            ) from error

    def new_project(self, server: str) -> Project:
        """Decide on the key of a project that is to be made."""
        return self.keep(Project(new_key(), server))

    def keep(self, project: Project) -> Project:
        """Write `project.json`."""
        path = self.path / "project.json"
        write_json(path, asdict(project))
        self.workspace.dates.note(path)
        return project

    def candidates(self) -> list[dict[str, Any]]:
        """What was drawn in advance, as it was when it was sent."""
        return self._rows("candidates.parquet", CANDIDATE_SCHEMA)

    def images_by_alias(self, project: Project, more: Iterable[str] = ()) -> dict[str, str]:
        """Images that were sent or are about to be, by what they are called on the server.

        Args:
            more: image ids beside those that the review's files name.
        """
        files = [self.path / name for name in ("tasks", *SHOWN)]
        files += [self.path / "planted" / "planted"]
        files += [self.workspace.folder("estimate", self.name) / "sample"]
        files += [self.workspace.folder("mine", self.name) / "candidates"]
        ids = set(more)
        for path in (file.with_name(f"{file.name}.parquet") for file in files):
            if path.exists():
                ids.update(some_columns(path, IMAGE_IDS)["image_id"].to_pylist())
        # Tasks of earlier versions carry the id itself.
        return {image_id: image_id for image_id in ids} | {project.alias(i): i for i in ids}

    def boxes_drawn(self, lane: str) -> dict[str, dict[str, Box]]:
        """What was drawn in advance in a lane, by image and box id."""
        found: dict[str, dict[str, Box]] = {}
        for row in self.shown(shown_in(lane)):
            box = Box.from_row(row)
            found.setdefault(row["image_id"], {})[row["box_id"]] = box
        return found

    def shown(self, table: str) -> list[dict[str, Any]]:
        """Boxes that were drawn in advance, rows of `CANDIDATE_SCHEMA`.

        Args:
            table: one of `SHOWN`.
        """
        return self._rows(f"{table}.parquet", CANDIDATE_SCHEMA)

    def show(self, table: str, images: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Keep what is about to be drawn in images, in place of what was before.

        Args:
            table: one of `SHOWN`.
            images: rows of `CANDIDATE_SCHEMA` by image.
        """
        rows = [row for row in self.shown(table) if row["image_id"] not in images]
        rows += [dict(row) for drawn in images.values() for row in drawn]
        write_table(self.path / f"{table}.parquet", rows, CANDIDATE_SCHEMA)

    def write_candidates(self, rows: Iterable[dict[str, Any]]) -> None:
        """Keep what is about to be sent."""
        write_table(self.path / "candidates.parquet", rows, CANDIDATE_SCHEMA)

    def tasks(self) -> list[dict[str, Any]]:
        """What was sent, rows of `TASK_SCHEMA`."""
        return self._rows("tasks.parquet", TASK_SCHEMA, TASK_DEFAULTS)

    def write_tasks(self, rows: Iterable[dict[str, Any]]) -> None:
        """Write `tasks.parquet`."""
        write_table(self.path / "tasks.parquet", rows, TASK_SCHEMA)

    def decisions(self, *, planted: bool = False) -> list[dict[str, Any]]:
        """All rows that were ever pulled, the oldest first.

        Args:
            planted: those about planted and sham images, which are kept apart.
        """
        return [row for path in self._decision_files(planted) for row in read_decisions(path)]

    def append_decisions(self, rows: list[dict[str, Any]], *, planted: bool = False) -> Path:
        """Write the next file of decisions.

        Its hash is published with exports and names are in it, so that a number which follows from
        the project's key is in it, too: else whoever guesses who answered could tell by the hash
        that he is right. A pull that was killed writes the same one again.
        """
        known = [int(path.stem) for path in self._decision_files(planted)]
        folder = self.path / "planted" / "decisions" if planted else self.path / "decisions"
        path = folder / f"{max(known, default=0) + 1:05d}.parquet"
        project = self.project()
        key = f"{project.key if project else ''}/{path.relative_to(self.path).as_posix()}"
        number = {"sixrayd.number": sha256(key.encode()).hexdigest()}
        write_table(path, rows, DECISION_SCHEMA.with_metadata(number))
        self.workspace.dates.note(path)
        return path

    def cursors(self) -> dict[int, Cursor]:
        """What the last pull knew of each book.

        Nothing where the file is broken, or decisions have gone or come since.
        """
        try:
            found = parse_json(plain_text(self.path / "pulled.json"))
            if found["files"] != self._decision_names():
                return {}
            return {item["project"]: Cursor.of(item) for item in found["books"]}
        except (OSError, *NONSENSE):
            return {}  # then everything is asked for again

    def write_cursors(self, cursors: Mapping[int, Cursor]) -> None:
        """Note what this pull knew."""
        books = [asdict(item) for item in cursors.values()]
        names = self._decision_names()
        write_json(self.path / "pulled.json", {"files": names, "books": books})

    def _decision_names(self) -> list[str]:
        files = [*self._decision_files(False), *self._decision_files(True)]
        return [path.relative_to(self.path).as_posix() for path in files]

    def _decision_files(self, planted: bool) -> list[Path]:
        if planted:
            return numbered_tables(self.path / "planted" / "decisions")
        return decision_files(self.workspace, self.name)

    def _rows(
        self, file: str, schema: pa.Schema, defaults: Mapping[str, Any] = MappingProxyType({})
    ) -> list[dict[str, Any]]:
        path = self.path / file
        return list(read_table(path, schema, defaults).to_pylist()) if path.exists() else []

    def reopen(self) -> None:
        """Take `run.json` away while tables change."""
        (self.path / "run.json").unlink(missing_ok=True)
        sync_folder(self.path)

    def progress(self) -> Progress:
        """How far it has come, by what was pulled."""
        said, apart = (
            decisions_of(self.decisions(planted=kind), self.name) for kind in (False, True)
        )
        return count_progress(self.tasks(), said, apart)

    def finish(self, project: Project) -> Progress:
        """Write `run.json` for the tables as they are; how far the review has come."""
        progress = self.progress()
        tables = [self.path / f"{name}.parquet" for name in ("tasks", *SHOWN)]
        tables += [*self._decision_files(False), *self._decision_files(True)]
        outputs = {
            path.relative_to(self.path).as_posix(): sha256_file(path)
            for path in tables
            if path.exists()
        }
        run = Run("review", self.name, project.settings, project.inputs, outputs, asdict(progress))
        self.workspace.finish(run)
        return progress


def _check_kinds(project: Project) -> None:
    """Refuse what the code would stumble over later.

    Raises:
        TypeError: a value is of another kind than we write.
    """
    texts = [project.key, project.server, *(book.lane for book in project.books)]
    texts += [name for book in project.books for name in book.classes]
    texts += [lane for pair in project.taken_over.items() for lane in pair]
    numbers = [number for book in project.books for number in (book.part, book.number, book.page)]
    tables = [project.settings, project.inputs]
    for kind, values in ((str, texts), (int, numbers), (dict, tables)):
        if not all(type(value) is kind for value in values):
            raise TypeError(f"a value is no {kind.__name__}")


def reviews_of(workspace: Workspace) -> list[ReviewFolder]:
    """All reviews with decisions, one that was killed before its `run.json` as well."""
    return [ReviewFolder(workspace, name) for name in reviews_with_decisions(workspace)]


def begun_reviews(workspace: Workspace) -> list[ReviewFolder]:
    """All reviews of which something is there."""
    return [ReviewFolder(workspace, path.name) for path in workspace.folders("review")]


def decided_elsewhere(workspace: Workspace, name: str) -> set[str]:
    """Images with a decision that stands in another review of the workspace."""
    others = [review.name for review in reviews_of(workspace) if review.name != name]
    return set(standing_decisions(d for other in others for d in load_decisions(workspace, other)))


def newest_review(workspace: Workspace) -> str:
    """The review that was pushed to or pulled from last, finished or not.

    Raises:
        WorkspaceError: there is none, or a backup is half put back.
    """
    check_restored(workspace)
    folder = workspace.folder("review")
    pushed = {path.parent for path in folder.glob("*/project.json")}
    touched = [path for f in pushed for path in (f / "project.json", f / "run.json")]
    if not pushed:
        return workspace.newest("review")
    return max(
        (path for path in touched if path.exists()),
        key=lambda path: (workspace.dates.of(path), path),
    ).parent.name


def pushed_project(folder: ReviewFolder) -> Project:
    """The project of a review.

    Raises:
        WorkspaceError: nothing has been pushed, or the push did not end.
    """
    project = folder.project()
    if project is None or not (folder.path / "tasks.parquet").exists():
        others = [each.name for each in begun_reviews(folder.workspace)]
        if others and folder.name not in {*folder.workspace.names("mine"), *APART, *others}:
            there = ", ".join(others[-5:])  # a mistyped name: no push makes it
            raise WorkspaceError(f"{folder.path}: no such review; name one that is there: {there}")
        raise WorkspaceError(
            f"{folder.path}: nothing was pushed, or not to the end; run "
            f"`{folder.workspace.command(Judgement(folder.workspace).push_of(folder.name))}`"
        )
    return project
