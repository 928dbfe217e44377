"""From images to detections: fixed and dynamic inputs, batches, the steps apart."""

import copy

import cv2
import numpy as np
import pytest
import torch

from sixrayd.core.detections import Detections
from sixrayd.core.errors import SettingsError
from sixrayd.detectors.backends import open_backend
from sixrayd.detectors.decoding import DecodeSettings
from sixrayd.detectors.predictor import (
    DynamicInput,
    Predictor,
    flip,
    input_wh,
    resized,
)
from sixrayd.detectors.rfb import rfb_small

FEW = DecodeSettings(threshold=0.2, most=20)


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(0)
    detector = rfb_small(2).eval()
    detector.initialise(background=0.6)
    return detector


def scan(width, height, seed=0):
    """A smooth random picture, so that resizing keeps it."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def assert_same(first, second, tolerance=1e-3):
    assert len(first.scores) == len(second.scores) > 0
    assert first.labels.tolist() == second.labels.tolist()
    assert np.abs(first.xyxy - second.xyxy).max() < tolerance
    assert np.abs(first.scores - second.scores).max() < 1e-4


@pytest.mark.parametrize(
    ("image_wh", "expected"),
    [
        ((640, 480), (640, 480)),
        ((650, 497), (640, 512)),  # to the nearest multiple, not to the next
        ((3000, 1500), (1024, 512)),  # scaled down to the upper limit
        ((100, 50), (576, 288)),  # scaled up to the lower limit
        ((4000, 40), (1024, 288)),  # too long for both: stretched
        ((1, 1), (288, 288)),
    ],
)
def test_a_dynamic_input_keeps_the_aspect_ratio_within_its_limits(detector, image_wh, expected):
    assert input_wh(image_wh, detector.form, DynamicInput()) == expected
    assert input_wh(image_wh, detector.form) == (384, 384)


def test_a_dynamic_input_stretches_by_half_a_multiple_at_most(detector):
    dynamic = DynamicInput(scale=0.7)
    sides = [(w, h) for w in range(450, 1400, 61) for h in range(450, 1400, 67)]

    inputs = np.array([input_wh(side, detector.form, dynamic) for side in sides])

    assert (inputs % 32 == 0).all()
    assert np.abs(inputs - 0.7 * np.array(sides)).max() <= 16
    stretch = inputs[:, 0] / inputs[:, 1] / (np.array(sides)[:, 0] / np.array(sides)[:, 1])
    assert np.abs(np.log(stretch)).max() < 0.09
    assert np.median(np.abs(np.log(stretch))) < 0.02


@pytest.mark.parametrize(
    "wrong", [{"scale": 0}, {"least_px": 300}, {"most_px": 256}, {"multiple": 0}]
)
def test_dynamic_inputs_out_of_range_are_refused(wrong):
    with pytest.raises(SettingsError, match="dynamic input"):
        DynamicInput(**wrong)


def test_images_of_one_batch_with_different_shapes_come_back_in_order(detector):
    predictor = Predictor(detector, FEW, dynamic=DynamicInput())
    images = [scan(404, 300, 1), scan(300, 404, 2), scan(405, 297, 3), scan(500, 300, 4)]

    batches = predictor.prepare(images)
    together = predictor.detect(images)

    assert [(tuple(b.x.shape[2:]), b.places) for b in batches] == [
        ((288, 416), (0, 2)),
        ((416, 288), (1,)),
        ((288, 512), (3,)),
    ]
    for image, found in zip(images, together, strict=True):
        assert_same(found, predictor.detect([image])[0])
        height, width = image.shape[:2]
        assert (found.xyxy >= 0).all()
        assert (found.xyxy <= [width, height, width, height]).all()


def test_the_steps_apart_give_what_detect_gives(detector):
    predictor = Predictor(detector, FEW)
    image = scan(500, 300)

    (batch,) = predictor.prepare([image])
    found = predictor.decode(predictor.forward(batch.x), batch.scale_wh)[0]
    in_input = predictor.decode(predictor.forward(batch.x))[0]

    assert batch.x.shape == (1, 3, 384, 384)
    assert batch.scale_wh[0].tolist() == pytest.approx([500 / 384, 300 / 384])
    whole = predictor.detect([image])[0]
    assert np.clip(found.xyxy, 0, [500, 300, 500, 300]) == pytest.approx(whole.xyxy)
    assert in_input.xyxy * ([500 / 384, 300 / 384] * 2) == pytest.approx(found.xyxy, abs=1e-3)
    assert predictor.detect([]) == [] == predictor.prepare([])


def test_a_dynamic_input_of_the_square_is_the_fixed_input(detector):
    image = scan(384, 384)

    fixed = Predictor(detector, FEW).detect([image])[0]
    dynamic = Predictor(detector, FEW, dynamic=DynamicInput()).detect([image])[0]

    assert_same(fixed, dynamic, tolerance=1e-9)


def test_priors_keep_pixels_or_fractions(detector):
    x = Predictor(detector, dynamic=DynamicInput(scale=2)).prepare([scan(384, 192)])[0].x
    assert x.shape == (1, 3, 384, 768)
    predictor = Predictor(detector)
    try:
        pixels = predictor.forward(x)[2][len(predictor.forward(x)[2]) // 2]
        detector.reading = "fractions"
        fractions = predictor.forward(x)[2][len(predictor.forward(x)[2]) // 2]
    finally:
        detector.reading = "pixels"

    assert fractions[:2].tolist() == pixels[:2].tolist()
    assert fractions[2:].tolist() == pytest.approx([2 * float(pixels[2]), float(pixels[3])])


def test_a_mirrored_look_finds_the_same_in_the_mirror_image(detector):
    predictor = Predictor(detector, FEW, mirror=True, dynamic=DynamicInput())
    image = scan(400, 300)

    found = predictor.detect([image])[0]
    mirrored = flip(predictor.detect([np.ascontiguousarray(image[:, ::-1])])[0], 400)

    assert len(found.scores) == len(mirrored.scores) > 0
    assert found.scores == pytest.approx(mirrored.scores, abs=0.05)


def test_flipping_puts_boxes_back():
    found = Detections(np.array([[1.0, 2.0, 11.0, 22.0]]), np.array([0.5]), np.array([1]))

    assert flip(found, 100).xyxy.tolist() == [[89.0, 2.0, 99.0, 22.0]]


def test_the_backend_that_is_given_runs_the_network(detector):
    shapes = []
    torch_backend = open_backend("torch", detector, torch.device("cpu"))

    def backend(x):
        shapes.append(tuple(x.shape))
        return torch_backend(x)

    given = Predictor(detector, FEW, backend=backend, mirror=True)
    images = [scan(400, 300, 1), scan(300, 400, 2)]

    found = given.detect(images)

    assert shapes == [(2, 3, 384, 384)] * 2  # the images, then their mirror images
    for ours, theirs in zip(
        found, Predictor(detector, FEW, mirror=True).detect(images), strict=True
    ):
        assert_same(ours, theirs, tolerance=1e-9)


def test_the_weights_are_those_of_the_moment(detector):
    trained = copy.deepcopy(detector)
    predictor = Predictor(trained, FEW)
    before = predictor.detect([scan(400, 300)])[0]

    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.mul_(1.5)

    assert_same(predictor.detect([scan(400, 300)])[0], before, tolerance=1e-9)


def test_images_are_resized_by_opencv_whatever_their_sizes():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (h, 170, 3), dtype=np.uint8) for h in (130, 40)]

    found = resized(images, (96, 224), torch.device("cpu"))

    assert found.dtype == torch.uint8
    assert np.array_equal(found.numpy(), np.stack([cv2.resize(i, (96, 224)) for i in images]))
