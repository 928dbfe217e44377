"""Moments: none that cannot be counted on from."""

import pytest

from sixrayd.core.moments import read_moment


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-12:00"),
        *("9998-12-31T23:59:59-01:00", "1970-01-01T00:00:00+01:00"),  # of other years in UTC
    ],
)
def test_what_is_no_moment(text):
    with pytest.raises(ValueError):
        read_moment(text)


def test_a_moment_keeps_its_zone():
    assert read_moment("2026-01-02T10:00:00+05:00").isoformat() == "2026-01-02T10:00:00+05:00"
    assert read_moment("1970-01-01").tzinfo is None
