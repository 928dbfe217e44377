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


# A rate of 1e-3 for SSD and 4e-3 for RFBNet with its warm-up, as published; what is left of their
# steps in the paper's 200 epochs (Sec. 5.1): SSD's 80,000 and 100,000 steps of 32 images are 155
# and 193 passes over VOC. RetinaNet's is its own, in torchvision's 26 epochs.
_RFB = Recipe(200, 32, "sgd", 4e-3, 5e-4, 5, (150,), 0.0, 1.0, 0.5, 0.5, 0.0)
_SSD = Recipe(200, 32, "sgd", 1e-3, 5e-4, 0, (155, 193), 0.0, 1.0, 0.5, 0.5, 0.0)
_RETINANET = Recipe(26, 16, "sgd", 1e-2, 1e-4, 0.5, (16, 22), 0.0, 1.0, 0.5, 0.4, 0.0)
_SMALL = Recipe(24, 8, "adamw", 2e-3, 0.02, 0.5, (), 0.5, 1.0, 0.4, 0.1, 0.998)
RECIPES = {
    "rfb-small": _SMALL,
    "ssd-small": _SMALL,
    "retinanet-small": _SMALL,
    "rfb300": _RFB,
    "rfb512": _RFB,
    "ssd300": _SSD,
    "ssd512": _SSD,
    "retinanet512": _RETINANET,
}


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """What to train and on how much of the release.

    Args:
        detector: a key of `RECIPES`; "auto" takes `rfb512` where there is a GPU, else `rfb-small`.
        name: of the result; the detector's by default.
        epochs, batch, rate, background, window: None takes the detector's recipe.
        input_size: side of the input in pixels; only the small detectors take another than theirs.
        init: weights to start from: a file, a trained model's name, or a name of
            `detectors/pretrained.py`; "" is random.
        round: name of a review whose `training.parquet` is learnt from as well.
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
    init: str = ""
    round: str = ""
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
        small = self.detector == "auto" or self.detector.endswith("-small")
        if size is not None and (not small or size < 32 or size % 32):
            raise SettingsError(f"input-size {size}: needs a small detector and a multiple of 32")
        if not 0 < self.validation < 1:
            raise SettingsError(f"validation {self.validation}: needs to lie between 0 and 1")
