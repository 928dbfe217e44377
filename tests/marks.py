"""Marks of parameters."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def some_long(values: Iterable[Any], long: Collection[Any]) -> list[Any]:
    """The values for `parametrize`; those in `long` are left to the long tests."""
    return [pytest.param(v, marks=pytest.mark.long) if v in long else v for v in values]
