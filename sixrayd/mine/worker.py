"""The unit of work, on whatever machine: one shard of negatives → one committed part."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import torch

from sixrayd.core.ahead import MOST_PIXELS, chunked, map_ahead
from sixrayd.core.arrays import RGBImage, pixel_count
from sixrayd.core.boxes import Box
from sixrayd.core.cores import available_cores
from sixrayd.core.detections import Detections
from sixrayd.core.errors import ImageError, ServiceError
from sixrayd.core.records import BOX_FIELDS
from sixrayd.core.store import Store
from sixrayd.core.tables import table_bytes, table_from
from sixrayd.detectors.devices import out_of_memory
from sixrayd.mine.inference import Cascade, Inference, InferenceSettings, Look, open_inference
from sixrayd.mine.removed import by_thousandth, counts_of, with_counts
from sixrayd.mine.shard import MinedImage, ShardTask, read_scans

# A row is a detection, or an image that could not be looked at: then only `error` says something.
PART_SCHEMA = pa.schema(
    [
        *BOX_FIELDS[1:],  # boxes get their ids when all parts are ranked
        pa.field("score", pa.float32(), nullable=False),
        pa.field("error", pa.string(), nullable=False),
    ]
)
_CPU, _GPU = 16, (64, 32, 16, 8, 4, 2, 1)  # images a step; of a GPU, the first that fits
_TRIED_PX = 1024  # side of the images that this is tried with
_IMAGES = b"images"  # that a partial part covers, in its schema's metadata


@dataclass(frozen=True, slots=True)
class MineJob:
    """All that a worker needs.

    Args:
        shards, parts: folders, by path or URL.
        weights, first, quantised: files of the detector, of the cascade's first and of int8.
        batch: images a step; 0 takes 16 on a CPU, and on a GPU 64 or the most that fit. A batch
            never spans shards.
        stop_at_errors: instead of listing them.
        save_s: seconds after which an unfinished shard's rows are saved.
    """

    shards: str
    parts: str
    weights: Path
    inference: InferenceSettings
    batch: int
    stop_at_errors: bool = False
    first: Path | None = None
    quantised: Path | None = None
    save_s: float = 60.0


@dataclass(frozen=True, slots=True)
class ShardReport:
    """What has been done of a shard so far.

    Args:
        finished: its part is committed.
        before: of `images`, those that an interrupted run had saved.
    """

    name: str
    images: int
    skipped: int
    candidates: int
    finished: bool
    before: int = 0


class StoppedError(Exception):
    """The worker was told to stop; what it had done is saved."""


@dataclass(slots=True)
class _Rows:
    """Rows of a shard's first images, and how much of these was cropped away."""

    images: int = 0
    skipped: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    removed: Counter[int] = field(default_factory=Counter)
    before: int = 0  # of the images, those that an interrupted run had saved

    @classmethod
    def of(cls, images: int, rows: list[dict[str, Any]], removed: Counter[int]) -> Self:
        return cls(images, sum(bool(row["error"]) for row in rows), rows, removed)

    def add(self, other: "_Rows") -> None:
        self.images += other.images
        self.skipped += other.skipped
        self.rows += other.rows
        self.removed += other.removed

    def report(self, name: str, *, finished: bool = False) -> ShardReport:
        candidates = len(self.rows) - self.skipped
        return ShardReport(name, self.images, self.skipped, candidates, finished, self.before)


class Worker:
    """Mines shards, one after another or several at once in threads.

    Args:
        at_once: shards that threads mine at once; they share the memory for images that wait.

    Raises:
        CheckpointError: the weights cannot be read.
        ServiceError: the backend is not installed, or the GPU's memory takes no image.
        SettingsError: there is no GPU where the job wants one.
    """

    def __init__(self, job: MineJob, at_once: int = 1) -> None:
        self.job, self.most = job, MOST_PIXELS // at_once
        self.shards, self.parts = Store(job.shards), Store(job.parts)
        on_gpu = job.inference.device == "cuda"
        self.inference, self.batch = (
            _opened_on_gpu(job) if on_gpu else (_opened(job), job.batch or _CPU)
        )
        # Batches begun while one is in the network, where the network leaves the cores free.
        self.ahead = 1 if on_gpu else 0
        self.stopping = threading.Event()  # set: finish the batch, save, raise `StoppedError`

    def mine(
        self, task: ShardTask, looked: Callable[[ShardReport], None] = lambda report: None
    ) -> ShardReport:
        """Look at every image of a shard and commit its part; a part that is there stays.

        Args:
            looked: called after each batch.

        Raises:
            ImageError: an image cannot be looked at and the job stops at errors.
            StoppedError: `stopping` was set; the rows so far are saved.
            WorkspaceError: the shard cannot be read, or the part not written.
        """
        if self.parts.exists(part_name(task.name)):
            table = table_from(self.parts.read_bytes(part_name(task.name)), task.name, PART_SCHEMA)
            rows = table.to_pylist()
            return _Rows.of(len(task.sha256), rows, Counter()).report(task.name, finished=True)
        done = self._resume(task)
        saved_at = time.monotonic()
        threads = self.job.inference.threads or available_cores()
        with ThreadPoolExecutor(threads) as pool, ThreadPoolExecutor(1 + self.ahead) as lookers:
            scans = read_scans(task, self.shards, done.images, 2 * self.batch, pool, self.most)
            batches = chunked(scans, self.batch, lambda scan: pixel_count(scan.image), self.most)
            for rows in map_ahead(lookers, self._rows, batches, self.ahead):
                done.add(rows)
                looked(done.report(task.name))
                if self.stopping.is_set() or time.monotonic() - saved_at > self.job.save_s:
                    self._save(task, done)
                    saved_at = time.monotonic()
                if self.stopping.is_set():
                    raise StoppedError
        schema = with_counts(PART_SCHEMA, done.removed)
        table = pa.Table.from_pylist(done.rows, schema=schema)
        self.parts.write_bytes(part_name(task.name), table_bytes(table))
        self.parts.delete(_partial_name(task.name))
        return done.report(task.name, finished=True)

    def _rows(self, scans: list[MinedImage]) -> _Rows:
        images = {scan.image_id: scan.image for scan in scans if scan.image is not None}
        looks = dict(zip(images, self._look(list(images.values())), strict=True))
        rows: list[dict[str, Any]] = []
        for scan in scans:
            if scan.image_id in looks:
                found = looks[scan.image_id].found
                rows += _detection_rows(scan.image_id, found, self.inference.classes)
            elif self.job.stop_at_errors:
                raise ImageError(f"{scan.error}; mend it, or pass --on-error skip")
            else:
                rows.append(_row(scan.image_id, Box("-", 0, 0, 1, 1), 0.0, scan.error))
        return _Rows.of(len(scans), rows, by_thousandth(look.removed for look in looks.values()))

    def _look(self, images: list[RGBImage]) -> list[Look]:
        """In halves where a GPU's memory does not take them at once: dynamic inputs differ."""
        try:
            return self.inference.look(images)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if len(images) == 1:
                raise _no_memory(1) from error
        torch.cuda.empty_cache()  # not before the error is gone, which holds what it was about
        half = len(images) // 2
        return self._look(images[:half]) + self._look(images[half:])

    def _resume(self, task: ShardTask) -> _Rows:
        """What an interrupted run has saved."""
        name = _partial_name(task.name)
        if not self.parts.exists(name):
            return _Rows()
        table, images = _saved(self.parts, name)
        done = _Rows.of(images, table.to_pylist(), counts_of(table, name))
        done.before = images
        return done

    def _save(self, task: ShardTask, done: _Rows) -> None:
        schema = PART_SCHEMA.with_metadata({_IMAGES: str(done.images).encode()})
        schema = with_counts(schema, done.removed)
        table = pa.Table.from_pylist(done.rows, schema=schema)
        self.parts.write_bytes(_partial_name(task.name), table_bytes(table))


def _opened(job: MineJob, batch: int = 0) -> Inference:
    inference = replace(job.inference, batch=batch)
    return open_inference(job.weights, inference, job.first, job.quantised)


def _opened_on_gpu(job: MineJob) -> tuple[Inference, int]:
    """The look, and as many images a step as the memory takes."""
    inference: Inference | None = None
    for batch in [job.batch] if job.batch else _GPU:
        try:
            inference = _opened(job, batch)
            image: RGBImage = np.zeros((_TRIED_PX, _TRIED_PX, 3), np.uint8)
            blank = [image] * batch
            inference.detect(blank)
            if isinstance(inference, Cascade):  # whose first detector sees nothing in these
                inference.second.detect(blank)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
        else:
            return inference, batch
        inference = None
        torch.cuda.empty_cache()
    raise _no_memory(batch)


def _no_memory(batch: int) -> ServiceError:
    return ServiceError(
        f"device cuda: its memory does not take {batch} images at a time; "
        "pass a smaller --batch, end what else runs there, or pass --device cpu"
    )


def part_name(shard: str) -> str:
    """The file that a shard's rows are committed to."""
    return f"{Path(shard).stem}.parquet"


def saved_images(parts: Store, shards: Iterable[str]) -> int:
    """Images of these shards that interrupted runs looked at and saved, short of a whole part."""
    there = parts.names()
    names = (_partial_name(shard) for shard in shards)
    return sum(_saved(parts, name)[1] for name in names if name in there)


def _saved(parts: Store, name: str) -> tuple[pa.Table, int]:
    table = table_from(parts.read_bytes(name), name, PART_SCHEMA)
    return table, int(table.schema.metadata[_IMAGES])


def _partial_name(shard: str) -> str:
    return f"{Path(shard).stem}.partial"


def _detection_rows(
    image_id: str, found: Detections, labels: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    for xyxy, score, label in zip(found.xyxy, found.scores, found.labels, strict=True):
        box = Box(labels[int(label)], *(round(float(edge), 2) for edge in xyxy))
        yield _row(image_id, box, float(score), "")


def _row(image_id: str, box: Box, score: float, error: str) -> dict[str, Any]:
    return {"image_id": image_id, **box.as_row(), "score": score, "error": error}
