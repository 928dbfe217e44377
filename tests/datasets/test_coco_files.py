"""COCO's quirks, each with its finding."""

import json

import pytest

from sixrayd.core.boxes import Box
from sixrayd.core.classes import ClassList
from sixrayd.core.errors import AnnotationError
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.voc import VocObject
from sixrayd.datasets.labels import Labels
from tests.limits import address_space, within

WHERE = "annotations/instances_all.json"


def document(**changes):
    return {
        "images": [{"id": 1, "file_name": "P00001.jpg", "width": 96, "height": 64}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 2, "bbox": [10, 20, 30, 40]}],
        "categories": [{"id": 2, "name": "Gun"}, {"id": 1, "name": "Knife"}],
    } | changes


def taken(*documents, where=WHERE):
    labels = Labels()
    for number, given in enumerate(documents):
        data = given if isinstance(given, bytes) else json.dumps(given).encode()
        labels.take(where if number == 0 else f"{number}/{where}", data)
    return labels


def box(bbox=(10, 20, 30, 40), **more):
    row = {"id": 1, "image_id": 1, "category_id": 2, "bbox": bbox, **more}
    return document(annotations=[row])


def read(labels, image="P00001", on_error="skip"):
    return labels.annotation(image, None, ClassList(), on_error)


def test_boxes_are_left_top_width_height_from_0():
    labels = taken(document())

    assert read(labels).objects == (VocObject(Box("Gun", 10, 20, 40, 60)),)
    assert labels.class_names == ("Knife", "Gun")
    assert labels.findings == []


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("train\\P00001.jpg", "P00001"),
        ("../JPEGImages/p00001.JPG", "P00001"),
        ("P00001_jpg.rf.0a1b.jpg", "P00001_jpg.rf.0a1b"),
        ("P00001", "P00001"),
    ],
)
def test_file_names_as_they_come(name, image):
    images = [{"id": 1, "file_name": name, "width": 96, "height": 64}]

    assert set(taken(document(images=images)).image_ids) == {image}


@pytest.mark.parametrize("ids", [("1", 1), (1, "1"), (1.0, "1"), ("a", "a")])
def test_ids_are_numbers_or_texts(ids):
    images = [{"id": ids[0], "file_name": "P00001.jpg", "width": 96, "height": 64}]
    rows = [{"image_id": ids[1], "category_id": "2", "bbox": ["10", "20", "30", 40.0]}]

    annotation = read(taken(document(images=images, annotations=rows)))

    assert annotation.objects == (VocObject(Box("Gun", 10, 20, 40, 60)),)


def test_sums_are_free_of_noise():
    annotation = read(taken(box([0.1, 20, 0.2 + 9.5, 40])))

    assert annotation.objects[0].box == Box("Gun", 0.1, 20, 9.8, 60)
    assert [str(finding) for finding in annotation.findings] == [
        f"{WHERE}: P00001: annotation 1: x1 0.1 is not a whole pixel; kept",
        f"{WHERE}: P00001: annotation 1: x2 9.8 is not a whole pixel; kept",
    ]


@pytest.mark.parametrize("flag", ("iscrowd", "ignore"))
def test_a_crowd_is_difficult(flag):
    assert read(taken(box(**{flag: 1}))).objects[0].difficult
    assert not read(taken(box(**{flag: 0}))).objects[0].difficult


def test_an_image_without_boxes_is_known_to_show_nothing():
    annotation = read(taken(document(annotations=[])))

    assert (annotation.objects, annotation.findings) == ((), ())


@pytest.mark.parametrize(
    ("row", "flaw", "text"),
    [
        (
            {"category_id": 9},
            Flaw.UNKNOWN_CLASS,
            "category_id 9 is none of the file's categories",
        ),
        (
            {"category_id": None},
            Flaw.UNKNOWN_CLASS,
            "category_id None is none of the file's categories",
        ),
        ({"bbox": [1, 2, 3]}, Flaw.NO_NUMBER, "bbox is no list of four"),
        ({"bbox": None}, Flaw.NO_NUMBER, "bbox is no list of four"),
        (
            {"bbox": [float("nan"), 2, 3, 4]},
            Flaw.NO_NUMBER,
            "bbox's x is nan, expected a finite number",
        ),
        (
            {"bbox": [1, 2, float("inf"), 4]},
            Flaw.NO_NUMBER,
            "bbox's width is inf, expected a finite number",
        ),
        (
            {"bbox": [1, 2, 3, "four"]},
            Flaw.NO_NUMBER,
            "bbox's height is nan, expected a finite number",
        ),
        (
            {"bbox": [1, 10**400, 3, 4]},
            Flaw.NO_NUMBER,
            "bbox's y is nan, expected a finite number",
        ),
        (
            {"bbox": [100, 2, 30, 40]},
            Flaw.OUTSIDE,
            "100,2,130,42 lies outside the image of 96 x 64",
        ),
        ({"bbox": [10, 20, 0, 40]}, Flaw.THIN_BOX, "Gun is 0 x 40 pixels within the image"),
    ],
)
def test_a_row_that_cannot_be_used(row, flaw, text):
    labels = taken(box(**row))
    at = f"{WHERE}: P00001: annotation 1"

    annotation = read(labels)

    assert annotation.objects == ()
    assert [found for found in annotation.findings if found.flaw != Flaw.OVERHANG] == [
        Finding(flaw, at, f"{text}; left out"),
        Finding(Flaw.NO_OBJECT, f"{WHERE}: P00001", "no usable object"),
    ]
    if flaw is not Flaw.THIN_BOX:
        with pytest.raises(AnnotationError) as stopped:
            read(labels, on_error="stop")
        assert str(stopped.value) == f"{at}: {text}; fix the file or pass --on-error skip"


CATEGORIES = [
    {"id": 0, "name": "threats", "supercategory": "none"},
    {"id": 7, "name": "Gun", "supercategory": "threats"},
    {"id": 2, "name": "Knife", "supercategory": "threats"},
]


def test_a_row_that_only_groups_others_is_no_class():
    rows = [{"image_id": 1, "category_id": 7, "bbox": [10, 20, 30, 40]}]
    labels = taken(document(categories=CATEGORIES, annotations=rows))

    assert labels.class_names == ("Knife", "Gun")  # by id, gaps and all, used or not
    assert labels.findings == [
        Finding(
            Flaw.GROUPING_CLASS,
            f"{WHERE}: category 1",
            "threats has no box and groups other categories; left out",
        )
    ]


def test_a_row_that_groups_others_and_has_boxes_is_a_class():
    rows = [{"image_id": 1, "category_id": 0, "bbox": [10, 20, 30, 40]}]

    labels = taken(document(categories=CATEGORIES, annotations=rows))

    assert labels.class_names == ("threats", "Knife", "Gun")


@pytest.mark.parametrize(
    ("changes", "flaw", "place", "text"),
    [
        (
            {"annotations": [{"image_id": 5, "category_id": 2, "bbox": [1, 2, 3, 4]}]},
            Flaw.NO_IMAGE,
            "annotation 1",
            "image_id 5 is not among the images; left out",
        ),
        (
            {"annotations": ["odd"]},
            Flaw.NO_IMAGE,
            "annotation 1",
            "image_id None is not among the images; left out",
        ),
        (
            {"images": [*document()["images"], {"id": "1", "file_name": "P00001.jpg"}]},
            Flaw.REPEATED_IMAGE,
            "image 2",
            "id 1 is P00001.jpg's as well; left out",
        ),
        (
            {"images": [*document()["images"], {"file_name": "P00002.jpg"}]},
            Flaw.UNREADABLE_LABELS,
            "image 2",
            "no usable id and file_name; left out",
        ),
        (
            {"images": [*document()["images"], {"id": 2, "file_name": ["P00002.jpg"]}]},
            Flaw.UNREADABLE_LABELS,
            "image 2",
            "no usable id and file_name; left out",
        ),
        (
            {"categories": [*document()["categories"], {"id": 2, "name": "Pliers"}]},
            Flaw.REPEATED_CLASS,
            "category 3",
            "id 2 is Gun's as well; Gun holds",
        ),
        (
            {"categories": [*document()["categories"], {"id": 3, "name": "Gun"}]},
            Flaw.REPEATED_CLASS,
            "category 3",
            "Gun again; both ids mean it",
        ),
        (
            {
                "categories": [
                    *document()["categories"],
                    {"id": 3, "name": " ", "supercategory": []},
                ]
            },
            Flaw.UNREADABLE_LABELS,
            "category 3",
            "no usable id and name; left out",
        ),
    ],
)
def test_what_is_wrong_with_the_lists(changes, flaw, place, text):
    labels = taken(document(**changes))

    assert labels.findings == [Finding(flaw, f"{WHERE}: {place}", text)]
    assert set(labels.image_ids) == {"P00001"}
    assert labels.class_names == ("Knife", "Gun")


def test_a_name_that_is_no_id():
    labels = taken(document(images=[{"id": 1, "file_name": "röntgen.jpg"}]))

    assert [(f.flaw, f.where) for f in labels.findings] == [(Flaw.BAD_NAME, f"{WHERE}: image 1")]
    assert set(labels.image_ids) == set()


DEEP = b'{"images": [], "categories": [], "annotations": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (
            b'[{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]',
            "a list, as of a detector's results; labels have images, annotations and categories",
        ),
        (
            b'{"annotations": {}, "images": []}',
            "no list annotations and no list categories; labels in COCO's form have images, "
            "annotations and categories",
        ),
        (DEEP, "lists within lists, too deep to be read"),
        (
            json.dumps(document()).encode()[:-1],
            "not JSON (Expecting ',' delimiter: line 1 column 234 (char 233)); fetch or write it "
            "again",
        ),
    ],
)
def test_a_file_that_is_none(data, text):
    labels = taken(data)

    assert labels.form == ""
    assert labels.findings == [Finding(Flaw.UNREADABLE_LABELS, WHERE, text)]


@pytest.mark.parametrize(
    ("where", "data", "wanted"),
    [
        ("a/_annotations.coco.json", b"", True),
        ("labels.json", json.dumps(document()).encode(), True),
        ("results.json", b'[ {"image_id": 1, "bbox": [1, 2, 3, 4]}]', True),
        ("package.json", b'{"name": "x"}', False),
    ],
)
def test_which_json_is_labels(where, data, wanted):
    assert Labels().wants(where, data) == wanted
    assert Labels().wants(where)


def test_an_image_in_two_files_that_say_the_same_is_one():
    assert read(taken(document(), document())).findings == ()


def test_an_image_in_two_files_is_merged():
    labels = taken(document(), box([1, 2, 3, 4]))

    annotation = read(labels)

    assert [item.box.xyxy for item in annotation.objects] == [(10, 20, 40, 60), (1, 2, 4, 6)]
    text = f"P00001 is in {WHERE}: P00001 as well; merged, 1 of 1 object new"
    assert annotation.findings == (Finding(Flaw.TWO_FILES, f"1/{WHERE}: P00001", text),)


def test_two_files_that_say_other_sizes():
    images = [{"id": 1, "file_name": "P00001.jpg", "width": 50, "height": 64}]

    annotation = read(taken(document(), document(images=images)))

    assert (annotation.width, annotation.height) == (96, 64)
    text = f"said to be 50 x 64; {WHERE}: P00001 says 96 x 64"
    assert annotation.findings[0] == Finding(Flaw.OTHER_SIZE, f"1/{WHERE}: P00001", text)
    assert [finding.flaw for finding in annotation.findings] == [Flaw.OTHER_SIZE, Flaw.TWO_FILES]


def test_the_image_beats_the_size_that_is_said():
    annotation = taken(document()).annotation("P00001", (50, 60), ClassList())

    assert (annotation.width, annotation.height) == (50, 60)
    text = "said to be 96 x 64; the image is 50 x 60"
    assert annotation.findings == (Finding(Flaw.OTHER_SIZE, f"{WHERE}: P00001", text),)


@pytest.mark.parametrize("size", [{}, {"width": 0, "height": 64}, {"width": 1e9, "height": "x"}])
def test_no_size_at_all(size):
    labels = taken(document(images=[{"id": 1, "file_name": "P00001.jpg", **size}]))

    with pytest.raises(AnnotationError) as none:
        read(labels)

    assert str(none.value) == (
        f"{WHERE}: P00001: no usable width and height, and no image to measure"
    )


@pytest.mark.parametrize(
    ("where", "name", "side"),
    [
        ("annotations/instances_train2017.json", "P00001.jpg", "train"),
        ("annotations/instances_val2017.json", "P00001.jpg", "train"),
        ("valid/_annotations.coco.json", "P00001.jpg", "train"),
        ("test/_annotations.coco.json", "P00001.jpg", "test"),
        ("instances_test-dev.json", "train/P00001.jpg", "test"),
        ("labels.json", "test/P00001.jpg", "test"),
        ("trained/latest.json", "P00001.jpg", None),
    ],
)
def test_the_side_is_told_by_file_or_folder(where, name, side):
    images = [{"id": 1, "file_name": name, "width": 96, "height": 64}]

    labels = taken(document(images=images), where=where)

    assert labels.sides == ({"given": {"P00001": side}} if side else {})


def test_a_key_that_stands_twice_is_named():
    text = json.dumps(document()).replace('"bbox"', '"bbox": [1, 1, 9, 9], "bbox"')

    labels = taken(text.encode())

    said = "bbox stands twice in 1 rows, the first of id 1; the last holds"
    assert labels.findings == [Finding(Flaw.GIVEN_TWICE, WHERE, said)]
    assert [item.box.xyxy for item in read(labels).objects] == [(10, 20, 40, 60)]


def test_a_list_that_stands_twice_is_not_read():
    text = json.dumps(document()).replace('"annotations"', '"annotations": [], "annotations"')

    labels = taken(text.encode())

    said = "annotations stands twice; make one list of them"
    assert labels.findings == [Finding(Flaw.UNREADABLE_LABELS, WHERE, said)]
    assert labels.form == ""


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
def test_encodings_of_json(encoding):
    labels = Labels()
    labels.take("labels.json", json.dumps(document()).encode(encoding))

    assert len(read(labels).objects) == 1
    assert labels.findings == []


def test_half_a_character_is_no_name():
    names = [{"id": 2, "name": "Gun\ud800"}, {"id": 1, "name": "Knife"}]
    images = [*document()["images"], {"id": 2, "file_name": "P2\ud800.jpg"}]

    labels = taken(document(categories=names, images=images))

    assert [str(finding) for finding in labels.findings] == [
        f"{WHERE}: image 2: no usable id and file_name; left out",
        f"{WHERE}: category 1: no usable id and name; left out",
    ]
    assert labels.class_names == ("Knife",)


def test_a_number_is_of_ascii_digits():
    found = read(taken(box(["1_0", "20", "3e1", 40])))

    assert found.findings[0].flaw is Flaw.NO_NUMBER
    assert found.hiding == {Flaw.NO_NUMBER}


@pytest.mark.parametrize("name", ["P00002.jpg", "y/P00001.jpg"])
def test_boxes_of_an_id_that_two_images_have_are_given_to_neither(name):
    second = {"id": 1, "file_name": name, "width": 96, "height": 64}

    labels = taken(document(images=[*document()["images"], second]))

    text = f"id 1 is that of P00001.jpg and of {name}"
    assert [str(finding) for finding in labels.findings] == [
        f"{WHERE}: image 2: {text}; whose its boxes are cannot be told"
    ]
    for image in labels.image_ids:
        found = read(labels, image)
        assert (found.objects, found.hiding) == ((), {Flaw.UNREADABLE_LABELS})


@pytest.mark.long
def test_an_image_that_is_listed_without_end_is_not_read():
    rows = [{"id": n, "file_name": "P00001.jpg", "width": 96, "height": 64} for n in range(200_000)]
    with within(20, "rows"):
        labels = taken(document(images=rows))
        with pytest.raises(AnnotationError) as caught:
            read(labels)
    text = "the first of 200000 labels of P00001, at most 100 are read; keep those that hold"
    assert str(caught.value) == f"{WHERE}: P00001: {text}"
    few = taken(document(images=rows[:100]))
    assert read(few).objects == (VocObject(Box("Gun", 10, 20, 40, 60)),)


def test_an_image_listed_again_does_not_hide_that_its_box_is_useless():
    rows = [{"id": n, "file_name": "P00001.jpg", "width": 9, "height": 9} for n in range(2)]
    assert read(taken(document(images=rows))).hiding == {Flaw.OUTSIDE}


def test_a_long_name_is_not_repeated_in_each_finding():
    name, count = "a" * 300_000, 20_000
    images = [{"id": 1, "file_name": f"{name}.jpg"}]
    images += [{"id": 1, "file_name": f"{n}.jpg"} for n in range(count)]
    categories = [{"id": 1, "name": name}] + [{"id": 1, "name": "a"}] * count
    with within(20, "names"), address_space(1 << 30):
        labels = taken(document(images=images, categories=categories))
    texts = [f.text for f in labels.findings if f.flaw is Flaw.REPEATED_CLASS]
    assert texts == ["id 1 is a's as well; a holds"] * (count - 1)
    texts = [f.text for f in labels.findings if f.text.endswith("cannot be told")]
    assert len(texts) == count
    assert max(map(len, texts)) < 400


def test_a_class_of_a_long_name_is_left_out():
    box = {"image_id": 1, "category_id": 2, "bbox": [1, 1, 0.1, 0.1]}  # thin, which names the class
    given = document(annotations=[box] * 9000, categories=[{"id": 2, "name": "a" * 300_000}])
    with address_space(1 << 30):
        labels = taken(given)
        found = labels.annotation("P00001", None, ClassList(("Gun",)), "skip")
    text = "a name of 300000 signs, at most 500 are read; left out"
    assert text in [finding.text for finding in labels.findings]
    assert max(len(finding.text) for finding in found.findings) < 100


def test_what_many_files_repeat_counts_for_an_image_as_well():
    boxes = [
        {"image_id": 1, "category_id": n % 50, "bbox": [n % 96, n // 96, 1, 1]} for n in range(4000)
    ]
    classes = [{"id": n, "name": f"class {n}"} for n in range(50)]
    turned = [boxes[k:] + boxes[:k] for k in range(3)]  # none of them new
    given = [document(annotations=each, categories=classes) for each in turned]
    labels = taken(*given)
    with pytest.raises(AnnotationError, match=r": more than 10000 objects"):
        labels.annotation("P00001", None, ClassList(labels.class_names), "skip")


@pytest.mark.long
def test_objects_of_many_files_are_no_more_than_an_image_holds():
    boxes = [
        {"image_id": 1, "category_id": 2, "bbox": [n % 96, 0, 1, 1 + n // 96]} for n in range(400)
    ]
    given = [
        document(
            annotations=[b | {"bbox": [b["bbox"][0] + k / 100, *b["bbox"][1:]]} for b in boxes],
            categories=[{"id": 2, "name": f"C{k}"}],
        )
        for k in range(40)
    ]
    labels = taken(*given)
    with within(20, "objects"), pytest.raises(AnnotationError, match=r": more than 10000 objects"):
        labels.annotation("P00001", None, ClassList(labels.class_names), "skip")
