"""CSV that people open in a spreadsheet, which must not compute what a stranger wrote."""

import re
from typing import Any

# RE2 and Python read it alike. A number keeps its sign.
FORMULA = r"^[=+\-@\t\r]"
NUMBER = r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$"


def cell(value: Any) -> Any:
    """A value whose text is no formula: a quote before it tells a spreadsheet so."""
    if not isinstance(value, str) or re.match(NUMBER, value):
        return value
    return f"'{value}" if re.match(FORMULA, value) else value
