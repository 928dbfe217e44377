"""One step's gradient: of a batch in parts, and in short numbers."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from sixrayd.core.errors import SettingsError
from sixrayd.core.workspace import Run, Workspace
from sixrayd.detectors.catalogue import DETECTORS
from sixrayd.detectors.detector import Sources, multibox_detector
from sixrayd.detectors.focal import focal_loss
from sixrayd.detectors.losses import multibox_loss
from sixrayd.detectors.narrow import SMALL_FORM, SMALL_PLAN
from sixrayd.train.examples import Batch, Example, ExampleSet
from sixrayd.train.fit import Fit
from sixrayd.train.gradient import Computing
from sixrayd.train.settings import TrainSettings
from sixrayd.train.stage import computing_of, too_large, train
from sixrayd.train.team import ALONE, Team

CPU = torch.device("cpu")
RECIPE = replace(DETECTORS["rfb-small"].recipe, optimizer="sgd", ema_decay=0.0)


class _Plain(Sources):
    """Convolutions without batch norm, at strides 8, 16 and 32."""

    channels = (8, 8, 8)
    first_source = 3

    def __init__(self):
        super().__init__()
        widths = (3, 4, 6, *self.channels)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.ReLU())
            for a, b in pairwise(widths)
        )

    @property
    def chain(self):
        return list(self.layers)

    def onward(self, x):
        middle = self.layers[3](x)
        return [x, middle, self.layers[4](middle)]


def plain_fit(loss, computing):
    torch.manual_seed(0)
    detector = multibox_detector(_Plain(), SMALL_PLAN, 2, SMALL_FORM)
    detector.initialise()
    if loss is focal_loss:
        for head in detector.heads.classes:
            nn.init.normal_(head.weight, std=0.1)
        detector.loss = lambda found, wanted: focal_loss((found[0], found[1][..., 1:]), wanted)
    return Fit(detector, RECIPE, 1, CPU, computing=computing)


@pytest.fixture(scope="module")
def batch():
    """Seven images: four with one to three boxes, three with none, the last ones among them."""
    boxed = [[(8, 8, 40, 40)], [(0, 0, 30, 60), (20, 8, 60, 50), (4, 4, 20, 20)], [], []]
    boxed += [[(30, 30, 62, 62)], [(2, 10, 30, 52)], []]
    boxes, labels = torch.zeros(7, 3, 4), torch.zeros(7, 3, dtype=torch.long)
    for row, found in enumerate(boxed):
        for place, box in enumerate(found):
            boxes[row, place], labels[row, place] = torch.tensor(box), 1 + place % 2
    pixels = np.random.default_rng(0).integers(0, 255, (7, 64, 64, 3), np.uint8)
    return Batch(tuple("abcdefg"), torch.from_numpy(pixels), boxes, labels)


def gradients(fit, batch):
    fit.optimizer.zero_grad(set_to_none=True)
    parts = fit.computing.parts(len(batch.images))
    loss = fit._descend(batch) if parts == 1 else fit._descend_in_parts(batch, parts)
    return loss, [p.grad for p in fit.detector.parameters()]


@pytest.mark.parametrize("loss", [multibox_loss, focal_loss])
@pytest.mark.parametrize("micro", [1, 3])
def test_a_batch_in_parts_has_the_whole_batch_s_gradient(batch, loss, micro):
    whole_loss, whole = gradients(plain_fit(loss, Computing("off")), batch)
    parts_loss, parts = gradients(plain_fit(loss, Computing("off", micro)), batch)

    assert parts_loss.total.item() == pytest.approx(whole_loss.total.item(), rel=1e-6)
    assert len(whole) == len(parts) == 22
    largest = max(g.abs().max().item() for g in whole)
    assert largest > 0.01
    for ours, theirs in zip(parts, whole, strict=True):
        assert (ours - theirs).abs().max().item() < 1e-5 * largest


def test_the_mean_of_parts_losses_would_be_another_gradient(batch):
    """What the test above would not pass: each part divided by its own matched priors."""
    _, whole = gradients(plain_fit(multibox_loss, Computing("off")), batch)
    fit = plain_fit(multibox_loss, Computing("off"))
    places = ((0, 2), (2, 4), (4, 7))
    for a, b in places:
        part = Batch((), batch.images[a:b], batch.boxes[a:b], batch.labels[a:b])
        (fit.loss(part).total / len(places)).backward()

    naive = [p.grad for p in fit.detector.parameters()]
    far = max((n - w).abs().max().item() for n, w in zip(naive, whole, strict=True))
    assert far > 0.1 * max(w.abs().max().item() for w in whole)


def test_ten_steps_in_parts_end_at_the_whole_batch_s_weights(batch):
    ends = []
    for computing in (Computing("off"), Computing("off", 2)):
        fit = plain_fit(multibox_loss, computing)
        start = torch.cat([p.detach().flatten().clone() for p in fit.detector.parameters()])
        for _ in range(10):
            fit.step(batch, 0.02)
        ends.append(torch.cat([p.detach().flatten() for p in fit.detector.parameters()]))

    assert (ends[0] - start).abs().max() > 0.01
    assert (ends[0] - ends[1]).abs().max() < 1e-6


def test_running_statistics_take_each_image_once(batch):
    """Batch norms go by their parts, and none is counted for looking ahead."""
    counts, means = [], []
    for micro in (None, 4, 2):
        torch.manual_seed(0)
        detector = DETECTORS["ssd-small"].build(2)
        detector.initialise()
        fit = Fit(detector, RECIPE, 1, CPU, computing=Computing("off", micro))
        fit.detector.train()
        fit.step(batch, 0.0)
        state = fit.detector.state_dict()
        norms = [key for key in state if key.endswith("num_batches_tracked")]
        counts.append({state[key].item() for key in norms})
        first = norms[0].replace("num_batches_tracked", "running_mean")
        means.append(state[first].mean().item())

    assert counts == [{1}, {2}, {4}]
    assert means[1] == pytest.approx(2 * means[0], rel=0.05)  # two pulls of a hundredth each
    assert means[2] == pytest.approx(4 * means[0], rel=0.05)


@pytest.mark.parametrize(("amp", "least", "most"), [("off", 0, 0), ("bf16", 1e-5, 0.02)])
def test_bfloat16_changes_the_loss_by_its_rounding(batch, amp, least, most):
    exact = plain_fit(multibox_loss, Computing("off")).loss(batch).total.item()
    found = plain_fit(multibox_loss, Computing(amp)).loss(batch).total.item()

    assert least <= abs(found - exact) / exact <= most
    assert plain_fit(multibox_loss, Computing()).half is None  # auto, on a CPU


def fp16_fit():
    """As on a GPU; nothing but the stage refuses it on a CPU."""
    fit = plain_fit(multibox_loss, Computing("fp16", 3))
    assert fit.half == torch.float16
    return fit


def test_float16_scales_its_loss_and_steps_as_float32_does(batch):
    fits = [plain_fit(multibox_loss, Computing("off")), fp16_fit()]
    starts = [[p.detach().clone() for p in fit.detector.parameters()] for fit in fits]
    for fit in fits:
        fit.step(batch, 0.02)

    moved = [
        torch.cat(
            [(p.detach() - s).flatten() for p, s in zip(f.detector.parameters(), ss, strict=True)]
        )
        for f, ss in zip(fits, starts, strict=True)
    ]
    assert moved[0].abs().max() > 1e-3
    assert (moved[0] - moved[1]).norm() < 0.01 * moved[0].norm()


def test_a_step_that_leaves_float16_is_left_out_and_the_scale_halved(batch):
    fit = fp16_fit()
    fit.scaler.load_state_dict({**fit.scaler.state_dict(), "scale": 2.0**30})
    before = [p.detach().clone() for p in fit.detector.parameters()]

    fit.step(batch, 0.02)

    assert fit.scaler.get_scale() == 2.0**29
    assert all(torch.equal(a, b) for a, b in zip(before, fit.detector.parameters(), strict=True))


def test_the_scale_goes_to_the_checkpoint_and_back(tmp_path):
    fit, again = fp16_fit(), fp16_fit()
    fit.scaler.load_state_dict({**fit.scaler.state_dict(), "scale": 512.0, "_growth_tracker": 7})
    fit.save(tmp_path / "checkpoint.pt")

    again.load(tmp_path / "checkpoint.pt")

    assert again.scaler.state_dict() == fit.scaler.state_dict()
    assert again.scaler.get_scale() == 512.0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_float16_without_a_gpu_is_one_line(tmp_path):
    with pytest.raises(SettingsError) as caught:
        train(Workspace(tmp_path), TrainSettings("rfb-small", amp="fp16"))
    assert str(caught.value) == (
        "amp fp16: needs a GPU, and this training would run on cpu; pass --amp bf16 or --amp off"
    )


def test_memory_that_does_not_suffice_names_the_option():
    said = [str(too_large("rfb512", torch.device("cuda"), n, 32)) for n in (32, 1)]
    start = "device cuda: its memory does not take the training of rfb512 on "
    assert said == [
        f"{start}32 images at once; pass --micro-batch 16, which keeps the batch of 32, or end "
        "what else runs there",
        f"{start}1 images at once; take a smaller detector, or end what else runs there",
    ]


def test_parts_too_small_to_normalise_by_are_refused():
    run = Run("models", "m", {"micro_batch": 2}, {})
    assert computing_of(run, 8, 32, ALONE) == Computing("auto", 2)
    with pytest.raises(SettingsError) as caught:
        computing_of(run, 7, 32, ALONE)  # in four parts, the smallest of one image
    assert str(caught.value) == (
        "micro-batch 2 of views of 32 x 32 pixels: too little to normalise by; pass a larger "
        "--micro-batch, --window or --input-size"
    )
    with pytest.raises(SettingsError) as caught:
        computing_of(run, 7, 96, Team(0, 2))
    assert str(caught.value) == (
        "micro-batch 2: 2 processes share no batch of 7 evenly; pass a --batch that they do"
    )


def test_an_epoch_in_parts_shows_the_same_views():
    example = Example("P1", ((20.0, 20.0, 90.0, 70.0),), (1,))
    image = np.full((96, 96, 3), 90, np.uint8)
    views = ExampleSet((example,) * 6, (), lambda _: image, 0.0, 1.0, 64, 0)
    results = [
        plain_fit(multibox_loss, c).epoch(views, lambda: None)
        for c in (Computing("off"), Computing("off", 1))
    ]

    assert results[0].class_loss == pytest.approx(results[1].class_loss, rel=1e-6)
