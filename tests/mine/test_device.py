"""Looking on another device than the CPU: nothing is left behind, and nobody waits in vain."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sixrayd.core.classes import ClassList
from sixrayd.crop.settings import SHARED, TdcSettings
from sixrayd.crop.tdc_forms import SharedTdc, TdcCropper
from sixrayd.detectors.catalogue import DETECTORS
from sixrayd.detectors.checkpoints import Checkpoint, build_detector, save_weights
from sixrayd.detectors.decoding import DecodeSettings
from sixrayd.detectors.predictor import DynamicInput, Predictor
from sixrayd.mine.inference import InferenceSettings, open_inference
from tests.elsewhere import AWAY, Elsewhere
from tests.marks import some_long

# The large ones are made of the same blocks and heads.
LARGE = ("rfb300", "rfb512", "ssd300", "ssd512", "retinanet512")
EACH = some_long(DETECTORS, LARGE)
pytestmark = pytest.mark.filterwarnings(
    "ignore:CUDA is not available", "ignore:User provided device"
)
IMAGES = [
    np.random.default_rng(n).integers(0, 256, (h, 150, 3), dtype=np.uint8)
    for n, h in enumerate((110, 150, 96))
]
FEW = DecodeSettings(threshold=0.02, most=20)


def random_detector(name):
    torch.manual_seed(0)
    detector = build_detector(name, ClassList(("Gun", "Knife")))
    detector.initialise(0.9)
    return detector.eval()


def assert_same(found, expected):
    assert len(found) == len(expected) > 0
    for ours, theirs in zip(found, expected, strict=True):
        assert len(theirs.labels) > 0
        assert np.array_equal(ours.labels, theirs.labels)
        assert np.allclose(ours.scores, theirs.scores, atol=1e-6)
        assert np.allclose(ours.xyxy, theirs.xyxy, atol=1e-3)


@pytest.mark.parametrize("name", EACH)
def test_every_detector_finds_there_what_it_finds_here(name):
    detector = random_detector(name)
    dynamic = DynamicInput(least_px=288, most_px=320)
    here = Predictor(detector, FEW, dynamic=dynamic).detect(IMAGES[:1])

    with Elsewhere():
        there = Predictor(detector, FEW, device=AWAY, dynamic=dynamic).detect(IMAGES[:1])

    assert_same(there, here)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    detector = random_detector("rfb-small")
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    checkpoint = Checkpoint("rfb-small", detector, ClassList(("Gun", "Knife")))
    save_weights(path, checkpoint, detector.state_dict())
    return path


WAYS = {
    "plain": {},
    "mirror": {"mirror": True},
    "dynamic": {"dynamic": True},
    "dynamic mirror": {"dynamic": True, "mirror": True},
    "tdc": {"crop": "tdc"},
    "shared": {"crop": "tdc", "tdc": replace(SHARED, layer=4), "mirror": True},
    "tiles": {"crop": "tiles"},
    "cascade": {"first_threshold": 0.01},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.long
def test_every_way_of_looking_finds_there_what_it_finds_here(monkeypatch, weights, way):
    settings = {"threshold": 0.05, "mirror": False, **WAYS[way]}
    first = weights if way == "cascade" else None
    here = open_inference(weights, InferenceSettings(**settings), first).detect(IMAGES)

    with Elsewhere():
        monkeypatch.setattr("sixrayd.mine.inference.pick_device", lambda name: AWAY)
        there = open_inference(weights, InferenceSettings(**settings), first).detect(IMAGES)

    assert_same(there, here)


@pytest.mark.parametrize("form", ["exact", "fast", "shared"])
def test_cropping_keeps_there_what_it_keeps_here(form):
    detector = random_detector("ssd-small")
    settings = TdcSettings(form=form, layer=3, border="zeros")
    here = TdcCropper(detector, settings).regions(IMAGES)
    x = torch.rand(2, 3, 256, 256)

    with Elsewhere():
        there = TdcCropper(detector, settings, AWAY)
        assert there.regions(IMAGES) == here
        if form == "shared":
            results = SharedTdc(there.detector, settings)(x.to(AWAY))
            assert [r.x2 > r.x1 for _, r in results] == [True, True]
            assert [outputs[2].device for outputs, _ in results] == [AWAY] * 2


@pytest.mark.parametrize("dynamic", [None, DynamicInput(least_px=288, most_px=288)])
@pytest.mark.parametrize("mirror", [False, True])
def test_a_batch_waits_for_its_detections_alone(mirror, dynamic):
    detector = random_detector("rfb-small")
    with Elsewhere() as elsewhere:
        predictor = Predictor(detector, FEW, device=AWAY, mirror=mirror, dynamic=dynamic)
        predictor.detect(IMAGES)  # which sends the priors and the input's mean
        elsewhere.waits.clear()

        predictor.detect(IMAGES)

    # All detections in one copy, once suppression has said that it is done.
    assert elsewhere.waits == {"download": 1, "equal": 1}
