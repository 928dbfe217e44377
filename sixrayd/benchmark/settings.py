"""What to compare, and how strictly."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from sixrayd.benchmark.protocol import PROTOCOLS, Protocol, ProtocolName
from sixrayd.core.cores import Device
from sixrayd.core.errors import SettingsError
from sixrayd.core.ranges import MOST_SEED, check_ranges
from sixrayd.core.settings_file import OUTSIDE
from sixrayd.crop.settings import CannySettings, TdcKnobs
from sixrayd.detectors.catalogue import DETECTORS

# 0 is the least that TDC's threshold can be, 0.5 what the paper began with.
THRESHOLDS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
KERNELS = (3, 5, 9, 15)  # cells
LAYERS = (2, 9, 15)  # of the paper's ablation, Sec. 5.4

_RANGES = {
    "scale": (0, 100),
    "margin": (0, 1),
    "validation": (1, 10_000_000),
    "timing": (1, 10_000_000),
    "images": (1, 10_000_000),
    "resamples": (1, 100_000),
    "seed": (0, MOST_SEED),
}


@dataclass(frozen=True, slots=True)
class BenchmarkSettings:
    """What to judge.

    Args:
        voc: a VOC tree; None takes the workspace's newest export.
        name: of the result; the tree's folder by default.
        protocol: what decides the digits and which rows there are; see `protocol`.
        detectors: the last one also runs with crops; () is what the protocol names.
        models: names of trained models in place of detectors, such as those of two rounds.
        classes: in order; () takes those that the tree names.
        scale: pixels of a dynamic input for a pixel of the image; 0 makes a median image as large
            as the fixed input.
        margin: how much mean AP TDC may lose and still count as not inferior, as a fraction.
        resamples: of the bootstrap over near-duplicate groups.
        split: a given split of the workspace, or FILE or NAME=FILE with one, in place of the
            tree's own lists.
        validation: most images of the training side, unseen by every model, that k is chosen on.
        timing: images that every system is timed on.
        images: most test images with objects, and most without, for a first look; None takes all.
        train_cropped: also train the last detector on TDC's crops of the training side.
        saliency, regression: the aesthetic crop's weights; None leaves its rows without figures.
        device: "auto", "cpu" or "cuda".
        force: replace a benchmark of the same name with other settings.
        tdc: what differs from TDC's settings elsewhere; its k is not chosen then.
        canny: thresholds of the edge crop.

    Raises:
        SettingsError: out of range.
    """

    voc: Path | None = field(default=None, metadata=OUTSIDE)
    name: str = ""
    protocol: ProtocolName = "modern"
    detectors: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    scale: float = 0.0
    margin: float = 0.005
    resamples: int = 1000
    validation: int = 200
    timing: int = 50
    images: int | None = None
    train_cropped: bool = False
    split: str = field(default="", metadata=OUTSIDE)  # may be a file anywhere
    saliency: Path | None = field(default=None, metadata=OUTSIDE)
    regression: Path | None = field(default=None, metadata=OUTSIDE)
    seed: int = 0
    device: Device = "auto"
    force: bool = False
    tdc: TdcKnobs = field(default_factory=TdcKnobs)
    canny: CannySettings = field(default_factory=CannySettings)

    def __post_init__(self) -> None:
        check_ranges(self, _RANGES)
        if (self.saliency is None) != (self.regression is None):
            raise SettingsError("saliency, regression: the aesthetic crop needs both files or none")
        if self.detectors and self.models:
            raise SettingsError("detectors, models: name the ones or the others")
        for key in ("detectors", "models"):
            names: tuple[str, ...] = getattr(self, key)
            if len(set(names)) < len(names):
                raise SettingsError(f"{key} {', '.join(names)}: one occurs twice")
        for name in self.detectors:
            if name not in DETECTORS:
                raise SettingsError(f"detector {name!r}: is none of {', '.join(DETECTORS)}")
        if self.protocol == "paper" and self.train_cropped:
            raise SettingsError(
                "train_cropped: the paper has no such row; leave it out, or choose protocol modern"
            )

    @property
    def rules(self) -> Protocol:
        """The protocol, with what the user chose in its place."""
        rules = PROTOCOLS[self.protocol]
        k = rules.k if self.tdc.k is None else self.tdc.k
        return replace(rules, knobs=self.tdc, k=k)
