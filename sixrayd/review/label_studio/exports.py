"""What the server tells of tasks and annotations, before anything in it is believed."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sixrayd.core.documents import parse_json
from sixrayd.core.moments import read_moment, read_utc
from sixrayd.review.server import ServerAnnotation, ServerTask

_AT_ONCE = timedelta(seconds=1)  # in which what is made is saved


@dataclass(frozen=True, slots=True)
class OpenTask:
    """The task that a reviewer is given next: its data, and the regions drawn in advance."""

    task_id: int
    data: Mapping[str, Any]
    regions: tuple[Mapping[str, Any], ...]


def number_of(value: Any) -> int:
    """What the server calls a project, a task, an answer or a person.

    Raises:
        ValueError, TypeError: it is none that tables hold.
    """
    number = int(value)
    if not 0 <= number < 1 << 63:
        raise ValueError("no number of a thing")
    return number


def read_tasks(chunks: Iterable[bytes]) -> tuple[ServerTask, ...]:
    """The tasks of an export by number.

    Raises:
        one of NONSENSE: it is no export of Label Studio's.
    """
    document = parse_json(b"".join(chunks))
    tasks = tuple(sorted(map(_server_task, document), key=lambda task: task.task_id))
    if len({task.task_id for task in tasks}) < len(tasks):
        raise ValueError("two tasks of one number")  # `push` would delete one as a duplicate
    return tasks


def _server_task(row: Any) -> ServerTask:
    annotations = sorted(map(_server_annotation, row["annotations"]), key=lambda a: a.annotation_id)
    key = row["data"].get("sixrayd", "")
    return ServerTask(
        task_id=number_of(row["id"]),
        key=key if isinstance(key, str) else "",
        annotations=tuple(annotations),
        drafts=len(row.get("drafts") or ()),
        updated_at=read_moment(row["updated_at"]).isoformat(),
    )


def _server_annotation(row: Any) -> ServerAnnotation:
    author, editor = (_person(row.get(key)) for key in ("completed_by", "updated_by"))
    if not isinstance(row["result"], list):
        raise TypeError("result is no list")
    return ServerAnnotation(
        annotation_id=number_of(row["id"]),
        reviewer=editor or (0 if _was_changed(row) else author),
        author=author,
        updated_at=str(row["updated_at"]),
        lead_time_s=_seconds(row["lead_time"]),
        cancelled=bool(row["was_cancelled"]),
        # Copies would double what an export takes.
        regions=tuple(r if isinstance(r, dict) else dict(r) for r in row["result"]),
        created_at=str(row.get("created_at") or ""),
    )


def _was_changed(row: Any) -> bool:
    """Whether an answer was changed after it was made: who did is noted, unless he was deleted."""
    try:
        made, changed = (read_utc(str(row[key])) for key in ("created_at", "updated_at"))
    except (KeyError, ValueError):
        return False
    return changed - made > _AT_ONCE


def _seconds(value: Any) -> float:
    """Of work; 0 where the server knows none, or knows nonsense."""
    try:
        seconds = float(value or 0.0)
    except OverflowError:
        return 0.0
    return seconds if 0 <= seconds < math.inf else 0.0


def _person(value: Any) -> int:
    return number_of((value["id"] if isinstance(value, dict) else value) or 0)
