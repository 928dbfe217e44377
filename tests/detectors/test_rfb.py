import pytest
import torch

from sixrayd.detectors.rfb import rfb300, rfb512, rfb_small


@pytest.fixture(scope="module")
def published():
    torch.manual_seed(0)
    return rfb512(5).eval()


@pytest.mark.long
def test_rfb512_has_the_published_size(published):
    with torch.inference_mode():
        maps = published.sources(torch.zeros(1, 3, 512, 512))
        offsets, logits, priors = published.predict(maps, (512, 512))

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
    sides = (64, 32, 16, 8, 4, 2, 1)
    channels = published.sources.channels
    maps = [torch.zeros(1, c, s, s) for c, s in zip(channels, sides, strict=True)]
    with torch.inference_mode():
        priors = published.predict(maps, (512, 512))[2]

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


@pytest.mark.long
def test_rfb300_has_the_published_size():
    detector = rfb300(20).eval()

    with torch.inference_mode():
        maps = detector.sources(torch.zeros(1, 3, 300, 300))
        offsets, logits, priors = detector.predict(maps, (300, 300))

    assert [tuple(m.shape[1:]) for m in maps] == [
        (512, 38, 38),
        (1024, 19, 19),
        (512, 10, 10),
        (256, 5, 5),
        (256, 3, 3),
        (256, 1, 1),
    ]
    assert offsets.shape == (1, 11620, 4)
    assert logits.shape == (1, 11620, 21)
    # The last map but one has three cells, 100 pixels apart in the published configuration.
    assert torch.allclose(priors[-40], torch.tensor([50.0, 50.0, 213.0, 213.0]).clamp_max(300))
    assert torch.allclose(priors[-4], torch.tensor([150.0, 150.0, 264.0, 264.0]))


@pytest.mark.long
@pytest.mark.parametrize("make", [rfb300, rfb512])
def test_the_least_input_gives_every_map_and_a_smaller_one_does_not(make):
    detector = make(1).eval()
    least = detector.sources.least_px

    # conv4_3's map has a row or column for every 8 pixels.
    with torch.inference_mode():
        maps = detector.sources.onward(torch.zeros(1, 512, -(-least // 8), 40))
        offsets, _, priors = detector.predict(maps, (least, 320))
        with pytest.raises(RuntimeError, match="Kernel size can't be greater"):
            detector.sources.onward(torch.zeros(1, 512, -(-(least - 1) // 8), 40))

    assert least == 257
    assert offsets.shape[1:] == priors.shape


def test_a_larger_input_keeps_the_centres_of_rfb512_s_last_map_inside(published):
    with torch.inference_mode():
        priors = published.predict(
            [torch.zeros(1, c, 1, 1) for c in published.sources.channels[:-1]]
            + [torch.zeros(1, 256, 2, 3)],
            (768, 1024),
        )[2]

    assert priors[-24::4, :2].tolist() == [
        [256.0, 256.0],
        [512.0, 256.0],
        [768.0, 256.0],
        [256.0, 512.0],
        [512.0, 512.0],
        [768.0, 512.0],
    ]


@pytest.mark.parametrize("size_hw", [(384, 384), (224, 224), (200, 330), (1, 9)])
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
