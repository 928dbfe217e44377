"""Settings of mining."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from sixrayd.core.cores import Device, Engine, check_engine
from sixrayd.core.errors import SettingsError
from sixrayd.core.ranges import MOST_BATCH, MOST_WORKERS, check_ranges
from sixrayd.core.settings_file import OUTSIDE
from sixrayd.crop.settings import FAST, TdcKnobs, TdcSettings

Crop = Literal["none", "tdc", "tiles"]
TDC = FAST  # what `--crop tdc` looks with, where nothing else is asked for
_RANGES = {"batch": (0, MOST_BATCH), "workers": (0, MOST_WORKERS), "threads": (0, MOST_WORKERS)}


@dataclass(frozen=True, slots=True)
class MineSettings:
    """Which detector looks at the negatives, how, where, and what it may report.

    Args:
        model: name of a trained model; the newest by default.
        name: of the result; the model's by default.
        shards: file names to mine now; all negatives by default.
        threshold: least score of a candidate, 0..1.
        mirror: also look at each image's mirror image: twice the work, steadier scores.
        crop: look at "tdc"'s region only, or at overlapping "tiles" and the whole.
        tdc: what is asked of crop "tdc" beyond `TDC`.
        dynamic: keep each image's aspect ratio instead of making it square.
        cascade: name of a trained model that looks first; `model` sees what it doubts.
        keep: share of `model`'s finds that the first may not lose, on validation images.
        batch: images a step; 0 takes 16 on a CPU, and on a GPU 64 or the most that fit.
        device: "auto", "cpu" or "cuda".
        backend: what runs the network: "auto" or one of `detectors.catalogue.BACKENDS`.
        on_error: "skip" lists an image that cannot be read in `skipped.jsonl`; "stop" ends.
        engine: "local", or "ray" for a cluster.
        address: of the Ray cluster; one is started on this machine by default.
        workers: shards mined at once; as many as the machine or the cluster bears by default.
        threads: cores a worker uses; all of the machine's by default.
        shards_at: URL of the folder of shards; the workspace's by default.
        parts_at: URL of a folder that takes the finished parts; the workspace's by default.
        force: replace a mining of the same name with other settings or another model.

    Raises:
        SettingsError: out of range.
    """

    model: str = ""
    name: str = ""
    shards: tuple[str, ...] = ()
    threshold: float = 0.1
    mirror: bool = True
    crop: Crop = "none"
    tdc: TdcKnobs = field(default_factory=TdcKnobs)
    dynamic: bool = False
    cascade: str = ""
    keep: float = 0.995
    batch: int = 0
    device: Device = "auto"
    backend: str = "auto"
    on_error: Literal["skip", "stop"] = "skip"
    engine: Engine = "local"
    address: str = field(default="", metadata=OUTSIDE)
    workers: int = 0
    threads: int = 0
    shards_at: str = field(default="", metadata=OUTSIDE)
    parts_at: str = field(default="", metadata=OUTSIDE)
    force: bool = False

    def __post_init__(self) -> None:
        for key in ("threshold", "keep"):
            if not 0 < getattr(self, key) < 1:
                raise SettingsError(f"{key} {getattr(self, key)}: needs to lie between 0 and 1")
        check_ranges(self, _RANGES)
        choices = {"crop": get_args(Crop), "on_error": ("skip", "stop")}
        for key, known in choices.items():
            if getattr(self, key) not in known:
                raise SettingsError(
                    f"{key.replace('_', '-')} {getattr(self, key)!r}: is none of {', '.join(known)}"
                )
        check_engine(self.engine, self.address)
        if self.keep != MineSettings.__dataclass_fields__["keep"].default and not self.cascade:
            raise SettingsError("keep: says how a cascade chooses; add --cascade, or leave it out")
        if self.tdc.asked and self.crop != "tdc":
            raise SettingsError(
                f"k, tdc-…: say nothing of crop {self.crop!r}; add --crop tdc, or leave them out"
            )
        if self.crop == "tdc":
            refuse_form(self.tdc.over(TDC), self.backend)


def refuse_form(tdc: TdcSettings, backend: str) -> None:
    """The shared form goes on from a map in the middle of the network, which only torch gives.

    Raises:
        SettingsError: the backend is another.
    """
    if tdc.form == "shared" and not backend.startswith(("auto", "torch")):
        raise SettingsError(
            f"backend {backend}: cannot give the map that TDC's shared form crops; pass --backend "
            "torch, or --tdc-form exact or fast"
        )
