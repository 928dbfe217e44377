"""Settings of training, and each detector's recipe."""

from dataclasses import dataclass

from sixrayd.core.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one detector learns best."""

    epochs: int
    batch: int
    optimizer: str  # "sgd" or "adamw"
    rate: float  # peak learning rate
    weight_decay: float
    warmup_epochs: float
    steps: tuple[int, ...]  # epochs after which the rate drops tenfold; none: cosine to zero
    window: float  # side of the training view as a share of the image's; 0: SSD's views
    background: float  # negatives shown for each positive
    matched: float  # overlap (IoU) from which a prior counts as an object
    doubtful: float  # overlap from which it counts neither as object nor as background
    average: float  # decay of the moving average of weights; 0: none


RECIPES = {
    # Sec. 5.1 of the paper names 200 epochs; rate, warm-up and steps are the published code's.
    "rfb512": Recipe(200, 32, "sgd", 4e-3, 5e-4, 5, (150,), 0.0, 1.0, 0.5, 0.5, 0.0),
    "rfb-small": Recipe(24, 8, "adamw", 2e-3, 0.02, 0.5, (), 0.5, 1.0, 0.4, 0.1, 0.998),
}


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """What to train and on how much of the release.

    Args:
        detector: `rfb-small` or `rfb512`; "auto" takes `rfb512` where there is a GPU.
        name: of the result; the detector's by default.
        epochs, batch, rate, background, window: None takes the detector's recipe.
        input_size: side of the input in pixels; only rfb-small takes another than its own.
        validation: share of the training side's groups held out, seeded.
        device: "auto", "cpu" or "cuda".
        force: replace a training of the same name with other settings.

    Raises:
        SettingsError: out of range.
    """

    detector: str = "auto"
    name: str = ""
    epochs: int | None = None
    batch: int | None = None
    rate: float | None = None
    background: float | None = None
    window: float | None = None
    input_size: int | None = None
    validation: float = 0.1
    seed: int = 0
    device: str = "auto"
    force: bool = False

    def __post_init__(self) -> None:
        known = ("auto", *RECIPES)
        if self.detector not in known:
            raise SettingsError(f"detector {self.detector!r}: is none of {', '.join(known)}")
        for key, least in (
            ("epochs", 1),
            ("batch", 1),
            ("rate", 0),
            ("background", 0),
            ("window", 0),
        ):
            value = getattr(self, key)
            if value is not None and value < least:
                raise SettingsError(f"{key} {value}: needs to be at least {least}")
        size = self.input_size
        if size is not None and (self.detector == "rfb512" or size < 32 or size % 32):
            raise SettingsError(f"input-size {size}: needs rfb-small and a multiple of 32")
        if not 0 < self.validation < 1:
            raise SettingsError(f"validation {self.validation}: needs to lie between 0 and 1")
