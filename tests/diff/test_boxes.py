"""Which box became which."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixrayd.core.errors import AnnotationError
from sixrayd.diff.boxes import BoxChange, BoxKind, Pairing, box_changes
from tests.datasets.made import item, objects

GUN = item("Gun", 0, 0, 40, 40)


def changes(before, after, iou=0.5):
    return list(box_changes("P1", before, after, iou))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([], [], []),
        ([GUN], [GUN], [("unchanged", GUN, GUN, 1.0)]),
        ([], [GUN], [("added", None, GUN, None)]),
        ([GUN], [], [("removed", GUN, None, None)]),
        (
            [GUN],
            [item("Gun", 0, 0, 40, 20)],
            [("moved", GUN, item("Gun", 0, 0, 40, 20), 0.5)],
        ),
        (
            [GUN],
            [item("Gun", 0, 0, 40, 19)],
            [("removed", GUN, None, None), ("added", None, item("Gun", 0, 0, 40, 19), None)],
        ),
        (
            [GUN],
            [item("Knife", 0, 0, 40, 40)],
            [("relabelled", GUN, item("Knife", 0, 0, 40, 40), 1.0)],
        ),
        (
            [GUN],
            [item("Gun", 0, 0, 40, 40, difficult=True)],
            [("other flags", GUN, item("Gun", 0, 0, 40, 40, difficult=True), 1.0)],
        ),
        # Its own label comes before the place.
        (
            [GUN],
            [item("Knife", 0, 0, 40, 40), item("Gun", 0, 0, 40, 30)],
            [
                ("moved", GUN, item("Gun", 0, 0, 40, 30), 0.75),
                ("added", None, item("Knife", 0, 0, 40, 40), None),
            ],
        ),
        # Of boxes in one place, those with the same flags pair.
        (
            [GUN, item("Gun", 0, 0, 40, 40, truncated=True)],
            [item("Gun", 0, 0, 40, 40, truncated=True), GUN],
            [
                ("unchanged", GUN, GUN, 1.0),
                ("unchanged", *[item("Gun", 0, 0, 40, 40, truncated=True)] * 2, 1.0),
            ],
        ),
        # The same box pairs first, although the sum of the others would be greater.
        (
            [GUN, item("Gun", 0, 0, 40, 36)],
            [item("Gun", 0, 0, 40, 36), item("Gun", 0, 0, 40, 32)],
            [
                ("unchanged", *[item("Gun", 0, 0, 40, 36)] * 2, 1.0),
                ("moved", GUN, item("Gun", 0, 0, 40, 32), 0.8),
            ],
        ),
    ],
)
def test_what_became_of_each(before, after, expected):
    found = changes(before, after)

    assert found == [BoxChange("P1", BoxKind(kind), *rest) for kind, *rest in expected]


def test_the_overlap_that_counts_is_a_setting():
    assert [c.kind for c in changes([GUN], [item("Gun", 0, 0, 40, 20)], iou=0.51)] == [
        BoxKind.REMOVED,
        BoxKind.ADDED,
    ]


def test_more_boxes_than_an_image_has():
    crowd = [item("Gun", n, 0, n + 1, 1) for n in range(2001)]
    others = [item("Gun", n, 1, n + 1, 2) for n in range(2001)]

    with pytest.raises(AnnotationError) as found:
        changes(crowd, others)

    assert str(found.value) == "P1: 2001 and 2001 boxes that differ are too many to be paired"
    assert {c.kind for c in changes(crowd, crowd)} == {BoxKind.UNCHANGED}


def test_more_work_than_a_minute_is_refused():
    pairing = Pairing()
    for number in range(5):
        pairing.take(f"P{number}", 1990, 1990)
    with pytest.raises(AnnotationError) as found:
        pairing.take("P5", 1990, 1990)
    assert str(found.value) == (
        "P5: with the images before it more boxes that differ than can be paired; compare smaller "
        "sets"
    )


@given(st.lists(objects(), max_size=6), st.lists(objects(), max_size=6))
def test_every_box_occurs_once(before, after):
    found = changes(before, after)

    assert Counter(c.before for c in found if c.before) == Counter(before)
    assert Counter(c.after for c in found if c.after) == Counter(after)
    for change in found:
        both = change.before is not None and change.after is not None
        assert both == (change.kind not in (BoxKind.ADDED, BoxKind.REMOVED))
        assert (change.iou is not None and change.iou >= 0.5) == both


@given(st.lists(objects(), max_size=5))
def test_equal_lists_have_no_change(things):
    assert {c.kind for c in changes(things, things[::-1])} <= {BoxKind.UNCHANGED}


def test_boxes_of_all_images_that_are_compared_have_an_end():
    pairing = Pairing()
    for number in range(25):
        pairing.take(f"P{number}", 40_000, 100)
    with pytest.raises(AnnotationError) as error:
        list(box_changes("P25", [GUN], [item("Gun", 0, 0, 40, 20)], 0.5, pairing))
    assert str(error.value) == (
        "P25: with the images before it more boxes that differ than can be paired; compare "
        "smaller sets"
    )
