"""What a synthetic release is made of, and what the writer says about it."""

from dataclasses import dataclass, fields
from pathlib import Path

from sixrayd.core.errors import SettingsError
from sixrayd.core.ranges import MOST_SEED, MOST_WORKERS, check_ranges
from sixrayd.synth.scene import BUILDERS

DRAWABLE = tuple(BUILDERS)
_RANGES = {
    "images": (1, 2_000_000),  # all are planned in memory, some 0.5 kB each
    "part_bytes": (1, 1 << 62),
    "jpeg_quality": (1, 95),
    "seed": (0, MOST_SEED),
    **dict.fromkeys(("positives", "hidden", "duplicates", "hidden_copies", "margins"), (0, 1)),
    "workers": (1, MOST_WORKERS),
}


@dataclass(frozen=True, slots=True)
class SynthSettings:
    """Everything that decides the bytes of a release; `workers` alone decides only the time.

    Args:
        images: pictures in the release.
        seed: the same seed gives the same bytes.
        positives: share of all images that are labelled positive.
        hidden: share of the negatives that hold contraband nobody labelled.
        duplicates: share of each kind that shows a bag of the same kind once more.
        hidden_copies: share of the hidden that show a labelled positive's bag once more.
        margins: most empty belt added on each side, as a share of the picture's; up to 1.
        part_bytes: size of one piece of the archive.
        jpeg_quality: 1..95.
        classes: order of the columns, and what may be drawn.
        workers: processes.

    Raises:
        SettingsError: a value is out of its range.
    """

    images: int = 1200
    seed: int = 0
    positives: float = 0.28
    hidden: float = 0.06
    duplicates: float = 0.06
    hidden_copies: float = 0.05
    margins: float = 0.0
    part_bytes: int = 32 * 1024 * 1024
    jpeg_quality: int = 75
    classes: tuple[str, ...] = DRAWABLE
    workers: int = 1

    def __post_init__(self) -> None:
        check_ranges(self, _RANGES)
        self._check_classes()

    def _check_classes(self) -> None:
        if not self.classes or len(set(self.classes)) < len(self.classes):
            raise SettingsError(f"classes: need each class once, got {self.classes}")
        for name in self.classes:
            if name not in DRAWABLE:
                raise SettingsError(
                    f"classes: cannot draw {name!r}; choose among {', '.join(DRAWABLE)}"
                )


@dataclass(frozen=True, slots=True)
class SynthResult:
    """What was written where."""

    out: Path
    truth: Path
    images: int
    positives: int
    negatives: int
    hidden: int
    duplicates: int
    boxes: int
    hidden_boxes: int
    parts: int

    def lines(self) -> list[str]:
        """The result as `name: value` lines for people."""
        return [f"{field.name}: {getattr(self, field.name)}" for field in fields(self)]
