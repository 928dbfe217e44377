import math

import pytest
import torch

from sixrayd.detectors.focal import focal, focal_loss
from sixrayd.detectors.losses import IGNORED
from tests.detectors.torchvision_models import torchvision_module


def test_loss_by_hand():
    # One matched prior of class 2, one background, one ignored.
    logits = torch.tensor([[[0.0, math.log(3)], [0.0, -90.0], [50.0, 50.0]]])
    classes = torch.tensor([[2, 0, IGNORED]])
    offsets = torch.tensor([[[2.0, 0.0, -1.0, 0.5], [9.0] * 4, [9.0] * 4]])

    loss = focal_loss((offsets, logits), (torch.zeros(1, 3, 4), classes))

    # A logit of 0 where 0 is wanted: 0.75 * 0.5² * log 2; of log 3 where 1 is: 0.25 * 0.25² * …
    wrong = 0.75 * 0.25 * math.log(2)
    right = 0.25 * 0.0625 * math.log(4 / 3)
    assert loss.offsets == pytest.approx(3.5)
    assert loss.classes == pytest.approx(2 * wrong + right)


def test_sums_are_divided_by_the_matched_priors_of_the_batch():
    logits = torch.zeros(2, 3, 1)
    classes = torch.tensor([[1, 1, 1], [1, 0, 0]])
    offsets = torch.ones(2, 3, 4)

    loss = focal_loss((offsets, logits), (torch.zeros(2, 3, 4), classes))

    assert loss.offsets == pytest.approx(4.0)
    assert loss.classes == pytest.approx((4 * 0.25 + 2 * 0.75) * 0.25 * math.log(2) / 4)


def test_an_image_without_boxes_teaches_confidence_and_nothing_else():
    logits = torch.zeros(1, 4, 2, requires_grad=True)
    offsets = torch.zeros(1, 4, 4, requires_grad=True)

    loss = focal_loss((offsets, logits), (torch.zeros(1, 4, 4), torch.zeros(1, 4).long()))
    loss.total.backward()

    assert loss.offsets == 0
    assert (logits.grad > 0).all()
    assert torch.equal(offsets.grad, torch.zeros(1, 4, 4))


def test_focal_equals_torchvision_s():
    theirs = torchvision_module("ops.focal_loss").sigmoid_focal_loss
    torch.manual_seed(0)
    logits = torch.randn(500, 5) * 4
    wanted = (torch.rand(500, 5) > 0.8).float()

    assert torch.allclose(focal(logits, wanted), theirs(logits, wanted), atol=1e-6)
