"""One hash for the same labels, whatever form and order they come in."""

import hashlib
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sixrayd.datasets.label_hash import LabelCounts, count_labels, plain_labels
from sixrayd.datasets.labelled import ImageLabels
from tests.datasets.made import SETS, item, labelled


def counts(one):
    return count_labels(plain_labels(one))


def test_the_hash_is_what_the_docs_say():
    said = labelled(
        {"P2": [item("Knife", 3, 4, 9, 9, truncated=True), item("Gun", 1, 2, 5, 6)], "N1": []}
    )
    things = '["Gun", 1, 2, 5, 6, false, false], ["Knife", 3, 4, 9, 9, false, true]'
    text = f'["N1", []]\n["P2", [{things}]]\n'

    assert counts(said) == LabelCounts(hashlib.sha256(text.encode()).hexdigest(), 2, 1, 2)


@given(SETS, st.randoms(use_true_random=False))
def test_order_does_not_count(one, draw):
    images = list(one.images.values())
    draw.shuffle(images)
    images = [
        replace(said, objects=said.objects and tuple(draw.sample(said.objects, len(said.objects))))
        for said in images
    ]
    other = replace(one, images={said.image_id: said for said in images})

    assert counts(other) == counts(one)


@given(SETS)
def test_nothing_said_is_as_good_as_no_image(one):
    said = {image_id: i for image_id, i in one.images.items() if i.objects is not None}

    assert counts(replace(one, images=said)) == counts(one)


def test_what_counts_as_another_label():
    one = labelled({"P1": [item("Gun", 1, 2, 5, 6)]})
    others = [
        labelled({"P1": [item("Knife", 1, 2, 5, 6)]}),
        labelled({"P1": [item("Gun", 1, 2, 5, 7)]}),
        labelled({"P1": [item("Gun", 1, 2, 5, 6, difficult=True)]}),
        labelled({"P1": [item("Gun", 1, 2, 5, 6, truncated=True)]}),
        labelled({"P1": [item("Gun", 1, 2, 5, 6)] * 2}),
        labelled({"P2": [item("Gun", 1, 2, 5, 6)]}),
        labelled({"P1": [item("Gun", 1, 2, 5, 6)], "P2": []}),
    ]

    assert len({counts(each).labels for each in (one, *others)}) == 8


def test_rounding_of_forms_and_provenance_do_not_count():
    one = labelled({"P1": [item("Gun", 1, 2, 5, 6)]})
    yolo = labelled({"P1": [item("Gun", 1.0004, 1.9996, 5.0003, 5.9998, origin="drawn")]})

    assert counts(yolo) == counts(one)


def test_an_image_of_unknown_size():
    thing = ImageLabels("P1", (item("Gun", 1, 2, 5, 6),))

    assert counts(replace(labelled({}), images={"P1": thing})) == counts(
        labelled({"P1": [item("Gun", 1, 2, 5, 6)]})
    )
