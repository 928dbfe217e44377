import pytest
import torch

from sixrayd.detectors.ssd import L2Norm, ssd300, ssd512, ssd_small


def _shapes(detector, side):
    with torch.inference_mode():
        maps = detector.eval().sources(torch.zeros(1, 3, side, side))
        outputs = detector.predict(maps, (side, side))
    return [tuple(m.shape[1:]) for m in maps], [tuple(o.shape) for o in outputs]


def test_ssd300_has_the_published_size():
    detector = ssd300(20)

    maps, outputs = _shapes(detector, 300)

    assert sum(p.numel() for p in detector.parameters()) == 26_285_486
    assert maps == [
        (512, 38, 38),
        (1024, 19, 19),
        (512, 10, 10),
        (256, 5, 5),
        (256, 3, 3),
        (256, 1, 1),
    ]
    assert outputs == [(1, 8732, 4), (1, 8732, 21), (8732, 4)]


@pytest.mark.long
def test_ssd512_has_the_published_size():
    detector = ssd512(20)

    maps, outputs = _shapes(detector, 512)

    assert maps == [
        (512, 64, 64),
        (1024, 32, 32),
        (512, 16, 16),
        (256, 8, 8),
        (256, 4, 4),
        (256, 2, 2),
        (256, 1, 1),
    ]
    assert outputs == [(1, 24564, 4), (1, 24564, 21), (24564, 4)]
    assert [level.count for level in detector.plan.levels] == [4, 6, 6, 6, 6, 4, 4]


@pytest.mark.parametrize("make", [ssd300, ssd512])
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


def test_cells_are_scaled_to_the_learned_length():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0]])[:, :, None, None]
    norm = L2Norm(2)

    assert torch.allclose(norm(x)[:, :, 0, 0], torch.tensor([[12.0, 16.0], [0.0, 0.0]]))
    with torch.no_grad():
        norm.weight[1] = 5.0
    assert torch.allclose(norm(x)[0, :, 0, 0], torch.tensor([12.0, 4.0]))


@pytest.mark.parametrize("size_hw", [(384, 384), (200, 330), (1, 9)])
def test_ssd_small_takes_any_input_size(size_hw):
    detector = ssd_small(2).eval()

    with torch.inference_mode():
        offsets, logits, priors = detector(torch.zeros(2, 3, *size_hw))

    cells = sum(-(-size_hw[0] // s) * -(-size_hw[1] // s) for s in (8, 16, 32))
    assert offsets.shape == (2, cells * 4, 4)
    assert logits.shape == (2, cells * 4, 3)
    assert priors.shape == (cells * 4, 4)


def test_the_norm_of_nothing_has_a_finite_gradient():
    norm = L2Norm(4)
    x = torch.zeros(1, 4, 2, 2)
    x[0, :, 0, 0] = torch.tensor([3.0, 0.0, 4.0, 0.0])
    x.requires_grad_()

    out = norm(x)
    out.square().sum().backward()

    assert torch.allclose(out[0, :, 0, 0], torch.tensor([12.0, 0.0, 16.0, 0.0]))  # 20 times
    assert out[0, :, 1, 1].tolist() == [0.0] * 4
    assert x.grad.isfinite().all()
    assert norm.weight.grad.isfinite().all()
