"""The id that an image's file name means: one rule for every form of labels and every table."""

import re

from sixrayd.core.errors import ReleaseError
from sixrayd.core.records import Source

NUMBERED = re.compile(r"[pn]\d+", re.IGNORECASE)  # SIXray's own names
START, LETTERS, MOST_LETTERS = "[0-9A-Za-z_]", r"[0-9A-Za-z_.\- ()]", 90
_ID = re.compile(rf"{START}{LETTERS}{{0,{MOST_LETTERS - 1}}}")


def is_image_id(text: str) -> bool:
    """Whether a text can be an id: a plain file name on any system, which leaves no folder."""
    return _ID.fullmatch(text) is not None


def image_id(stem: str) -> str:
    """The id that a file name means: SIXray's own in capitals, others as they are.

    Raises:
        ReleaseError: the name cannot serve as an id.
    """
    if not is_image_id(stem):
        raise ReleaseError(
            f"file name {stem[:100]!r}: an image's name takes 1 to 90 of the letters A-Z, a-z, "
            "0-9, _, -, dot, blank and brackets; rename the file"
        )
    return stem.upper() if NUMBERED.fullmatch(stem) else stem


def named_source(image_id: str) -> Source | None:
    """What SIXray's own names say of an image: P… is positive, N… negative; None for others."""
    if not NUMBERED.fullmatch(image_id):
        return None
    return Source.POSITIVE if image_id[0] in "Pp" else Source.NEGATIVE
