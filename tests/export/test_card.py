"""The README of an exported dataset: every state explained, every count in its place."""

import pytest

from sixrayd.core.records import State
from sixrayd.export.card import card

STATES = {str(state): 10**number for number, state in enumerate(State)}
BOXES = {
    "Gun": {"train_images": 1, "train_boxes": 2, "test_images": 3, "test_boxes": 4},
    "Knife": {"train_images": 0, "train_boxes": 0, "test_images": 0, "test_boxes": 0},
}


def counted(**changed):
    counts = {"states": STATES, "images": {"train": 12, "test": 34}, "boxes": BOXES}
    return {**counts, "origins": {}, "sets": {}, **changed}


def lines(name="first", origins=None):
    return card(name, "9.9", counted(origins=origins or {})).splitlines()


def test_each_state_has_a_row_in_order_and_the_sum_is_theirs():
    rows = [line for line in lines() if line.startswith("|")]

    table = [row.split(" | ")[:2] for row in rows[2:11]]
    assert table == [
        ["| source positive", "1"],
        ["| found positive", "10"],
        ["| confusing negative", "100"],
        ["| audited empty", "1000"],
        ["| undecided", "10000"],
        ["| flagged but unreviewed", "100000"],
        ["| unflagged", "1000000"],
        ["| unreadable", "10000000"],
        ["| all", "11111111"],
    ]


def test_classes_sides_and_origins():
    said = lines(origins={"drawn": 3, "source": 7})

    assert "| Gun | 1 | 2 | 3 | 4 |" in said
    assert "| Knife | 0 | 0 | 0 | 0 |" in said
    assert "12 training and 34 test images. Splits were fixed at ingest, a whole" in said
    assert "Origin of the boxes: 3 drawn, 7 source." in said
    assert "Origin of the boxes: none." in lines()


@pytest.mark.parametrize("name", ["round {2}", "Prüfung-№2", "a_b (1)", "%s"])
def test_any_name_is_written_as_it_is(name):
    said = lines(name)

    assert said[0] == f"# {name}: a corrected SIXray in PASCAL VOC 2007 form"
    assert said[2:4] == [
        "Written by sixrayd 9.9 from the release's own annotations and from reviewers' decisions",
        "on images that a detector flagged.",
    ]
    assert not [line for line in lines() if "{" in line or "}" in line]


def test_no_name_is_a_command_to_who_reads_it():
    name = "<script>alert(1)</script> | [a](b) `c`"
    shown = "&#60;script&#62;alert(1)&#60;/script&#62; &#124; &#91;a](b) &#96;c&#96;"
    counts = dict.fromkeys(BOXES["Gun"], 1)
    told = counted(boxes={name: counts}, origins={name: 1})
    said = card(name, "9.9", told, split="a`b\nc").splitlines()

    assert said[0] == f"# {shown}: a corrected SIXray in PASCAL VOC 2007 form"
    assert f"| {shown} | 1 | 1 | 1 | 1 |" in said
    assert f"Origin of the boxes: 1 {shown}." in said
    assert any(line.startswith("`a'b\\nc`, as it was given: ") for line in said)


def test_forms_and_sets_that_were_written_are_named():
    forms = {"voc": "PASCAL VOC 2007", "coco": "COCO", "yolo": "YOLO"}
    sets = {"confusing": {"train": 7, "test": 8}}
    text = card("a", "9.9", counted(sets=sets), forms)

    assert text.startswith("# a: a corrected SIXray in PASCAL VOC 2007, COCO and YOLO form\n")
    assert "\n| confusing | 7 | 8 |\n" in text
    assert [name for name in ("VOC2007/", "coco/", "yolo/", "parquet/") if name in text] == [
        *("VOC2007/", "coco/", "yolo/")
    ]
    assert "| confusing |" not in "\n".join(lines())
