"""Peak memory of each stage against the number of images, as one JSON document.

Example:
    python -m benchmarks.memory --images 1000 --images 10000 --images 100000
    python -m benchmarks.memory --images 20000 --images 100000 --until download

Every size runs in processes of its own on a release of small random JPEGs. The images are tiny so
that the measurement ends; what must not grow is what a stage keeps for each image.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

import click
import numpy as np
from PIL import Image

POSITIVES = 200
SIDE_PX = 64
STAGES = ("download", "train", "mine")


def write_release(folder: Path, images: int) -> None:
    """A release of `images` random scans, the first 200 of them positives with one box."""
    folder.mkdir(parents=True)
    names = [f"P{n:05d}" for n in range(1, POSITIVES + 1)]
    names += [f"N{n:07d}" for n in range(1, images - POSITIVES + 1)]
    with tarfile.open(folder / "JPEGImage.tar.gz", "w:gz", compresslevel=1) as tar:
        for number, name in enumerate(names):
            data = _jpeg(number)
            entry = tarfile.TarInfo(f"JPEGImage/{name}.jpg")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    (folder / "JPEGImage.tar.gz").rename(folder / "JPEGImage.tar.gz00")
    with zipfile.ZipFile(folder / "Annotation.zip", "w") as archive:
        for name in names[:POSITIVES]:
            archive.writestr(f"Annotation/{name}.xml", _XML.format(name=name))
    rows = ["name,Gun", *(f"{name},{1 if name[0] == 'P' else -1}" for name in names)]
    with zipfile.ZipFile(folder / "ImageSet.zip", "w") as archive:
        archive.writestr("ImageSet/10/train.csv", "\n".join(rows) + "\n")


_XML = (
    "<annotation><filename>{name}.jpg</filename><object><name>Gun</name><bndbox><xmin>9</xmin>"
    "<ymin>9</ymin><xmax>40</xmax><ymax>40</ymax></bndbox></object></annotation>"
)


def _jpeg(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=60)
    return buffer.getvalue()


def measure(name: str, command: list[str]) -> dict[str, float | str]:
    """Seconds and peak resident megabytes of a command, children included."""
    start = time.monotonic()
    quiet = subprocess.DEVNULL
    child = subprocess.Popen(command, stdout=quiet, stderr=quiet)  # noqa: S603 - our own words
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise click.ClickException(f"{' '.join(command)}: ended with status {status}")
    seconds = round(time.monotonic() - start, 1)
    return {"stage": name, "seconds": seconds, "peak_mb": round(usage.ru_maxrss / 1024, 1)}


@click.command()
@click.option("--images", type=int, multiple=True, default=(1000, 10_000), show_default=True)
@click.option("--until", type=click.Choice(STAGES), help="Stages up to this one.")
def main(images: tuple[int, ...], until: str | None) -> None:
    """Run download, a short training, and mining for each number of images."""
    rows = []
    for count in images:
        with tempfile.TemporaryDirectory() as folder:
            release, workspace = Path(folder) / "release", Path(folder) / "workspace"
            write_release(release, count)
            program = [sys.executable, "-m", "sixrayd"]
            at = ["-w", str(workspace)]
            stages = {
                "download": ["download", *at, "--release", str(release), "--classes", "Gun"],
                "train": ["train", *at, "--epochs", "1", "--input-size", "64"],
                "mine": ["mine", *at, "--no-mirror", "--batch", "64", "--threshold", "0.5"],
            }
            for name in STAGES[: STAGES.index(until) + 1] if until else STAGES:
                rows.append({"images": count, **measure(name, program + stages[name])})
                click.echo(json.dumps(rows[-1]), err=True)
    click.echo(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
