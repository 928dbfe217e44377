"""Class names, their order and aliases."""

import pytest

from sixrayd.core.classes import ClassList, default_classes
from sixrayd.core.errors import AnnotationError, SettingsError


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
