"""Time and memory of an export against the number of images, form by form, as JSON lines.

Example:
    python -m benchmarks.export --images 10000 --images 100000 --form voc --form coco

One image in ten is a positive with two boxes, the others are negatives and copied as well. JPEGs
are sixteen, padded to a size that is usual for SIXray; what must not grow is what an export keeps
for each image. Every form runs in a process of its own. `all` writes every form with hard links.
"""

import hashlib
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import pyarrow as pa

from benchmarks.million import KINDS, SIDE_PX, pictures
from sixrayd.core.records import ANNOTATION_SCHEMA, INDEX_SCHEMA
from sixrayd.core.shards import ShardWriter
from sixrayd.core.tables import write_table
from sixrayd.core.workspace import Run, Workspace
from sixrayd.export.forms import FORMS
from sixrayd.export.image_files import ImagesBy
from sixrayd.export.settings import ExportSettings
from sixrayd.export.stage import export
from sixrayd.validate.stage import validate

CLASSES = ["Gun", "Knife", "Wrench", "Pliers", "Scissors"]
ALL = "all"


def write_release(workspace: Workspace, images: int, kibibytes: int) -> None:
    """An ingested release, of which one image in ten is a positive and one in ten a test image."""
    data = [some + b"\0" * (kibibytes * 1024 - len(some)) for some in pictures()]
    rows = []
    for source, start in (("negative", "N"), ("positive", "P")):
        count = images // 10 if source == "positive" else images - images // 10
        with ShardWriter(workspace.shards, f"{source}s") as writer:
            for number in range(count):
                image_id = f"{start}{number:07d}"
                rows.append((image_id, source, number, *writer.add(image_id, data[number % KINDS])))
    ids, sources, numbers, shards, offsets, sizes = map(list, zip(*rows, strict=True))
    hashes = [hashlib.sha256(some).hexdigest() for some in data]
    columns = {
        **{"image_id": ids, "source": sources, "shard": shards, "offset": offsets, "size": sizes},
        **{"group": ids, "split": ["test" if n % 10 == 0 else "train" for n in numbers]},
        "sha256": [hashes[n % KINDS] for n in numbers],
        **{name: [SIDE_PX] * images for name in ("width", "height")},
        **{"phash": ["0" * 64] * images, "labels": [[]] * images, "error": [""] * images},
    }
    arrays = {field.name: pa.array(columns[field.name], field.type) for field in INDEX_SCHEMA}
    write_table(workspace.shards / "index.parquet", pa.table(arrays), INDEX_SCHEMA)
    boxes = [
        {
            **{"box_id": f"{image_id}/a{n}", "image_id": image_id, "label": CLASSES[n]},
            **{"x1": 5.0 + n, "y1": 6.0, "x2": 30.0, "y2": 40.0 + n},
            **{"difficult": False, "truncated": False},
        }
        for image_id in ids
        if image_id[0] == "P"
        for n in range(2)
    ]
    write_table(workspace.shards / "annotations.parquet", boxes, ANNOTATION_SCHEMA)
    workspace.finish(Run("shards", "", {"classes": CLASSES}, {}, summary={"images": images}))


def measure(root: Path, form: str, check: bool) -> dict[str, float]:
    """Seconds by the clock and of a core, and peak memory, of one export in this process, or of
    its validation.
    """
    forms, images = ((form,), ImagesBy.COPY) if form != ALL else (tuple(FORMS), ImagesBy.HARDLINK)
    settings = ExportSettings(forms=forms, images=images, sets=("negative",), force=True)
    begun = time.monotonic()
    if check:
        assert validate(Workspace(root).folder("export", "release")).faults == 0
    else:
        export(Workspace(root), settings)
    took = time.monotonic() - begun
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    return {"seconds": round(took, 1), "cpu_seconds": round(cpu, 1), "peak_mib": round(peak)}


@click.command()
@click.option("--images", type=int, multiple=True, default=[10_000, 100_000], show_default=True)
@click.option("--form", "forms", type=click.Choice([*FORMS, ALL]), multiple=True, default=["voc"])
@click.option("--kibibytes", type=int, default=45, show_default=True, help="Of an image.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where to write; a temporary one.")
@click.option("--only", type=click.Path(path_type=Path), hidden=True)
@click.option("--check", is_flag=True, hidden=True)
def main(
    images: tuple[int, ...],
    forms: tuple[str, ...],
    kibibytes: int,
    folder: Path,
    only: Path | None,
    check: bool,
) -> None:
    """Measure exports, and their validation."""
    if only:
        print(json.dumps(measure(only, forms[0], check)))
        return
    for count in images:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            workspace = Workspace(Path(place) / "ws")
            write_release(workspace, count, kibibytes)
            for form in forms:
                words = ("-m", "benchmarks.export", "--only", str(workspace.root), "--form", form)
                for what, more in (("export", ()), ("validate", ("--check",))):
                    command = (sys.executable, *words, *more)
                    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603
                    about = {"images": count, "form": form, "what": what}
                    print(json.dumps(about | json.loads(done.stdout)))
                shutil.rmtree(workspace.root / "export")


if __name__ == "__main__":
    main()
