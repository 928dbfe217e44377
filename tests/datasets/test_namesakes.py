"""Two images of one name that differ: no label of one is given to the other."""

import json

import pytest

from sixrayd.core.boxes import Box
from sixrayd.core.errors import AnnotationError
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.voc import VocAnnotation, VocObject
from sixrayd.core.workspace import Workspace
from sixrayd.datasets.merging import FilePart, merge
from sixrayd.datasets.namesakes import Label, Namesakes
from sixrayd.datasets.opening import open_set
from sixrayd.datasets.workspace_set import read_workspace
from sixrayd.download.stage import DownloadSettings, download
from tests.datasets.sets import coco, write, yolo_row
from tests.limits import within
from tests.releases import jpeg, skipped, voc

SIZE = (96, 64)
OF_X, OF_Y = ("Gun", 1, 1, 30, 30), ("Gun", 50, 10, 90, 60)


def objects_of(found):
    image = found.images["0001"]
    return None if image.objects is None else [item.box.xyxy for item in image.objects]


def as_coco(root, x="x/0001.jpg", y="y/0001.jpg"):
    document = coco({"x": (SIZE, [OF_X]), "y": (SIZE, [OF_Y])}, ("Gun",))
    for row, name in zip(document["images"], (x, y), strict=True):
        row["file_name"] = name
    write(root / "instances.json", json.dumps(document))


def as_coco_beside(root):
    for folder, thing in (("x", OF_X), ("y", OF_Y)):
        document = coco({"0001": (SIZE, [thing])}, ("Gun",))
        write(root / folder / "instances.json", json.dumps(document))


def as_voc(root):
    for folder, (name, x1, y1, x2, y2) in (("x", OF_X), ("y", OF_Y)):
        xml = voc("0001", (name, x1 + 1, y1 + 1, x2, y2))
        write(root / "Annotations" / folder / "0001.xml", xml)


def as_yolo(root):
    write(root / "data.yaml", "names: [Wrench, Gun]\n")
    for folder, thing in (("x", OF_X), ("y", OF_Y)):
        write(root / "labels" / folder / "0001.txt", yolo_row(thing, SIZE))


PLACES = {
    as_coco: ("instances.json: 0001", "x/0001.jpg", "y/0001.jpg"),
    as_coco_beside: ("y/instances.json: 0001", "images/x/0001.jpg", "images/y/0001.jpg"),
    as_voc: ("Annotations/y/0001.xml", "JPEGImages/x/0001.jpg", "JPEGImages/y/0001.jpg"),
    as_yolo: ("labels/y/0001.txt", "images/x/0001.jpg", "images/y/0001.jpg"),
}


@pytest.mark.parametrize("form", PLACES)
@pytest.mark.parametrize("with_images", [True, False])
def test_a_label_stays_with_the_image_in_its_folder(tmp_path, form, with_images):
    where, x, y = PLACES[form]
    form(tmp_path)
    write(tmp_path / x, jpeg(1))
    write(tmp_path / y, jpeg(2))

    found = open_set(tmp_path, with_images=with_images)

    assert objects_of(found) == [OF_X[1:]]
    assert found.findings == (
        Finding(Flaw.OTHER_IMAGE, y, f"another image than {x}; {x} holds"),
        Finding(Flaw.OTHER_IMAGE, where, f"speaks of {y}, another image than {x}; left out"),
    )


@pytest.mark.parametrize("form", PLACES)
def test_the_boxes_of_two_folders_are_merged_where_the_image_is_one(tmp_path, form):
    _, x, y = PLACES[form]
    form(tmp_path)
    write(tmp_path / x, jpeg(1))
    write(tmp_path / y, jpeg(1))

    assert objects_of(open_set(tmp_path)) == [OF_X[1:], OF_Y[1:]]


def test_what_cannot_be_told_apart_is_a_fault_that_names_both(tmp_path):
    as_voc(tmp_path / "set")
    write(tmp_path / "set" / "a" / "0001.jpg", jpeg(1))
    write(tmp_path / "set" / "b" / "0001.jpg", jpeg(2))
    workspace = Workspace(tmp_path / "ws")

    found = open_set(tmp_path / "set")
    download(workspace, DownloadSettings(release=str(tmp_path / "set"), on_error="skip"))

    text = "a/0001.jpg and b/0001.jpg differ; which of them is meant cannot be told"
    advice = "rename one of them with its labels"
    assert objects_of(found) is None
    assert found.findings[1:] == (
        Finding(Flaw.UNREADABLE_LABELS, "Annotations/y/0001.xml", f"{text}; {advice}"),
    )
    assert objects_of(read_workspace(workspace)) is None
    assert skipped(tmp_path) == [
        {"where": "b/0001.jpg", "error": "another image is called 0001 and differs"},
        {"where": "Annotations/x/0001.xml", "error": f"{text}; {advice}"},
    ]


@pytest.mark.parametrize("form", PLACES)
def test_a_download_gives_no_box_to_another_image(tmp_path, form):
    _, x, y = PLACES[form]
    form(tmp_path / "set")
    write(tmp_path / "set" / x, jpeg(1))
    write(tmp_path / "set" / y, jpeg(2))
    workspace = Workspace(tmp_path / "ws")
    classes = ("Wrench", "Gun") if form is as_yolo else ("Gun",)

    settings = DownloadSettings(release=str(tmp_path / "set"), on_error="skip", classes=classes)
    download(workspace, settings)

    assert objects_of(read_workspace(workspace)) == [OF_X[1:]]
    error = "another image is called 0001 and differs"
    assert skipped(tmp_path) == [{"where": y, "error": error}]


def test_names_of_one_folder_are_told_by_their_suffix_where_labels_have_it(tmp_path):
    as_coco(tmp_path, "0001.jpg", "0001.png")
    write(tmp_path / "0001.jpg", jpeg(1))
    write(tmp_path / "0001.png", jpeg(2))

    assert objects_of(open_set(tmp_path)) == [OF_X[1:]]


def test_a_file_that_repeats_another_speaks_of_both_images(tmp_path):
    for folder, seed in (("x", 1), ("y", 2)):
        write(tmp_path / folder / "0001.xml", voc("0001", ("Gun", 2, 2, 30, 30)))
        write(tmp_path / "images" / folder / "0001.jpg", jpeg(seed))

    assert objects_of(open_set(tmp_path)) == [OF_X[1:]]


def test_copies_of_the_first_image_count_as_it(tmp_path):
    as_coco(tmp_path, "z/0001.jpg", "y/0001.jpg")
    for folder, seed in (("x", 1), ("y", 2), ("z", 1)):
        write(tmp_path / folder / "0001.jpg", jpeg(seed))

    assert objects_of(open_set(tmp_path)) == [OF_X[1:]]


def test_among_very_many_images_of_a_name_none_is_meant():
    paths = tuple(f"{n}/0001.jpg" for n in range(30_000))
    label = Label("0/0001.xml", tuple((f"{n}/0001.xml",) for n in range(30_000)))
    with within(20, "paths"):
        assert Namesakes(paths, paths[-1:]).own([(label, 7)], "skip", []) == [7]
        with pytest.raises(AnnotationError, match="which of them is meant cannot be told"):
            Namesakes(paths[:1], paths[1:]).own([(label, 7)], "skip", [])


def test_paths_without_end_are_compared_at_once():
    """A hundred copies of a label, and of each of two images, took ten seconds; labels, more."""

    def paths(name):
        return tuple(f"{name}{n}/{'a/' * 1900}0001" for n in range(100))

    label = Label("l", tuple((path,) for path in paths("label")))
    with within(5, "paths"), pytest.raises(AnnotationError, match="cannot be told"):
        Namesakes(paths("kept"), paths("other")).own([(label, 0)], "skip", [])


def test_boxes_of_many_files_are_compared_at_once():
    """An image that 100 files label with 100 boxes each took three seconds, and there may be
    thousands."""
    objects = tuple(VocObject(Box("Gun", n, 0, n + 1, 9)) for n in range(1001))
    some, every = (VocAnnotation("P1", 2000, 9, part) for part in (objects[:900], objects))
    assert len(merge("P1", [FilePart("a", some), FilePart("b", every)]).objects) == 1001
    parts = [FilePart(where, every) for where in "ab"]
    with pytest.raises(AnnotationError) as caught:
        merge("P1", parts)
    assert str(caught.value) == (
        "b: boxes of a and others are 1002001 pairs to be compared, at most 1000000 are; keep one "
        "file"
    )
