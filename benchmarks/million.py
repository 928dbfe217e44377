"""Memory and time of mining against the number of images, and of a rerun with nothing to do.

Example:
    python -m benchmarks.million --images 10000 --images 1000000

The images are tiny (64 × 64, one of sixteen) and the detector has random weights at an input of
64 × 64, so that a million end within minutes: what is looked for is what grows with their number.
"""

import hashlib
import io
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time

import click
import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from sixrayd.core.classes import ClassList
from sixrayd.core.files import sha256_file
from sixrayd.core.records import ANNOTATION_SCHEMA, INDEX_SCHEMA
from sixrayd.core.shards import ShardWriter
from sixrayd.core.tables import write_table
from sixrayd.core.workspace import Run, Workspace
from sixrayd.detectors.checkpoints import Checkpoint, build_detector, save_weights

SIDE_PX = 64
KINDS = 16


def pictures() -> list[bytes]:
    """A few JPEGs of random blots."""
    found = []
    for seed in range(KINDS):
        blots = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        image = Image.fromarray(blots).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=60)
        found.append(buffer.getvalue())
    return found


def write_release(workspace: Workspace, images: int) -> None:
    """An ingested release of negatives alone."""
    data = pictures()
    hashes = [hashlib.sha256(some).hexdigest() for some in data]
    ids = [f"N{n:07d}" for n in range(1, images + 1)]
    places = []
    with ShardWriter(workspace.shards, "negatives") as writer:
        for number, image_id in enumerate(ids):
            places.append(writer.add(image_id, data[number % KINDS]))
    shards, offsets, sizes = zip(*places, strict=True)
    constant = {
        "width": SIDE_PX,
        "height": SIDE_PX,
        "phash": "0" * 64,
        "split": "train",
        "source": "negative",
        "labels": [],
        "error": "",
    }
    columns = {name: [value] * images for name, value in constant.items()} | {
        "image_id": ids,
        "shard": shards,
        "offset": offsets,
        "size": sizes,
        "sha256": [hashes[n % KINDS] for n in range(images)],
        "group": ids,
    }
    arrays = {field.name: pa.array(columns[field.name], field.type) for field in INDEX_SCHEMA}
    write_table(workspace.shards / "index.parquet", pa.table(arrays), INDEX_SCHEMA)
    write_table(workspace.shards / "annotations.parquet", [], ANNOTATION_SCHEMA)
    workspace.finish(Run("shards", "", {"classes": ["Gun"]}, {}))


def write_model(workspace: Workspace) -> None:
    """Random weights, as training would leave them."""
    torch.manual_seed(0)
    detector = build_detector("rfb-small", ClassList(("Gun",)), SIDE_PX)
    detector.initialise()
    folder = workspace.folder("models", "random")
    checkpoint = Checkpoint("rfb-small", detector, ClassList(("Gun",)))
    save_weights(folder / "weights.safetensors", checkpoint, detector.state_dict())
    outputs = {"weights.safetensors": sha256_file(folder / "weights.safetensors")}
    workspace.finish(Run("models", "random", {"detector": "rfb-small"}, {}, outputs))


def write(folder: str, images: int) -> None:
    """The workspace to be mined."""
    write_release(Workspace(folder), images)
    write_model(Workspace(folder))


def measure(command: list[str]) -> dict[str, float]:
    """Seconds and peak resident megabytes of a command."""
    start = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 - our own words
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise click.ClickException(f"{' '.join(command)}: ended with status {status}")
    return {
        "seconds": round(time.monotonic() - start, 1),
        "peak_mb": round(usage.ru_maxrss / 1024, 1),
    }


@click.command()
@click.option("--images", type=int, multiple=True, default=(1000, 10_000), show_default=True)
@click.option("--threads", type=int, default=0, help="[default: all]")
def main(images: tuple[int, ...], threads: int) -> None:
    """Mine each number of images, then ask for the same again."""
    rows = []
    for count in images:
        with tempfile.TemporaryDirectory() as folder:
            # In a process of its own: a child's peak counts from its parent's size.
            spawn = multiprocessing.get_context("spawn")
            writer = spawn.Process(target=write, args=(folder, count))
            writer.start()
            writer.join()
            options = ["--no-mirror", "--batch", "64", "--threshold", "0.9"]
            options += ["--threads", str(threads)]
            command = [sys.executable, "-m", "sixrayd", "mine", "-w", folder, *options]
            rows.append({"images": count, "mine": measure(command), "again": measure(command)})
            click.echo(json.dumps(rows[-1]), err=True)
    click.echo(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
