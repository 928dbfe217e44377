"""Counted nouns, and that what is printed uses them."""

import re
from pathlib import Path

import pytest

import sixrayd
from sixrayd.core.words import counted

NOUNS = "image|box|fault|remark|finding|task|annotation|decision|candidate|shard|epoch|positive"


@pytest.mark.parametrize(
    ("number", "noun", "words"),
    [
        (0, "image", "0 images"),
        (1, "box", "1 box"),
        (2, "box", "2 boxes"),
        (1, "listed image", "1 listed image"),
        (2, "class", "2 classes"),
        (2, "copy", "2 copies"),
        (2, "day", "2 days"),
        (1_234_567, "image", "1,234,567 images"),
    ],
)
def test_one_and_several(number, noun, words):
    assert counted(number, noun) == words


def test_what_commands_print_is_counted_by_one_function():
    loose = re.compile(rf"\{{[^{{}}]+\}} ({NOUNS})(s|es)\b")
    files = sorted(Path(sixrayd.__file__).parent.rglob("command.py"))
    lines = [(f.parent.name, line) for f in files for line in f.read_text("utf-8").splitlines()]
    known = {"{images} images", "{label} boxes"}  # counted by side, and no count at all

    assert len(files) > 15
    found = [(f, m[0]) for f, line in lines for m in loose.finditer(line)]
    assert [(f, text) for f, text in found if text not in known] == []


def test_epochs_are_no_epoches():
    assert (counted(1, "epoch"), counted(2, "epoch")) == ("1 epoch", "2 epochs")
