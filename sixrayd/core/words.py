"""Counted things in words."""

from collections.abc import Sequence


def counted(number: int, noun: str) -> str:
    """A number and what it counts: "1 box", "2,000 boxes".

    Args:
        noun: of one, its last word the one that has a plural.
    """
    return f"{number:,} {noun if number == 1 else plural(noun)}"


def first_of(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many more there are: "a, b, c and 2 more"."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def plural(noun: str) -> str:
    """Several of what a noun names one of."""
    if noun.endswith(("s", "x", "ch", "sh")) and not noun.endswith("epoch"):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"
