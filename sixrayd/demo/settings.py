"""What `sixrayd demo` is asked for."""

from dataclasses import dataclass

from sixrayd.core.errors import SettingsError
from sixrayd.core.ranges import MOST_SEED, check_ranges

_RANGES = {
    "images": (50, 2_000_000),
    "seed": (0, MOST_SEED),
    "epochs": (1, 1_000_000),
    "budget": (0, 1000),
    "error_rate": (0, 1),
}


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """How large the demo is.

    Args:
        images: of the synthetic release.
        budget: images reviewed for each one that is hidden.
        epochs: of training; None: 10 from pretrained weights, 20 from random ones.
        checks: spot checks, in groups of near-duplicates; a tenth of the negatives at most.
        error_rate: share of images that the simulated reviewer gets wrong.
        browse: open the result in FiftyOne at the end.

    Raises:
        SettingsError: out of range.
    """

    images: int = 700
    seed: int = 0
    epochs: int | None = None
    budget: float = 2.0
    checks: int = 60
    error_rate: float = 0.02
    browse: bool = True

    def __post_init__(self) -> None:
        if self.budget <= 0:
            raise SettingsError(f"budget {self.budget}: needs to be above 0")
        check_ranges(self, _RANGES)
