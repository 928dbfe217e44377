import pytest
import torch

from sixrayd.detectors.catalogue import DETECTORS
from tests.marks import some_long


# The other two share the modules of `rfb300` and `ssd512`.
@pytest.mark.parametrize(
    "name", some_long(sorted({*DETECTORS} - {"rfb512", "ssd300"}), ("rfb300", "ssd512"))
)
def test_the_chain_can_be_left_at_any_module(name):
    torch.manual_seed(0)
    detector = DETECTORS[name].build(1).eval()
    sources, side = detector.sources, max(96, detector.sources.least_px)
    image = torch.randn(1, 3, side, side)

    with torch.inference_mode():
        whole = sources(image)
        maps = [image]
        for module in sources.chain:
            maps.append(module(maps[-1].clone()))
        onward = sources.onward(maps[sources.first_source].clone())

    assert maps[sources.first_source].shape[2] == -(-side // 8)
    assert maps[-1].shape[2] == -(-side // (16 if side > 96 else 32))
    assert len(whole) == len(onward) == len(detector.plan.levels)
    assert all(torch.equal(a, b) for a, b in zip(whole, onward, strict=True))
    assert tuple(m.shape[1] for m in whole) == sources.channels
