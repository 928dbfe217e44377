"""Make a VOC tree of a release's images and of annotations that lie beside it in a zip.

The test side is drawn by near-duplicate group, so that no test image has a twin to learn from.

    python -m benchmarks.release_tree --release rehearsal --annotations all-classes.zip --out tree
"""

import hashlib
import json
import tarfile
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO, cast

import click

from sixrayd.core.records import NEAR_BITS
from sixrayd.core.voc import VocAnnotation, write_voc
from sixrayd.imaging.decode import decode_rgb
from sixrayd.imaging.hashes import duplicate_groups, image_hash


class _Joined:
    """The pieces of a split archive as one stream."""

    def __init__(self, files: list[IO[bytes]]) -> None:
        self._files = files

    def read(self, size: int = -1) -> bytes:
        while self._files:
            data = self._files[0].read(size)
            if data:
                return data
            self._files.pop(0)
        return b""


def read_images(release: Path) -> dict[str, bytes]:
    """Image id → encoded bytes; thousands of small images, so all at once."""
    with ExitStack() as stack:
        parts = sorted(release.glob("JPEGImage.tar.gz*"))
        stream = _Joined([stack.enter_context(part.open("rb")) for part in parts])
        tar = stack.enter_context(tarfile.open(fileobj=cast(IO[bytes], stream), mode="r|gz"))
        found = {}
        for member in tar:
            file = tar.extractfile(member)
            if file is not None:
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
