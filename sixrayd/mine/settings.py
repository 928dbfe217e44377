"""Settings of mining."""

from dataclasses import dataclass

from sixrayd.core.errors import SettingsError


@dataclass(frozen=True, slots=True)
class MineSettings:
    """Which detector looks at the negatives, and what it may report.

    Args:
        model: name of a trained model; the newest by default.
        name: of the result; the model's by default.
        shards: file names to mine now; all negatives by default.
        threshold: least score of a candidate, 0..1.
        mirror: also look at each image's mirror image: twice the work, steadier scores.
        batch: images a step.
        device: "auto", "cpu" or "cuda".
        on_error: "skip" lists an image that cannot be read in `skipped.jsonl`; "stop" ends.

    Raises:
        SettingsError: out of range.
    """

    model: str = ""
    name: str = ""
    shards: tuple[str, ...] = ()
    threshold: float = 0.1
    mirror: bool = True
    batch: int = 16
    device: str = "auto"
    on_error: str = "skip"

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise SettingsError(f"threshold {self.threshold}: needs to lie between 0 and 1")
        if self.batch < 1:
            raise SettingsError(f"batch {self.batch}: needs to be at least 1")
        if self.on_error not in ("skip", "stop"):
            raise SettingsError(f"on-error {self.on_error!r}: is neither skip nor stop")
