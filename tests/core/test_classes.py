"""Class names, their order and aliases."""

import pytest

from sixrayd.core.classes import ClassList, classes_advice, default_classes
from sixrayd.core.errors import AnnotationError, SettingsError
from tests.limits import within


def test_order_is_as_given() -> None:
    classes = ClassList.parse("Scissors, Multitool")
    assert classes.names == ("Scissors", "Multitool")
    assert (len(classes), classes.index("Multitool")) == (2, 1)
    assert (
        ClassList().names == default_classes() == ("Gun", "Knife", "Wrench", "Pliers", "Scissors")
    )


@pytest.mark.parametrize(
    ("name", "label"),
    [("Pliers", "Pliers"), (" plier ", "Pliers"), ("SCISSOR", "Scissors"), ("pistol", "Gun")],
)
def test_aliases(name: str, label: str) -> None:
    assert ClassList().canonical(name) == label


def test_unknown_name() -> None:
    with pytest.raises(AnnotationError) as caught:
        ClassList(("Gun", "Knife")).canonical("Hammer")
    assert str(caught.value) == (
        "class 'Hammer' is none of Gun, Knife; name the release's classes with "
        "`sixrayd download --classes`"
    )


@pytest.mark.parametrize("names", [(), ("Gun", ""), ("Gun ",), ("Gun", "gun")])
def test_unusable_lists(names: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match=r"^classes: "):
        ClassList(names)


def test_a_list_covers_its_names_and_their_aliases():
    classes = ClassList(("Gun", "Pliers"))

    assert [classes.covers(name) for name in ("gun", "plier", "Hammer")] == [True, True, False]


@pytest.mark.parametrize(
    "name", ["Knife, folding", "Big\tGun", "Gun\x1b[31m", "Gun\u202eX", "../Gun", "a\\b"]
)
def test_names_that_cannot_be_passed_or_printed(name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        ClassList(("Gun", name))
    assert str(caught.value) == (
        f"classes: {name!r} holds a comma, a slash or a control character; rename the class"
    )


def test_advice_is_safe_to_paste() -> None:
    assert classes_advice(["Gun", "Knife"]) == "pass `--classes Gun,Knife`"
    assert classes_advice(["Folding Knife", "$(x)"]) == "pass `--classes 'Folding Knife,$(x)'`"
    assert classes_advice(["Gun", "a,b"]) == (
        "mend the names there (classes: 'a,b' holds a comma, a slash or a control character; "
        "rename the class)"
    )


def test_a_name_without_end_is_none() -> None:
    with pytest.raises(SettingsError) as caught:
        ClassList(("Gun", "a" * 501))
    assert str(caught.value) == (
        f"classes: {'a' * 100!r} has more than 500 signs; rename the class"
    )


def test_many_classes_are_told_apart_at_once() -> None:
    names = tuple(f"class {number}" for number in range(1000))
    classes = ClassList(names, left_out=tuple(f"other {number}" for number in range(10_000)))
    with within(20, "names"):  # one after another they took minutes
        for _ in range(100):
            assert all(map(classes.covers, names))
            assert classes.canonical(" CLASS 999 ") == "class 999"
            assert classes.leaves_out("other 9999")
    with pytest.raises(AnnotationError) as caught:
        classes.canonical("Gun")
    assert len(str(caught.value)) < 500


def test_names_without_end_are_no_choice_of_classes() -> None:
    """Each list of them was kept, with those before it."""
    classes = ClassList(("Gun",)).choosing_from(["Gun", "a" * 501, "Bag"])
    assert classes.left_out == ("Bag",)
    with pytest.raises(AnnotationError) as caught:
        classes.choosing_from(["Gun", *map(str, range(10_000))])
    assert str(caught.value) == (
        "10001 names beside Gun, first '0', at most 10000 are left out; mend the names of classes"
    )
