"""Numbers as files write them, and as attackers do."""

import pytest

from sixrayd.core.settling import number_of_text
from tests.limits import within


@pytest.mark.parametrize("text", ["7.", " .5 ", "-1.25e1", "0" * 998 + "12", "1" + "." + "0" * 998])
def test_numbers(text: str) -> None:
    assert number_of_text(text) == float(text)


@pytest.mark.parametrize(
    "text",
    ["1" * 1_000_000, "1" * 1_000_000 + "x", "0" * 1001, "1e" + "1" * 1_000_000, "1..", "e1", ""],
)
def test_a_number_has_an_end(text: str) -> None:
    with within(20, "digits"), pytest.raises(ValueError, match=r"^no number: "):
        number_of_text(text)
