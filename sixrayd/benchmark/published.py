"""The paper's tables 3 and 4, to stand beside ours.

Source: Nguyen et al. 2022 (doi:10.3390/mi13040565), Sec. 5.2 and 5.3.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sixrayd.benchmark.results import System

DEVICE = "NVIDIA GTX 1080 Ti"
TEST_IMAGES = 836
INPUT_PX = 512
CLASSES = ("Pliers", "Gun", "Wrench", "Scissors", "Knife")
LABEL = f"the paper: SIXray-D test set, {TEST_IMAGES} images, GTX 1080 Ti"
NOTE = (
    "The paper’s printed means do not all follow from its classes, so the mean of the five is given"
    " too. Its numbers come from other images and another machine: only differences between rows of"
    " one table compare with ours."
)


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One row as printed; average precisions are 0..100, VOC 2007 at IoU 0.5.

    Args:
        detector, method: of our systems, what the row is about.
        values: in the order of `CLASSES`.
        seconds: for an image; table 4 only.
        less_time: per cent, as printed.
    """

    title: str
    detector: str
    method: str
    values: tuple[float, ...]
    printed: float
    seconds: float | None = None
    less_time: float | None = None

    @property
    def recomputed(self) -> float:
        """Mean of the printed classes."""
        return sum(self.values) / len(self.values)


FIXED = (
    PublishedRow("SSD-512", "ssd512", "none", (87.03, 96.31, 84.73, 84.04, 82.51), 86.92),
    PublishedRow("RetinaNet", "retinanet512", "none", (82.73, 84.51, 75.69, 79.95, 74.64), 81.50),
    PublishedRow("RFB-512", "rfb512", "none", (88.78, 96.13, 85.92, 84.73, 83.22), 87.76),
    PublishedRow("RFB + Canny", "rfb512", "canny", (88.79, 95.85, 86.12, 86.04, 83.93), 88.16),
    PublishedRow(
        "RFB + aesthetic", "rfb512", "aesthetic", (89.43, 96.32, 86.17, 85.48, 83.43), 88.38
    ),
    PublishedRow("RFB + TDC", "rfb512", "tdc", (89.52, 96.63, 86.19, 87.57, 84.37), 88.86),
)
DYNAMIC = (
    PublishedRow("RFB", "rfb512", "none", (90.83, 98.67, 87.26, 91.65, 83.01), 90.28, 2.394),
    PublishedRow(
        "RFB + Canny", "rfb512", "canny", (89.84, 97.93, 88.20, 90.80, 84.69), 90.29, 2.271, 5.13
    ),
    PublishedRow(
        "RFB + aesthetic",
        "rfb512",
        "aesthetic",
        (90.52, 98.36, 88.76, 89.31, 83.90),
        90.37,
        2.221,
        7.23,
    ),
    PublishedRow(
        "RFB + TDC", "rfb512", "tdc", (91.07, 98.54, 88.51, 92.32, 82.78), 90.60, 2.192, 8.44
    ),
)
BY_TABLE = {"fixed": FIXED, "dynamic": DYNAMIC}


def family(detector: str) -> str:
    """The kind of a detector of any size: `rfb512` and `rfb-lite0` are of `rfb`."""
    return re.split(r"[-\d]", detector)[0]


def in_order(classes: Iterable[str]) -> tuple[str, ...]:
    """Classes as the paper orders them; those that it does not have stand last."""
    places = {name.casefold(): place for place, name in enumerate(CLASSES)}
    return tuple(sorted(classes, key=lambda name: places.get(name.casefold(), len(places))))


def find_row(table: str, system: System, *, by_family: bool) -> PublishedRow | None:
    """The paper's row for a system, if it has one.

    Args:
        by_family: whether its detector may be of another size.
    """
    if system.reading != "pixels" or system.learnt != "images":
        return None
    for row in BY_TABLE.get(table, ()):
        same = family if by_family else str
        if same(row.detector) == same(system.detector) and row.method == system.crop.method:
            return row
    return None
