"""Ways of looking, each compared with its steps done by hand; the detector has learnt nothing."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from sixrayd.core.classes import ClassList
from sixrayd.core.detections import Detections
from sixrayd.core.errors import CheckpointError, SettingsError
from sixrayd.crop.region import cut, map_back
from sixrayd.crop.settings import FAST, SHARED
from sixrayd.crop.tdc_forms import SharedTdc, TdcCropper
from sixrayd.detectors.checkpoints import (
    Checkpoint,
    build_detector,
    load_checkpoint,
    save_weights,
)
from sixrayd.detectors.decoding import DecodeSettings, merge
from sixrayd.detectors.predictor import DynamicInput, Predictor, clipped, flip
from sixrayd.mine.inference import InferenceSettings, image_score, open_first, open_inference
from sixrayd.mine.tiles import chosen, merge_tiles, tile_regions
from tests.detectors.seeded import seeded_image
from tests.marks import some_long

PLAIN = InferenceSettings(threshold=0.38, mirror=False)
SHARING = replace(PLAIN, crop="tdc", tdc=replace(SHARED, layer=4))
WAYS = {
    "plain": PLAIN,
    "mirror": replace(PLAIN, mirror=True),
    "dynamic": replace(PLAIN, dynamic=True),
    "scaled": replace(PLAIN, dynamic=True, scale=2.0),
    "tdc": replace(PLAIN, crop="tdc"),
    "shared": SHARING,
    "shared dynamic": replace(SHARING, dynamic=True, mirror=True),
    "tiles": replace(PLAIN, crop="tiles"),
    "dynamic tiles": replace(PLAIN, crop="tiles", dynamic=True, mirror=True),
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return save(tmp_path_factory.mktemp("looking") / "weights.safetensors", seed=0, size=192)


def save(path, seed, size):
    torch.manual_seed(seed)
    classes = ClassList(("Gun", "Knife"))
    detector = build_detector("rfb-small", classes, size)
    detector.initialise()
    for head in detector.heads.classes:
        head.weight.data *= 0.5  # a few dozen detections an image, with scores well apart
    save_weights(path, Checkpoint("rfb-small", detector, classes), detector.state_dict())
    return path


def several():
    """Images of several sizes and shapes."""
    sizes_wh = [(96, 96), (240, 100), (96, 96), (100, 240), (97, 96)]
    return [seeded_image(f"look {n}", h, w) for n, (w, h) in enumerate(sizes_wh)]


def belt(width, height):
    """White, with something in a part of it."""
    image = np.full((height, width, 3), 255, np.uint8)
    thing = seeded_image("belt", height // 3, width // 4)
    image[20 : 20 + len(thing), 30 : 30 + thing.shape[1]] = thing
    return image


def by_hand(weights, threshold=PLAIN.threshold, **how):
    return Predictor(load_checkpoint(weights).detector, DecodeSettings(threshold), **how)


def assert_same(first, second):
    np.testing.assert_allclose(first.xyxy, second.xyxy, atol=1e-2)
    np.testing.assert_allclose(first.scores, second.scores, atol=1e-5)
    np.testing.assert_array_equal(first.labels, second.labels)


def assert_all_same(first, second):
    assert len(first) == len(second) > 0
    assert sum(len(found.scores) for found in first) > 10
    for one, other in zip(first, second, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("way", some_long(WAYS, ("dynamic tiles",)))
def test_other_images_of_the_list_change_nothing(weights, way):
    inference = open_inference(weights, WAYS[way])
    images = several()

    together = inference.detect(images)

    assert len(together) == len(images)
    assert sum(len(found.scores) for found in together) > 3
    for image, found in zip(images, together, strict=True):
        assert_same(inference.detect([image])[0], found)
        assert (np.diff(found.scores) <= 0).all()
        assert (found.scores > PLAIN.threshold).all()
        assert (found.xyxy >= 0).all()
        assert (found.xyxy[:, 2:] <= (image.shape[1], image.shape[0])).all()


@pytest.mark.parametrize("way", WAYS)
def test_no_images_no_detections(weights, way):
    assert open_inference(weights, WAYS[way]).detect([]) == []


def test_the_plain_look_is_the_predictors(weights):
    images = several()

    assert_all_same(open_inference(weights, PLAIN).detect(images), by_hand(weights).detect(images))


def test_what_mirrored_looks_disagree_on_falls_below_the_threshold(weights):
    images = several()
    merged = by_hand(weights, mirror=True).detect(images)
    above = [found.scores > PLAIN.threshold for found in merged]

    found = open_inference(weights, WAYS["mirror"]).detect(images)

    expected = zip(merged, above, strict=True)
    assert_all_same(found, [Detections(d.xyxy[k], d.scores[k], d.labels[k]) for d, k in expected])
    assert not all(kept.all() for kept in above)


def test_a_given_scale_is_the_dynamic_inputs(weights):
    images = several()
    predictor = by_hand(weights, dynamic=DynamicInput(2.0, 32, 32, 1536))

    assert_all_same(
        open_inference(weights, WAYS["scaled"]).detect(images), predictor.detect(images)
    )


@pytest.mark.parametrize(("size_wh", "scale"), [((96, 96), 2.0), ((300, 75), 2 ** (3 / 8))])
def test_dynamic_input_has_as_many_pixels_as_the_square(weights, size_wh, scale):
    image = seeded_image("dynamic", size_wh[1], size_wh[0])
    predictor = by_hand(weights, dynamic=DynamicInput(scale, 32, 32, 1536))

    found = open_inference(weights, WAYS["dynamic"]).detect([image])

    assert_all_same(found, predictor.detect([image]))  # 192 x 192, and 384 x 96


@pytest.mark.long
def test_tiles_are_the_whole_and_four_parts(weights):
    images = several()
    predictor = by_hand(weights)
    expected = []
    for image in images:
        size_wh = (image.shape[1], image.shape[0])
        tiles = {
            tile: map_back(predictor.detect([cut(image, tile)])[0], tile)
            for tile in tile_regions(size_wh, 2)
        }
        whole = predictor.detect([image])[0]
        expected.append(merge_tiles(whole, tiles, size_wh, predictor.settings))

    assert_all_same(open_inference(weights, WAYS["tiles"]).detect(images), expected)


def test_tdc_looks_at_the_busy_part_alone(weights):
    images = [belt(600, 200), belt(150, 200)]
    predictor = by_hand(weights, threshold=0.2)
    regions = [TdcCropper(predictor.detector, FAST)(image) for image in images]
    parts = [cut(image, region) for image, region in zip(images, regions, strict=True)]
    seen = zip(predictor.detect(parts), regions, strict=True)

    found = open_inference(weights, replace(WAYS["tdc"], threshold=0.2)).detect(images)

    assert_all_same(found, [map_back(d, region) for d, region in seen])
    assert regions[0].area < 600 * 200


@pytest.mark.long
@pytest.mark.parametrize("mirror", [False, True])
def test_the_shared_form_goes_on_from_the_cropped_map(weights, mirror):
    images = several()
    predictor = by_hand(weights)
    shared = SharedTdc(predictor.detector, WAYS["shared"].tdc)
    expected, removed = [], []
    for image in images:
        batch = predictor.prepare([image])[0]
        outputs, region = shared(batch.x)[0]
        found = predictor.decode(outputs, batch.scale_wh)[0]
        if mirror:
            turned = predictor.decode(shared(batch.x.flip(3))[0][0], batch.scale_wh)[0]
            found = merge([found, flip(turned, image.shape[1])], predictor.settings)
            found = chosen(found, found.scores > PLAIN.threshold)
        expected.append(clipped(found, image))
        removed.append(1 - region.area / 192**2)

    looks = open_inference(weights, replace(WAYS["shared"], mirror=mirror)).look(images)

    assert_all_same([look.found for look in looks], expected)
    assert [look.removed for look in looks] == pytest.approx(removed)
    assert max(removed) > 0.2


def test_a_cascade_reports_the_second_where_the_first_is_sure_enough(weights, tmp_path):
    images = several()
    small = save(tmp_path / "first.safetensors", seed=1, size=96)
    settings = WAYS["tiles"]
    first = [image_score(found) for found in open_first(small, settings).detect(images)]
    assert len(set(first)) == len(images)
    threshold = sorted(first)[2] - 1e-5
    second = open_inference(weights, settings).detect(images)

    cascade = open_inference(weights, replace(settings, first_threshold=threshold), first=small)
    found = cascade.detect(images)

    assert cascade.classes == ("Gun", "Knife")
    passed = [place for place, score in enumerate(first) if score >= threshold]
    assert len(passed) == 3
    assert_all_same([found[place] for place in passed], [second[place] for place in passed])
    assert [len(found[place].scores) for place in range(5) if place not in passed] == [0, 0]


def test_a_cascade_at_nought_passes_everything(weights):
    images = several()
    cascade = open_inference(weights, PLAIN, first=weights)

    assert_all_same(cascade.detect(images), open_inference(weights, PLAIN).detect(images))


def test_the_first_look_is_plain_and_misses_no_score(weights):
    images = several()
    detector = load_checkpoint(weights).detector
    every = Predictor(detector, DecodeSettings(threshold=1e-4)).detect(images)

    found = open_first(weights, replace(WAYS["dynamic tiles"], threshold=0.9)).detect(images)

    np.testing.assert_allclose(
        [image_score(d) for d in found], [image_score(d) for d in every], atol=1e-6
    )
    assert max(len(d.scores) for d in found) == 8


def test_an_image_without_detections_scores_nought():
    assert image_score(Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))) == 0.0


@pytest.mark.parametrize("way", some_long(("dynamic", "tdc", "shared", "tiles"), ("tdc", "tiles")))
def test_threads_may_share_a_look(weights, way):
    inference = open_inference(weights, WAYS[way])
    lists = [several()[n:] for n in range(4)]
    alone = [inference.detect(images) for images in lists]

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(inference.detect, lists))

    for one, other in zip(alone, together, strict=True):
        for first, second in zip(one, other, strict=True):
            assert_same(first, second)


def test_the_backend_is_the_settings(weights):
    with pytest.raises(SettingsError, match="backend 'abacus': expected auto"):
        open_inference(weights, replace(PLAIN, backend="abacus"))


@pytest.mark.long
def test_int8_belongs_to_one_detector_so_the_first_has_none(weights):
    pytest.importorskip("openvino")
    eight = replace(PLAIN, backend="openvino-int8")
    image = several()[0]

    with pytest.raises(SettingsError, match="openvino-int8: needs a network that `quantise` wrote"):
        open_inference(weights, eight)
    first = open_first(weights, eight)
    assert image_score(first.detect([image])[0]) == pytest.approx(
        image_score(open_first(weights, PLAIN).detect([image])[0]), abs=0.02
    )


def test_settings_travel_to_workers():
    assert pickle.loads(pickle.dumps(WAYS)) == WAYS


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"crop": "canny"}, "crop 'canny': is none of none, tdc, tiles"),
        ({"threshold": 0.0}, "threshold 0.0: needs to lie between 0 and 1"),
        ({"first_threshold": 1.5}, "first threshold 1.5: needs to be 0 to 1"),
        (
            {"scale": float("inf"), "dynamic": True},
            "scale inf: needs to be a positive number, or 0",
        ),
        ({"scale": 2.0}, "scale 2: is for dynamic input without tiles; leave it at 0"),
        (
            {"scale": 2.0, "dynamic": True, "crop": "tiles"},
            "scale 2: is for dynamic input without tiles; leave it at 0",
        ),
    ],
)
def test_settings_out_of_range_are_refused(changed, message):
    with pytest.raises(SettingsError) as caught:
        replace(PLAIN, **changed)
    assert str(caught.value) == message


def test_a_first_threshold_needs_a_first_detector(weights):
    with pytest.raises(SettingsError) as caught:
        open_inference(weights, replace(PLAIN, first_threshold=0.5))
    assert str(caught.value) == "first threshold 0.5: needs a cascade"


def test_weights_that_are_none_are_refused(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"none")

    with pytest.raises(CheckpointError, match=r"weights\.safetensors: not readable weights"):
        open_inference(tmp_path / "weights.safetensors", PLAIN)
