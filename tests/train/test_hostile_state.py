"""A training's own state in a stranger's folder: gone on from as it is, or refused by one line."""

import math

import pytest
import torch

from sixrayd.core.errors import CheckpointError
from sixrayd.detectors.catalogue import DETECTORS
from sixrayd.train.examples import Batch
from sixrayd.train.fit import Fit
from sixrayd.train.gradient import Computing
from sixrayd.train.kept_state import EpochResult

CPU = torch.device("cpu")
BATCH = Batch(
    ("a", "b"),
    torch.zeros(2, 96, 96, 3, dtype=torch.uint8),
    torch.tensor([[[8.0, 8.0, 60.0, 60.0]]] * 2),
    torch.tensor([[0]] * 2),
)


def begun(computing=Computing()):
    torch.manual_seed(0)
    detector, recipe = DETECTORS["ssd-small"].build(2), DETECTORS["ssd-small"].recipe
    return Fit(detector, recipe.lasting(2), 1, CPU, computing=computing)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("fit") / "checkpoint.pt"
    fit = begun(Computing("fp16"))  # which a GPU has, and whose state says most
    fit.scaler.load_state_dict(fit.scaler.state_dict() | {"scale": 1.0})  # no step is left out
    fit.step(BATCH, 1e-3)
    fit.results = [EpochResult(1, 0.1, 2.0, 3.0)]
    fit.judge(0.5)
    fit.save(path)
    return path


def first(state, name):
    return next(iter(state[name]))


def kept(state):
    return state["optimizer"]["state"][0]


NUMBER, NOT_FINITE = torch.zeros(1), torch.tensor(float("nan"))
ATTACKS = {
    "average": lambda s: s["average"].update({first(s, "average"): NUMBER}),
    "not finite": lambda s: s["detector"][first(s, "detector")].copy_(NOT_FINITE),
    "best of another": lambda s: s.update(best={"x": NUMBER}),
    "best of nothing": lambda s: s.update(best=[1]),
    "updates": lambda s: s.update(updates=-10),
    "momentum": lambda s: kept(s).update(exp_avg=NUMBER.double().expand(1 << 40)),
    "no momentum": lambda s: kept(s).pop("exp_avg"),
    "step": lambda s: kept(s).update(step=torch.tensor(-1.0)),
    "scale": lambda s: s["scaler"].update(scale="x"),
    "too many epochs": lambda s: s.update(results=s["results"] * 3),
    "formula": lambda s: s.update(results=[[1, "=1+1", 1.0, 1.0, None]]),
    "epoch": lambda s: s.update(results=[[2, 1.0, 1.0, 1.0, None]]),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_a_state_that_is_none_of_this_training_is_refused(attack, saved, tmp_path):
    state = torch.load(saved, weights_only=True)
    attack(state)
    path = tmp_path / "checkpoint.pt"
    torch.save(state, path)

    with pytest.raises(CheckpointError, match=r"^.*: cannot go on from it \(.*\); delete it$"):
        begun(Computing("fp16")).load(path)


def test_how_it_goes_on_is_not_the_states_to_say(saved, tmp_path):
    state = torch.load(saved, weights_only=True)
    for group in state["optimizer"]["param_groups"]:
        del group["betas"]
        group.update(maximize=True, weight_decay="x")
    state["scaler"].update(growth_factor="x")
    torch.save(state, tmp_path / "checkpoint.pt")
    fits = [begun(Computing("fp16")) for _ in "ab"]
    for fit, path in zip(fits, (saved, tmp_path / "checkpoint.pt"), strict=True):
        fit.load(path)
        fit.step(BATCH, 1e-3)

    one, other = (fit.detector.state_dict() for fit in fits)
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_an_epoch_with_nothing_to_find_goes_on(tmp_path, saved):
    """Its mean precision is no number."""
    fit = begun(Computing("fp16"))
    fit.load(saved)
    fit.judge(math.nan)
    fit.save(tmp_path / "checkpoint.pt")
    again = begun(Computing("fp16"))
    again.load(tmp_path / "checkpoint.pt")
    assert math.isnan(again.results[0].validation)
