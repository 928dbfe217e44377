"""Times a comparison and a patch of made sets: `python -m benchmarks.diff --images 1000000`."""

import random
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import click

from sixrayd.core.boxes import Box
from sixrayd.core.classes import ClassList
from sixrayd.core.voc import VocObject
from sixrayd.datasets.labelled import ImageLabels, LabelledSet
from sixrayd.datasets.patch_file import read_patch, write_patch
from sixrayd.datasets.patches import apply_patch, make_patch
from sixrayd.diff.compare import diff

_SIZE_WH = (640, 480)


def made_set(images: int, boxes: int, seed: int) -> LabelledSet:
    """A set in which every box lies in one of the first images, about two in each."""
    draw = random.Random(seed)  # noqa: S311
    classes = ClassList()
    said = {f"N{n:07d}": ImageLabels(f"N{n:07d}", (), f"{n:064x}", _SIZE_WH) for n in range(images)}
    for image_id in list(said)[: boxes // 2]:
        objects = (_box(draw, classes), _box(draw, classes))
        said[image_id] = replace(said[image_id], objects=objects)
    return LabelledSet("made", classes, said)


def _box(draw: random.Random, classes: ClassList) -> VocObject:
    x1, y1 = draw.randrange(500), draw.randrange(400)
    x2, y2 = x1 + draw.randrange(20, 140), y1 + draw.randrange(20, 80)
    return VocObject(Box(draw.choice(classes.names), x1, y1, x2, y2))


def _moved(labelled: LabelledSet) -> LabelledSet:
    """Every second box a little smaller, every tenth image with boxes without them."""
    images = dict(labelled.images)
    for number, (image_id, said) in enumerate(labelled.images.items()):
        if said.objects:
            first, *rest = said.objects
            smaller = replace(first, box=replace(first.box, x1=first.box.x1 + 2))
            objects = () if number % 10 == 0 else (smaller, *rest)
            images[image_id] = replace(said, objects=objects)
    return replace(labelled, images=images)


@click.command()
@click.option("--images", default=1_000_000, show_default=True)
@click.option("--boxes", default=24_000, show_default=True)
def main(images: int, boxes: int) -> None:
    """Print seconds of a core for each step, and the most memory."""
    a = made_set(images, boxes, seed=1)
    b = _moved(a)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.patch"
        steps = {
            "diff": lambda: diff(a, b),
            "make and write a patch": lambda: write_patch(path, make_patch(a, b, a.classes)),
            "read and apply it": lambda: apply_patch(read_patch(path), a),
        }
        for name, step in steps.items():
            begun = time.process_time()
            step()
            click.echo(f"{name}: {time.process_time() - begun:.1f} s of one core")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    click.echo(f"{peak:,} MiB at most, sets included")


if __name__ == "__main__":
    main()
