import torch
from hypothesis import given
from hypothesis import strategies as st

from sixrayd.detectors import losses
from sixrayd.detectors.coding import box_iou, corners, decode, encode
from sixrayd.detectors.losses import IGNORED, Overlaps, match, multibox_loss

edge = st.floats(0, 400)
side = st.floats(1, 100)


@given(st.tuples(edge, edge, side, side), st.tuples(edge, edge, side, side))
def test_decode_undoes_encode(box, prior):
    x, y, w, h = box
    boxes = torch.tensor([[x, y, x + w, y + h]], dtype=torch.float64)
    priors = torch.tensor([prior], dtype=torch.float64)

    assert torch.allclose(decode(encode(boxes, priors), priors), boxes, atol=1e-6)


def test_encode_by_hand():
    boxes = torch.tensor([[10.0, 10.0, 30.0, 50.0]])  # centre 20, 30; 20 by 40
    priors = torch.tensor([[15.0, 30.0, 10.0, 40.0]])

    wanted = torch.tensor([[5 / (0.1 * 10), 0.0, torch.log(torch.tensor(2.0)) / 0.2, 0.0]])
    assert torch.allclose(encode(boxes, priors), wanted)


def test_iou_by_hand():
    first = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    second = torch.tensor([[5.0, 0.0, 15.0, 10.0], [10.0, 0.0, 20.0, 10.0], [0.0, 0.0, 10.0, 5.0]])

    assert torch.allclose(box_iou(first, second), torch.tensor([[1 / 3, 0.0, 0.5]]))


def test_a_box_keeps_its_best_prior_even_below_the_threshold():
    priors = torch.tensor([[10.0, 10.0, 20.0, 20.0], [50.0, 50.0, 20.0, 20.0]])
    boxes = torch.tensor([[48.0, 48.0, 52.0, 52.0]])  # overlaps the second prior by 0.04

    offsets, classes = match(boxes[None], torch.tensor([[2]]), priors)

    assert classes.tolist() == [[0, 2]]
    assert torch.equal(offsets[0, 0], torch.zeros(4))
    assert torch.allclose(decode(offsets, priors)[0, 1], boxes[0])


def test_two_boxes_do_not_share_a_prior_that_one_owns():
    priors = torch.tensor([[10.0, 10.0, 20.0, 20.0], [14.0, 10.0, 20.0, 20.0]])
    boxes = corners(priors)

    _, classes = match(boxes[None], torch.tensor([[1, 2]]), priors)

    assert classes.tolist() == [[1, 2]]


def test_of_two_boxes_with_one_best_prior_the_last_has_it():
    priors = torch.tensor([[10.0, 10.0, 20.0, 20.0], [80.0, 80.0, 20.0, 20.0]])
    boxes = torch.tensor([[[0.0, 0.0, 20.0, 20.0], [0.0, 0.0, 19.0, 19.0]]])

    for labels in ([[1, 2]], [[2, 1]]):
        offsets, classes = match(boxes, torch.tensor(labels), priors)

        assert classes.tolist() == [[labels[0][1], 0]]
        assert torch.allclose(decode(offsets, priors)[0, 0], boxes[0, 1])


def test_each_image_of_a_batch_is_matched_as_if_alone():
    rng = torch.Generator().manual_seed(0)
    priors = torch.rand(500, 4, generator=rng) * 60 + 20
    corner = torch.rand(3, 4, 2, generator=rng) * 60
    boxes = torch.cat([corner, corner + 5 + torch.rand(3, 4, 2, generator=rng) * 40], dim=2)
    labels = torch.tensor([[1, 2, 1, 2], [2, 1, 0, 0], [0, 0, 0, 0]])
    overlaps = Overlaps(0.5, 0.3)

    offsets, classes = match(boxes, labels, priors, overlaps)

    matched = (classes > 0).sum(1).tolist()
    assert matched[0] >= 4 and matched[1] >= 2 and matched[2] == 0
    assert (classes == IGNORED).any()
    for image, held in enumerate((4, 2, 0)):
        alone = match(boxes[image, None, :held], labels[image, None, :held], priors, overlaps)
        assert torch.equal(offsets[image], alone[0][0])
        assert torch.equal(classes[image], alone[1][0])


def test_many_boxes_are_matched_a_few_at_a_time_to_the_same(monkeypatch):
    """Thousands that a release may give an image would take gigabytes at once; equal ones too."""
    generator = torch.Generator().manual_seed(3)
    centres, sides = (torch.rand(2, 31, 2, generator=generator) * n for n in (90, 30))
    boxes = torch.cat([centres, centres + sides + 1], dim=-1)
    boxes[:, 20:25] = boxes[:, :5]
    labels = torch.randint(0, 4, (2, 31), generator=generator)
    priors = torch.rand(50, 4, generator=generator) * 90 + 5
    whole = match(boxes, labels, priors, Overlaps(0.4, 0.2))
    for most in (1, 100, 700):
        monkeypatch.setattr(losses, "_MOST_PAIRS", most)
        parts = match(boxes, labels, priors, Overlaps(0.4, 0.2))
        assert torch.equal(parts[0], whole[0]) and torch.equal(parts[1], whole[1])
    assert len(whole[1].unique()) == 5


def test_no_boxes_match_nothing():
    for count in (0, 2):
        labels = torch.zeros(3, count, dtype=torch.long)

        offsets, classes = match(torch.zeros(3, count, 4), labels, torch.ones(5, 4))

        assert classes.tolist() == [[0] * 5] * 3
        assert torch.equal(offsets, torch.zeros(3, 5, 4))


def test_loss_by_hand():
    # Three priors: one matched, and of the two others the harder one counts at a ratio of 1.
    logits = torch.tensor([[[0.0, 0.0], [3.0, 0.0], [0.0, 2.0]]])
    classes = torch.tensor([[1, 0, 0]])
    offsets = torch.tensor([[[2.0, 0.0, 0.0, 0.5], [9.0] * 4, [9.0] * 4]])

    loss = multibox_loss((offsets, logits), (torch.zeros(1, 3, 4), classes), 1.0)

    assert torch.allclose(loss.offsets, torch.tensor(1.5 + 0.125))  # smooth L1 of 2 and of 0.5
    matched = torch.log(torch.tensor(2.0))
    hardest = torch.log(1 + torch.exp(torch.tensor(2.0)))
    assert torch.allclose(loss.classes, matched + hardest)


def test_an_image_without_boxes_teaches_confidence():
    logits = torch.zeros(2, 4, 2, requires_grad=True)
    classes = torch.tensor([[1, 0, 0, 0], [0, 0, 0, 0]])

    loss = multibox_loss((torch.zeros(2, 4, 4), logits), (torch.zeros(2, 4, 4), classes), 7.0)
    loss.total.backward()

    assert (logits.grad[1, :, 0] < 0).all()  # towards background in the empty image


def test_a_prior_just_short_of_a_match_is_ignored_where_that_is_asked_for():
    priors = torch.tensor([[10.0, 10.0, 20.0, 20.0], [18.0, 10.0, 20.0, 20.0], [50.0, 50.0, 8, 8]])
    boxes = torch.tensor([[[0.0, 0.0, 20.0, 20.0]]])  # overlaps the second prior by 0.43

    published = match(boxes, torch.tensor([[1]]), priors)[1]
    classes = match(boxes, torch.tensor([[1]]), priors, Overlaps(0.5, 0.3))[1]

    assert published.tolist() == [[1, 0, 0]]
    assert classes.tolist() == [[1, IGNORED, 0]]


def test_an_ignored_prior_costs_nothing():
    logits = torch.tensor([[[0.0, 0.0], [-5.0, 5.0], [0.0, -9.0]]])
    classes = torch.tensor([[1, IGNORED, 0]])
    offsets = torch.zeros(1, 3, 4)

    loss = multibox_loss((offsets, logits), (offsets, classes))

    assert torch.allclose(loss.classes, torch.log(torch.tensor(2.0)), atol=1e-3)


def test_the_hardest_negatives_are_the_published_number_of_them():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 40, 3, generator=generator)
    classes = torch.zeros(2, 40, dtype=torch.long)
    classes[0, :3], classes[1, :4] = torch.tensor([1, 2, 1]), IGNORED
    offsets = torch.zeros(2, 40, 4)

    loss = multibox_loss((offsets, logits), (offsets, classes), 2.5)

    entropy = -logits.log_softmax(2).gather(2, classes.clamp_min(0)[..., None])[..., 0]
    hardest = entropy[classes == 0].topk(7).values  # 2.5 for each of three, rounded down
    assert torch.allclose(loss.classes, (entropy[0, :3].sum() + hardest.sum()) / 3)
