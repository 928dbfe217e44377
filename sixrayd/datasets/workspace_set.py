"""The release in a workspace as a set: what reviews decided since is what an export has."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.index import Index, load_annotations
from sixrayd.core.records import LEAK_FREE, Source
from sixrayd.core.tables import some_columns
from sixrayd.core.voc import VocObject
from sixrayd.core.workspace import Workspace
from sixrayd.datasets.labelled import ImageLabels, LabelledSet

_COLUMNS = ["image_id", "width", "height", "sha256", "split", "source", "error"]
_GIVEN = ["split", "image_id", "side"]


def read_workspace(workspace: Workspace) -> LabelledSet:
    """The release that a workspace was made from.

    A negative has no box, since that is what the release says of it. Of a positive that nobody has
    boxed nothing is said, nor of an image that cannot be read.

    Raises:
        WorkspaceError: the release has not been ingested.
    """
    columns = Index.load(workspace).table.select(_COLUMNS).to_pydict()
    boxes = load_annotations(workspace)
    images = {}
    for row in zip(*columns.values(), strict=True):
        image_id, width, height, sha256, _, source, error = row
        objects = tuple(VocObject(a.box, a.difficult, a.truncated) for a in boxes.get(image_id, ()))
        silent = not objects and (bool(error) or source == Source.POSITIVE)
        size_wh = (width, height) if width and height else None
        images[image_id] = ImageLabels(image_id, None if silent else objects, sha256, size_wh)
    own = dict(zip(columns["image_id"], columns["split"], strict=True))
    splits = {LEAK_FREE: own, **_given(workspace)}
    return LabelledSet("workspace", workspace.classes(), images, splits)


def _given(workspace: Workspace) -> Mapping[str, Mapping[str, str]]:
    """Splits that came with the release; older workspaces have none."""
    path = workspace.shards / "splits.parquet"
    if not path.exists():
        return {}
    found: dict[str, dict[str, str]] = {}
    for split, image_id, side in zip(*read_columns(path, _GIVEN).values(), strict=True):
        found.setdefault(split, {})[image_id] = side
    return found


def read_columns(path: Path, names: list[str]) -> dict[str, list[str]]:
    """Some columns of text of a table that may have others.

    Raises:
        WorkspaceError: no table, or a column is missing or no text.
    """
    schema = pa.schema([(name, pa.string()) for name in names])
    try:
        return dict(some_columns(path, schema).to_pydict())
    except WorkspaceError as error:
        why = error.__cause__ or error
        raise WorkspaceError(f"{path}: no table with {', '.join(names)} ({why})") from error
