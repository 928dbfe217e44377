import cv2
import numpy as np
import pytest
import torch

from sixrayd.core.errors import SettingsError
from sixrayd.detectors.decoding import DecodeSettings, decode_batch, merge, suppress
from sixrayd.evaluation.matching import Detections


def _random_boxes(rng, count):
    corner = rng.uniform(0, 80, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(5, 40, (count, 2))], 1)


@pytest.mark.parametrize("seed", range(20))
def test_suppression_equals_opencv(seed):
    rng = np.random.default_rng(seed)
    boxes, scores = _random_boxes(rng, 60), np.sort(rng.random(60))[::-1]

    ours = suppress(torch.from_numpy(boxes), torch.zeros(60), 0.45).tolist()

    as_xywh = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
    theirs = cv2.dnn.NMSBoxes(as_xywh.tolist(), scores.tolist(), 0.0, 0.45)
    assert ours == sorted(int(i) for i in theirs)
    assert 5 < len(ours) < 60


def test_boxes_of_different_classes_do_not_suppress_each_other():
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0]] * 3)

    assert suppress(boxes, torch.tensor([0, 1, 0]), 0.45).tolist() == [0, 1]


def test_decoding_gives_boxes_by_falling_score():
    priors = torch.tensor([[10.0, 10.0, 10.0, 10.0], [40.0, 40.0, 20.0, 20.0]])
    logits = torch.tensor([[[0.0, 1.0, -9.0], [0.0, -9.0, 2.0]], [[9.0, 0.0, 0.0]] * 2])

    first, second = decode_batch((torch.zeros(2, 2, 4), logits, priors))

    assert first.xyxy.tolist() == [[30.0, 30.0, 50.0, 50.0], [5.0, 5.0, 15.0, 15.0]]
    assert first.labels.tolist() == [1, 0]
    assert first.scores == pytest.approx([0.88078, 0.73105], abs=1e-4)
    assert len(second.scores) == 0


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
