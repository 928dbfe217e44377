"""YOLO's labels: a text for each image, centre and sides as shares of the image's."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

from sixrayd.core.boxes import Box
from sixrayd.core.records import EMPTY_SETS
from sixrayd.core.staging import Staging
from sixrayd.datasets.export_files import UNLISTED
from sixrayd.export.content import Add, Content, ExportedImage

FOLDER = "yolo"
_DIGITS = 9  # a millionth of a pixel of the largest image


def yolo_path(image: ExportedImage) -> str:
    """Where an image lies; its label is where `images` reads `labels`."""
    return f"{FOLDER}/images/{_place(image)}/{image.file_name}"


@contextmanager
def yolo_files(staging: Staging, content: Content) -> Iterator[Add]:
    """Write `yolo/labels/` and `data.yaml`; what holds nothing has an empty label."""
    places: set[str] = set()

    def add(image: ExportedImage) -> None:
        size_wh = image.record.width, image.record.height
        rows = (
            f"{content.classes.index(item.box.label)} {_shares(item.box, size_wh)}"
            for item in image.annotation.objects
        )
        path = PurePosixPath(FOLDER, "labels", _place(image), image.image_id + ".txt")
        staging.write_lines(str(path), rows)
        places.add(_place(image))

    yield add
    for side in ("train", "test"):
        staging.place(f"{FOLDER}/images/{side}/x")
        staging.place(f"{FOLDER}/labels/{side}/x")
    staging.write_lines(f"{FOLDER}/data.yaml", _data_yaml(content.classes.names, places))


def _place(image: ExportedImage) -> str:
    """`train`, or `confusing/train` for what holds nothing."""
    return str(PurePosixPath(image.empty_set, image.record.split or UNLISTED))


def _shares(box: Box, size_wh: tuple[int, int]) -> str:
    width, height = size_wh
    centre = (box.x1 + box.x2) / 2 / width, (box.y1 + box.y2) / 2 / height
    sides = (box.x2 - box.x1) / width, (box.y2 - box.y1) / height
    return " ".join(f"{value:.{_DIGITS}f}" for value in (*centre, *sides))


def _data_yaml(classes: tuple[str, ...], places: set[str]) -> Iterator[str]:
    """Ultralytics's; JSON's texts are YAML's as well."""
    yield "# There is no validation side: a model chosen by `val` has no test left."
    backgrounds = [f"{name}/train" for name in EMPTY_SETS if f"{name}/train" in places]
    if backgrounds:
        yield "train:"
        yield from (f"  - images/{place}" for place in ("train", *backgrounds))
    else:  # some readers take no list
        yield "train: images/train"
    yield "val: images/test"
    yield "test: images/test"
    yield f"nc: {len(classes)}"
    yield "names:"
    for number, label in enumerate(classes):
        yield f"  {number}: {json.dumps(label)}"
