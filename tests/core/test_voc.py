"""Every quirk of SIXray's annotation files, and round trips that never move a box."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sixrayd.core.boxes import Box, clip_box
from sixrayd.core.classes import ClassList, default_classes
from sixrayd.core.errors import AnnotationError
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.voc import MAX_BYTES, Provenance, VocAnnotation, VocObject, read_voc, write_voc

CLASSES = ClassList()
SIZE = "<size><width>768</width><height>576</height><depth>3</depth></size>"


def thing(xmin="10", ymin="20", xmax="30", ymax="40", name="Knife", extra=""):
    edges = f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>"
    return f"<object><name>{name}</name>{extra}<bndbox>{edges}</bndbox></object>"


def xml(*objects, size=SIZE, filename="P00012.jpg"):
    body = f"<folder>X_ray</folder><filename>{filename}</filename>{size}{''.join(objects)}"
    return f"<annotation>{body}</annotation>".encode()


def notes(annotation):
    return [str(finding) for finding in annotation.findings]


def read(data, size_wh=None, on_error="stop"):
    return read_voc(data, "P00012.xml", CLASSES, size_wh, on_error)


def test_a_plain_file_is_read_whole():
    extra = "<truncated>1</truncated><difficult>1</difficult>"
    assert read(xml(thing(), thing("1", "1", "768", "576", "gun", extra))) == VocAnnotation(
        "P00012",
        768,
        576,
        (
            VocObject(Box("Knife", 9, 19, 30, 40)),
            VocObject(Box("Gun", 0, 0, 768, 576), difficult=True, truncated=True),
        ),
    )


@pytest.mark.parametrize(
    ("name", "label"),
    [("plier", "Pliers"), ("PLIERS", "Pliers"), ("scissor", "Scissors"), (" knife\n", "Knife")],
)
def test_names_in_other_case_and_aliases_are_understood(name, label):
    found = read(xml(thing(name=name)))
    assert [item.box.label for item in found.objects] == [label]
    assert notes(found) == []


@pytest.mark.parametrize(
    ("objects", "box", "said"),
    [
        (
            ["<object></object>", thing()],
            (9, 19, 30, 40),
            ["P00012.xml: object 1: empty; left out"],
        ),
        (
            [thing("10.5", "20", "30.25", "40")],
            (9.5, 19, 30.25, 40),
            [
                "P00012.xml: object 1: xmin 10.5 is not a whole pixel; kept",
                "P00012.xml: object 1: xmax 30.25 is not a whole pixel; kept",
            ],
        ),
        ([thing("10.0", "20.0", "30.0", "40.0")], (9, 19, 30, 40), []),
        (
            [thing(xmax="812")],
            (9, 19, 768, 40),
            ["P00012.xml: object 1: xmax 812 exceeds width 768; clipped"],
        ),
        (
            [thing("0", "-3", "30", "577")],
            (0, 0, 30, 576),
            [
                "P00012.xml: object 1: xmin 0 is below 1; clipped",
                "P00012.xml: object 1: ymin -3 is below 1; clipped",
                "P00012.xml: object 1: ymax 577 exceeds height 576; clipped",
            ],
        ),
        (
            [thing("30", "20", "10", "40")],
            (9, 19, 30, 40),
            ["P00012.xml: object 1: xmax 10 below xmin 30; swapped"],
        ),
        (
            [thing("10", "40", "30", "20")],
            (9, 19, 30, 40),
            ["P00012.xml: object 1: ymax 20 below ymin 40; swapped"],
        ),
        ([thing("7", "9", "7", "9")], (6, 8, 7, 9), []),
        (
            [thing("12", "20", "10", "40")],
            (9, 19, 12, 40),
            ["P00012.xml: object 1: xmax 10 below xmin 12; swapped"],
        ),
    ],
)
def test_a_repaired_box_is_noted(objects, box, said):
    found = read(xml(*objects))
    assert [item.box.xyxy for item in found.objects] == [box]
    assert notes(found) == said


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (thing(xmin="900", xmax="950"), "900,20,950,40 lies outside the image of 768 x 576"),
        (thing(ymin="-9", ymax="0"), "10,-9,30,0 lies outside the image of 768 x 576"),
        (thing(xmin="left"), "xmin is 'left', expected a number"),
        (thing(xmin="1_0"), "xmin is '1_0', expected a number"),
        (thing(xmin="٠"), "xmin is '٠', expected a number"),
        (thing().replace("object>", "Object>"), "<Object>, expected <object>"),
        (thing(ymax="nan"), "ymax is 'nan', expected a finite number"),
        (thing(ymax="1e999"), "ymax is '1e999', expected a finite number"),
        ("<object><name>Gun</name></object>", "xmin is '', expected a number"),
        (
            thing(name="Bottle"),
            "class 'Bottle' is none of Gun, Knife, Wrench, Pliers, Scissors; "
            "name the release's classes with `sixrayd download --classes`",
        ),
        (
            "<object><bndbox/></object>",
            "class '' is none of Gun, Knife, Wrench, Pliers, Scissors; "
            "name the release's classes with `sixrayd download --classes`",
        ),
    ],
)
def test_a_useless_object_stops_or_is_left_out(bad, says):
    data = xml(thing(), bad)
    with pytest.raises(AnnotationError) as caught:
        read(data)
    advice = "fix the file or pass --on-error skip"
    assert str(caught.value) == f"P00012.xml: object 2: {says}; {advice}"
    found = read(data, on_error="skip")
    assert [item.box.xyxy for item in found.objects] == [(9, 19, 30, 40)]
    assert notes(found)[-1] == f"P00012.xml: object 2: {says}; left out"


def test_a_known_class_that_is_left_out_stops_nothing():
    found = read(xml(thing(name="hammer "), thing()))

    assert [item.box.xyxy for item in found.objects] == [(9, 19, 30, 40)]
    assert notes(found) == [
        "P00012.xml: object 1: hammer is none of the classes that are asked for; left out"
    ]
    asked = read_voc(xml(thing(name="hammer")), "P00012.xml", ClassList(("Gun", "Hammer")))
    assert [item.box.label for item in asked.objects] == ["Hammer"]


def test_a_namespace_changes_nothing():
    data = xml(thing()).replace(b"<annotation>", b'<annotation xmlns="http://example.org/v">')

    assert read(data) == read(xml(thing()))


def test_a_box_that_occurs_twice_is_kept_and_noted():
    found = read(xml(thing(), thing(), thing("11")))

    assert len(found.objects) == 3
    assert notes(found) == ["P00012.xml: object 2: the same Knife again"]


def test_no_usable_object_is_an_annotation_without_boxes_and_a_note():
    assert notes(read(xml())) == ["P00012.xml: no usable object"]
    assert notes(read(xml("<object/>"))) == [
        "P00012.xml: object 1: empty; left out",
        "P00012.xml: no usable object",
    ]


@pytest.mark.parametrize(
    ("size", "note"),
    [
        ("", "no usable <size>; the image is 800 x 482"),
        ("<size/>", "no usable <size>; the image is 800 x 482"),
        (
            "<size><width>0</width><height>0</height></size>",
            "no usable <size>; the image is 800 x 482",
        ),
        (
            "<size><width>482</width><height>800</height></size>",
            "<size> says 482 x 800; the image is 800 x 482",
        ),
        ("<size><width>x</width></size>", "no usable <size>; the image is 800 x 482"),
    ],
)
def test_the_actual_size_beats_the_written_one(size, note):
    found = read(xml(thing("700", "400", "800", "482"), size=size), (800, 482))
    assert (found.width, found.height) == (800, 482)
    assert [item.box.xyxy for item in found.objects] == [(699, 399, 800, 482)]
    assert notes(found) == [f"P00012.xml: {note}"]


def test_no_size_at_all_is_refused():
    with pytest.raises(AnnotationError) as caught:
        read(xml(thing(), size=""), on_error="skip")
    assert str(caught.value) == (
        "P00012.xml: no usable <size>, and no image to measure; "
        "fix the file or pass --on-error skip"
    )


def test_height_before_width_is_not_swapped():
    size = "<size><height>576</height><width>768</width></size>"
    found = read(xml(thing(), size=size))
    assert (found.width, found.height, notes(found)) == (768, 576, [])


def test_the_file_name_names_the_image_and_another_inside_is_noted():
    found = read(xml(thing(), filename="p00012.JPG"))
    assert found.stem == "P00012"
    assert notes(found) == ["P00012.xml: <filename> says 'p00012.JPG'; taken for P00012"]
    assert notes(read(xml(thing(), filename=r"D:\scans\P00012.jpg"))) == []
    found = read_voc(xml(thing()), "Annotation/p00012.XML", CLASSES)
    assert found.stem == "p00012"


def test_labelimg_form_with_tabs_and_windows_path():
    data = (
        b"<annotation>\r\n\t<folder>Sixray</folder>\r\n\t<filename>P00012.jpg</filename>\r\n"
        b"\t<path>D:\\Users\\me\\P00012.jpg</path>\r\n\t" + SIZE.encode() + b"\r\n\t"
        b"<object>\r\n\t\t<name>knife</name>\r\n\t\t<pose>Unspecified</pose>\r\n"
        b"\t\t<truncated>1</truncated>\r\n\t\t<bndbox>\r\n\t\t\t<xmin> 1 </xmin>"
        b"<xmax>30</xmax><ymin>20</ymin><ymax>40</ymax></bndbox></object>\r\n</annotation>\r\n"
    )
    found = read(data)
    assert found.objects == (VocObject(Box("Knife", 0, 19, 30, 40), truncated=True),)
    assert notes(found) == []


@pytest.mark.parametrize(
    "encoded",
    [
        b"\xef\xbb\xbf" + xml(thing()),
        b"\n  " + b'<?xml version="1.0" encoding="utf-8"?>' + xml(thing()),
        ('<?xml version="1.0" encoding="utf-16"?>' + xml(thing()).decode()).encode("utf-16"),
    ],
)
def test_byte_order_marks_and_declarations(encoded):
    found = read(encoded)
    assert [item.box.xyxy for item in found.objects] == [(9, 19, 30, 40)]
    assert notes(found) == []


def test_a_path_in_another_encoding_does_not_lose_the_boxes():
    data = xml(thing()).replace(b"X_ray", "安检".encode("gbk"))
    found = read(data)
    assert len(found.objects) == 1
    assert notes(found) == ["P00012.xml: not UTF-8 and no declaration; unreadable letters replaced"]


def _bomb():
    steps = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    return f'<!DOCTYPE a [<!ENTITY e0 "ha">{steps}]><annotation>&e9;</annotation>'.encode()


@pytest.mark.parametrize(
    "data",
    [
        _bomb(),
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>',
        b'<!DOCTYPE annotation SYSTEM "http://127.0.0.1:9/x.dtd"><annotation/>',
        b"<!DOCTYPE annotation><annotation/>",
    ],
)
def test_a_dtd_is_refused(data):
    with pytest.raises(AnnotationError) as caught:
        read(data)
    assert str(caught.value).startswith(("P00012.xml: has a DTD", "P00012.xml: not XML"))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not XML"),
        (b"<Error><Code>NoSuchKey</Code></Error>", "root is <Error>, expected <annotation>"),
        (xml(thing())[:-20], "not XML"),
        (b"\xff\xd8\xff\xe0 a picture", "not XML"),
        (b" " * (MAX_BYTES + 1), f"{MAX_BYTES + 1} bytes, expected at most {MAX_BYTES}"),
    ],
)
def test_what_is_no_annotation_is_refused(data, says):
    with pytest.raises(AnnotationError, match=f"^P00012.xml: {says}"):
        read(data)


def test_corrupting_any_field_never_escapes_as_another_error():
    good = xml(thing(extra="<difficult>0</difficult>")).decode()
    fields = ["folder", "filename", "width", "height", "depth", "name", "difficult"]
    fields += ["xmin", "ymin", "xmax", "ymax", "bndbox", "object", "size"]
    tried = 0
    for field in fields:
        start = good.index(f"<{field}>")
        end = good.index(f"</{field}>") + len(field) + 3
        for value in ("", f"<{field}/>", f"<{field}>\x07</{field}>", f"<{field}>&lt;</{field}>"):
            tried += 1
            try:
                found = read((good[:start] + value + good[end:]).encode())
            except AnnotationError as error:
                assert str(error).startswith("P00012.xml: ")
            else:
                assert (found.width, found.height) == (768, 576)
    assert tried == 56


def test_written_bytes():
    origin = Provenance(
        "moved", "N1/rfb/0", "rfb", 0.75, "ann@x", "contraband missed", "2026-01-02T03:04:05Z", 2
    )
    item = VocObject(Box("Gun", 0, 1, 20, 30), provenance=origin)
    data = write_voc(VocAnnotation("N1", 100, 80, (item,), depth=1))
    assert data.decode() == (
        "<annotation>\n\t<folder>VOC2007</folder>\n\t<filename>N1.jpg</filename>\n"
        "\t<source>\n\t\t<database>SIXray-D</database>\n\t</source>\n"
        "\t<size>\n\t\t<width>100</width>\n\t\t<height>80</height>\n\t\t<depth>1</depth>\n"
        "\t</size>\n\t<segmented>0</segmented>\n\t<object>\n\t\t<name>Gun</name>\n"
        "\t\t<pose>Unspecified</pose>\n\t\t<truncated>0</truncated>\n"
        "\t\t<difficult>0</difficult>\n\t\t<bndbox>\n\t\t\t<xmin>1</xmin>\n"
        "\t\t\t<ymin>2</ymin>\n\t\t\t<xmax>20</xmax>\n\t\t\t<ymax>30</ymax>\n\t\t</bndbox>\n"
        "\t\t<sixrayd>\n\t\t\t<origin>moved</origin>\n\t\t\t<candidate>N1/rfb/0</candidate>\n"
        "\t\t\t<model>rfb</model>\n\t\t\t<score>0.75</score>\n\t\t\t<reviewer>ann@x</reviewer>\n"
        "\t\t\t<verdict>contraband missed</verdict>\n"
        "\t\t\t<decided_at>2026-01-02T03:04:05Z</decided_at>\n\t\t\t<version>2</version>\n"
        "\t\t</sixrayd>\n\t</object>\n</annotation>\n"
    )
    assert read_voc(data, "N1.xml", CLASSES) == VocAnnotation("N1", 100, 80, (item,), depth=1)


def test_a_hostile_reviewer_name_is_text():
    origin = Provenance("drawn", reviewer="</sixrayd><x>&\x00\x1b")
    item = VocObject(Box("Gun", 0, 0, 5, 5), provenance=origin)
    data = write_voc(VocAnnotation("N1", 10, 10, (item,)))
    found = read_voc(data, "N1.xml", CLASSES).objects[0].provenance
    assert found == Provenance("drawn", reviewer="</sixrayd><x>&\ufffd\ufffd")


def test_a_box_beyond_the_image_is_never_written():
    with pytest.raises(AnnotationError) as caught:
        VocAnnotation("N1", 10, 10, (VocObject(Box("Gun", 0, 0, 11, 5)),))
    assert str(caught.value) == (
        "N1: object 1: (0, 0, 11, 5) reaches beyond the image of 10 x 10; clip it first"
    )
    with pytest.raises(AnnotationError, match=r"^N1: size 0 x 10; both must be 1 or more$"):
        VocAnnotation("N1", 0, 10, ())


def test_clip_box():
    assert clip_box(Box("Gun", -1, 2, 30, 4), 10, 10) == Box("Gun", 0, 2, 10, 4)
    assert clip_box(Box("Gun", 10, 2, 30, 4), 10, 10) is None


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20).filter(
    lambda text: not any(ord(c) in (0xFFFE, 0xFFFF) for c in text)
)
provenances = st.none() | st.builds(
    Provenance,
    origin=texts,
    candidate=texts,
    model=texts,
    score=st.none() | st.floats(0, 1),
    reviewer=texts,
    verdict=texts,
    decided_at=texts,
    version=st.none() | st.integers(1, 1000),
)


@st.composite
def annotations(draw, whole=True):
    width, height = draw(st.integers(1, 1600)), draw(st.integers(1, 1600))

    def span(limit):
        if whole:
            low = draw(st.integers(0, limit - 1))
            return low, draw(st.integers(low + 1, limit))
        low = draw(st.floats(0, limit, exclude_max=True))
        return low, draw(st.floats(low, limit, exclude_min=True))

    objects = []
    for _ in range(draw(st.integers(1, 4))):
        (x1, x2), (y1, y2) = span(width), span(height)
        box = Box(draw(st.sampled_from(default_classes())), x1, y1, x2, y2)
        flags = draw(st.booleans()), draw(st.booleans())
        objects.append(VocObject(box, *flags, draw(provenances)))
    return VocAnnotation("P00012", width, height, tuple(objects), depth=draw(st.integers(1, 4)))


@given(annotations())
def test_whole_boxes_come_back_exactly(annotation):
    data = write_voc(annotation)
    assert replace(read(data), findings=()) == annotation  # a box may be drawn twice
    assert write_voc(read(data)) == data


@given(annotations(whole=False))
@example(VocAnnotation("P00012", 1, 2, (VocObject(Box("Gun", 0.0, 0.9921875, 1.0, 0.998046875)),)))
def test_other_boxes_move_by_less_than_a_pixel_and_only_once(annotation):
    data = write_voc(annotation)
    found = read(data)
    assert len(found.objects) == len(annotation.objects)
    for before, after in zip(annotation.objects, found.objects, strict=True):
        moved = [abs(a - b) for a, b in zip(before.box.xyxy, after.box.xyxy, strict=True)]
        assert max(moved) <= 1
    for _ in range(3):
        assert write_voc(read(data)) == data


def _real(folder):
    root = os.environ.get("SIXRAYD_DATA", "")
    found = sorted((Path(root) / folder).glob("*.xml")) if root else []
    if not found:
        pytest.skip("SIXRAYD_DATA is unset or has no sample annotations")
    return found


def test_real_corrected_annotations():
    paths = _real("sixray-samples/sixray-d/Annotations")
    assert [path.stem for path in paths] == ["P00002", "P00003", "P00004"]
    found = [read_voc(path.read_bytes(), path.name, CLASSES) for path in paths]
    assert (found[0].width, found[0].height) == (801, 482)
    assert [item.box for item in found[0].objects] == [
        Box("Knife", 273, 231, 610, 460),
        Box("Knife", 224, 333, 591, 465),
    ]
    assert [len(annotation.findings) for annotation in found] == [0, 0, 0]


def test_real_annotations_of_a_third_party():
    paths = _real("sixray-samples/annotations-roboflow")
    assert len(paths) == 6
    for path in paths:
        found = read_voc(path.read_bytes(), path.name, CLASSES)
        assert len(found.objects) > 0
        again = read_voc(write_voc(found), path.name, CLASSES)
        assert again.objects == found.objects


@pytest.mark.parametrize(("xmax", "width"), [("10", "0"), ("10.4", "0.4"), ("10.0", "0")])
def test_edges_that_meet_are_no_swapped_corners(xmax, width):
    found = read(xml(thing("11", "20", xmax, "40")))

    assert found.objects == ()
    text = f"object 1: Knife is {width} x 21 pixels within the image; left out"
    assert f"P00012.xml: {text}" in notes(found)
    assert Flaw.SWAPPED_CORNERS not in {finding.flaw for finding in found.findings}


def test_what_an_object_has_twice_is_named_and_the_first_holds():
    twice = thing().replace("</object>", "<name>Gun</name><bndbox><xmin>1</xmin></bndbox></object>")

    found = read(xml(twice.replace("<xmin>", "<xmin>10</xmin><xmin>", 1)))

    assert [(item.box.label, item.box.xyxy) for item in found.objects] == [
        ("Knife", (9, 19, 30, 40))
    ]
    assert found.findings == tuple(
        Finding(
            Flaw.GIVEN_TWICE,
            "P00012.xml: object 1",
            f"2 <{tag}>, expected one; the first holds",
        )
        for tag in ("name", "bndbox", "xmin")
    )


@pytest.mark.parametrize(
    ("objects", "hiding"),
    [
        ([], set()),
        (["<object/>"], set()),
        ([thing("11", "20", "10", "40"), thing(name="hammer")], set()),
        ([thing("11", "20", "10", "40"), thing("900", "20", "950", "40")], {Flaw.OUTSIDE}),
        ([thing(xmin="x"), thing(name="gnu")], {Flaw.NO_NUMBER, Flaw.UNKNOWN_CLASS}),
        ([thing().replace("object>", "OBJECT>")], {Flaw.UNREADABLE_LABELS}),
        ([thing(), thing(xmin="x")], set()),
    ],
)
def test_what_leaves_unknown_what_an_image_shows(objects, hiding):
    assert read(xml(*objects), on_error="skip").hiding == hiding


def test_an_image_holds_objects_within_reason() -> None:
    def objects(number: int) -> bytes:
        box = "<xmin>1</xmin><ymin>1</ymin><xmax>%d</xmax><ymax>9</ymax>"
        one = f"<object><name>Gun</name><bndbox>{box}</bndbox></object>"
        things = "".join(one % (9 + n) for n in range(number))
        size = "<size><width>60000</width><height>9</height></size>"
        return f"<annotation>{size}{things}</annotation>".encode()

    assert len(read_voc(objects(10_000), "P1.xml", ClassList()).objects) == 10_000
    with pytest.raises(AnnotationError) as caught:
        read_voc(objects(10_001), "P1.xml", ClassList(), on_error="skip")
    assert str(caught.value) == (
        "P1.xml: object 10001: one of more than 10000; no image holds so many"
    )
