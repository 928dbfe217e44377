"""What to compare, and how strictly."""

from dataclasses import dataclass, field
from pathlib import Path

from sixrayd.core.cores import Device
from sixrayd.core.errors import SettingsError
from sixrayd.core.settings_file import OUTSIDE
from sixrayd.detectors.catalogue import DETECTORS

PUBLISHED = ("ssd512", "retinanet512", "rfb512")  # the paper's three, its best one last
SMALL = ("ssd-small", "retinanet-small", "rfb-small")  # the same three for CPUs
THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5)
KERNELS = (3, 5, 9, 15)  # cells
LAYERS = (2, 9, 15)  # of the paper's ablation, Sec. 5.4


@dataclass(frozen=True, slots=True)
class BenchmarkSettings:
    """What to judge.

    Args:
        voc: a VOC tree; None takes the workspace's newest export.
        name: of the result; the tree's folder by default.
        detectors: the last one also runs with crops; () is the published three on a GPU, the
            small three without.
        classes: in order; () takes those that the tree names.
        scale: pixels of a dynamic input for a pixel of the image; 0 makes a median image as large
            as the fixed input.
        margin: how much mean AP TDC may lose and still count as not inferior, as a fraction.
        resamples: of the bootstrap over near-duplicate groups.
        split: a given split of the workspace, in place of the tree's own lists.
        validation: most images of the training side, unseen by every model, that k is chosen on.
        timing: images that every system is timed on.
        train_cropped: also train the last detector on TDC's crops of the training side.
        saliency, regression: the aesthetic crop's weights; None leaves its rows without figures.
        device: "auto", "cpu" or "cuda".
        force: replace a benchmark of the same name with other settings.

    Raises:
        SettingsError: out of range.
    """

    voc: Path | None = field(default=None, metadata=OUTSIDE)
    name: str = ""
    detectors: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    scale: float = 0.0
    margin: float = 0.005
    resamples: int = 1000
    validation: int = 200
    timing: int = 50
    train_cropped: bool = False
    split: str = ""
    saliency: Path | None = field(default=None, metadata=OUTSIDE)
    regression: Path | None = field(default=None, metadata=OUTSIDE)
    seed: int = 0
    device: Device = "auto"
    force: bool = False

    def __post_init__(self) -> None:
        for key, least in (("scale", 0), ("margin", 0), ("validation", 1), ("timing", 1)):
            if getattr(self, key) < least:
                raise SettingsError(f"{key} {getattr(self, key)}: needs to be at least {least}")
        if self.resamples < 1:
            raise SettingsError(f"resamples {self.resamples}: needs to be at least 1")
        if (self.saliency is None) != (self.regression is None):
            raise SettingsError("saliency, regression: the aesthetic crop needs both files or none")
        if len(set(self.detectors)) < len(self.detectors):
            raise SettingsError(f"detectors {', '.join(self.detectors)}: one occurs twice")
        for name in self.detectors:
            if name not in DETECTORS:
                raise SettingsError(f"detector {name!r}: is none of {', '.join(DETECTORS)}")
