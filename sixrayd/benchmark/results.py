"""What a benchmark measures, as the report and the tables show it."""

from dataclasses import dataclass, field

from sixrayd.core.words import counted
from sixrayd.crop.settings import EXACT
from sixrayd.evaluation.bootstrap import Difference, Interval


@dataclass(frozen=True, slots=True)
class Crop:
    """How images are cropped before detection; what a method does not use keeps its default."""

    method: str = "none"  # "none", "canny", "aesthetic", "smart" or "tdc"
    form: str = "exact"  # of tdc: "exact", "fast" or "shared"
    layer: int = 9  # of tdc: number of the convolution
    kernel: int = 9  # of tdc's median filter
    kernel_unit: str = "cells"  # or "pixels"
    k: float = 0.15  # of tdc: threshold, 0..1
    border: str = EXACT.border  # of tdc: what convolutions see beyond the image
    axes: str = "both"  # of tdc: or "columns" or "rows"
    numbering: str = "convolution"  # of tdc: what layers count, or "module"


@dataclass(frozen=True, slots=True)
class System:
    """A detector, a crop and an input: what a row of a table is about."""

    key: str  # also the name of its files
    detector: str
    model: str  # name of the weights
    crop: Crop
    input: str  # "fixed" or "dynamic"
    reading: str = "pixels"  # what priors keep on a dynamic input: "pixels" or "fractions"
    learnt: str = "images"  # what its weights were trained on: whole "images", or "crops"
    entry: str = ""  # what was asked for: a detector, or a model by name


@dataclass(frozen=True, slots=True)
class Seconds:
    """Time for an image, one at a time."""

    median: float
    p99: float


STEPS = ("decode", "crop", "detect", "nms", "total")


@dataclass(frozen=True, slots=True)
class Times:
    """A system's time for an image by step; `total` is measured as a whole."""

    decode: Seconds
    crop: Seconds
    detect: Seconds
    nms: Seconds
    total: Seconds


@dataclass(frozen=True, slots=True)
class CropLoss:
    """What a crop removes over all test images."""

    area_removed: float  # mean share of the image, 0..1
    objects: int
    objects_cut: int
    objects_lost: int


@dataclass(frozen=True, slots=True)
class Alarm:
    """False alarms at the threshold that reaches a recall; None where it is never reached."""

    recall: float
    images_per_1000: float | None
    boxes_per_1000: float | None
    among: str = ""  # "confusing" negatives, or "plain" ones; empty for all


@dataclass(frozen=True, slots=True)
class WorstCase:
    """An image where a system does worst against its reference, for people to look at."""

    image_id: str
    missed: int  # objects that the reference finds and this system does not
    region: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Row:
    """One system's figures; average precisions are 0..1, None where no object counts.

    Args:
        difference: of the VOC 2007 mean from the same detector and input without a crop.
        by_size, by_origin: VOC 2007 means over the objects of one kind alone.
    """

    system: System
    voc07: Interval
    voc10: Interval
    coco: float | None
    classes: dict[str, float | None]
    difference: Difference | None
    by_size: dict[str, float | None]
    by_origin: dict[str, float | None]
    alarms: tuple[Alarm, ...]
    cost: CropLoss
    times: Times | None
    worst: tuple[WorstCase, ...] = ()


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """One threshold and kernel of TDC on the validation images."""

    k: float
    kernel: int
    mean: float  # VOC 2007, 0..1
    area_removed: float
    objects_cut: int
    objects_lost: int


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Which weights were judged, and what they had seen."""

    name: str
    detector: str
    epochs: int
    seed: int
    images_seen: int
    validation: float | None  # VOC 2007 mean on what training held out
    start: str  # weights it began from, or "random"
    sha256: str = ""  # of the weights
    input_px: int = 0  # side of its fixed input

    @property
    def title(self) -> str:
        """What a reader must know of it."""
        of = f", sha256 {self.sha256[:12]}" if self.sha256 else ""
        return (
            f"{self.name} ({self.detector}, {counted(self.epochs, 'epoch')}, seed {self.seed}, "
            f"from {self.start}{of})"
        )


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """Which images were learnt from and which judged.

    Args:
        name: of the split; empty for the tree's own lists.
        file: that it was read from, if any.
        train, test: images.
        crossing_groups: groups of near-duplicates on both sides.
        crossing_images: test images that such a group holds.
    """

    name: str
    file: str
    train: int
    test: int
    crossing_groups: int
    crossing_images: int

    @property
    def title(self) -> str:
        """What a reader calls it."""
        if not self.name:
            return "the tree's own lists"
        return f"split {self.name}" + (f" of {self.file}" if self.file else "")

    @property
    def crossing(self) -> str:
        """What near-duplicates make of it, in words."""
        return (
            f"{self.crossing_groups} groups of near-duplicates on both sides, "
            f"{self.crossing_images} of {self.test} test images in them"
        )


UNSAID = "not said"  # of what the paper leaves open


@dataclass(frozen=True, slots=True)
class Departure:
    """Something that this benchmark did in another way than the paper, or may have."""

    what: str
    ours: str
    paper: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows by key under a title; a row of `absent` says why it has no figures."""

    name: str  # "fixed", "dynamic", "layers" or "forms"
    title: str
    rows: tuple[str, ...]
    absent: dict[str, str] = field(default_factory=dict)  # label → why


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that the report shows."""

    name: str
    tree: str
    classes: tuple[str, ...]
    images: dict[str, int]  # "train", "validation", "test", "negatives"
    objects: dict[str, int]  # class → objects of the test side
    models: tuple[ModelFacts, ...]
    rows: tuple[Row, ...]
    tables: tuple[Table, ...]
    sweep: tuple[SweepPoint, ...]
    chosen_k: float
    margin: float  # of non-inferiority, declared before the run
    resamples: int
    device: str
    precision: str
    command: str
    notes: tuple[str, ...] = ()
    protocol: str = "modern"
    split: SplitFacts | None = None
    departures: tuple[Departure, ...] = ()  # of the paper's protocol alone
    k_from: str = ""  # where k comes from
    k_edge: str = ""  # says so where the sweep chose the least or the greatest k it tried

    def row(self, key: str) -> Row:
        """The row of a system."""
        return next(row for row in self.rows if row.system.key == key)
