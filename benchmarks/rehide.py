"""Make another release of a release's images: other classes are contraband, some of it hidden.

The annotations tell of all classes in all images. Images with a chosen class become positives, but
for a share that is hidden among the negatives; all other images are negatives.

    python -m benchmarks.rehide --release rehearsal --annotations all-classes.zip \
        --classes Folding_Knife,Utility_Knife --out knives --truth knives-truth.csv
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from benchmarks.release_tree import read_images
from sixrayd.core.boxes import Box
from sixrayd.core.classes import ClassList
from sixrayd.core.voc import PIXEL_EDGES, pixels_of, read_voc
from sixrayd.synth.archive import (
    add_file,
    annotation_xml,
    csv_text,
    image_archive,
    write_checksums,
    write_zip,
)

_PART_BYTES = 24_000_000
_TEST_SHARE = 0.1


@dataclass(frozen=True)
class Scan:
    """An image under its new name; `hidden` and boxes of the chosen classes."""

    name: str
    data: bytes
    width: int
    height: int
    boxes: tuple[Box, ...]
    hidden: bool


def read_boxes(annotations: Path, classes: ClassList) -> dict[str, tuple[int, int, list[Box]]]:
    """Width, height and boxes of the chosen classes of each annotated image."""
    found = {}
    with zipfile.ZipFile(annotations) as archive:
        names = [name for name in archive.namelist() if name.endswith(".xml")]
        every = ClassList(tuple(sorted({label for n in names for label in _labels(archive, n)})))
        for name in names:
            read = read_voc(archive.read(name), name, every)
            boxes = [item.box for item in read.objects if item.box.label in classes.names]
            found[Path(name).stem] = (read.width, read.height, boxes)
    return found


def _labels(archive: zipfile.ZipFile, name: str) -> list[str]:
    text = archive.read(name).decode("utf-8")
    return [part.split("</name>")[0] for part in text.split("<name>")[1:]]


def hide(
    images: dict[str, bytes],
    boxes: dict[str, tuple[int, int, list[Box]]],
    share: float,
    seed: int,
) -> list[Scan]:
    """All scans: positives first, then the negatives, of which some hide contraband.

    Args:
        share: of the images with contraband that is hidden, drawn at random.
    """
    rng = np.random.default_rng(seed)
    ids = sorted(images.keys() & boxes.keys())
    holding = [i for i in ids if boxes[i][2]]
    hidden = set(rng.permutation(holding)[: round(share * len(holding))].tolist())
    positives = [i for i in holding if i not in hidden]
    others = rng.permutation([i for i in ids if not boxes[i][2] or i in hidden]).tolist()
    named = {i: f"P{n:05d}" for n, i in enumerate(positives, 1)}
    named |= {i: f"N{n:07d}" for n, i in enumerate(others, 1)}
    return [
        Scan(name, images[i], *boxes[i][:2], tuple(boxes[i][2]), i in hidden)
        for i, name in named.items()
    ]


def write(scans: list[Scan], classes: ClassList, out: Path, truth: Path, seed: int) -> None:
    """Write the release in SIXray's form, and the truth beside it."""
    out.mkdir(parents=True)
    with image_archive(out, _PART_BYTES) as (archive, _):
        for scan in scans:
            add_file(archive, f"JPEGImage/{scan.name}.jpg", scan.data)
    known = [scan for scan in scans if scan.name.startswith("P")]
    write_zip(
        out / "Annotation.zip",
        (
            (f"Annotation/{s.name}.xml", annotation_xml(s.name, s.width, s.height, s.boxes))
            for s in known
        ),
    )
    testing = np.random.default_rng((seed, 1)).random(len(scans)) < _TEST_SHARE
    sides: dict[str, list[tuple[str | int, ...]]] = {"train": [], "test": []}
    for scan, held in zip(scans, testing, strict=True):
        present = {box.label for box in scan.boxes} if scan.name.startswith("P") else set()
        marks = (1 if name in present else -1 for name in classes.names)
        sides["test" if held else "train"].append((scan.name, *marks))
    header = ("name", *classes.names)
    sets = ((f"ImageSet/10/{side}.csv", csv_text([header, *rows])) for side, rows in sides.items())
    write_zip(out / "ImageSet.zip", sets)
    write_checksums(out)
    rows = (
        (s.name, int(s.hidden), box.label, *pixels_of(box, s.width, s.height).values())
        for s in scans
        for box in s.boxes
    )
    truth.write_text(csv_text([("name", "hidden", "label", *PIXEL_EDGES), *rows]), "utf-8")


@click.command()
@click.option("--release", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--annotations", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--classes", required=True, help="Names, with commas, of what is contraband.")
@click.option("--share", type=click.FloatRange(0, 1), default=0.2, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--truth", type=click.Path(path_type=Path), required=True)
def main(
    release: Path, annotations: Path, classes: str, share: float, seed: int, out: Path, truth: Path
) -> None:
    """Write the release and its truth, and say how many images are of which kind."""
    chosen = ClassList(tuple(classes.split(",")))
    scans = hide(read_images(release), read_boxes(annotations, chosen), share, seed)
    write(scans, chosen, out, truth, seed)
    known = sum(scan.name.startswith("P") for scan in scans)
    hidden = sum(scan.hidden for scan in scans)
    click.echo(f"{known:,} positives, {len(scans) - known:,} negatives, {hidden:,} of them hidden")


if __name__ == "__main__":
    main()
