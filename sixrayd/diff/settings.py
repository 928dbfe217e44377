"""What a comparison goes by."""

from dataclasses import dataclass

from sixrayd.core.errors import SettingsError


@dataclass(frozen=True, slots=True)
class DiffSettings:
    """How two sets are compared.

    Args:
        iou: from which two boxes show one thing, in (0, 1].
        classes: that count; empty takes what the sets name.
        examples: of each kind that the terminal shows.
        images: whether images that lie beside labels are hashed, to know them under other ids, and
            count where nothing is said of them.
        force: replace the file of another patch.

    Raises:
        SettingsError: out of range.
    """

    iou: float = 0.5
    classes: tuple[str, ...] = ()
    examples: int = 3
    images: bool = True
    force: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.iou <= 1:
            raise SettingsError(f"iou {self.iou}: expected more than 0 and at most 1")
        if self.examples < 0:
            raise SettingsError(f"examples {self.examples}: expected 0 or more")
