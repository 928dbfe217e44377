"""Settings of training."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from sixrayd.core.cores import Device
from sixrayd.core.errors import SettingsError
from sixrayd.core.ranges import MOST_BATCH, MOST_SEED, check_ranges
from sixrayd.core.settings_file import OUTSIDE
from sixrayd.detectors.catalogue import DETECTORS, MOST_INPUT_PX, Recipe

Amp = Literal["auto", "bf16", "fp16", "off"]
# What `run.json` calls settings, since the first version did.
_SAVED_AS = {
    "learning_rate": "rate",
    "fg_iou": "matched",
    "bg_iou": "doubtful",
    "ema_decay": "average",
}
# Beyond these, numbers overflow or views do not fit into memory.
_RANGES = {
    "epochs": (1, 1_000_000),
    "batch": (1, MOST_BATCH),
    "micro_batch": (1, MOST_BATCH),
    "validate_every": (1, 1_000_000),
    "learning_rate": (0, 1e30),
    "background": (0, 1000),
    "window": (0, 2),
    "seed": (0, MOST_SEED),
}
_LEAST_WINDOW = 0.01  # unless 0
_YOUNGER = ("ema_decay", "micro_batch", "amp", "validate_every", "weights")


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """What to train and on how much of the release.

    Args:
        detector: a key of `DETECTORS`; "auto" takes rfb512 where there is a GPU, else rfb-lite0.
        name: of the result; the detector's by default.
        epochs, batch, learning_rate, background, window, ema_decay: None takes the detector's
            recipe, whose steps and warm-up keep their places in proportion to the epochs.
        micro_batch: images that are computed at once; None takes a process's part of the batch.
        amp: short numbers to multiply in; "auto" takes bf16 where a GPU has it, else none.
        input_size: side of the input in pixels; only the small detectors take another than theirs.
        init: weights to start from: "auto" takes what the recipe expects, "none" or "" is random;
            else a file, a trained model's name, or a name of `detectors/pretrained.py`.
        round: name of a review whose `training.parquet` is learnt from as well.
        split: which images train: a given split's; "" is the ingest's own.
        validation: share of the training side's groups held out, seeded.
        validate_every: epochs from one validation to the next; None validates at the end alone.
        weights: of the validated epochs, those that are used: the best's or the last's.
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
    ema_decay: float | None = None
    micro_batch: int | None = None
    amp: Amp = "auto"
    input_size: int | None = None
    init: str = field(default="auto", metadata=OUTSIDE)
    round: str = ""
    split: str = ""
    validation: float = 0.1
    validate_every: int | None = None
    weights: Literal["best", "last"] = "best"
    seed: int = 0
    device: Device = "auto"
    force: bool = False

    def __post_init__(self) -> None:
        known = ("auto", *DETECTORS)
        if self.detector not in known:
            raise SettingsError(f"detector {self.detector!r}: is none of {', '.join(known)}")
        check_ranges(self, _RANGES)
        if self.learning_rate == 0:
            raise SettingsError("learning-rate 0: needs to be above 0, nothing would be learnt")
        size = self.input_size
        any_size = self.detector == "auto" or DETECTORS[self.detector].any_size
        if size is not None and (not any_size or not 32 <= size <= MOST_INPUT_PX or size % 32):
            raise SettingsError(
                f"input-size {size}: needs a small detector and a multiple of 32, at most "
                f"{MOST_INPUT_PX}"
            )
        if self.ema_decay is not None and not 0 <= self.ema_decay < 1:
            raise SettingsError(f"ema {self.ema_decay}: needs to be at least 0 and less than 1")
        if 0 < (self.window or 0) < _LEAST_WINDOW:
            raise SettingsError(f"window {self.window}: expected 0, or {_LEAST_WINDOW} or more")
        if not 0 < self.validation < 1:
            raise SettingsError(f"validation {self.validation}: needs to lie between 0 and 1")


def as_saved(settings: TrainSettings | Recipe) -> dict[str, Any]:
    """As `run.json` has them: what is younger than the first version only where it says something,
    so that the same training leaves the same bytes."""
    saved = asdict(settings)
    if isinstance(settings, TrainSettings):
        default = {field.name: field.default for field in fields(settings)}
        silent = {key for key in _YOUNGER if saved[key] == default[key]}
        if settings.validate_every is None:
            silent.add("weights")
        saved = {key: value for key, value in saved.items() if key not in silent}
    return {_SAVED_AS.get(key, key): value for key, value in saved.items()}
