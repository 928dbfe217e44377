"""Reviews that are both in a backup and in a workspace: one, one that goes on, or two."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sixrayd.core.documents import NONSENSE, parse_json
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import make_folder, plain_text, take_place
from sixrayd.core.records import IMAGE_IDS, TASK_DEFAULTS, TASK_SCHEMA
from sixrayd.core.tables import read_table, some_columns

_NAMESAKE = "namesake-"  # what is left out, beside what is taken
_PROJECT, _TASKS, _PLANTED = "project.json", "tasks.parquet", "planted/planted.parquet"
# What pushes add to; the project last, since by it is seen which review goes on.
_SENT = (
    *("candidates.parquet", "adjudication.parquet", "second_looks.parquet"),
    *(_PLANTED, "planted/detections.parquet", _TASKS, "run.json", _PROJECT),
)


def leave_out_namesakes(ready: Path, root: Path) -> list[str]:
    """Take reviews out of a backup that are others than those of their names here: the tables of
    one belong together, and its decisions would count in ours. What people are to know of these.
    """
    told = []
    for theirs, ours in _in_both(ready, root):
        keys = [_said(review).get("key") for review in (theirs, ours)]
        if None in keys or keys[0] == keys[1]:
            continue
        theirs.rename(ready / f"{_NAMESAKE}{ours.name}")  # in one step, come a kill
        told.append(
            f"{ours.name}: the backup's review of this name is another one, which was pushed by "
            "itself; yours stands, and nothing of the backup's is added. To take that instead, "
            f"move {ours} away and restore again"
        )
    return told


def take_in_later(ready: Path, root: Path) -> None:
    """Take in what reviews were sent that go on from ours: of a project that ours does not name no
    answer would be pulled.
    """
    for theirs, ours in _in_both(ready, root):
        before = _sent(ours, ours)
        if before and before < _sent(theirs, ours):
            for file in (name for name in _SENT if (theirs / name).exists()):
                make_folder((ours / file).parent)
                take_place(theirs / file, ours / file)


def _in_both(ready: Path, root: Path) -> Iterator[tuple[Path, Path]]:
    for project in sorted(ready.glob(f"review/*/{_PROJECT}")):
        ours = root / "review" / project.parent.name
        if (ours / _PROJECT).exists():
            yield project.parent, ours


def _sent(review: Path, other: Path) -> set[tuple[Any, ...]]:
    """The key of a review, its projects on the server, its tasks, what is planted in it and which
    lanes others took over; nothing where it does not say.

    Args:
        other: has those of its tables that a restore took before it was killed.
    """
    said = _said(review)
    tasks, planted = (
        next((p for p in (review / name, other / name) if p.exists()), None)
        for name in (_TASKS, _PLANTED)
    )
    try:
        books = [(book["lane"], book["part"], book["number"]) for book in said["books"]]
        rows = read_table(tasks, TASK_SCHEMA, TASK_DEFAULTS).to_pylist() if tasks else []
        images = some_columns(planted, IMAGE_IDS).to_pylist() if planted else []
        return {
            (said["key"],),
            *(book for book in books if book[-1]),
            *(("taken over", *lanes) for lanes in said.get("taken_over", {}).items()),
            *((row["lane"], row["image_id"], row["task"]) for row in rows),
            *(("planted", row["image_id"]) for row in images),
        }
    except (OSError, WorkspaceError, *NONSENSE):
        return set()


def _said(review: Path) -> dict[str, Any]:
    """What `project.json` says; nothing where it makes no sense."""
    try:
        return dict(parse_json(plain_text(review / _PROJECT)))
    except (OSError, *NONSENSE):
        return {}
