"""Mining on Ray: one worker against two, each with one thread, as one JSON document.

Example:
    python -m benchmarks.ray_scaling --detector rfb512 --rounds 5

Both take turns on one local cluster. A rate leaves out the start, and the end, when not every
worker has a shard; the figures mean something only while two cores are free.
"""

import hashlib
import io
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import ray
from PIL import Image

from sixrayd.core.classes import ClassList
from sixrayd.core.shards import ShardWriter, iter_shard
from sixrayd.detectors.catalogue import DETECTORS
from sixrayd.detectors.checkpoints import Checkpoint, build_detector, save_weights
from sixrayd.mine.inference import InferenceSettings
from sixrayd.mine.ray_engine import mine_on_ray
from sixrayd.mine.shard import ShardTask
from sixrayd.mine.worker import MineJob, ShardReport

SIZE_WH = (740, 555)  # 0.41 megapixels, SIXray's average


def write_shards(folder: Path, shards: int, images: int) -> list[ShardTask]:
    """Shards of JPEGs of random blots, about as large as SIXray's."""
    with ShardWriter(folder, "negatives", images) as writer:
        for number in range(shards * images):
            blots = np.random.default_rng(number).integers(0, 255, (60, 80, 3), dtype=np.uint8)
            file = io.BytesIO()
            Image.fromarray(blots).resize(SIZE_WH).save(file, "JPEG", quality=85)
            writer.add(f"N{number:07d}", file.getvalue())
    return [
        ShardTask(p.name, {i.image_id: hashlib.sha256(i.data).hexdigest() for i in iter_shard(p)})
        for p in sorted(folder.iterdir())
    ]


def images_per_s(job: MineJob, tasks: list[ShardTask], workers: int) -> float:
    """While every worker had a shard to look at."""
    finished: list[float] = []

    def looked(report: ShardReport) -> None:
        if report.finished:
            finished.append(time.perf_counter())

    mine_on_ray(job, tasks, "", workers, looked)
    # The first shards may wait for a worker's start, the last may leave one without work.
    steady = finished[workers : 1 - workers or None]
    return (len(steady) - 1) * len(tasks[0].sha256) / (steady[-1] - steady[0])


@click.command()
@click.option("--detector", type=click.Choice(list(DETECTORS)), default="rfb512", show_default=True)
@click.option("--backend", default="torch", show_default=True)
@click.option("--shards", type=int, default=16, show_default=True)
@click.option("--images", type=int, default=8, show_default=True, help="In a shard.")
@click.option("--rounds", type=int, default=3, show_default=True)
def main(detector: str, backend: str, shards: int, images: int, rounds: int) -> None:
    """Measure both in turn and print rates and ratios."""
    if shards < 8:
        raise click.UsageError("--shards: needs to be at least 8")
    classes = ClassList()
    inference = InferenceSettings(threshold=0.5, mirror=False, backend=backend, threads=1)
    rates: dict[int, list[float]] = {1: [], 2: []}
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        weights, tar_folder = Path(folder) / "weights.safetensors", Path(folder) / "shards"
        model = build_detector(detector, classes)
        save_weights(weights, Checkpoint(detector, model, classes), model.state_dict())
        tasks = write_shards(tar_folder, shards, images)
        for number in range(rounds):
            for workers in (1, 2) if number % 2 else (2, 1):
                parts = Path(folder) / f"parts-{number}-{workers}"
                job = MineJob(str(tar_folder), str(parts), weights, inference, batch=4)
                rates[workers].append(round(images_per_s(job, tasks, workers), 2))
                click.echo(f"{workers} workers: {rates[workers][-1]} images/s", err=True)
    ray.shutdown()
    ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    document = {
        "detector": detector,
        "backend": backend,
        "images_per_s": {str(workers): values for workers, values in rates.items()},
        "ratio": round(statistics.median(ratios), 3),
    }
    click.echo(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
