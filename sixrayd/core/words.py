"""Counted things in words."""


def counted(number: int, noun: str) -> str:
    """A number and what it counts: "1 box", "2,000 boxes".

    Args:
        noun: of one, its last word the one that has a plural.
    """
    return f"{number:,} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """Several of what a noun names one of."""
    if noun.endswith(("s", "x", "ch", "sh")) and not noun.endswith("epoch"):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"
