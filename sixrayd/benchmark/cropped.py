"""The training side cropped, for a detector that learns from crops as well as being shown them."""

import hashlib
import io
from typing import Any

import pyarrow as pa
from PIL import Image

from sixrayd.core.boxes import Box, clip_box
from sixrayd.core.index import Annotation, Index, load_annotations
from sixrayd.core.progress import progress
from sixrayd.core.records import ANNOTATION_SCHEMA, INDEX_SCHEMA, Split
from sixrayd.core.shards import ShardWriter
from sixrayd.core.tables import write_table
from sixrayd.core.workspace import Run, Workspace
from sixrayd.crop.region import Cropper, Region, cut
from sixrayd.imaging.decode import decode_rgb

LEAST_INSIDE = 0.5  # share of an object's area inside the crop for it to stay


def crop_training_side(
    data: Workspace, target: Workspace, cropper: Cropper, settings: dict[str, Any]
) -> None:
    """Shards, index and annotations of cropped training images, in a workspace of their own.

    Ids, groups and split stay as they are, so the same images are held out. Images are PNG, so
    that a second JPEG does not teach its own artefacts.

    Args:
        settings: what the crop depends on; crops of the same settings are not made again.
    """
    classes = data.run("shards").settings["classes"]
    inputs = {"shards": data.inputs(data.shards / "run.json")["shards/run.json"]}
    run = Run("shards", "", {**settings, "classes": classes}, inputs)
    with target.lock():
        if not target.begin(run):
            return
        rows, boxes = _crop_all(data, target, cropper)
        write_table(target.shards / "index.parquet", pa.Table.from_pylist(rows), INDEX_SCHEMA)
        write_table(target.shards / "annotations.parquet", boxes, ANNOTATION_SCHEMA)
        target.finish(run)


def _crop_all(
    data: Workspace, target: Workspace, cropper: Cropper
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    index, annotations = Index.load(data), load_annotations(data)
    table = index.rows(split=Split.TRAIN).to_pylist()
    rows, boxes = [], []
    with ShardWriter(target.shards, "crops") as writer, progress() as bar:
        task = bar.add_task("cropping the training side", total=len(table), note="")
        for row in table:
            image_id = row["image_id"]
            image = decode_rgb(index.read(image_id), image_id)
            region = cropper(image)
            data_png = _png(cut(image, region))
            shard, offset, size = writer.add(image_id, data_png)
            rows.append(
                row
                | {"shard": shard, "offset": offset, "size": size}
                | {"width": region.size_wh[0], "height": region.size_wh[1]}
                | {"sha256": hashlib.sha256(data_png).hexdigest()}
            )
            boxes += [_box_row(a, region) for a in annotations.get(image_id, ())]
            bar.advance(task)
    return rows, [box for box in boxes if box is not None]


def _box_row(annotation: Annotation, region: Region) -> dict[str, Any] | None:
    """The object in the crop's pixels, None where most of it is outside."""
    whole = annotation.box
    moved = Box(
        whole.label,
        whole.x1 - region.x1,
        whole.y1 - region.y1,
        whole.x2 - region.x1,
        whole.y2 - region.y1,
    )
    inside = clip_box(moved, *region.size_wh)
    if inside is None or inside.area < LEAST_INSIDE * whole.area:
        return None
    return {
        "box_id": annotation.box_id,
        "image_id": annotation.image_id,
        **inside.as_row(),
        "difficult": annotation.difficult,
        "truncated": annotation.truncated or inside != moved,
    }


def _png(image: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=1)
    return file.getvalue()
