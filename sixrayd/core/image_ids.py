"""The id that an image's file name means: one rule for every form of labels."""

import re

from sixrayd.core.errors import ReleaseError
from sixrayd.core.records import Source

_NUMBERED = re.compile(r"[pn]\d+", re.IGNORECASE)  # SIXray's own names
_ID = re.compile(r"\w[\w.\- ()]{0,89}", re.ASCII)


def image_id(stem: str) -> str:
    """The id that a file name means: SIXray's own in capitals, others as they are.

    Raises:
        ReleaseError: the name cannot serve as an id.
    """
    if not _ID.fullmatch(stem):
        raise ReleaseError(
            f"file name {stem[:100]!r}: an image's name takes 1 to 90 of the letters A-Z, a-z, "
            "0-9, _, -, dot, blank and brackets; rename the file"
        )
    return stem.upper() if _NUMBERED.fullmatch(stem) else stem


def named_source(image_id: str) -> Source | None:
    """What SIXray's own names say of an image: P… is positive, N… negative; None for others."""
    if not _NUMBERED.fullmatch(image_id):
        return None
    return Source.POSITIVE if image_id[0] in "Pp" else Source.NEGATIVE
