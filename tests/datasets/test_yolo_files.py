"""YOLO's quirks, each with its finding."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixrayd.core.boxes import Box
from sixrayd.core.classes import ClassList
from sixrayd.core.errors import AnnotationError
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.voc import VocObject
from sixrayd.datasets.labels import Labels
from sixrayd.datasets.yolo_files import YoloFiles
from tests.limits import address_space, within
from tests.releases import voc

WHERE = "labels/train/P00001.txt"
YAML = b"names: [Gun, Knife]\n"


def taken(files):
    labels = Labels()
    for where, data in files.items():
        if labels.wants(where) and labels.wants(where, data):
            labels.take(where, data)
    return labels


def read(row, on_error="skip"):
    labels = taken({"data.yaml": YAML, WHERE: row})
    return labels.annotation("P00001", (100, 50), ClassList(), on_error)


def test_fractions_become_pixels():
    assert read(b"\xef\xbb\xbf1 0.5 0.5 0.2 0.2\r\n\r\n0.0 .15 .5 .1 1\n").objects == (
        VocObject(Box("Knife", 40, 20, 60, 30)),
        VocObject(Box("Gun", 10, 0, 20, 50)),
    )


def test_texts_that_windows_wrote():
    files = {
        "data.yaml": "names: [Gun, Knife]\ntest: test.txt\n",
        "test.txt": "images/train/P00001.jpg\n",
        WHERE: "1 0.5 0.5 0.2 0.2\r\n",
    }
    labels = taken({where: text.encode("utf-16") for where, text in files.items()})

    found = labels.annotation("P00001", (100, 50), ClassList(), "stop")
    assert found.objects == (VocObject(Box("Knife", 40, 20, 60, 30)),)
    assert (labels.sides, labels.findings) == ({"given": {"P00001": "test"}}, [])


def test_a_number_between_others_that_has_no_name():
    labels = taken({"data.yaml": b"names: {0: Gun, 2: Knife}\n", WHERE: b"1 .5 .5 .2 .2\n"})
    with pytest.raises(AnnotationError, match=r"line 1: class 1 has no name; data\.yaml"):
        labels.annotation("P00001", (100, 50), ClassList(), "stop")


def test_an_empty_file_says_that_the_image_shows_nothing():
    annotation = read(b"\n")

    assert (annotation.objects, annotation.findings) == ((), ())


@pytest.mark.parametrize(
    ("row", "box", "flaw", "text"),
    [
        (
            b"0 .1 .2 .3 .2 .3 .6 .1 .6",
            (10, 10, 30, 30),
            Flaw.POLYGON,
            "an outline of 4 points; the box around it is taken",
        ),
        (
            b"0 .5 .5 .2 .2 0.91",
            (40, 20, 60, 30),
            Flaw.CONFIDENCE,
            "a sixth column, 0.91, taken for a confidence and left out",
        ),
        (b"0 .95 .5 .2 .2", (85, 20, 100, 30), Flaw.OVERHANG, "x2 105 exceeds width 100; clipped"),
        (b"0 .05 .5 .2 .2", (0, 20, 15, 30), Flaw.OVERHANG, "x1 -5 is below 0; clipped"),
        (b"0 .5 .5 -.2 .2", (40, 20, 60, 30), Flaw.SWAPPED_CORNERS, "x2 40 below x1 60; swapped"),
    ],
)
def test_a_row_that_is_repaired(row, box, flaw, text):
    annotation = read(row, on_error="stop")

    assert [item.box for item in annotation.objects] == [Box("Gun", *box)]
    assert annotation.findings == (Finding(flaw, f"{WHERE}: line 1", text),)


@pytest.mark.parametrize(
    ("row", "flaw", "text"),
    [
        (b"0 .5 .5 .2", Flaw.UNREADABLE_LABELS, "4 columns, expected a class and cx cy w h"),
        (
            b"0 .5 .5 .2 .2 .1 .1 .1",
            Flaw.UNREADABLE_LABELS,
            "8 columns, expected a class and cx cy w h",
        ),
        (b"0 0_1.0 .5 .2 .2", Flaw.NO_NUMBER, "cx is '0_1.0', expected a number"),
        ("0 ٠.٥ .5 .2 .2".encode(), Flaw.NO_NUMBER, "cx is '٠.٥', expected a number"),
        (b"0 .5 .5 wide .2", Flaw.NO_NUMBER, "w is 'wide', expected a number"),
        (b"0 .5 nan .2 .2", Flaw.NO_NUMBER, "cy is 'nan', expected a finite number"),
        (b"0 inf .5 .2 .2", Flaw.NO_NUMBER, "cx is 'inf', expected a finite number"),
        (
            b"2 .5 .5 .2 .2",
            Flaw.UNKNOWN_CLASS,
            "class 2 is none of 0 to 1; data.yaml, obj.names or classes.txt names them",
        ),
        (
            b"0.5 .5 .5 .2 .2",
            Flaw.UNKNOWN_CLASS,
            "class 0.5 is none of 0 to 1; data.yaml, obj.names or classes.txt names them",
        ),
        (b"Gun .5 .5 .2 .2", Flaw.NO_NUMBER, "class is 'Gun', expected a number"),
        (
            b"0 120 40 30 20",
            Flaw.OUTSIDE,
            "10500,1500,13500,2500 lies outside the image of 100 x 50",
        ),
    ],
)
def test_a_row_that_cannot_be_used(row, flaw, text):
    annotation = read(row)

    assert annotation.objects == ()
    findings = [f for f in annotation.findings if f.flaw != Flaw.OVERHANG]
    assert findings == [
        Finding(flaw, f"{WHERE}: line 1", f"{text}; left out"),
        Finding(Flaw.NO_OBJECT, WHERE, "no usable object"),
    ]
    with pytest.raises(AnnotationError) as stopped:
        read(row, on_error="stop")
    assert str(stopped.value) == f"{WHERE}: line 1: {text}; fix the file or pass --on-error skip"


ROW = b"0 .5 .5 .2 .2\n"


@pytest.mark.parametrize(
    ("files", "ids"),
    [
        (
            {"data.yaml": YAML, "labels/a.txt": ROW, "README.txt": ROW, "labels/LICENSE.txt": b""},
            "a",
        ),
        ({"labels/a.txt": ROW, "labels/b.txt": b"", "notes.txt": ROW}, "ab"),
        ({"obj/a.txt": ROW, "obj/b.txt": b"", "notes.txt": b"", "obj.names": b"Gun"}, "ab"),
        ({"a.txt": ROW, "b.txt": b"some text\n", "classes.txt": b"Gun"}, "a"),
        ({"a.txt": ROW, "b.txt": b""}, ""),
        ({"labels/a.txt": b""}, ""),
        ({"labels/a.txt": b"", "data.yaml": YAML}, "a"),
        ({"train.txt": b"images/a.jpg\nimages/b.jpg\n", "data.yaml": YAML}, ""),
        ({"compose.yaml": b"services: {}\n", "a.txt": ROW}, ""),
    ],
)
@pytest.mark.parametrize("backwards", (False, True))
def test_which_texts_are_labels(files, ids, backwards):
    labels = taken(dict(reversed(files.items())) if backwards else files)

    assert set(labels.image_ids) == set(ids)
    assert labels.form == ("yolo" if ids else "")


@pytest.mark.parametrize(
    ("files", "names", "findings"),
    [
        ({"data.yaml": b"names: {1: Knife, 0: Gun}\nnc: 2\n"}, ("Gun", "Knife"), []),
        ({"data.yaml": b"names:\n- no\n- 7\n"}, ("no", "7"), []),
        ({"obj.names": b"Gun\r\nKnife\r\n\r\n"}, ("Gun", "Knife"), []),
        (
            {"classes.txt": b"Knife\n", "data.yaml": b"names: [Gun]"},
            ("Gun",),
            [Finding(Flaw.OTHER_CLASSES, "data.yaml", "names other classes than classes.txt")],
        ),
        (
            {"data.yaml": b"names: [Gun, gun]\n"},
            ("Gun",),
            [Finding(Flaw.REPEATED_CLASS, "data.yaml", "gun again, as 1; both numbers mean it")],
        ),
        (
            {"data.yaml": b"names: [Gun]\nnc: 5\n"},
            ("Gun",),
            [Finding(Flaw.OTHER_CLASSES, "data.yaml", "nc is 5, names has 1; names holds")],
        ),
        (
            {"data.yaml": b"names: {0: Gun, one: Knife, 2: [x]}\n"},
            ("Gun",),
            [
                Finding(
                    Flaw.UNREADABLE_LABELS,
                    "data.yaml",
                    f"names: {key!r} is no number with a name; left out",
                )
                for key in ("one", "2")
            ],
        ),
        (
            {"data.yaml": b"names: [Gun\n"},
            (),
            [
                Finding(
                    Flaw.UNREADABLE_LABELS,
                    "data.yaml",
                    'not YAML (while parsing a flow sequence in "<byte string>", line 1, column 8 '
                    "did not find expected ',' or ']' in \"<byte string>\", line 2, column 1)",
                )
            ],
        ),
        (
            {"data.yaml": b"names: {0: Gun, 1234567: Knife, 1x: Saw}\n"},
            ("Gun",),
            [
                Finding(
                    Flaw.UNREADABLE_LABELS,
                    "data.yaml",
                    f"names: {key!r} is no number with a name; left out",
                )
                for key in ("1234567", "1x")
            ],
        ),
        *(
            (
                {"data.yaml": b"names: " + text},
                (),
                [
                    Finding(
                        Flaw.UNREADABLE_LABELS,
                        "data.yaml",
                        "not YAML (lists or tables within each other, more than 16 deep)",
                    )
                ],
            )
            for text in (b"[" * 500_000, b"{" * 500_000, b"\n" + b"- " * 500_000, b"{a: " * 9000)
        ),
        ({"data.yaml": b"names: !!python/object/apply:os.getcwd []\n"}, (), []),
    ],
)
def test_names_of_classes(files, names, findings):
    labels = taken({**files, "labels/P00001.txt": ROW})

    assert labels.class_names == names
    assert labels.findings == findings


def test_a_blank_line_among_names_counts():
    labels = taken({"obj.names": b"Gun\n\nKnife\n", "labels/P1.txt": b"2 .5 .5 .2 .2"})

    assert labels.annotation("P1", (10, 10), ClassList()).objects[0].box.label == "Knife"


def test_a_class_that_nothing_names():
    labels = taken({WHERE: ROW})

    with pytest.raises(AnnotationError) as none:
        labels.annotation("P00001", (100, 50), ClassList())

    assert str(none.value) == (
        f"{WHERE}: line 1: class 0 has no name; data.yaml, obj.names or classes.txt names them; "
        "fix the file or pass --on-error skip"
    )


def test_fractions_need_an_image():
    with pytest.raises(AnnotationError) as none:
        taken({WHERE: ROW}).annotation("P00001", None, ClassList())

    assert str(none.value) == (
        f"{WHERE}: fractions of an image that is not there to be measured; put P00001 beside its "
        "labels"
    )


def test_two_files_of_one_stem_are_merged():
    other = "labels/more/P00001.txt"
    labels = taken({"data.yaml": YAML, WHERE: ROW, other: ROW + b"1 .5 .5 .4 .4"})

    annotation = labels.annotation("P00001", (100, 50), ClassList())

    assert [item.box.label for item in annotation.objects] == ["Gun", "Knife"]
    text = f"P00001 is in {WHERE} as well; merged, 1 of 2 objects new"
    assert annotation.findings == (Finding(Flaw.TWO_FILES, other, text),)


LABELS = {"labels/one/a.txt": ROW, "labels/two/b.txt": ROW}


@pytest.mark.parametrize(
    ("files", "sides"),
    [
        ({"data.yaml": b"names: [Gun]\ntrain: images/one\ntest: images/two\n"}, "train test"),
        ({"data.yaml": b"names: [Gun]\ntrain: ../images/two\nval: ../images/one\n"}, "train train"),
        ({"data.yaml": b"names: [Gun]\ntrain: [/scans/x/images/one/]\ntest: two\n"}, "train test"),
        ({"data.yaml": b"names: [Gun]\ntrain: images\ntest: images\n"}, ""),
        (
            {
                "data.yaml": b"names: [Gun]\ntrain: first.txt\ntest: ./second.txt\n",
                "first.txt": b"./images/two/b.jpg\n",
                "second.txt": b"C:\\images\\one\\a.JPG\n",
            },
            "test train",
        ),
        (
            {
                "obj.data": b"classes = 1\ntrain = data/first.txt\nvalid = data/test.txt\n",
                "first.txt": b"data/a.jpg\n",
                "test.txt": b"data/b.jpg\n",
            },
            "train train",
        ),
        ({"train.txt": b"images/a.jpg\n", "test.txt": b"images/b.jpg\n"}, "train test"),
    ],
)
def test_sides(files, sides):
    labels = taken({**LABELS, **files})

    expected = dict(zip("ab", sides.split(), strict=bool(sides)))
    assert labels.sides == ({"given": expected} if expected else {})
    assert labels.findings == []


@pytest.mark.parametrize("layout", ("{}/labels/a.txt", "labels/{}/a.txt"))
def test_folders_name_sides(layout):
    for name, side in {"train": "train", "valid": "train", "test": "test"}.items():
        assert taken({layout.format(name): ROW}).sides == {"given": {"a": side}}


def test_texts_of_a_set_in_another_form_have_no_findings():
    labels = taken(
        {"P1.xml": voc("P1", ("Gun", 1, 1, 9, 9)), "a/é.txt": ROW, "x.yaml": b"names: ["}
    )

    assert (labels.form, labels.findings) == ("voc", [])


@pytest.mark.parametrize("form", ["yolo", pytest.param("voc", marks=pytest.mark.long)])
def test_an_image_that_is_labelled_without_end_is_not_read(form):
    labels = Labels()
    labels.take("data.yaml", YAML)
    end = "labels/P1.txt" if form == "yolo" else "P1.xml"
    text = b"0 .5 .5 .5 .%d\n" if form == "yolo" else b"<annotation>%d</annotation>"
    with within(20, "files"):
        for n in range(30_000):
            labels.take(f"{n}/{end}", text % n)
            labels.take(f"{n}/again/{end}", text % (n % 100))
        with pytest.raises(AnnotationError) as caught:
            labels.annotation("P1", (9, 9), ClassList())
    said = "the first of 30000 labels of P1, at most 100 are read; keep those that hold"
    assert str(caught.value) == f"0/{end}: {said}"


def test_each_list_of_classes_is_compared_with_the_first_alone():
    labels = taken(
        {f"{n}/data.yaml": f"names: [c{n}]\n".encode() for n in range(3000)} | {WHERE: b""}
    )
    assert labels.findings == [
        Finding(Flaw.OTHER_CLASSES, f"{n}/data.yaml", "names other classes than 0/data.yaml")
        for n in range(1, 3000)
    ]


def test_of_a_deep_path_the_end_tells_the_side():
    names, deep = YAML + b"train: " + b"b/" * 60_000 + b"\ntest: x/images", "a/" * 60_000
    labels = taken({"data.yaml": names, f"{deep}x/labels/P00001.txt": b""})
    with within(20, "a deep path"):
        assert labels.sides == {"given": {"P00001": "test"}}


@pytest.mark.long
def test_many_folders_of_sides_are_looked_through_at_once():
    names = YAML + b"train: [" + b"images/b, " * 999 + b"images/a, images/c]\n"
    files = {f"{n}/labels/a/{n}.txt": b"" for n in range(20_000)}
    labels = taken({"data.yaml": names, "labels/c/P1.txt": b"", **files})
    text = "more than 1000 folders and lists of sides; the rest left out"
    with within(20, "many folders"):
        assert labels.sides == {"given": {str(n): "train" for n in range(20_000)}}
    assert labels.findings == [Finding(Flaw.NOT_READ, "data.yaml", text)]


@pytest.mark.long
def test_a_long_text_that_yaml_repeats_takes_no_room():
    repeated = b"&a " + b"A" * 300_000 + b", *a" * 100_000
    with within(20, "repeated"), address_space(1 << 30):
        labels = taken({"data.yaml": b"train: [" + repeated + b"]\nnames: [Gun, *a]\n", WHERE: b""})
        names = taken({"data.yaml": b"names: [Gun, " + repeated + b"]\n", WHERE: b""})
    assert [finding.flaw for finding in labels.findings] == [
        Flaw.UNREADABLE_LABELS,
        Flaw.NOT_READ,
    ]
    assert len(names.findings) == 100_001
    assert names.class_names == ("Gun",)


def test_directives_of_yaml_are_few():
    many = "".join(f"%TAG !{number}! x\n" for number in range(20_000))
    with within(5, "directives"):
        labels = taken({"data.yaml": f"{many}---\nnames: [Gun]\n".encode(), WHERE: ROW})
    assert [finding.text for finding in labels.findings][:1] == [
        "not YAML (more than 100 lines that begin with %)"
    ]


FILES = [
    *(("data.yaml", YAML), ("classes.txt", b"Gun\n"), ("README.txt", b"0 1 1 1 1\n")),
    *((where, data) for where in ("a/P1.txt", "labels/P1.txt", "b/P2.txt") for data in (ROW, b"")),
    *(("b/P1.txt", ROW), ("labels/train.txt", b"images/P1.jpg\n"), ("a/P3.txt", b" ")),
]


@given(st.lists(st.sampled_from(FILES), max_size=8))
def test_whether_there_is_a_proof_is_known_at_any_time(files):
    taken = YoloFiles({})
    for where, data in files:
        taken.take(where, data)
        assert taken.is_proven == (taken.proof != "")


def test_no_text_is_looked_at_for_each_image(monkeypatch):
    looks = []
    is_label = YoloFiles._is_label
    monkeypatch.setattr(YoloFiles, "_is_label", lambda *of: looks.append(of) or is_label(*of))
    labels = taken({"data.yaml": YAML})
    for number in range(200):
        labels.take(f"labels/P{number}.txt", ROW)
        assert (labels.form, labels.side_of_image(f"images/P{number}.jpg")) == ("yolo", "")
    assert len(labels.image_ids) == 200
    assert len(looks) == 200


@pytest.mark.parametrize("row", [b"\n", b"0\n", b"\r\n"])
def test_rows_without_end_take_no_memory(row):
    data = row * (400_000 // len(row))
    tracemalloc.start()
    try:
        if not row.strip():
            assert read(data).objects == ()
        else:
            with pytest.raises(AnnotationError, match="one of more than 10000; no image holds"):
                read(data)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


BAD = b"images/P00001.jpg\n" + b"!\n" * 100_000
LONG = b"images/P00001.jpg\n" + b"a\n" * 4_000_000
MAC = LONG.replace(b"a\n", b"a\r")


@pytest.mark.parametrize(
    ("data", "bad", "side", "text"),
    [
        (BAD, 1000, "train", "names no images; the rest left out"),
        (LONG, 0, "", "more than 4000000 lines; left out"),
        (MAC, 0, "", "more than 4000000 lines; left out"),
    ],
)
@pytest.mark.parametrize("where", ["train.txt", "ImageSets/Main/train.txt"])
def test_a_list_without_end_is_left(data, bad, side, text, where):
    labels = taken({"data.yaml": YAML, WHERE: b"0 .5 .5 .1 .1\n", where: data})
    sides = labels.sides
    found = [f for f in labels.findings if f.flaw in (Flaw.BAD_NAME, Flaw.NOT_READ)]
    assert (len(found), found[-1]) == (bad + 1, Finding(Flaw.NOT_READ, where, text))
    assert {s for split in sides.values() for s in split.values()} <= {side, "train"}


def test_names_without_end_are_left():
    """Each became a class, and a finding where it stood again: 60 MB took 6 GB."""
    names = b"aa\n" * 400_000
    labels = taken({"classes.txt": names, "data.yaml": YAML, WHERE: b"0 .5 .5 .1 .1\n"})
    text = "1200000 bytes, at most 1048576 are read"
    assert labels.findings == [Finding(Flaw.NOT_READ, "classes.txt", text)]
    assert labels.class_names == ("Gun", "Knife")


def test_cells_without_end_take_no_memory():
    data = b"P00001" + b"," * 4_000_000 + b"\n"
    tracemalloc.start()
    try:
        labels = taken({"ImageSets/Main/train.csv": data})
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()
    assert labels.sides == {"given": {"P00001": "train"}}


@pytest.mark.parametrize(("shape", "points"), [("[2, 2]", " .1 .9 .9 .1"), ("[1, 3]", " .1 .9 2")])
def test_keypoints_are_no_outline(shape, points):
    rows = f"0 .5 .5 .2 .2{points}\n0 .15 .5 .1 1\n0 .1 .1 .9 .1 .5 .9 .5 .5 .5 .5 .1 .1\n"
    yaml = YAML + f"kpt_shape: {shape}\n".encode()
    labels = taken({"data.yaml": yaml, WHERE: rows.encode()})
    found = labels.annotation("P00001", (100, 50), ClassList(), "skip")
    count = len(points.split())
    assert [item.box.xyxy for item in found.objects] == [(40, 20, 60, 30), (10, 0, 20, 50)]
    assert [(finding.flaw, finding.text) for finding in found.findings] == [
        (Flaw.KEYPOINTS, f"keypoints of {count} numbers; left out, the box is taken"),
        (
            Flaw.UNREADABLE_LABELS,
            f"13 columns, expected a class, cx cy w h and {count} of kpt_shape; left out",
        ),
    ]


@pytest.mark.parametrize("shape", ["17", "[17]", "[-1, 2]", "[4, 9]", "[[1], 2]"])
def test_a_shape_of_keypoints_that_is_none_stops(shape):
    labels = taken({"data.yaml": YAML + f"kpt_shape: {shape}\n".encode(), WHERE: ROW})
    (finding,) = labels.findings
    assert finding.flaw.stops
    assert finding.text.startswith("kpt_shape: ")
    assert finding.text.endswith(", expected keypoints and 2 or 3 numbers for each")


def test_a_shape_of_keypoints_of_aliases_is_no_text_without_end():
    lists = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)]
    yaml = f"a0: &a0 [{', '.join('x' * 9)}]\n{''.join(lists)}kpt_shape: *a11\n{YAML.decode()}"
    (finding,) = taken({"data.yaml": yaml.encode(), WHERE: ROW}).findings
    assert finding.text.startswith("kpt_shape: no numbers, expected")


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ("names: [Gun, Knife]\nnames: [Knife, Gun]\n", "names stands twice; the last holds"),
        ("names:\n  0: Gun\n  1: Gun\n  0: Knife\n", "0 stands twice; the last holds"),
        (
            "names:\n  0: Gun\n  00: Knife\n  1: Gun\n",
            "names: 00 is 0 again, of Gun; the last holds",
        ),
    ],
)
def test_classes_that_a_file_names_twice_are_told(names, told):
    labels = taken({"data.yaml": names.encode(), WHERE: ROW})
    assert [(each.flaw, each.text) for each in labels.findings] == [(Flaw.GIVEN_TWICE, told)]
    found = labels.annotation("P00001", (100, 50), ClassList(), "skip")
    assert [item.box.label for item in found.objects] == ["Knife"]


def test_files_of_names_are_not_all_kept():
    names = "\n".join(map(str, range(20_000))).encode()
    tracemalloc.start()
    labels = taken({f"{number}/obj.names": names for number in range(10)} | {WHERE: ROW})
    assert tracemalloc.get_traced_memory()[0] < 10 << 20  # two of them; ten would take 30
    tracemalloc.stop()
    assert len(labels.class_names) == 20_000
