"""What was planted in a review: read from `review/NAME/planted/`, apart from all else."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import plain_bytes
from sixrayd.core.records import EDGE_FIELDS
from sixrayd.core.tables import read_table
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.decision import Decision, decisions_of, read_decisions

PLANTED_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),  # looks like the release's negatives'
        pa.field("kind", pa.string(), nullable=False),  # Kind.PLANTED, KNOWN or SHAM
        pa.field("target", pa.string(), nullable=False),  # the image it was made of
        pa.field("item", pa.string(), nullable=False),  # box id of the annotation; none in shams
        pa.field("label", pa.string(), nullable=False),
        *EDGE_FIELDS,
        pa.field("size", pa.string(), nullable=False),  # a name of `evaluation.strata.SIZES`
        pa.field("scale", pa.float64(), nullable=False),  # pixels in the target for one of the item
        pa.field("with_proposals", pa.bool_(), nullable=False),  # where the detector fires on it
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
    ]
)


def planted_folder(workspace: Workspace, review: str) -> Path:
    """Where a review's planted images and all about them are kept."""
    return workspace.folder("review", review) / "planted"


def planted_rows(workspace: Workspace, review: str) -> list[dict[str, Any]]:
    """Rows of `PLANTED_SCHEMA`, by image id; none where nothing was planted."""
    path = planted_folder(workspace, review) / "planted.parquet"
    return list(read_table(path, PLANTED_SCHEMA).to_pylist()) if path.exists() else []


def remove_others(workspace: Workspace, review: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Delete images of an interrupted planting, before something changed.

    Raises:
        WorkspaceError: see `Workspace.check_own`.
    """
    keep = {f"{row['image_id']}.jpg" for row in rows}
    images = planted_folder(workspace, review) / "images"
    workspace.check_own(images)
    for path in images.iterdir():
        if path.name not in keep:
            path.unlink()


def planted_decisions(workspace: Workspace, review: str) -> list[Decision]:
    """All versions of all answers about planted and sham images.

    Raises:
        WorkspaceError: a table is broken, or a row makes no sense.
    """
    files = sorted((planted_folder(workspace, review) / "decisions").glob("*.parquet"))
    return decisions_of((row for file in files for row in read_decisions(file)), review)


def planted_image(workspace: Workspace, review: str, row: Mapping[str, Any]) -> bytes:
    """The JPEG of a row of `PLANTED_SCHEMA`.

    Raises:
        WorkspaceError: it is gone or has changed.
    """
    path = planted_folder(workspace, review) / "images" / f"{row['image_id']}.jpg"
    data = plain_bytes(path) if path.exists() else b""
    if hashlib.sha256(data).hexdigest() != row["sha256"]:
        raise WorkspaceError(
            f"{path}: not the image that was planted; put the folder back from a backup, or remove "
            f"{path.parent.parent} if no reviewer has seen it, then plant again"
        )
    return data
