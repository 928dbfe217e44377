"""What other people's readers make of an export: our boxes, to the pixel, and our bytes.

Readers of VOC give its numbers as they stand, 1-based and with the last pixel; `box_of_pixels` says
what they mean. A rounding of 32 bits is far below the 0.001 pixel that is forgiven here.
"""

import json
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sixrayd.core.classes import ClassList
from sixrayd.core.voc import PIXEL_EDGES, box_of_pixels
from sixrayd.datasets.opening import open_set
from sixrayd.export.forms import FORMS
from sixrayd.export.settings import ExportSettings
from sixrayd.export.stage import export
from tests.detectors.torchvision_models import torchvision_module
from tests.workspaces import SIZE_WH, Picture, Small, jpeg

NAMES = list(ClassList().names)
ODD = "bag 1.2 (3)"  # blanks, dots and brackets
TRAIN = {
    "N0000001": [("Gun", 50, 10, 70, 30), ("Knife", 10, 20, 40, 50)],
    "N0000012": [("Pliers", 0, 3, 20, 64)],
    "P00001": [("Gun", 5, 6, 30, 40)],
    ODD: [("Wrench", 0, 0, 1, 1), ("Wrench", 95, 63, 96, 64)],
}
TEST = {
    "N0000010": [("Scissors", 11, 20, 40, 50)],
    "P00002": [("Gun", 1, 2, 9, 9), ("Knife", 0, 0, 96, 64)],
}
CONFUSING = {"N0000002": []}


class Oddly(Picture):
    source = "positive"

    @property
    def data(self):
        return jpeg(77)


def readable(root):
    """A workspace with an image of a name that readers may stumble over."""
    small = Small()
    boxes = (("Wrench", 0, 0, 1, 1, False), ("Wrench", 95, 63, 96, 64, False))
    small.pictures.append(Oddly(ODD, boxes=boxes))
    return small.build(root)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """All forms in one export, in a folder that torchvision finds."""
    folder = tmp_path_factory.mktemp("readers")
    settings = ExportSettings(
        out=folder / "VOCdevkit", forms=tuple(FORMS), sets=("confusing",), looks=True
    )
    export(readable(folder / "ws"), settings)
    return folder / "VOCdevkit"


def boxes_of(found):
    """Image id → sorted boxes, where each edge is within 0.001 of a whole pixel."""
    rounded = {}
    for image_id, boxes in found.items():
        for _, *edges in boxes:
            assert all(abs(edge - round(edge)) < 0.001 for edge in edges)
        rounded[image_id] = sorted((label, *map(round, edges)) for label, *edges in boxes)
    return rounded


def of_voc(label, xmin, ymin, xmax, ymax):
    edges = dict(zip(PIXEL_EDGES, map(float, (xmin, ymin, xmax, ymax)), strict=True))
    return (label, *box_of_pixels(label, edges).xyxy)


def of_coco(label, x, y, width, height):
    return label, x, y, x + width, y + height


def of_shares(label, x, y, width, height):
    """From FiftyOne's left, top, width and height in shares of the image."""
    sides = SIZE_WH * 2
    return of_coco(label, *(v * s for v, s in zip((x, y, width, height), sides, strict=True)))


def torchvision_voc(out, part):
    voc = torchvision_module("datasets").VOCDetection
    found = {}
    for image, target in voc(str(out.parent), year="2007", image_set=part):
        said = target["annotation"]
        assert image.size == SIZE_WH
        things = said.get("object", [])
        boxes = [(t["name"], *(t["bndbox"][edge] for edge in PIXEL_EDGES)) for t in things]
        found[Path(said["filename"]).stem] = [of_voc(*box) for box in boxes]
    return found


def torchvision_coco(out, part):
    coco = torchvision_module("datasets").CocoDetection
    data = coco(str(out / "coco/images"), str(document(out, part)))
    names = {i: Path(row["file_name"]).stem for i, row in data.coco.imgs.items()}
    found = {}
    for image_id, (_, rows) in zip(data.ids, data, strict=True):
        boxes = [(data.coco.cats[row["category_id"]]["name"], *row["bbox"]) for row in rows]
        found[names[image_id]] = [of_coco(*box) for box in boxes]
    return found


def document(out, part):
    return out / f"coco/annotations/instances_{part}.json"


def by_coco(coco):
    return {
        Path(row["file_name"]).stem: [
            of_coco(coco.cats[a["category_id"]]["name"], *a["bbox"])
            for a in coco.loadAnns(coco.getAnnIds(imgIds=[image_id]))
        ]
        for image_id, row in coco.imgs.items()
    }


def pycocotools(out, part):
    from pycocotools.coco import COCO

    return by_coco(COCO(str(document(out, part))))


def faster_coco_eval(out, part):
    from faster_coco_eval import COCO

    return by_coco(COCO(str(document(out, part))))


def globox_coco(out, part):
    from globox import AnnotationSet

    return by_globox(AnnotationSet.from_coco(document(out, part)), tuple)


def globox_voc(out, part):
    from globox import AnnotationSet

    listed = (out / f"VOC2007/ImageSets/Main/{part}.txt").read_text().splitlines()
    found = by_globox(
        AnnotationSet.from_pascal_voc(out / "VOC2007/Annotations"), lambda b: of_voc(*b)
    )
    return {image_id: found[image_id] for image_id in listed}


def globox_yolo(out, part):
    from globox import AnnotationSet

    place = place_of(part)
    folder = out / "yolo/images" / place
    read = AnnotationSet.from_yolo_v5(out / "yolo/labels" / place, image_folder=folder)
    return by_globox(read, lambda box: (NAMES[int(box[0])], *box[1:]))


def by_globox(read, meant):
    return {
        Path(each.image_id).stem: [
            meant((b.label, b.xmin, b.ymin, b.xmax, b.ymax)) for b in each.boxes
        ]
        for each in read
    }


def place_of(part):
    """YOLO's folder of a part."""
    return "/".join(part.split("_"))


def webdataset(out, part):
    from webdataset import WebDataset

    found = {}
    for path in sorted((out / "webdataset").glob(f"{part}-*.tar")):
        for sample in WebDataset(str(path), shardshuffle=False).decode("pil"):
            assert sample["jpg"].size == SIZE_WH
            boxes = ((item["category"], *item["bbox"]) for item in sample["json"]["objects"])
            found[sample["json"]["image_id"]] = [of_coco(*box) for box in boxes]
    return found


def pyarrow(out, part):
    (path,) = (out / "parquet/data").glob(f"{part}-*.parquet")
    table = pq.read_table(path)
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    names = features["objects"]["category"]["feature"]["names"]
    assert features["image"] == {"_type": "Image"}
    found = {}
    for row in table.to_pylist():
        objects = zip(row["objects"]["category"], row["objects"]["bbox"], strict=True)
        found[row["image_id"]] = [of_coco(names[label], *box) for label, box in objects]
    return found


def our_own(form):
    def read(out, part):
        labelled = open_set(out / form)
        side = next(iter(labelled.splits.values()))
        return {
            image_id: [(item.box.label, *item.box.xyxy) for item in said.objects]
            for image_id, said in labelled.images.items()
            if side.get(image_id) == part and said.objects
        }

    read.__name__ = f"our own of {form}"
    return read


def fiftyone_voc(out, part):
    import fiftyone.utils.voc as voc

    importer = voc.VOCDetectionDatasetImporter(
        data_path=str(out / "VOC2007/JPEGImages"), labels_path=str(out / "VOC2007/Annotations")
    )
    listed = (out / f"VOC2007/ImageSets/Main/{part}.txt").read_text().splitlines()
    found = by_fiftyone(importer, lambda label, *edges: of_voc(label, *edges))
    return {image_id: found[image_id] for image_id in listed}


def fiftyone_coco(out, part):
    import fiftyone.utils.coco as coco

    importer = coco.COCODetectionDatasetImporter(
        data_path=str(out / "coco/images"), labels_path=str(document(out, part))
    )
    return by_fiftyone(importer)


def fiftyone_yolo(out, part):
    import fiftyone.utils.yolo as yolo

    importer = yolo.YOLOv5DatasetImporter(str(out / "yolo"), yaml_path="data.yaml", split=part)
    return by_fiftyone(importer)


def by_fiftyone(importer, meant=lambda *box: box):
    found = {}
    with importer:
        for path, _, labels in importer:
            labels = labels.get("detections") if isinstance(labels, dict) else labels
            boxes = [(d.label, *d.bounding_box) for d in labels.detections] if labels else []
            found[Path(path).stem] = [meant(*of_shares(*box)) for box in boxes]
    return found


READERS = [
    *(torchvision_voc, torchvision_coco, pycocotools, faster_coco_eval, webdataset, pyarrow),
    *(globox_voc, globox_coco, globox_yolo, our_own("VOC2007"), our_own("coco"), our_own("yolo")),
    *(pytest.param(each, marks=pytest.mark.long) for each in (fiftyone_voc, fiftyone_coco)),
]


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_boxes_come_back_to_the_pixel(out, read):
    assert boxes_of(read(out, "train")) == TRAIN
    assert boxes_of(read(out, "test")) == TEST


@pytest.mark.long
def test_fiftyone_takes_sets_of_backgrounds_with_yolo(out):
    assert boxes_of(fiftyone_yolo(out, "train")) == TRAIN | CONFUSING
    assert boxes_of(fiftyone_yolo(out, "test")) == TEST


@pytest.mark.parametrize(
    "read",
    [torchvision_coco, pycocotools, globox_coco, globox_yolo, webdataset, pyarrow],
)
def test_confusing_negatives_are_read_as_images_without_boxes(out, read):
    assert boxes_of(read(out, "confusing_train")) == CONFUSING


def test_every_form_has_the_releases_bytes(out):
    original = jpeg(77)
    assert (out / f"VOC2007/JPEGImages/{ODD}.jpg").read_bytes() == original
    assert (out / f"coco/images/{ODD}.jpg").read_bytes() == original
    assert (out / f"yolo/images/train/{ODD}.jpg").read_bytes() == original
    rows = pq.read_table(out / "parquet/data/train-00000.parquet").to_pylist()
    assert [r["image"] for r in rows if r["image_id"] == ODD] == [
        {"bytes": original, "path": f"{ODD}.jpg"}
    ]
    with tarfile.open(out / "webdataset/train-000000.tar") as tar:
        assert tar.extractfile("bag 1%2E2 (3).jpg").read() == original
        assert {member.mtime for member in tar} == {0}
