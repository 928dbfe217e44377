"""Suppression against OpenCV and published numbers, and decoding of whole batches."""

import cv2
import numpy as np
import pytest
import torch

from sixrayd.core.detections import Detections
from sixrayd.core.errors import SettingsError
from sixrayd.detectors.coding import Coding
from sixrayd.detectors.decoding import (
    DecodeSettings,
    decode_batch,
    merge,
    select_batch,
    suppress,
)

LEGACY = DecodeSettings(threshold=0.005, most=300, legacy=True)
# Six boxes by falling score. The second overlaps the first by 0.44 without the extra pixel and
# 0.467 with it, the fourth the third by 0.44 and 0.462.
CLOSE = torch.tensor(
    [
        [0.0, 0.0, 20.0, 20.0],
        [0.0, 11.2, 20.0, 20.0],
        [40.0, 0.0, 65.0, 10.0],
        [54.0, 0.0, 65.0, 10.0],
        [40.0, 40.0, 60.0, 60.0],
        [40.0, 40.0, 60.0, 61.0],
    ]
)


def _random_boxes(rng, count):
    corner = rng.uniform(0, 80, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(5, 40, (count, 2))], 1)


def _random_scores(rng, shape):
    """Scores in 0..1 without ties, few of them above a half."""
    return torch.from_numpy(rng.random(shape) ** 3).float()


def _opencv(boxes, scores, settings):
    """Survivors' places by falling score, of one class of one image."""
    as_xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
    kept = cv2.dnn.NMSBoxes(as_xywh.tolist(), scores.tolist(), settings.threshold, settings.iou)
    return sorted((int(i) for i in kept), key=lambda i: -scores[i])


@pytest.mark.parametrize("seed", range(20))
def test_suppression_equals_opencv(seed):
    rng = np.random.default_rng(seed)
    boxes, scores = _random_boxes(rng, 60), np.sort(rng.random(60))[::-1]

    ours = suppress(torch.from_numpy(boxes), torch.zeros(60), 0.45).tolist()

    assert ours == sorted(_opencv(boxes, scores, DecodeSettings(threshold=1e-9)))
    assert 5 < len(ours) < 60


@pytest.mark.parametrize("seed", range(5))
def test_a_batch_equals_opencv_image_by_image_and_class_by_class(seed):
    rng = np.random.default_rng(seed)
    settings = DecodeSettings(threshold=0.3, most=1000)
    boxes = torch.from_numpy(np.stack([_random_boxes(rng, 50) for _ in range(3)])).float()
    scores = _random_scores(rng, (3, 50, 2))
    scores[1] *= 0.2  # nothing above the threshold in the second image

    found = select_batch(boxes, scores, settings)

    assert [len(d.scores) > 5 for d in found] == [True, False, True]
    for image, one in enumerate(found):
        assert (np.diff(one.scores) <= 0).all()
        for label in range(2):
            places = _opencv(boxes[image].numpy(), scores[image, :, label].numpy(), settings)
            ours = one.labels == label
            assert one.scores[ours].tolist() == scores[image, places, label].tolist()
            assert one.xyxy[ours].tolist() == boxes[image, places].tolist()


def test_boxes_of_different_classes_do_not_suppress_each_other():
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0]] * 3)

    assert suppress(boxes, torch.tensor([0, 1, 0]), 0.45).tolist() == [0, 1]


def test_a_chain_of_overlaps_is_settled_from_the_best():
    # Each overlaps its neighbours alone: the first drops the second, so the third stays.
    boxes = torch.tensor([[4.0 * i, 0.0, 4.0 * i + 12.0, 10.0] for i in range(5)])

    assert suppress(boxes, torch.zeros(5), 0.45).tolist() == [0, 2, 4]


def test_legacy_overlaps_reach_one_pixel_further():
    none = torch.zeros(6)

    assert suppress(CLOSE, none, 0.45).tolist() == [0, 1, 2, 3, 4]
    # As Fast R-CNN's code, run on the same boxes, keeps them.
    assert suppress(CLOSE, none, 0.45, legacy=True).tolist() == [0, 2, 4]


def test_legacy_overlaps_are_of_the_images_pixels():
    scores = torch.linspace(0.9, 0.4, 6)[None, :, None]

    whole = select_batch(CLOSE[None], scores, LEGACY)[0]
    enlarged = select_batch(CLOSE[None], scores, LEGACY, torch.tensor([[100.0, 100.0]]))[0]

    assert whole.scores == pytest.approx([0.9, 0.7, 0.5])
    assert enlarged.scores == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5])
    assert enlarged.xyxy[1] == pytest.approx([0.0, 1120.0, 2000.0, 2000.0])


def test_legacy_keeps_scores_equal_to_the_last_one_kept():
    boxes = torch.arange(4.0)[:, None] * 50 + torch.tensor([0.0, 0.0, 10.0, 10.0])
    scores = torch.tensor([0.9, 0.5, 0.5, 0.4])[None, :, None]
    two = DecodeSettings(threshold=0.005, most=2, legacy=True)

    assert select_batch(boxes[None], scores, two)[0].scores.tolist() == pytest.approx(
        [0.9, 0.5, 0.5]
    )
    assert len(select_batch(boxes[None], scores, DecodeSettings(most=2))[0].scores) == 2


@pytest.mark.parametrize("most", [10, 4000])
def test_legacy_suppression_in_blocks_equals_all_at_once(most):
    rng = np.random.default_rng(0)
    boxes = torch.from_numpy(np.concatenate([_random_boxes(rng, 60) * 12 for _ in range(25)]))
    scores = _random_scores(rng, (1, 1500, 2)).double()
    settings = DecodeSettings(threshold=0.005, most=most, legacy=True)

    found = select_batch(boxes[None], scores, settings)[0]

    flat = scores[0].flatten()
    order = flat.argsort(descending=True)
    order = order[flat[order] > 0.005]
    kept = order[suppress(boxes[order // 2].float(), order % 2, 0.45, legacy=True)]
    assert len(order) > 1024
    assert found.scores.tolist() == flat[kept[:most]].tolist()
    assert found.labels.tolist() == (kept[:most] % 2).tolist()


def test_decoding_gives_boxes_by_falling_score():
    priors = torch.tensor([[10.0, 10.0, 10.0, 10.0], [40.0, 40.0, 20.0, 20.0]])
    logits = torch.tensor([[[0.0, 1.0, -9.0], [0.0, -9.0, 2.0]], [[9.0, 0.0, 0.0]] * 2])

    first, second = decode_batch((torch.zeros(2, 2, 4), logits, priors))

    assert first.xyxy.tolist() == [[30.0, 30.0, 50.0, 50.0], [5.0, 5.0, 15.0, 15.0]]
    assert first.labels.tolist() == [1, 0]
    assert first.scores == pytest.approx([0.88078, 0.73105], abs=1e-4)
    assert len(second.scores) == 0


def test_sigmoid_scores_have_no_background():
    priors = torch.tensor([[10.0, 10.0, 10.0, 10.0]])
    logits = torch.tensor([[[0.0, 2.0]]])

    found = decode_batch((torch.zeros(1, 1, 4), logits, priors), coding=Coding(scores="sigmoid"))

    assert found[0].labels.tolist() == [1, 0]
    assert found[0].scores == pytest.approx([0.880797, 0.5], abs=1e-6)
    assert found[0].xyxy.tolist() == [[5.0, 5.0, 15.0, 15.0]] * 2


def test_an_empty_batch_and_one_without_finds():
    priors = torch.zeros(3, 4)
    settings = DecodeSettings(legacy=True)

    assert decode_batch((torch.zeros(0, 3, 4), torch.zeros(0, 3, 2), priors)) == []
    outputs = (torch.zeros(1, 3, 4), torch.tensor([[[99.0, 0.0]] * 3]), priors)
    assert [len(d.scores) for d in decode_batch(outputs)] == [0]
    assert [d.xyxy.shape for d in decode_batch(outputs, settings)] == [(0, 4)]


def test_merging_averages_what_looks_agree_on_and_halves_what_one_alone_saw():
    both = [[0.0, 0.0, 10.0, 10.0]]
    first = Detections(
        np.array([*both, [50.0, 50.0, 60.0, 60.0]]), np.array([0.8, 0.6]), np.zeros(2, int)
    )
    second = Detections(np.array(both), np.array([0.6]), np.zeros(1, int))

    found = merge([first, second], DecodeSettings())

    assert found.xyxy.tolist() == [[0.0, 0.0, 10.0, 10.0], [50.0, 50.0, 60.0, 60.0]]
    assert found.scores == pytest.approx([0.7, 0.3])


def test_settings_out_of_range_are_refused():
    with pytest.raises(SettingsError, match="decoding: out of range"):
        DecodeSettings(threshold=0)
