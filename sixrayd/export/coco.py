"""COCO's annotations: one document for each part, boxes as x, y, width, height from 0."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sixrayd.core.boxes import Box
from sixrayd.core.staging import Staging
from sixrayd.core.voc import MAX_OBJECTS, VocObject
from sixrayd.export.content import Add, Content, ExportedImage

FOLDER = "coco"
_FIRST = 1  # number of the first class; 0 is the background of many readers


def coco_path(image: ExportedImage) -> str:
    """Where an image lies."""
    return f"{FOLDER}/images/{image.file_name}"


@contextmanager
def coco_files(staging: Staging, content: Content) -> Iterator[Add]:
    """Write `coco/annotations/instances_PART.json`; train and test are there in any case."""
    numbers = {label: n for n, label in enumerate(content.classes.names, _FIRST)}
    found: dict[str, _Document] = {"train": _Document(), "test": _Document()}

    def add(image: ExportedImage) -> None:
        document = found.setdefault(image.part, _Document())
        known_absent = list(numbers.values()) if image.is_cleared else []
        document.images[image.number] = _json(_image_row(image, known_absent))
        for n, item in enumerate(image.annotation.objects):
            row = _box_row(image.number, n, item, numbers[item.box.label])
            document.annotations[row["id"]] = _json(row)

    yield add
    about = f"{content.database}, corrected with sixrayd"
    categories = {n: _json({"id": n, "name": label}) for label, n in numbers.items()}
    for part, document in found.items():
        path = f"{FOLDER}/annotations/instances_{part}.json"
        staging.write(path, document.text(about, categories).encode())


@dataclass(frozen=True, slots=True)
class _Document:
    """Rows by id, as JSON, which takes less room than what it is made of."""

    images: dict[int, str] = field(default_factory=dict)
    annotations: dict[int, str] = field(default_factory=dict)

    def text(self, about: str, categories: Mapping[int, str]) -> str:
        """The file, rows by id."""
        rows = {"images": self.images, "annotations": self.annotations, "categories": categories}
        lists = (
            f'"{name}": [\n' + ",\n".join(known[n] for n in sorted(known)) + "\n]"
            for name, known in rows.items()
        )
        return "{\n" + ",\n".join([f'"info": {_json({"description": about})}', *lists]) + "\n}\n"


def xywh(box: Box) -> list[int]:
    """Left, top, width, height in whole pixels from 0."""
    return [int(edge) for edge in (box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1)]


def _image_row(image: ExportedImage, known_absent: list[int]) -> dict[str, Any]:
    row = {
        "id": image.number,
        "file_name": image.file_name,
        "width": image.record.width,
        "height": image.record.height,
    }
    # LVIS's name for classes that somebody has looked for in vain.
    return row | ({"neg_category_ids": known_absent} if known_absent else {})


def _box_row(image: int, n: int, item: VocObject, category: int) -> dict[str, Any]:
    box = xywh(item.box)
    return {
        "id": image * MAX_OBJECTS + n,  # the same in every export of the release
        "image_id": image,
        "category_id": category,
        "bbox": box,
        "area": box[2] * box[3],
        "iscrowd": int(item.difficult),  # which an evaluation counts neither way
        "segmentation": [],
    }


def _json(row: Any) -> str:
    return json.dumps(row, ensure_ascii=False)
