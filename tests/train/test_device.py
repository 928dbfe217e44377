"""Training steps on another device than the CPU: nothing is left behind."""

import numpy as np
import pytest
import torch

from sixrayd.detectors.catalogue import DETECTORS
from sixrayd.train.examples import Example, ExampleSet
from sixrayd.train.fit import Fit
from sixrayd.train.settings import RECIPES
from tests.elsewhere import AWAY, Elsewhere, is_away

pytestmark = pytest.mark.filterwarnings(
    "ignore:CUDA is not available", "ignore:User provided device"
)


def examples(side):
    """A grey image with two boxes, and three without."""
    boxed = Example("P1", ((20.0, 20.0, 90.0, 70.0), (100.0, 100.0, 140.0, 150.0)), (1, 2))
    image = np.full((160, 160, 3), 90, np.uint8)
    return ExampleSet((boxed,), (Example("N1", (), ()),) * 3, lambda _: image, 3.0, 1.0, side, 0)


def away_fit(name):
    torch.manual_seed(0)
    detector = DETECTORS[name](2)
    detector.initialise()
    side = max(64, -(-detector.sources.least_px // 32) * 32)
    side = detector.form.size if name.endswith("300") else side
    return Fit(detector, RECIPES[name], 1, AWAY), side


@pytest.mark.parametrize("name", [name for name in DETECTORS if name.endswith("-small")])
def test_a_step_stays_on_its_device(name):
    with Elsewhere():
        fit, side = away_fit(name)
        before = [p.detach().clone() for p in fit.detector.parameters()]

        batches = list(examples(side).batches(0, 2))
        assert sorted(len(b) for batch in batches for b in batch.boxes) == [0, 0, 0, 2]
        for batch in batches:
            fit._step(batch, 1e-3)

        assert all(is_away(t) for t in fit.detector.state_dict().values())
        assert all(is_away(t) for t in fit.average.state.values())
    now = fit.detector.parameters()
    changed = [not torch.equal(*pair) for pair in zip(before, now, strict=True)]
    assert sum(changed) > len(changed) / 2
