"""Priors of any shape: placed by stride, made once."""

import pytest
import torch

from sixrayd.detectors.priors import PriorLevel, PriorPlan, make_priors, ssd_level
from sixrayd.detectors.rfb import rfb_small

PLAN = PriorPlan((PriorLevel(8, ((10.0, 6.0), (4.0, 4.0))), PriorLevel(16, ((20.0, 20.0),))))


def test_priors_lie_by_map_row_column_and_shape():
    priors = make_priors(PLAN, ((1, 2), (1, 1)), (8, 16))

    assert priors.tolist() == [
        [4.0, 4.0, 10.0, 6.0],
        [4.0, 4.0, 4.0, 4.0],
        [12.0, 4.0, 10.0, 6.0],
        [12.0, 4.0, 4.0, 4.0],
        [8.0, 8.0, 16.0, 8.0],  # clipped to the input of 16 × 8
    ]


def test_fractions_scale_shapes_and_not_centres():
    plan = PriorPlan(PLAN.levels[:1], clipped=False)

    priors = make_priors(plan, ((1, 2),), (8, 16), (2.0, 0.5))

    assert priors[2].tolist() == [12.0, 4.0, 20.0, 3.0]


def test_a_level_by_ssd_lies_and_stands():
    level = ssd_level(8, 30.0, 60.0, (4.0,))

    assert level.count == 4
    assert level.shapes[0] == (30.0, 30.0)
    assert level.shapes[1] == pytest.approx((42.4264, 42.4264))
    assert level.shapes[2:] == ((60.0, 15.0), (15.0, 60.0))


def test_a_shape_seen_before_costs_nothing():
    detector = rfb_small(2).eval()
    x = torch.zeros(1, 3, 224, 320)
    with torch.inference_mode():
        first, second = detector(x)[2], detector(x)[2]
        other = detector(torch.zeros(1, 3, 320, 224))[2]

    assert first is second
    assert first.shape == other.shape
    assert not torch.equal(first, other)
