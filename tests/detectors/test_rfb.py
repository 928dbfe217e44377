import pytest
import torch

from sixrayd.detectors.rfb import rfb512, rfb_small


@pytest.fixture(scope="module")
def published():
    torch.manual_seed(0)
    return rfb512(5).eval()


def test_rfb512_has_the_published_size(published):
    with torch.inference_mode():
        offsets, logits, priors = published(torch.zeros(1, 3, 512, 512))
        maps = published.sources(torch.zeros(1, 3, 512, 512))

    assert sum(p.numel() for p in published.parameters()) == 35_067_260
    assert [tuple(m.shape[1:]) for m in maps] == [
        (512, 64, 64),
        (1024, 32, 32),
        (512, 16, 16),
        (256, 8, 8),
        (256, 4, 4),
        (256, 2, 2),
        (256, 1, 1),
    ]
    assert offsets.shape == (1, 32756, 4)
    assert logits.shape == (1, 32756, 6)
    assert priors.shape == (32756, 4)


def test_rfb512_priors_follow_the_published_configuration(published):
    with torch.inference_mode():
        priors = published(torch.zeros(1, 3, 512, 512))[2]

    wanted = [
        [4.0, 4.0, 35.84, 35.84],
        [4.0, 4.0, (35.84 * 76.8) ** 0.5, (35.84 * 76.8) ** 0.5],
        [4.0, 4.0, 35.84 * 2**0.5, 35.84 / 2**0.5],
        [4.0, 4.0, 35.84 / 2**0.5, 35.84 * 2**0.5],
        [4.0, 4.0, 35.84 * 3**0.5, 35.84 / 3**0.5],
        [4.0, 4.0, 35.84 / 3**0.5, 35.84 * 3**0.5],
        [12.0, 4.0, 35.84, 35.84],
    ]
    assert torch.allclose(priors[:7], torch.tensor(wanted), atol=1e-4)
    # The last map has one cell, whose widest boxes are cut to the input.
    assert torch.allclose(priors[-4], torch.tensor([256.0, 256.0, 460.8, 460.8]), atol=1e-4)
    assert torch.allclose(priors[-2], torch.tensor([256.0, 256.0, 512.0, 325.835]), atol=1e-3)


@pytest.mark.parametrize("size_hw", [(384, 384), (224, 224), (200, 330)])
def test_rfb_small_takes_any_input_size(size_hw):
    detector = rfb_small(2).eval()

    with torch.inference_mode():
        offsets, logits, priors = detector(torch.zeros(2, 3, *size_hw))

    cells = sum(-(-size_hw[0] // s) * -(-size_hw[1] // s) for s in (8, 16, 32))
    assert offsets.shape == (2, cells * 4, 4)
    assert logits.shape == (2, cells * 4, 3)
    assert priors.shape == (cells * 4, 4)


def test_an_untrained_detector_says_background():
    torch.manual_seed(0)
    detector = rfb_small(2).eval()
    detector.initialise(background=0.95)

    with torch.inference_mode():
        logits = detector(torch.randn(1, 3, 224, 224))[1]

    background = logits.softmax(-1)[..., 0]
    assert background.median() == pytest.approx(0.95, abs=0.04)
