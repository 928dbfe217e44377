"""Images that somebody tagged for review while looking at them in `sixrayd browse`."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.index import Index, load_annotations
from sixrayd.core.records import CANDIDATE_SCHEMA, ImageRecord, Kind, Source
from sixrayd.core.tables import read_table
from sixrayd.core.tags import TAG, tagged_ids
from sixrayd.core.workspace import Workspace
from sixrayd.review.queue.contradictions import RELEASE
from sixrayd.review.queue.image import ReviewImage
from sixrayd.review.queue.plan import drawing_of, likeliest, rows_of


def tagged_images(workspace: Workspace, boxes: int, draw_from: float | None) -> list[ReviewImage]:
    """Tagged images by id; positives with their own boxes, others with the newest mining's.

    Args:
        boxes, draw_from: of the mining, see `drawing_of`.

    Raises:
        WorkspaceError: nothing is tagged, or what is tagged is no image of the release.
    """
    index, ids = Index.load(workspace), tagged_ids(workspace)
    if not ids:
        raise WorkspaceError(
            f"{workspace.root / 'browse'}: no image is tagged; tag some {TAG!r} in "
            f"`{workspace.command('sixrayd browse')}`, then push again"
        )
    if strangers := [image_id for image_id in ids if image_id not in index]:
        raise WorkspaceError(
            f"{ids[strangers[0]]}: {strangers[0]!r} is no image of the release; remove it from the "
            "file, then push again"
        )
    detected = _detected(workspace, set(ids), boxes, draw_from)
    own = load_annotations(workspace)
    return [
        _image(
            record,
            rows_of(record.image_id, RELEASE, [a.box for a in own.get(record.image_id, ())], 1.0),
            detected.get(record.image_id, ()),
        )
        for record in map(index.record, ids)
    ]


def _image(
    record: ImageRecord,
    own: tuple[Mapping[str, Any], ...],
    detected: tuple[Mapping[str, Any], ...],
) -> ReviewImage:
    if record.source == Source.POSITIVE:
        return ReviewImage(record.image_id, Kind.POSITIVE, 0, 1.0, own)
    rank, score = (detected[0][key] for key in ("rank", "image_score")) if detected else (0, 0.0)
    return ReviewImage(record.image_id, Kind.TAGGED, rank, score, detected)


def _detected(
    workspace: Workspace, ids: set[str], boxes: int, draw_from: float | None
) -> dict[str, tuple[Mapping[str, Any], ...]]:
    """The candidates of the newest mining that are drawn, by image."""
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for mining in workspace.names("mine")[-1:]:
        drawing = drawing_of(workspace, mining, boxes, draw_from)
        path = workspace.folder("mine", mining) / "candidates.parquet"
        for row in sorted(read_table(path, CANDIDATE_SCHEMA).to_pylist(), key=likeliest):
            if row["image_id"] in ids:
                found[row["image_id"]].append(row)
        return {image_id: drawing.of(rows) for image_id, rows in found.items()}
    return {}
