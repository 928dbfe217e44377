"""A detector's network in int8, calibrated on images."""

from collections.abc import Iterable
from pathlib import Path

from sixrayd.core.arrays import RGBImage
from sixrayd.core.errors import SettingsError
from sixrayd.detectors.backend_openvino import write_quantised
from sixrayd.detectors.backends import weights_sha256
from sixrayd.detectors.detector import Detector
from sixrayd.detectors.folding import Network
from sixrayd.detectors.predictor import Predictor


def quantise(detector: Detector, images: Iterable[RGBImage], path: Path) -> None:
    """Write a detector's network in int8 for "openvino-int8", whole or not at all.

    Args:
        images: to calibrate with: such as it will see, but none that it is judged on. The same
            images give the same bytes. They are taken in the detector's square: on dynamic inputs
            int8 strays further.

    Raises:
        SettingsError: no images.
        ServiceError: openvino or nncf is not installed.
    """
    prepare = Predictor(detector).prepare
    inputs = (prepare([image])[0].x for image in images)
    arrays = [x.contiguous().cpu().numpy() for x in inputs]
    if not arrays:
        raise SettingsError("quantise: no images to calibrate with")
    write_quantised(Network(detector), arrays, path, weights_sha256(detector))
