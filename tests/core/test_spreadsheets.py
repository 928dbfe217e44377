"""Cells of CSV, as a spreadsheet reads them."""

import pytest

from sixrayd.core.spreadsheets import cell
from tests.limits import within


@pytest.mark.parametrize("text", ["=1+1", "+A1", "-A1", "@SUM(A1)", "\t=1", "\r=1", "-1+1", "--1"])
def test_a_formula_is_a_text(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("value", [-1.5, None, 3, "-1.5", "+2", "-.5", "1e-3", "-1e3", "a=b"])
def test_numbers_and_words_stay(value: object) -> None:
    assert cell(value) == value


def test_many_digits_are_read_once() -> None:
    digits = "1" * 1_000_000
    with within(20, "digits"):
        assert cell(f"-{digits}x") == f"'-{digits}x"
        assert cell(f"-{digits}") == f"-{digits}"
