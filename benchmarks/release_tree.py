"""Make a VOC tree of a release's images and of annotations that lie beside it in a zip.

The test side is drawn by near-duplicate group, so that no test image has a twin to learn from.

    python -m benchmarks.release_tree --release rehearsal --annotations all-classes.zip --out tree
"""

import hashlib
import json
import zipfile
from pathlib import Path

import click

from sixrayd.core.growth import Allowance
from sixrayd.core.records import NEAR_BITS
from sixrayd.core.shards import entries_of, plain_file
from sixrayd.core.voc import VocAnnotation, write_voc
from sixrayd.datasets.tars import opened_tar
from sixrayd.imaging.decode import decode_rgb
from sixrayd.imaging.hashes import duplicate_groups, image_hash


def read_images(release: Path) -> dict[str, bytes]:
    """Image id → encoded bytes; thousands of small images, so all at once."""
    parts = sorted(release.glob("JPEGImage.tar.gz*"))
    packed = sum(part.stat().st_size for part in parts)
    found = {}
    with opened_tar(parts, "JPEGImage.tar.gz", Allowance(packed)) as (tar, _):
        for member in entries_of(tar):
            if file := plain_file(tar, member):
                found[Path(member.name).stem] = file.read()
    return found


def draw_test_side(images: dict[str, bytes], share: float, distance: int) -> set[str]:
    """Ids of whole near-duplicate groups, drawn by the hash of the group's first id."""
    ids = sorted(images)
    hashes = [image_hash(images[i], i) for i in ids]
    heads = [ids[group] for group in duplicate_groups(hashes, distance)]
    lots = {h: int.from_bytes(hashlib.sha256(h.encode()).digest()[:8], "big") for h in set(heads)}
    return {i for i, h in zip(ids, heads, strict=True) if lots[h] < share * 2**64}


def _nothing(image_id: str, data: bytes) -> bytes:
    height, width = decode_rgb(data, image_id).shape[:2]
    return write_voc(VocAnnotation(image_id, width, height, ()))


@click.command()
@click.option("--release", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--annotations", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--test-share", type=float, default=0.1, show_default=True)
@click.option(
    "--distance", type=int, default=NEAR_BITS, show_default=True, help="Bits, near-duplicates."
)
@click.option("--empty", is_flag=True, help="Images without an annotation hold nothing: keep them.")
def main(
    release: Path, annotations: Path, out: Path, test_share: float, distance: int, empty: bool
) -> None:
    """Write the tree and print how many images are on each side."""
    tree = out / "VOC2007"
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (tree / part).mkdir(parents=True, exist_ok=True)
    images = read_images(release)
    with zipfile.ZipFile(annotations) as archive:
        named = {Path(n).stem: n for n in archive.namelist() if n.endswith(".xml")}
        images = {i: data for i, data in images.items() if empty or i in named}
        for image_id, data in images.items():
            (tree / "JPEGImages" / f"{image_id}.jpg").write_bytes(data)
            xml = archive.read(named[image_id]) if image_id in named else _nothing(image_id, data)
            (tree / "Annotations" / f"{image_id}.xml").write_bytes(xml)
    test = draw_test_side(images, test_share, distance)
    sides = {"test": sorted(test), "trainval": sorted(images.keys() - test)}
    for name, ids in sides.items():
        text = "".join(f"{i}\n" for i in ids)
        (tree / "ImageSets" / "Main" / f"{name}.txt").write_text(text, "utf-8")
    click.echo(json.dumps({name: len(ids) for name, ids in sides.items()}))


if __name__ == "__main__":
    main()
