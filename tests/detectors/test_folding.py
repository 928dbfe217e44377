"""Batch norms folded into convolutions: the same outputs from a copy."""

import copy

import pytest
import torch
from torch import nn

from sixrayd.detectors.catalogue import DETECTORS
from sixrayd.detectors.folding import Network, fold_norms, to_bfloat16
from tests.detectors.seeded import seeded_tensor
from tests.marks import some_long

SMALL = [name for name, kind in DETECTORS.items() if kind.any_size]


def seeded(name):
    """A detector whose batch norms do something."""
    detector = DETECTORS[name].build(2).eval()
    weights = {k: seeded_tensor(k, tuple(v.shape)) for k, v in detector.state_dict().items()}
    detector.load_state_dict(weights)
    return detector


@pytest.mark.parametrize("name", some_long((*SMALL, "retinanet512"), ("retinanet512",)))
def test_a_folded_network_gives_the_detectors_outputs(name):
    detector = seeded(name)
    before = copy.deepcopy(detector.state_dict())
    x = torch.randn(2, 3, 128, 160, generator=torch.Generator().manual_seed(0))

    network = Network(detector)
    with torch.inference_mode():
        found, expected = network(x), detector(x)[:2]

    assert not any(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    assert any(isinstance(m, nn.BatchNorm2d) for m in detector.modules())
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours - theirs).abs().max() < 1e-4 * theirs.abs().max()
    after = detector.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_chain_keeps_its_length_and_a_norm_without_a_convolution_stays():
    block = nn.Sequential(
        nn.ReLU(), nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
    ).eval()

    fold_norms(block)

    kinds = [type(module) for module in block]
    assert kinds == [nn.ReLU, nn.BatchNorm2d, nn.Conv2d, nn.Identity]


def test_training_on_does_not_change_the_copy():
    detector = seeded("ssd-small")
    network = Network(detector.train())
    x = torch.zeros(1, 3, 64, 64)
    before = network(x)[1]

    with torch.no_grad():
        for parameter in detector.parameters():
            parameter.add_(1)

    assert torch.equal(network(x)[1], before)
    assert detector.training
    assert not network.training


@pytest.mark.parametrize("name", SMALL)
def test_all_but_the_last_convolutions_go_to_bfloat16(name):
    network = Network(seeded(name))

    to_bfloat16(network)

    kinds = {key: tensor.dtype for key, tensor in network.state_dict().items()}
    full = {key.split(".")[1] for key, kind in kinds.items() if kind == torch.float32}
    assert full == {"classes", "offsets"}
    assert all(
        kind == torch.float32
        for key, kind in kinds.items()
        if key.startswith(("heads.classes.", "heads.offsets."))
    )
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert [part.dtype for part in network(torch.zeros(1, 3, 64, 64))] == [torch.float32] * 2
