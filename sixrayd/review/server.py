"""What a server on which people review must do, whichever it is.

`label_studio/` is one. Another is a folder beside it and an entry in `SERVERS`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Protocol, Self

from sixrayd.core.boxes import Box
from sixrayd.core.classes import ClassList
from sixrayd.core.errors import ServiceError
from sixrayd.core.records import LOCAL, Verdict
from sixrayd.core.workspace import Workspace

LABEL_STUDIO = "label-studio"
# By kind, `module:function` that opens one for a workspace; see `connect`.
SERVERS = {LABEL_STUDIO: "sixrayd.review.label_studio.reviewing:open_label_studio"}


class AwayError(ServiceError):
    """The server does not answer now; later it may."""


@dataclass(frozen=True, slots=True)
class ProjectPlan:
    """What a new project is made with; `key` finds it again.

    Args:
        guidelines: Markdown.
        examples: a JPEG with objects of the classes; may be empty.
    """

    title: str
    key: str
    classes: ClassList
    guidelines: str = ""
    examples: bytes = b""


@dataclass(frozen=True, slots=True)
class NewTask:
    """An image for one reviewer.

    Args:
        key: finds the task again.
        image: address, as `show_images` gives it.
        drawn: rows of `CANDIDATE_SCHEMA` that are drawn in advance, `box_id` as the server is to
            know it.
    """

    key: str
    image: str
    size_wh: tuple[int, int]
    drawn: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class ServerAnnotation:
    """What somebody submitted, as the server tells it; the regions are unchecked."""

    annotation_id: int
    reviewer: int  # who changed it last; 0 when the server no longer knows
    author: int  # who made it
    updated_at: str
    lead_time_s: float
    cancelled: bool
    regions: tuple[Mapping[str, Any], ...]
    created_at: str = ""


@dataclass(frozen=True, slots=True)
class ServerTask:
    """A task and its annotations; `key` is empty for a task that we did not make."""

    task_id: int
    key: str
    annotations: tuple[ServerAnnotation, ...]
    drafts: int  # begun and not submitted
    updated_at: str

    @property
    def untouched(self) -> bool:
        """Whether neither an annotation nor a draft hangs on it."""
        return not self.annotations and not self.drafts

    @property
    def skipped(self) -> bool:
        """Whether people have skipped it, and nobody has answered or begun it."""
        said = self.annotations
        return bool(said) and all(each.cancelled for each in said) and not self.drafts


class Origin(StrEnum):
    """How a reviewer's box came about."""

    CONFIRMED = "confirmed"
    MOVED = "moved"
    RELABELLED = "relabelled"  # moved as well, or not
    DRAWN = "drawn"


@dataclass(frozen=True, slots=True)
class ReviewedBox:
    """A box with the candidate that it goes back to.

    Args:
        candidate: empty for a drawn one.
        marked: the reviewer picked it out: of those left as they were, others do not count.
    """

    box: Box
    origin: Origin
    candidate: str
    marked: bool = False


@dataclass(frozen=True, slots=True)
class ReadAnswer:
    """An annotation, read; `notes` says what was changed or could not be read, region by region."""

    verdict: Verdict | None
    boxes: tuple[ReviewedBox, ...]
    notes: tuple[str, ...]


def place_of(server: "ReviewServer") -> str:
    """What a review that is pushed to a server calls it."""
    return LOCAL if server.local else server.address


class ReviewServer(Protocol):
    """A client of one server, for use in a `with` statement.

    Projects, tasks, annotations and people have numbers. A call may be repeated until it gave an
    answer, `create_project` and `add_tasks` apart: `find_project` and `all_tasks` tell what became
    of those.

    Attributes:
        address: of the server, for people and messages.
        local: whether it is the workspace's own.

    Raises:
        AwayError: at every call: the server does not answer now.
        ServiceError: at every call: it refuses, or answers nonsense.
    """

    address: str
    local: bool

    def __enter__(self) -> Self: ...

    def __exit__(self, *said: object) -> None: ...

    def close(self) -> None:
        """Close the connections."""

    def find_project(self, key: str) -> int | None:
        """The project that was made with this key."""

    def create_project(self, plan: ProjectPlan) -> int:
        """Make a project whose tasks come in order and show what is drawn in advance."""

    def instruct(self, project: int, guidelines: str) -> None:
        """Replace what a project's reviewers are told; Markdown."""

    def project_address(self, project: int) -> str:
        """Where people open a project in their browser."""

    def task_address(self, project: int, task: int) -> str:
        """Where people open one task of a project."""

    def invitation(self, project: int) -> str:
        """Where a new person joins and begins with a project; whoever has the address can."""

    def end_invitations(self) -> None:
        """Have no invitation given so far let anybody in."""

    def show_images(self, project: int, review: str, images: Mapping[str, bytes]) -> dict[str, str]:
        """Have tasks of a project show images: addresses by the names given.

        Args:
            review: name of the review.
            images: encoded, by names that tell nothing.
        """

    def lost_images(self, review: str, names: Iterable[str]) -> list[str]:
        """Those of the images given to `show_images` that it no longer has.

        Args:
            names: as they were given, without their suffix.
        """

    def add_tasks(self, project: int, tasks: Sequence[NewTask]) -> list[int]:
        """Add tasks, all of them or none; their numbers in the same order."""

    def delete_task(self, task: int) -> bool:
        """Remove one task, unless somebody has begun to answer it; to skip it is no answer.

        Returns:
            Whether it is gone.
        """

    def counts(self, project: int) -> tuple[int, int]:
        """How many tasks a project has, and how many annotations, cancelled ones included."""

    def all_tasks(self, project: int) -> tuple[ServerTask, ...]:
        """All of a project's tasks by number."""

    def tasks_since(self, project: int, moment: str) -> tuple[ServerTask, ...]:
        """Tasks that changed since a moment of the server's clock, and those with drafts."""

    def answered_tasks(self, project: int) -> tuple[ServerTask, ...]:
        """Tasks with annotations, cancelled ones included, or drafts."""

    def reviewers(self) -> dict[int, str]:
        """Names of the server's users, by number."""

    def read_answer(
        self,
        regions: Iterable[Mapping[str, Any]],
        size_wh: tuple[int, int],
        drawn: Mapping[str, Box],
        classes: ClassList,
    ) -> ReadAnswer:
        """Read the regions of one annotation; a bad region costs itself, not the others.

        Args:
            regions: as the server tells them.
            size_wh: pixels of the image.
            drawn: what was drawn in advance, by box id as the server knows it.
        """

    def keep_safe(self) -> None:
        """Back up what people did, where that is ours to do and is due; closed or not."""


def connect(
    workspace: Workspace, url: str, token_file: Path | None, kind: str = LABEL_STUDIO
) -> ReviewServer:
    """Open the server that a command is to use.

    Args:
        url: empty for the workspace's own server.
        token_file: holds a token for `url`; without it the environment is asked.
        kind: a key of `SERVERS`.

    Raises:
        ServiceError: it is not running, not installed, or refuses.
        SettingsError: the address is unfit, or there is no token for it.
    """
    server: ReviewServer = resolve_name(SERVERS[kind])(workspace, url, token_file)
    return server
