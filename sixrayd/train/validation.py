"""Average precision on the images that a training holds out."""

import torch

from sixrayd.detectors.detector import Detector
from sixrayd.detectors.predictor import Predictor
from sixrayd.evaluation.average_precision import MeanAveragePrecision, mean_average_precision
from sixrayd.train.data import TrainingData


def validate(detector: Detector, data: TrainingData, device: torch.device) -> dict[str, float]:
    """VOC 2007 average precision by class, and "mean"; nothing where nothing is held out.

    Args:
        detector: may be changed.
    """
    if not data.validation:
        return {}
    predictor = Predictor(detector, device=device)
    images = (data.decode(record.image_id) for record in data.validation)
    found = predictor.detect_each(images, 8)
    ids = [record.image_id for record in data.validation]
    detections = dict(zip(ids, found, strict=True))
    truths = {record.image_id: data.truth(record) for record in data.validation}
    return _by_class(mean_average_precision(detections, truths, data.classes))


def _by_class(result: MeanAveragePrecision) -> dict[str, float]:
    present = [r for r in result.classes if r.positives]
    return {
        **{r.label: round(r.average_precision, 6) for r in present},
        "mean": round(result.mean, 6),
    }
