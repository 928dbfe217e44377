"""How a patch is applied."""

from dataclasses import dataclass, field
from pathlib import Path

from sixrayd.core.settings_file import OUTSIDE


@dataclass(frozen=True, slots=True)
class PatchSettings:
    """What is applied, to what.

    Args:
        out: folder to write; it must not exist.
        reverse: go from B's labels back to A's.
        images: copy the images of the set beside the labels that are written.
    """

    out: Path = field(metadata=OUTSIDE)
    reverse: bool = False
    images: bool = False
