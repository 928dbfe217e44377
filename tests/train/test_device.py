"""Training on another device than the CPU: nothing is left behind, and nobody waits."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sixrayd.detectors.catalogue import DETECTORS
from sixrayd.train.examples import Example, ExampleSet
from sixrayd.train.fit import READ_EVERY, Fit, sent_ahead
from sixrayd.train.gradient import Computing
from tests.elsewhere import AWAY, Elsewhere, is_away
from tests.marks import some_long

# The large ones are made of the same blocks and heads.
LARGE = ("rfb300", "rfb512", "ssd300", "ssd512", "retinanet512")
EACH = some_long(DETECTORS, LARGE)
pytestmark = pytest.mark.filterwarnings(
    "ignore:CUDA is not available", "ignore:User provided device"
)
SMALL = [name for name, kind in DETECTORS.items() if kind.any_size]
OTHERS = [pytest.param(n, marks=pytest.mark.long) for n in SMALL if n != "rfb-small"]


def examples(side, backgrounds=3):
    """A grey image with two boxes, and some without."""
    boxed = Example("P1", ((20.0, 20.0, 90.0, 70.0), (100.0, 100.0, 140.0, 150.0)), (1, 2))
    image = np.full((160, 160, 3), 90, np.uint8)
    empty = (Example("N1", (), ()),) * backgrounds
    return ExampleSet((boxed,), empty, lambda _: image, float(backgrounds), 1.0, side, 0)


def away_fit(name, **changes):
    """A training there, and the least side that the detector learns from."""
    torch.manual_seed(0)
    recipe = replace(DETECTORS[name].recipe, **changes)
    detector = DETECTORS[name].build(2)
    detector.initialise()
    side = max(64, -(-detector.sources.least_px // 32) * 32)
    return Fit(detector, recipe, 1, AWAY), detector.form.size if "300" in name else side


@pytest.mark.parametrize("name", EACH)
def test_forward_targets_loss_and_average_stay_on_their_device(name):
    with Elsewhere():
        fit, side = away_fit(name)

        (batch,) = sent_ahead(examples(side, 1).batches(0, 2), AWAY)
        assert (batch.labels > 0).sum(1).tolist() in ([0, 2], [2, 0])
        with torch.no_grad():
            loss = fit.loss(batch)
        fit.average.update()

        assert is_away(loss.total) and loss.total.isfinite()
        assert all(is_away(t) for t in fit.detector.state_dict().values())
        assert all(is_away(t) for t in fit.average.state.values())


@pytest.mark.parametrize("name", ["rfb-small", *OTHERS])
def test_steps_change_the_weights_and_wait_for_nothing(name):
    with Elsewhere() as elsewhere:
        fit, side = away_fit(name)
        before = [p.detach().clone() for p in fit.detector.parameters()]
        batches = list(sent_ahead(examples(side).batches(0, 2, pinned=True), AWAY))
        assert sorted((b.labels > 0).sum().item() for b in batches) == [0, 2]
        fit.step(batches[0], 1e-3)  # which sends the priors and the input's mean
        elsewhere.waits.clear()

        for batch in batches:
            fit.step(batch, 1e-3)

        assert elsewhere.waits == {}
        now = fit.detector.parameters()
        changed = [not torch.equal(*pair) for pair in zip(before, now, strict=True)]
    assert sum(changed) > len(changed) / 2


def test_a_step_in_parts_waits_for_nothing():
    with Elsewhere() as elsewhere:
        fit, side = away_fit("ssd-small")
        fit.computing = Computing(micro_batch=1)
        batches = list(sent_ahead(examples(side).batches(0, 2, pinned=True), AWAY))
        fit.step(batches[0], 1e-3)
        elsewhere.waits.clear()

        fit.step(batches[1], 1e-3)

        assert elsewhere.waits == {}
        assert all(is_away(p.grad) for p in fit.detector.parameters())


@pytest.mark.long
def test_losses_are_read_a_few_steps_at_a_time():
    with Elsewhere() as elsewhere:
        fit, side = away_fit("ssd-small", batch=2)
        steps = READ_EVERY + 1
        views = examples(side, 2 * steps - 1)
        fit.epoch(views, lambda: None)  # which sends the priors and the input's mean
        elsewhere.waits.clear()

        fit.epoch(views, lambda: elsewhere.waits.update(steps=1))

        assert elsewhere.waits == {"steps": steps, "tolist": 2}


@pytest.mark.long
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_resumed_training_waits_no_more_than_another(optimizer, tmp_path):
    with Elsewhere() as elsewhere:
        fit, side = away_fit("ssd-small", optimizer=optimizer)
        (batch, *_) = sent_ahead(examples(side).batches(0, 2, pinned=True), AWAY)
        fit.step(batch, 1e-3)
        fit.save(tmp_path / "checkpoint.pt")
        again, _ = away_fit("ssd-small", optimizer=optimizer)
        again.load(tmp_path / "checkpoint.pt")
        elsewhere.waits.clear()

        again.step(batch, 1e-3)

        assert elsewhere.waits == {}
        assert all(is_away(t) for t in again.average.state.values())
