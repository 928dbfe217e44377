"""Labelled images that people were shown as what they are: who has seen one knows what it holds.

`estimate/labels/draw.json` and `practice/practice.json` say which, beside the tasks of reviews.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import numpy as np

from sixrayd.core.documents import NONSENSE, parse_json
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import plain_text
from sixrayd.core.index import Index
from sixrayd.core.moments import read_utc
from sixrayd.core.records import TASK_DEFAULTS, TASK_SCHEMA, Source
from sixrayd.core.tables import read_table
from sixrayd.core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class LabelDraw:
    """`draw.json`: from it all images follow whose labels are looked at, in order.

    Args:
        population: of which images, see `digest_of`.
        begun: when the first were drawn, ISO 8601; empty where an earlier version did.
    """

    key: str
    seed: int
    blind: float
    number: int
    population: str
    begun: str = ""

    def images(self, ids: Sequence[str]) -> dict[str, bool]:
        """The drawn images in order, and whether each is shown without its boxes."""
        rng = np.random.default_rng(self.seed)
        order, lots = rng.permutation(len(ids)), rng.random(len(ids))
        return {ids[i]: bool(lots[i] < self.blind) for i in order[: self.number].tolist()}


@dataclass(frozen=True, slots=True)
class PracticeSet:
    """`practice.json`: images that are shown with their answers."""

    key: str
    images: tuple[str, ...]


def label_draw(workspace: Workspace) -> LabelDraw | None:
    """What was drawn to look at labels, None if nothing was.

    Raises:
        WorkspaceError: it is broken.
    """
    path = label_draw_file(workspace)
    try:
        draw = LabelDraw(**parse_json(plain_text(path)))
        _check(draw)
        return draw
    except FileNotFoundError:
        return None
    except NONSENSE as error:
        raise WorkspaceError(
            f"{path}: broken; put it back from a backup, or remove {path.parent} and draw anew"
        ) from error


def label_draw_file(workspace: Workspace) -> Path:
    """Where it is kept."""
    return workspace.folder("estimate", "labels") / "draw.json"


def labelled_images(workspace: Workspace) -> list[str]:
    """Those that labels are looked at of, in order."""
    ids: list[str] = Index.load(workspace).rows(source=Source.POSITIVE)["image_id"].to_pylist()
    return ids


def digest_of(ids: Sequence[str]) -> str:
    """SHA-256 of the labelled images."""
    return sha256("\n".join(ids).encode()).hexdigest()


def practice_set(workspace: Workspace) -> PracticeSet | None:
    """What people practise on, None before they do.

    Raises:
        WorkspaceError: it is broken.
    """
    path = practice_file(workspace)
    try:
        document = parse_json(plain_text(path))
        return PracticeSet(str(document["key"]), tuple(map(str, document["images"])))
    except FileNotFoundError:
        return None
    except NONSENSE as error:
        raise WorkspaceError(f"{path}: broken; remove it, and practice begins anew") from error


def practice_file(workspace: Workspace) -> Path:
    """Where it is kept."""
    return workspace.folder("practice") / "practice.json"


def shown_openly(workspace: Workspace) -> dict[str, datetime | None]:
    """Images that people were shown under their own names, and since when; None if unknown.

    Raises:
        WorkspaceError: a file that says so is broken.
    """
    found: dict[str, datetime | None] = {}
    if draw := label_draw(workspace):
        ids = labelled_images(workspace)
        # Of another ingest nobody knows any more which they were.
        drawn = draw.images(ids) if draw.population == digest_of(ids) else ids
        found |= dict.fromkeys(drawn, read_utc(draw.begun) if draw.begun else None)
    if practice := practice_set(workspace):
        found |= dict.fromkeys(practice.images)
    for path in workspace.folder("review").glob("[!.]*/tasks.parquet"):
        found |= dict.fromkeys(read_table(path, TASK_SCHEMA, TASK_DEFAULTS)["image_id"].to_pylist())
    return found


def _check(draw: LabelDraw) -> None:
    kinds = {"key": str, "seed": int, "blind": float, "number": int}
    kinds |= {"population": str, "begun": str}
    if any(type(getattr(draw, name)) is not kind for name, kind in kinds.items()):
        raise TypeError("of another kind")
    if draw.seed < 0 or draw.number < 1 or not 0 <= draw.blind <= 1:
        raise ValueError("out of range")
    if draw.begun:
        read_utc(draw.begun)
