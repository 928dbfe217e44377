"""The detectors by name."""

from collections.abc import Callable

from sixrayd.detectors.detector import Detector
from sixrayd.detectors.rfb import rfb512, rfb_small

# Each takes the number of classes without background.
DETECTORS: dict[str, Callable[[int], Detector]] = {"rfb-small": rfb_small, "rfb512": rfb512}
