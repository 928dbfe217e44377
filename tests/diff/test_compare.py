"""What changed between two sets, kind by kind."""

from hypothesis import given

from sixrayd.datasets.label_hash import count_labels, plain_labels
from sixrayd.diff.boxes import BoxKind
from sixrayd.diff.compare import ImageChanges, SideChange, diff
from tests.datasets.made import SETS, item, labelled

GUN, KNIFE = item("Gun", 1, 2, 30, 40), item("Knife", 5, 5, 20, 20)


def images(**found):
    nothing = dict.fromkeys(ImageChanges.__slots__, ())
    return ImageChanges(**nothing | found)


def test_images_and_what_is_said_of_them():
    a = labelled({"1": [GUN], "2": [], "3": None, "4": [KNIFE], "5": [], "6": [GUN], "7": None})
    b = labelled({"1": [], "2": [GUN], "3": [], "4": None, "5": [], "7": None, "8": [GUN]})

    found = diff(a, b)

    assert found.in_both == 6
    assert found.images == images(
        only_in_a=("6",),
        only_in_b=("8",),
        became_negative=("1",),
        became_positive=("2",),
        newly_labelled=("3",),
        no_longer_labelled=("4",),
    )
    assert [(c.image_id, str(c.kind)) for c in found.boxes] == [
        ("1", "removed"),
        ("2", "added"),
        ("4", "removed"),
        ("6", "removed"),
        ("8", "added"),
    ]


def test_an_image_is_known_by_its_bytes_first():
    a = labelled(
        {"1": [GUN], "2": [KNIFE], "3": [], "4": [], "5": [], "6": []},
        sha256={"1": "a", "2": "b", "3": "c", "4": "d", "6": "f"},
    )
    b = labelled(
        {"1": [KNIFE], "2": [GUN], "3": [], "9": [], "5": [], "6": []},
        sha256={"1": "b", "2": "a", "3": "e", "9": "d", "5": "0"},
    )

    found = diff(a, b)

    assert found.images == images(renamed=(("1", "2"), ("2", "1"), ("4", "9")), other_bytes=("3",))
    assert found.in_both == 6
    assert found.boxes == ()
    assert found.differs


def test_of_equal_images_those_of_one_id_pair():
    a = labelled({"1": [], "2": [], "3": []}, sha256={"1": "a", "2": "a", "3": "a"})
    b = labelled({"3": [], "2": [], "4": []}, sha256={"2": "a", "3": "a", "4": "a"})

    assert diff(a, b).images == images(renamed=(("1", "4"),))


def test_sides_of_a_split_that_both_have():
    a = labelled(
        {"1": [], "2": [], "3": []},
        {"given": {"1": "train", "2": "test"}, "mine": {"1": "test"}},
        {"3": "c"},
    )
    b = labelled(
        {"1": [], "2": [], "4": []},
        {"given": {"1": "test", "2": "test", "4": "train"}, "theirs": {"1": "train"}},
        {"4": "c"},
    )
    moved = labelled({"1": [], "2": [], "3": []}, {"given": {"3": "test"}}, {"3": "c"})

    assert diff(a, b).splits == (SideChange("given", "1", "train", "test"),)
    assert diff(moved, b).splits == (SideChange("given", "4", "test", "train"),)


def test_counts_go_by_the_class_in_a():
    counts = diff(labelled({"1": [GUN]}), labelled({"1": [item("Knife", 1, 2, 30, 40)]})).counts

    assert counts["Gun"]["relabelled"] == 1
    assert sum(counts["Knife"].values()) == 0


def test_a_form_that_rounds_changes_nothing():
    yolo = labelled({"1": [item("Gun", 1.0004, 1.9996, 30.0003, 39.9998)]})

    assert not diff(labelled({"1": [GUN]}), yolo).differs


@given(SETS, SETS)
def test_the_counts_add_up(a, b):
    found = diff(a, b)
    total = {kind: sum(each[kind] for each in found.counts.values()) for kind in BoxKind}
    kept = sum(total.values()) - total["added"] - total["removed"]

    assert kept + total["removed"] == count_labels(plain_labels(a)).boxes == found.a.boxes
    assert kept + total["added"] == count_labels(plain_labels(b)).boxes == found.b.boxes
    assert len(found.boxes) == sum(total.values()) - total["unchanged"]
    assert found.in_both + len(found.images.only_in_a) == len(a.images)
    assert found.in_both + len(found.images.only_in_b) == len(b.images)


@given(SETS, SETS)
def test_equal_labels_and_no_difference_go_together(a, b):
    found = diff(a, b)

    assert not diff(a, a).differs
    if not found.differs:
        assert found.a.labels == found.b.labels
    if found.a.labels != found.b.labels:
        assert found.differs
