"""PASCAL VOC 2007's files: images, annotations, image sets."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace

from PIL import Image

from sixrayd.core.progress import progress
from sixrayd.core.records import Split
from sixrayd.core.shards import extension
from sixrayd.core.staging import Staging
from sixrayd.core.voc import VocAnnotation, write_voc
from sixrayd.export.content import Content, in_shard_order


def write_voc_tree(staging: Staging, content: Content) -> None:
    """Write `VOC2007/`, one image in memory at a time; an unreviewed negative gets no XML."""
    by_id = {annotation.stem: annotation for annotation in content.annotations}
    ids = [*by_id, *content.copied]
    with progress() as bar:
        task = bar.add_task("images", total=len(ids), note="")
        for record in in_shard_order(content.index, ids):
            data = content.index.read(record.image_id)
            suffix = extension(data)
            staging.write(f"VOC2007/JPEGImages/{record.image_id}{suffix}", data)
            annotation = by_id.get(record.image_id)
            if record.image_id in content.empty:
                annotation = VocAnnotation(record.image_id, record.width, record.height, ())
            if annotation is not None:
                xml = write_voc(replace(annotation, depth=_channels(data)), suffix=suffix)
                staging.write(f"VOC2007/Annotations/{record.image_id}.xml", xml)
            bar.advance(task)
    write_image_sets(
        *(staging, content.annotations, content.splits, content.named, content.classes.names)
    )


def write_image_sets(
    staging: Staging,
    annotations: Sequence[VocAnnotation],
    splits: Mapping[str, str],
    named: Mapping[str, Sequence[str]],
    classes: Sequence[str],
) -> None:
    """VOC 2007's `ImageSets/Main`: ids by split, and by class with 1, 0 or -1.

    As in VOC, 0 is for images that count neither way: every object of the class is difficult,
    or the release names the class but nobody has boxed it. `trainval` equals `train`.

    Args:
        splits: image id → split.
        named: image id → classes that the release's image sets name.
    """
    sides = {"train": Split.TRAIN, "trainval": Split.TRAIN, "test": Split.TEST}
    for name, split in sides.items():
        chosen = [a for a in annotations if splits[a.stem] == split]
        folder = "VOC2007/ImageSets/Main"
        staging.write_lines(f"{folder}/{name}.txt", (a.stem for a in chosen))
        for label in classes:
            staging.write_lines(
                f"{folder}/{label}_{name}.txt",
                (f"{a.stem} {_presence(a, label, named.get(a.stem, ())):2d}" for a in chosen),
            )


def _presence(annotation: VocAnnotation, label: str, named: Sequence[str]) -> int:
    difficult = [item.difficult for item in annotation.objects if item.box.label == label]
    if difficult:
        return 0 if all(difficult) else 1
    return 0 if label in named else -1


def _channels(data: bytes) -> int:
    with Image.open(io.BytesIO(data)) as image:
        return len(image.getbands())
