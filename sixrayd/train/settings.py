"""Settings of training."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from sixrayd.core.cores import Device
from sixrayd.core.errors import SettingsError
from sixrayd.core.settings_file import OUTSIDE
from sixrayd.detectors.catalogue import DETECTORS, Recipe

# What `run.json` calls settings, since the first version did.
_SAVED_AS = {
    "learning_rate": "rate",
    "fg_iou": "matched",
    "bg_iou": "doubtful",
    "ema_decay": "average",
}


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """What to train and on how much of the release.

    Args:
        detector: a key of `DETECTORS`; "auto" takes rfb512 where there is a GPU, else rfb-small.
        name: of the result; the detector's by default.
        epochs, batch, learning_rate, background, window: None takes the detector's recipe.
        input_size: side of the input in pixels; only the small detectors take another than theirs.
        init: weights to start from: a file, a trained model's name, or a name of
            `detectors/pretrained.py`; "" is random.
        round: name of a review whose `training.parquet` is learnt from as well.
        split: which images train: a given split's; "" is the ingest's own.
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
    learning_rate: float | None = None
    background: float | None = None
    window: float | None = None
    input_size: int | None = None
    init: str = field(default="", metadata=OUTSIDE)
    round: str = ""
    split: str = ""
    validation: float = 0.1
    seed: int = 0
    device: Device = "auto"
    force: bool = False

    def __post_init__(self) -> None:
        known = ("auto", *DETECTORS)
        if self.detector not in known:
            raise SettingsError(f"detector {self.detector!r}: is none of {', '.join(known)}")
        for key, least in (
            ("epochs", 1),
            ("batch", 1),
            ("learning_rate", 0),
            ("background", 0),
            ("window", 0),
        ):
            value = getattr(self, key)
            if value is not None and not least <= value < math.inf:
                option = key.replace("_", "-")
                raise SettingsError(f"{option} {value}: needs to be at least {least}, and finite")
        size = self.input_size
        any_size = self.detector == "auto" or DETECTORS[self.detector].any_size
        if size is not None and (not any_size or size < 32 or size % 32):
            raise SettingsError(f"input-size {size}: needs a small detector and a multiple of 32")
        if not 0 < self.validation < 1:
            raise SettingsError(f"validation {self.validation}: needs to lie between 0 and 1")


def as_saved(settings: TrainSettings | Recipe) -> dict[str, Any]:
    """As `run.json` has them."""
    return {_SAVED_AS.get(key, key): value for key, value in asdict(settings).items()}
