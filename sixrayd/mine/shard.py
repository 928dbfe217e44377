"""The unit of work: one shard of negatives → one table of detections."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from more_itertools import chunked

from sixrayd.core.boxes import Box
from sixrayd.core.errors import ImageError, ShardError
from sixrayd.core.records import BOX_FIELDS, ImageRecord
from sixrayd.core.shards import ShardImage, iter_shard
from sixrayd.detectors.predictor import Predictor
from sixrayd.evaluation.matching import Detections
from sixrayd.imaging.decode import RGBImage, decode_rgb

# A row is a detection, or an image that could not be looked at: then only `error` says something.
PART_SCHEMA = pa.schema(
    [
        *BOX_FIELDS[1:],  # boxes get their ids when all parts are ranked
        pa.field("score", pa.float32(), nullable=False),
        pa.field("error", pa.string(), nullable=False),
    ]
)
_DECODERS = 2


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard and what the index says is in it."""

    path: Path
    records: Mapping[str, ImageRecord]


@dataclass(frozen=True, slots=True)
class _Scan:
    image_id: str
    image: RGBImage | None
    error: str


def mine_shard(
    shard: Shard,
    predictor: Predictor,
    labels: tuple[str, ...],
    batch: int,
    looked: Callable[[int, int], None] = lambda images, skipped: None,
) -> pa.Table:
    """Look at every image of a shard.

    Args:
        labels: the detector's classes in order.
        batch: images a step; a batch never spans shards.
        looked: called with the images and skips of each step, for progress.

    Returns:
        A table of `PART_SCHEMA` in the shard's order, by falling score within an image.
    """
    rows: list[dict[str, Any]] = []
    with ThreadPoolExecutor(_DECODERS) as pool:
        for scans in chunked(_in_order(_scans(shard, pool), 2 * batch), batch):
            readable = [scan for scan in scans if scan.image is not None]
            found = predictor.detect([s.image for s in readable if s.image is not None])
            for scan, detections in zip(readable, found, strict=True):
                rows += _detection_rows(scan.image_id, detections, labels)
            skipped = [_error_row(s.image_id, s.error) for s in scans if s.image is None]
            rows += skipped
            looked(len(scans), len(skipped))
    return pa.Table.from_pylist(rows, schema=PART_SCHEMA)


def _scans(shard: Shard, pool: ThreadPoolExecutor) -> Iterator[Future[_Scan]]:
    """Every image that the index promises, decoded or with what is wrong with it."""
    missing = dict(shard.records)
    reason = f"not in {shard.path.name} although the index lists it"
    try:
        for image in iter_shard(shard.path):
            record = missing.pop(image.image_id, None)
            if record is not None:
                yield pool.submit(_scan, image, record)
    except ShardError as error:
        reason = str(error)
    for image_id in missing:
        yield pool.submit(_Scan, image_id, None, reason)


def _scan(image: ShardImage, record: ImageRecord) -> _Scan:
    if hashlib.sha256(image.data).hexdigest() != record.sha256:
        return _Scan(image.image_id, None, f"{image.image_id}: changed since it was indexed")
    try:
        return _Scan(image.image_id, decode_rgb(image.data, image.image_id), "")
    except ImageError as error:
        return _Scan(image.image_id, None, str(error))


def _in_order(futures: Iterable[Future[_Scan]], ahead: int) -> Iterator[_Scan]:
    """Results in order, with at most `ahead` of them under way: memory stays bounded."""
    waiting: list[Future[_Scan]] = []
    for future in futures:
        waiting.append(future)
        if len(waiting) > ahead:
            yield waiting.pop(0).result()
    for future in waiting:
        yield future.result()


def _detection_rows(
    image_id: str, found: Detections, labels: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    for xyxy, score, label in zip(found.xyxy, found.scores, found.labels, strict=True):
        box = Box(labels[int(label)], *(round(float(edge), 2) for edge in xyxy))
        yield _row(image_id, box, float(score), "")


def _error_row(image_id: str, error: str) -> dict[str, Any]:
    return _row(image_id, Box("-", 0, 0, 1, 1), 0.0, error)


def _row(image_id: str, box: Box, score: float, error: str) -> dict[str, Any]:
    edges = {"x1": box.x1, "y1": box.y1, "x2": box.x2, "y2": box.y2}
    return {"image_id": image_id, "label": box.label, **edges, "score": score, "error": error}
