"""What readers in an environment of their own make of an export; `test_readers_apart.py` runs it.

    python readers_apart.py EXPORT

Prints JSON: reader → part → image id → boxes as [label, left, top, right, bottom].
"""

import json
import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"


def hugging_face(out):
    return by_hugging_face(out, out / "parquet")


def hugging_face_by_the_card(out):
    return by_hugging_face(out, out)


def by_hugging_face(out, folder):
    import datasets

    read = datasets.load_dataset(str(folder), cache_dir=str(out.parent / "cache"))
    found = {}
    for part, rows in read.items():
        names = rows.features["objects"]["category"].feature.names
        for row in rows:
            assert row["image"].size == (row["width"], row["height"])
            said = row["objects"]
            found.setdefault(part, {})[row["image_id"]] = [
                [names[label], *corners(box)]
                for label, box in zip(said["category"], said["bbox"], strict=True)
            ]
    return found


def corners(box):
    x, y, width, height = box
    return x, y, x + width, y + height


def supervision_voc(out):
    import supervision

    tree = out / "VOC2007"
    read = supervision.DetectionDataset.from_pascal_voc(
        str(tree / "JPEGImages"), str(tree / "Annotations")
    )
    sets = (tree / "ImageSets/Main" / f"{part}.txt" for part in ("train", "test"))
    listed = {path.stem: path.read_text().splitlines() for path in sets}
    found = by_supervision(read)
    return {part: {i: found[i] for i in ids} for part, ids in listed.items()}


def supervision_coco(out):
    import supervision

    found = {}
    for path in sorted((out / "coco/annotations").iterdir()):
        read = supervision.DetectionDataset.from_coco(str(out / "coco/images"), str(path))
        found[path.stem.removeprefix("instances_")] = by_supervision(read)
    return found


def supervision_yolo(out):
    import supervision

    return {
        part: by_supervision(
            supervision.DetectionDataset.from_yolo(
                *(str(out / "yolo" / kind / part) for kind in ("images", "labels")),
                str(out / "yolo/data.yaml"),
            )
        )
        for part in ("train", "test")
    }


def by_supervision(read):
    return {
        Path(path).stem: [
            [read.classes[label], *map(float, box)]
            for label, box in zip(found.class_id, found.xyxy, strict=True)
        ]
        for path, _, found in read
    }


def datumaro_voc(out):
    import datumaro

    return by_datumaro(
        datumaro.Dataset.import_from(
            str(out / "VOC2007"), "voc_detection", coordinate_mode="voc-one-based"
        )
    )


def datumaro_coco(out):
    import datumaro

    return by_datumaro(datumaro.Dataset.import_from(str(out / "coco"), "coco_instances"))


def by_datumaro(read):
    from datumaro import AnnotationType

    labels = read.categories()[AnnotationType.label]
    found = {}
    for item in read:
        boxes = (a for a in item.annotations if a.type == AnnotationType.bbox)
        found.setdefault(item.subset, {})[item.id] = [
            [labels[box.label].name, *box.points] for box in boxes
        ]
    return found


def the_card(out):
    from huggingface_hub import DatasetCard

    return DatasetCard.load(out / "README.md").data.to_dict()


def croissant(out):
    """Errors end it; gives warnings, and what it reads of each table."""
    import mlcroissant

    read = mlcroissant.Dataset(jsonld=out / "croissant.json")
    rows = {
        record_set.id: list(read.records(record_set.id)) for record_set in read.metadata.record_sets
    }
    plain = {what: [{k: as_text(v) for k, v in row.items()} for row in rows[what]] for what in rows}
    return {"warnings": sorted(read.metadata.ctx.issues.warnings), "rows": plain}


def as_text(value):
    return value.decode() if isinstance(value, bytes) else value


READERS = (
    *(the_card, croissant, hugging_face_by_the_card),
    *(hugging_face, supervision_voc, supervision_coco, supervision_yolo),
    *(datumaro_voc, datumaro_coco),
)

if __name__ == "__main__":
    place = Path(sys.argv[1])
    print("\n" + json.dumps({read.__name__: read(place) for read in READERS}))
