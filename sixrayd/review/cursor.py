"""What the last pull knew of a project on the server, so that the next asks for changes alone."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from sixrayd.core.moments import read_utc


class Outcome(StrEnum):
    """What an annotation on the server came to."""

    DECISION = "decision"
    SKIPPED = "skipped"  # cancelled by the reviewer
    EMPTY = "empty"  # submitted with nothing in it
    WITHOUT_VERDICT = "without verdict"
    ODD = "odd"  # of an image or a time that there is not
    FOREIGN = "foreign"  # on a task that is not ours


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in an annotation that people should look at."""

    image_id: str
    task: int
    annotation: int
    what: str

    def __str__(self) -> str:
        return f"{self.image_id}: task {self.task}, annotation {self.annotation}: {self.what}"


@dataclass(frozen=True, slots=True)
class Known:
    """An annotation that has been read."""

    annotation: int
    task: int
    outcome: Outcome
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Cursor:
    """One project as it was seen last; `moment` is of the server's clock, empty at first."""

    project: int
    tasks: int
    moment: str = ""
    drafts: int = 0
    foreign: int = 0
    annotations: tuple[Known, ...] = ()

    def by(self, now: datetime) -> Self:
        """With no moment later than the clock of who asks: the server's may be put right."""
        ahead = bool(self.moment) and read_utc(self.moment) > now
        return replace(self, moment=now.isoformat()) if ahead else self

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """From what `asdict` made of one.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        known = tuple(
            Known(
                int(item["annotation"]),
                int(item["task"]),
                Outcome(item["outcome"]),
                tuple(Problem(**problem) for problem in item["problems"]),
            )
            for item in document["annotations"]
        )
        if document.get("moment"):
            read_utc(document["moment"])
        return cls(**{**document, "annotations": known})
