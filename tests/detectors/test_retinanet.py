import pytest
import torch

from sixrayd.detectors.retinanet import retinanet512, retinanet_small


@pytest.fixture(scope="module")
def retinanet():
    torch.manual_seed(0)
    detector = retinanet512(5).eval()
    detector.initialise()
    return detector


@pytest.mark.long
def test_retinanet512_has_torchvision_s_size(retinanet):
    with torch.inference_mode():
        maps = retinanet.sources(torch.zeros(1, 3, 512, 512))
        outputs = retinanet.predict(maps, (512, 512))

    assert [tuple(m.shape[1:]) for m in maps] == [(256, s, s) for s in (64, 32, 16, 8, 4)]
    assert [tuple(o.shape) for o in outputs] == [(1, 49104, 4), (1, 49104, 5), (49104, 4)]


def test_anchors_are_whole_and_centred_at_the_corners_of_cells(retinanet):
    with torch.inference_mode():
        priors = retinanet(torch.zeros(1, 3, 128, 128))[2]

    # Scales 32, 40 and 50; areas kept to a pixel, lying first.
    shapes = [[46, 22], [56, 28], [70, 36], [32, 32], [40, 40], [50, 50], [22, 46], [28, 56]]
    assert priors[:8].tolist() == [[0.0, 0.0, *map(float, shape)] for shape in shapes]
    assert priors[9].tolist() == [8.0, 0.0, 46.0, 22.0]
    assert priors[-1].tolist() == [0.0, 0.0, 574.0, 1148.0]


@pytest.mark.parametrize("size_hw", [(1, 1), (40, 301)])
def test_any_input_gives_every_map(retinanet, size_hw):
    with torch.inference_mode():
        offsets, _, priors = retinanet(torch.zeros(1, 3, *size_hw))

    cells = sum(-(-size_hw[0] // s) * -(-size_hw[1] // s) for s in (8, 16, 32, 64, 128))
    assert offsets.shape == (1, cells * 9, 4)
    assert priors.shape == (cells * 9, 4)


@pytest.mark.parametrize("size_hw", [(384, 384), (200, 330), (1, 9)])
def test_retinanet_small_takes_any_input_size(size_hw):
    detector = retinanet_small(2).eval()

    with torch.inference_mode():
        offsets, logits, priors = detector(torch.zeros(2, 3, *size_hw))

    cells = sum(-(-size_hw[0] // s) * -(-size_hw[1] // s) for s in (8, 16, 32))
    assert offsets.shape == (2, cells * 4, 4)
    assert logits.shape == (2, cells * 4, 2)
    assert priors.shape == (cells * 4, 4)


def test_untrained_heads_give_five_classes_the_published_hundredth(retinanet):
    with torch.inference_mode():
        logits = retinanet(torch.randn(1, 3, 128, 128))[1]

    assert retinanet.coding.score(logits).median() == pytest.approx(0.01, abs=0.001)


def test_heads_are_the_same_for_every_map(retinanet):
    cell = torch.randn(1, 256, 6, 6)

    with torch.inference_mode():
        offsets, logits = retinanet.heads([cell, cell])

    assert torch.equal(*offsets.chunk(2, dim=1))
    assert torch.equal(*logits.chunk(2, dim=1))
