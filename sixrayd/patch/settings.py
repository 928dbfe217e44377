"""How a patch is applied."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PatchSettings:
    """What is applied, to what.

    Args:
        out: folder to write; it must not exist.
        reverse: go from B's labels back to A's.
        images: copy the images of the set beside the labels that are written.
    """

    out: Path
    reverse: bool = False
    images: bool = False
