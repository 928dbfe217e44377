"""Time of `sixrayd download` beside `tar xzf` and a full decode on all cores, as JSON.

Example:
    python -m benchmarks.ingest --release ../shared/data/rehearsal --classes Scissors,Multitool

Both run on the same archives in turns. The limit is unpacking, which one core does, and decoding,
which all share; `download` also hashes, writes shards and looks for near-duplicates.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import click

from benchmarks.interleaved import interleaved_s
from sixrayd.core.cores import available_cores
from sixrayd.imaging.decode import decode_rgb


def unpack(release: Path, folder: Path) -> None:
    """`tar xzf` of the joined parts."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    parts = sorted(release.glob("JPEGImage.tar.gz*"))
    words = ["tar", "xzf", "-", "-C", str(folder)]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as tar:  # noqa: S603
        assert tar.stdin
        for part in parts:
            with part.open("rb") as file:
                shutil.copyfileobj(file, tar.stdin, 1 << 20)


def decode(paths: list[Path]) -> int:
    """Decode files at full size; gives their number."""
    for path in paths:
        decode_rgb(path.read_bytes(), path.name)
    return len(paths)


def decode_all(folder: Path, pool: ProcessPoolExecutor) -> int:
    """Decode all files of a folder in the pool."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return sum(
        pool.map(decode, [paths[start : start + 200] for start in range(0, len(paths), 200)])
    )


def ingest(release: Path, classes: str, folder: Path) -> None:
    """`sixrayd download` into a new workspace."""
    shutil.rmtree(folder, ignore_errors=True)
    words = ["-m", "sixrayd", "download", "--release", str(release), "--classes", classes]
    words = [sys.executable, *words, "-w", str(folder)]
    subprocess.run(words, check=True, capture_output=True)  # noqa: S603


@click.command()
@click.option("--release", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--classes", default="Gun,Knife,Wrench,Pliers,Scissors")
@click.option("--rounds", default=3, help="Timed rounds, after one that warms up.")
def main(release: Path, classes: str, rounds: int) -> None:
    """Print the measurements."""
    cores = available_cores()
    with tempfile.TemporaryDirectory() as name, ProcessPoolExecutor(cores) as pool:
        plain, workspace = Path(name, "plain"), Path(name, "workspace")
        unpack(release, plain)
        start = time.perf_counter()
        images = decode_all(plain, pool)
        times = interleaved_s(
            {
                "unpack": lambda: unpack(release, plain),
                "decode": lambda: decode_all(plain, pool),
                "download": lambda: ingest(release, classes, workspace),
            },
            rounds,
        )
        size = sum(path.stat().st_size for path in plain.rglob("*") if path.is_file())
    limit = times["unpack"] + times["decode"]
    document = {
        "images": images,
        "kB an image": round(size / images / 1000, 1),
        "cores": cores,
        "load": os.getloadavg()[0],
        "seconds": {name: round(value, 2) for name, value in times.items()},
        "images a second": round(images / times["download"]),
        "download to unpack and decode": round(times["download"] / limit, 2),
        "whole run s": round(time.perf_counter() - start, 1),
    }
    click.echo(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
