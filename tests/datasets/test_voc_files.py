"""VOC by stem: files in several folders, what they say together."""

import pytest

from sixrayd.core.boxes import Box
from sixrayd.core.classes import ClassList
from sixrayd.core.errors import AnnotationError
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.voc import VocObject
from sixrayd.datasets.labels import Labels
from tests.releases import voc

SCISSORS = "SIXray-D/train/Cleaned Scissors (final) 2/N0000001.xml"
KNIFE = "SIXray-D/train/Cleaned Knife/N0000001.xml"


def taken(files):
    labels = Labels()
    for where, data in files.items():
        labels.take(where, data)
    return labels


def test_two_folders_of_one_stem_are_merged():
    same = ("Knife", 80, 60, 96, 64)
    labels = taken(
        {
            SCISSORS: voc("N0000001", ("scissor", 10, 10, 50, 50), same),
            KNIFE: voc("N0000001", ("knife", 80, 60, 96, 64), ("knife", 1, 1, 5, 5)),
        }
    )

    annotation = labels.annotation("N0000001", None, ClassList())

    boxes = ("Scissors", 9, 9, 50, 50), ("Knife", 79, 59, 96, 64), ("Knife", 0, 0, 5, 5)
    assert annotation.stem == "N0000001"
    assert annotation.objects == tuple(VocObject(Box(*box)) for box in boxes)
    text = f"N0000001 is in {SCISSORS} as well; merged, 1 of 2 objects new"
    assert annotation.findings == (Finding(Flaw.TWO_FILES, KNIFE, text),)
    assert labels.class_names == ("Knife", "scissor")
    assert labels.sides == {"sixray-d": {"N0000001": "train"}}


def test_a_file_that_repeats_another_byte_for_byte_is_that_one():
    xml = voc("P00001", ("Gun", 1, 1, 9, 9))
    labels = taken({"Annotation/P00001.xml": xml, "positive-Annotation/p00001.XML": xml})

    assert labels.annotation("P00001", None, ClassList()).findings == ()


def test_two_files_that_say_other_sizes():
    labels = taken(
        {
            "a/P00001.xml": voc("P00001", ("Gun", 1, 1, 9, 9)),
            "b/P00001.xml": voc("P00001", ("Gun", 90, 1, 120, 9), size="200,100"),
        }
    )

    annotation = labels.annotation("P00001", None, ClassList())

    assert (annotation.width, annotation.height) == (96, 64)
    assert annotation.objects[1].box == Box("Gun", 89, 0, 96, 9)
    assert [(finding.flaw, finding.where) for finding in annotation.findings] == [
        (Flaw.OTHER_SIZE, "b/P00001.xml"),
        (Flaw.OVERHANG, "b/P00001.xml: object 1"),
        (Flaw.TWO_FILES, "b/P00001.xml"),
    ]
    assert annotation.findings[0].text == "<size> says 200 x 100; a/P00001.xml says 96 x 64"


def test_one_of_two_files_cannot_be_read():
    good = voc("P00001", ("Gun", 1, 1, 9, 9))
    labels = taken({"a/P00001.xml": good[:50], "b/P00001.xml": good})

    with pytest.raises(AnnotationError, match=r"a/P00001\.xml: not XML"):
        labels.annotation("P00001", None, ClassList())
    skipped = labels.annotation("P00001", None, ClassList(), "skip")

    assert len(skipped.objects) == 1
    assert [(f.flaw, f.where) for f in skipped.findings] == [
        (Flaw.UNREADABLE_LABELS, "a/P00001.xml")
    ]
    assert skipped.findings[0].text.startswith("not XML (")


def test_no_file_can_be_read_is_no_annotation_without_objects():
    labels = taken({"a/P00001.xml": b"", "b/P00001.xml": b"<annotation"})

    with pytest.raises(AnnotationError, match=r"b/P00001\.xml: not XML"):
        labels.annotation("P00001", None, ClassList(), "skip")
    assert labels.form == "voc"


@pytest.mark.parametrize("name", (" P1.xml", "Pé.xml", "a" * 91 + ".xml"))
def test_a_name_that_is_no_id(name):
    labels = taken({f"Annotations/{name}": voc("x", ("Gun", 1, 1, 9, 9))})

    assert labels.image_ids == set()
    assert [(f.flaw, f.where) for f in labels.findings] == [(Flaw.BAD_NAME, f"Annotations/{name}")]
    assert labels.findings[0].text.startswith(f"file name {name[:-4]!r}: an image's name takes")


def test_names_with_backslashes_are_paths():
    xml = voc("P00001", ("Gun", 1, 1, 9, 9))

    assert taken({"train\\Annotations\\P00001.xml": xml}).sides == {"given": {"P00001": "train"}}


def test_xml_that_is_no_annotation_does_not_make_a_set_voc():
    labels = taken(
        {"pom.xml": b"<project/>", "labels/P1.txt": b"0 .5 .5 .2 .2", "obj.names": b"Gun"}
    )

    assert labels.form == "yolo"


@pytest.mark.parametrize("start", (b"\xef\xbb\xbf", b"<?xml version='1.0'?>\n<!-- a -->"))
def test_an_annotation_is_known_by_its_root(start):
    labels = taken(
        {"a/P1.xml": start + voc("P1", ("Gun", 1, 1, 9, 9)), "obj.names": b"Gun", "a/P2.txt": b""}
    )

    assert labels.form == "voc"


@pytest.mark.parametrize(
    ("files", "splits"),
    [
        (
            {
                "VOC2007/ImageSets/Main/trainval.txt": b"P1\n",
                "VOC2007/ImageSets/Main/test.txt": b"P2",
            },
            {"given": {"P1": "train", "P2": "test"}},
        ),
        (
            {
                "ImageSet/10/train.csv": b"name,Gun\nP00001,1\nN0000002.jpg,-1\n",
                "ImageSet/10/test.csv": b"\xef\xbb\xbfname;Gun\nP00003;1\n",
                "ImageSet/100/train.csv": b"name,Gun\np00003,1\n",
            },
            {
                "sixray10": {"P00001": "train", "N0000002": "train", "P00003": "test"},
                "sixray100": {"P00003": "train"},
            },
        ),
        ({"ImageSets/Main/Gun_train.txt": b"P1 1\n", "ImageSets/Main/all.txt": b"P1\n"}, {}),
        (
            {
                "ImageSets/Main/train.txt": b"P1  1\nP2 -1\nP3\nP1  1\n",
                "ImageSets/Main/test.txt": b"bag 0\nbag 1\nbag 2.JPE\nx/v1.5.tif\n",
            },
            {
                "given": dict.fromkeys(("P1", "P2", "P3"), "train")
                | dict.fromkeys(("bag 0", "bag 1", "bag 2", "v1.5"), "test")
            },
        ),
    ],
)
def test_lists_give_splits(files, splits):
    assert taken(files).sides == splits


def test_lists_beat_folders():
    xml = voc("P1", ("Gun", 1, 1, 9, 9))

    labels = taken({"train/P1.xml": xml, "train/P2.xml": xml, "ImageSets/Main/test.txt": b"P1\n"})

    assert labels.sides == {"given": {"P1": "test", "P2": "train"}}


def test_an_image_that_lists_put_on_both_sides_is_on_neither():
    labels = taken({"ImageSets/Main/test.txt": b"P1\n", "ImageSets/Main/train.txt": b"P1\nP2\n"})

    assert labels.sides == {"given": {"P1": "", "P2": "train"}}
    text = "puts P1 in train, another file in test; on neither side"
    assert labels.findings == [Finding(Flaw.TWO_SIDES, "ImageSets/Main/train.txt", text)]


def test_an_image_that_folders_put_on_both_sides_is_a_test_image():
    xml = voc("P1", ("Gun", 1, 1, 9, 9))

    labels = taken({"test/P1.xml": xml, "train/P1.xml": xml})

    assert labels.sides == {"given": {"P1": "test"}}
    text = "puts P1 in train, another file in test; taken for test"
    assert labels.findings == [Finding(Flaw.TWO_SIDES, "train/P1.xml", text)]


@pytest.mark.parametrize("start", ["<object>", "<v:object>", "<Object>"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_an_object_shows_something_in_any_spelling(start, encoding):
    assert taken({"P1.xml": f"<annotation>{start}".encode(encoding)}).shows("P1")


def test_countless_splits_of_a_set_are_left_out():
    lists = {f"ImageSets/s{n:02}/train.txt": b"P1\n" for n in range(51)}
    labels = taken({"Annotations/P1.xml": b"<annotation/>", **lists})

    assert len(labels.sides) == 50  # each is compared for all images
    assert labels.findings == [
        Finding(Flaw.NOT_READ, "ImageSets/s50/train.txt", "more than 50 splits; s50 is left out")
    ]
