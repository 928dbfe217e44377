"""The detectors by name."""

from collections.abc import Callable

from sixrayd.detectors.detector import Detector
from sixrayd.detectors.retinanet import retinanet512, retinanet_small
from sixrayd.detectors.rfb import rfb300, rfb512, rfb_small
from sixrayd.detectors.ssd import ssd300, ssd512, ssd_small

# Each takes the number of classes without background.
DETECTORS: dict[str, Callable[[int], Detector]] = {
    "rfb-small": rfb_small,
    "ssd-small": ssd_small,
    "retinanet-small": retinanet_small,
    "rfb300": rfb300,
    "rfb512": rfb512,
    "ssd300": ssd300,
    "ssd512": ssd512,
    "retinanet512": retinanet512,
}
