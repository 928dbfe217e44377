"""Boxes of an ingest, from one XML."""

import pytest

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import AnnotationError, without_advice
from sixrayd.datasets.labels import Labels
from sixrayd.download.boxes import box_rows, usable_annotation
from sixrayd.download.faults import Faults
from tests.releases import voc

CLASSES = ClassList(("Gun", "Knife"))
SIZES = {"P1": (96, 64), "P2": None}  # of which P2 cannot be read


def rows_of(image, data, on_error="stop"):
    faults = Faults(on_error)
    labels = Labels()
    labels.take(f"x/{image}.xml", data)
    read = usable_annotation(image, labels, SIZES[image], CLASSES, faults)
    return read and (box_rows(image, read), read.findings), faults.found


def test_boxes_are_numbered_in_file_order():
    data = voc("P1", ("knife", 1, 1, 5, 5), ("pistol", 96, 64, 96, 64))

    (rows, notes), _ = rows_of("P1", data)

    flags = {"difficult": False, "truncated": False}
    assert rows == [
        {"box_id": "P1/a0", "image_id": "P1", "label": "Knife", **edges(0, 0, 5, 5), **flags},
        {"box_id": "P1/a1", "image_id": "P1", "label": "Gun", **edges(95, 63, 96, 64), **flags},
    ]
    assert notes == ()


def edges(*xyxy):
    return dict(zip(("x1", "y1", "x2", "y2"), xyxy, strict=True))


def test_the_image_s_own_size_beats_the_xml_unless_it_cannot_be_read():
    data = voc("P1", ("Gun", 1, 1, 200, 200), size="300,300")

    (rows, notes), _ = rows_of("P1", data)
    (unread, _), _ = rows_of("P2", data.replace(b"P1", b"P2"))

    assert (rows[0]["x2"], rows[0]["y2"]) == (96, 64)
    assert [str(note) for note in notes] == [
        "x/P1.xml: <size> says 300 x 300; the image is 96 x 64",
        "x/P1.xml: object 1: xmax 200 exceeds width 96; clipped",
        "x/P1.xml: object 1: ymax 200 exceeds height 64; clipped",
    ]
    assert (unread[0]["x2"], unread[0]["y2"]) == (200, 200)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "not XML ("),
        (b"<annotation>", "not XML ("),
        (b"<html/>", "root is <html>, expected <annotation>; fix the file or pass --on-error skip"),
        (
            b"<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><annotation>&e;</annotation>",
            "has a DTD, which no annotation needs; refused",
        ),
        (
            voc("P1", ("Bomb", 1, 1, 5, 5)),
            "object 1: class 'Bomb' is none of Gun, Knife; name the release's classes with "
            "`sixrayd download --classes`; fix the file or pass --on-error skip",
        ),
        (
            voc("P1", ("Gun", 97, 1, 99, 5)),
            "object 1: 97,1,99,5 lies outside the image of 96 x 64; fix the file or pass "
            "--on-error skip",
        ),
        (
            voc("P1", ("Gun", 1, 1, 5, 5)).replace(b"<xmin>1<", b"<xmin>left<"),
            "object 1: xmin is 'left', expected a number; fix the file or pass --on-error skip",
        ),
        (
            voc("P1", ("Gun", 1, 1, 5, 5)).replace(b"<ymax>5<", b"<ymax>inf<"),
            "object 1: ymax is 'inf', expected a finite number; fix the file or pass --on-error "
            "skip",
        ),
    ],
    ids=["empty", "cut", "html", "dtd", "class", "outside", "word", "infinite"],
)
def test_annotations_that_cannot_be_used(data, fault):
    with pytest.raises(AnnotationError) as caught:
        rows_of("P1", data)
    assert str(caught.value).startswith(f"x/P1.xml: {fault}")
    found, faults = rows_of("P1", data, "skip")
    assert len(faults) == 1
    assert faults[0][0] == "x/P1.xml"
    assert faults[0][1].startswith(without_advice(fault))
    assert found is None or found[0] == []


def test_the_sound_objects_of_a_faulty_xml_are_kept():
    data = voc("P1", ("Gun", 1, 1, 5, 5), ("Bomb", 1, 1, 5, 5), ("Knife", 2, 2, 6, 6))

    (rows, notes), faults = rows_of("P1", data, "skip")

    assert [(r["box_id"], r["label"]) for r in rows] == [("P1/a0", "Gun"), ("P1/a1", "Knife")]
    assert len(notes) == len(faults) == 1
    assert str(notes[0]).startswith("x/P1.xml: object 2: class 'Bomb' is none of Gun, Knife; ")
    assert str(notes[0]).endswith("; left out")
