"""The same small set in each of the forms that people hand out."""

import json
from pathlib import Path

from tests.releases import jpeg, voc

Objects = list[tuple[str, int, int, int, int]]  # name, x1, y1, x2, y2: 0-based, edges exclusive

NAMES = ("Wrench", "Gun", "Knife")  # no alphabetical order
SIZES = {"P00001": (96, 64), "P00002": (333, 217), "N0000003": (641, 479), "N0000004": (96, 64)}
OBJECTS: dict[str, Objects] = {
    "P00001": [("Gun", 0, 0, 96, 64), ("Wrench", 10, 20, 31, 44)],
    "P00002": [("Knife", 1, 2, 332, 216)],
    "N0000003": [("Gun", 639, 477, 641, 479), ("Gun", 7, 11, 20, 23), ("Knife", 3, 3, 4, 4)],
    "N0000004": [],
}
SIDES = {"P00001": "train", "P00002": "train", "N0000003": "test", "N0000004": "test"}


def write(path: Path, data: bytes | str) -> None:
    """A file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def image(stem: str) -> bytes:
    return jpeg(int(stem[1:]), *SIZES[stem])


def as_voc(root: Path) -> None:
    """Folders `train` and `test`."""
    for stem, side in SIDES.items():
        width, height = SIZES[stem]
        objects = [(name, x1 + 1, y1 + 1, x2, y2) for name, x1, y1, x2, y2 in OBJECTS[stem]]
        xml = voc(stem, *objects, size=f"{width},{height}")
        write(root / side / "Annotations" / f"{stem}.xml", xml)
        write(root / side / "JPEGImages" / f"{stem}.jpg", image(stem))


def as_coco(root: Path) -> None:
    """`instances_train.json` and `instances_test.json`, categories from 1."""
    for side in ("train", "test"):
        stems = [stem for stem in SIDES if SIDES[stem] == side]
        document = coco({stem: (SIZES[stem], OBJECTS[stem]) for stem in stems}, NAMES)
        write(root / "annotations" / f"instances_{side}.json", json.dumps(document))
        for stem in stems:
            write(root / "images" / f"{stem}.jpg", image(stem))


def coco(images: dict[str, tuple[tuple[int, int], Objects]], names: tuple[str, ...]) -> dict:
    """A COCO document."""
    document: dict = {
        "images": [
            {"id": number, "file_name": f"{stem}.jpg", "width": size[0], "height": size[1]}
            for number, (stem, (size, _)) in enumerate(images.items(), 1)
        ],
        "annotations": [],
        "categories": [{"id": number, "name": name} for number, name in enumerate(names, 1)],
    }
    for number, (_, objects) in enumerate(images.values(), 1):
        for name, x1, y1, x2, y2 in objects:
            document["annotations"].append(
                {
                    "id": len(document["annotations"]) + 1,
                    "image_id": number,
                    "category_id": names.index(name) + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "iscrowd": 0,
                }
            )
    return document


def as_yolo(root: Path) -> None:
    """Ultralytics' layout."""
    write(root / "data.yaml", f"train: images/train\ntest: images/test\nnames: {list(NAMES)}\n")
    for stem, side in SIDES.items():
        rows = [yolo_row(thing, SIZES[stem]) for thing in OBJECTS[stem]]
        write(root / "labels" / side / f"{stem}.txt", "".join(rows))
        write(root / "images" / side / f"{stem}.jpg", image(stem))


def yolo_row(thing: tuple[str, int, int, int, int], size_wh: tuple[int, int]) -> str:
    """Six decimals, as converters write them."""
    name, x1, y1, x2, y2 = thing
    width, height = size_wh
    values = (x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height
    return f"{NAMES.index(name)} " + " ".join(f"{value:.6f}" for value in values) + "\n"
