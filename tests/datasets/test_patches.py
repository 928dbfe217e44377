"""A patch leads from one set to the other and back, and from no other set."""

from dataclasses import replace

import pytest
from hypothesis import given

from sixrayd.core.errors import AnnotationError
from sixrayd.datasets.label_hash import LabelCounts, count_labels, plain_labels, without_provenance
from sixrayd.datasets.patch_file import read_patch, write_patch
from sixrayd.datasets.patches import ImagePatch, apply_patch, image_words, make_patch
from tests.datasets.made import CLASSES, SETS, item, labelled

GUN, KNIFE = item("Gun", 1, 2, 30, 40), item("Knife", 5, 5, 20, 20)
A = labelled({"N1": [], "N2": [], "P1": [GUN], "P2": None})
B = labelled({"N1": [KNIFE], "N2": [], "P1": [], "P3": [GUN]})


def said_of(one):
    return {i: without_provenance(objects) for i, objects in plain_labels(one).items()}


def sides_of(one, names):
    return {name: dict(one.splits[name]) for name in names if one.splits.get(name)}


@given(SETS, SETS)
def test_there_and_back(one, other):
    patch = make_patch(one, other, CLASSES)
    there = apply_patch(patch, one)
    back = apply_patch(patch.reversed(), other)

    assert said_of(there) == said_of(other)
    assert said_of(back) == said_of(one)
    assert count_labels(plain_labels(there)) == patch.after
    assert sides_of(there, other.splits) == sides_of(other, other.splits)
    assert sides_of(back, other.splits) == sides_of(one, other.splits)
    assert patch.reversed().reversed() == patch


@given(SETS, SETS)
def test_written_and_read_it_is_the_same(tmp_path_factory, one, other):
    path = tmp_path_factory.mktemp("patch") / "a.patch"
    patch = make_patch(one, other, CLASSES)
    write_patch(path, patch)

    assert read_patch(path) == patch


@given(SETS)
def test_between_equal_sets_it_is_empty(one):
    assert make_patch(one, one, CLASSES).images == ()


@given(SETS, SETS, SETS)
def test_it_applies_to_the_same_labels_alone(one, other, third):
    patch, third = make_patch(one, other, CLASSES), replace(third, splits=one.splits)
    if said_of(third) == said_of(one):
        assert said_of(apply_patch(patch, third)) == said_of(other)
    else:
        with pytest.raises(AnnotationError):
            apply_patch(patch, third)


def test_what_it_holds():
    patch = make_patch(A, B, CLASSES)

    assert patch.images == (
        ImagePatch("N1", (), (KNIFE,), size_wh=(96, 64)),
        ImagePatch("P1", (GUN,), (), size_wh=(96, 64)),
        ImagePatch("P3", None, (GUN,), size_wh=(96, 64)),
    )
    assert [list(image_words(image)) for image in patch.images] == [
        ["+ Knife 5,5,20,20"],
        ["- Gun 1,2,30,40"],
        ["+ Gun 1,2,30,40", "not labelled before"],
    ]


def test_provenance_comes_along_where_labels_change():
    one = labelled({"P1": [GUN], "P2": [GUN]})
    sourced = replace(GUN, provenance=item("Gun", 1, 2, 30, 40, origin="source").provenance)
    drawn = item("Knife", 5, 5, 20, 20, origin="drawn")
    other = labelled({"P1": [sourced], "P2": [sourced, drawn]})

    there = apply_patch(make_patch(one, other, CLASSES), one)

    assert there.images["P1"].objects == (GUN,)
    assert there.images["P2"].objects == (sourced, drawn)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            {"N1": [], "N2": [], "P1": [KNIFE]},
            "P1: found Knife 5,5,20,20, expected Gun 1,2,30,40; apply the patch to the set that it "
            "was made from",
        ),
        (
            {"N1": [], "N2": []},
            "P1: found no label, expected Gun 1,2,30,40; apply the patch to the set that it was "
            "made from",
        ),
        (
            {"N1": None, "N2": [], "P1": [GUN]},
            "N1: found no label, expected no box; apply the patch to the set that it was made from",
        ),
        (
            {"N1": [], "N2": [], "P1": [GUN], "P4": [KNIFE]},
            "images that the patch does not change: found 2 boxes on 4 images with label hash "
            "749f8367752f…, expected 1 box on 3 images with label hash b6b28d609919…; apply it "
            "to the set that it was made from",
        ),
    ],
)
def test_another_set_is_refused(images, message):
    with pytest.raises(AnnotationError) as refusal:
        apply_patch(make_patch(A, B, CLASSES), labelled(images))

    assert str(refusal.value) == message


def test_other_bytes_are_refused():
    one = labelled({"P1": [GUN]}, sha256={"P1": "a"})
    patch = make_patch(one, labelled({"P1": []}), CLASSES)

    with pytest.raises(AnnotationError) as refusal:
        apply_patch(patch, labelled({"P1": [GUN]}, sha256={"P1": "b"}))

    assert str(refusal.value) == (
        "P1: found an image of SHA-256 bbbbbbbbbbbb…, expected an image of SHA-256 aaaaaaaaaaaa…; "
        "apply the patch to the set that it was made from"
    )


def test_a_side_that_the_set_gives_otherwise_is_refused():
    one, other = ({"leak-free": {"P1": side}} for side in ("test", "train"))
    patch = make_patch(labelled({"P1": [GUN]}), labelled({"P1": [GUN]}, one), CLASSES)

    assert apply_patch(patch, labelled({"P1": [GUN]}, {"paper": {"P1": "train"}})).splits == {
        "paper": {"P1": "train"},
        **one,
    }
    with pytest.raises(AnnotationError) as refusal:
        apply_patch(patch, labelled({"P1": [GUN]}, other))

    assert str(refusal.value) == (
        "P1: found train of split leak-free, expected no side; apply the patch to the set that it "
        "was made from"
    )


def test_another_size_is_refused():
    one = labelled({"P1": [GUN]})
    larger = replace(one.images["P1"], size_wh=(192, 128))
    patch = make_patch(one, labelled({"P1": []}), CLASSES)

    with pytest.raises(
        AnnotationError, match=r"^P1: found an image of 192 x 128, expected .* 96 x"
    ):
        apply_patch(patch, replace(one, images={"P1": larger}))
    with pytest.raises(AnnotationError, match=r"^P1: size \(96, 64\) in the first set, \(192, 128"):
        make_patch(labelled({"P1": []}), replace(one, images={"P1": larger}), CLASSES)


def test_a_hash_that_sides_disagree_on_is_left_out():
    one = labelled({"P1": [GUN]}, sha256={"P1": "a"})
    other = labelled({"P1": []}, sha256={"P1": "b"})

    assert [image.sha256 for image in make_patch(one, other, CLASSES).images] == [""]


def test_a_patch_that_contradicts_itself_is_refused():
    patch = replace(make_patch(A, B, CLASSES), after=LabelCounts("0" * 64, 4, 2, 2))

    with pytest.raises(
        AnnotationError, match=r"^the patch contradicts itself: it leads to 2 boxes"
    ):
        apply_patch(patch, A)
