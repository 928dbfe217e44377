"""One set in three forms is one set."""

import hashlib
import json
import shutil

import pytest

from sixrayd.core.boxes import Box
from sixrayd.core.classes import ClassList
from sixrayd.core.findings import Flaw
from sixrayd.core.voc import VocObject
from sixrayd.datasets.label_hash import plain_labels
from sixrayd.datasets.labelled import ImageLabels
from sixrayd.datasets.labels import Labels
from sixrayd.datasets.opening import open_set
from sixrayd.datasets.yolo_rows import settle_row
from tests.datasets.sets import (
    NAMES,
    OBJECTS,
    SIDES,
    SIZES,
    as_coco,
    as_voc,
    as_yolo,
    coco,
    image,
    write,
    yolo_row,
)
from tests.releases import jpeg, voc

FORMS = {"voc": as_voc, "coco": as_coco, "yolo": as_yolo}


def expected(with_images=True):
    return {
        stem: ImageLabels(
            image_id=stem,
            objects=tuple(VocObject(Box(*thing)) for thing in OBJECTS[stem]),
            sha256=hashlib.sha256(image(stem)).hexdigest() if with_images else "",
            size_wh=SIZES[stem],
        )
        for stem in sorted(SIZES)
    }


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("packed", (False, True))
def test_each_form_gives_the_same_set(tmp_path, form, packed):
    FORMS[form](tmp_path / "set")
    place = tmp_path / "set"
    if packed:
        shutil.make_archive(str(tmp_path / "packed"), "zip", place)
        place = tmp_path / "packed.zip"

    found = open_set(place)

    assert found.form == form
    assert found.images == expected()
    assert list(found.images) == sorted(SIZES)
    assert found.splits == {"given": SIDES}
    assert found.classes == ClassList()
    empty = ["no usable object"] if form == "voc" else []
    assert [finding.text for finding in found.findings] == empty


@pytest.mark.parametrize("form", FORMS)
def test_images_are_hashed_only_when_asked(tmp_path, form):
    FORMS[form](tmp_path)

    assert open_set(tmp_path, with_images=False).images == expected(with_images=False)


@pytest.mark.parametrize(
    ("form", "names"), [("voc", tuple(sorted(NAMES))), ("coco", NAMES), ("yolo", NAMES)]
)
def test_classes_have_the_order_of_the_files(tmp_path, form, names):
    FORMS[form](tmp_path)
    labels = Labels()

    for path in sorted(path for path in tmp_path.rglob("*") if path.is_file()):
        where = path.relative_to(tmp_path).as_posix()
        if labels.wants(where):
            labels.take(where, path.read_bytes())

    assert (labels.form, labels.class_names) == (form, names)
    assert labels.image_ids == set(SIZES)
    assert labels.sides == {"given": SIDES}
    assert labels.annotation("P99999", (9, 9), ClassList()) is None


@pytest.mark.parametrize("form", ("voc", "coco"))
def test_sizes_are_those_of_the_labels_where_images_are_absent(tmp_path, form):
    FORMS[form](tmp_path)
    for path in tmp_path.rglob("*.jpg"):
        path.unlink()

    assert open_set(tmp_path).images == expected(with_images=False)


def test_six_digits_give_back_every_whole_pixel():
    """Both ways for sides up to what a scan has; where the sum of roundings is largest, too."""
    checked = 0
    for side in (1, 2, 3, 7, 96, 511, 1536, 4096, 20_011):
        for low in range(0, side, max(1, side // 40)):
            for high in range(low + 1, side + 1, max(1, side // 40)):
                centre, width = (low + high) / 2 / side, (high - low) / side
                row = ["0", f"{centre:.6f}", f"{centre:.6f}", f"{width:.6f}", f"{width:.6f}"]
                findings = []
                box = settle_row(row, "a", {0: "Gun"}, ClassList(), (side, side), findings)
                assert (box.xyxy, findings) == ((low, low, high, high), [])
                checked += 1
    assert checked > 4000


@pytest.mark.parametrize(("off", "kept"), [(0.7e-6, 100.0), (0.8e-6, 100.0008)])
def test_no_more_than_rounding_loses_is_given_back(off, kept):
    row = ["0", f"{0.2 + off:.9f}", "0.5", "0.2", "0.2"]
    findings = []

    box = settle_row(row, "X.txt: line 1", {0: "Gun"}, ClassList(), (1000, 1000), findings)

    assert box.x1 == kept
    kinds = [finding.flaw for finding in findings]
    assert kinds == ([] if kept == 100 else [Flaw.BETWEEN_PIXELS] * 2)


@pytest.mark.parametrize("size", [(163, 119), (641, 479), (2999, 1777)])
def test_an_edge_amid_two_pixels_is_the_same_in_each_form(tmp_path, size):
    box = (10.5, 10.25, 50.75, 60.5)
    x1, y1, x2, y2 = box
    width, height = size
    for form in ("voc", "coco", "yolo"):
        write(tmp_path / form / "bag.jpg", jpeg(1, *size))
    xml = voc("bag", ("Gun", x1 + 1, y1 + 1, x2, y2), size=f"{width},{height}")
    write(tmp_path / "voc/bag.xml", xml)
    document = coco({"bag": (size, [("Gun", *box)])}, NAMES)
    write(tmp_path / "coco/instances.json", json.dumps(document))
    write(tmp_path / "yolo/data.yaml", f"names: {list(NAMES)}\n")
    write(tmp_path / "yolo/bag.txt", yolo_row(("Gun", *box), size))

    found = [plain_labels(open_set(tmp_path / form)) for form in ("voc", "coco", "yolo")]

    assert [said["bag"][0].box.xyxy for said in found] == [(11, 10, 51, 61)] * 3
