"""Every backend against the detector itself: any shape, the same candidates, no noise."""

import copy
import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sixrayd.core.boxes import iou_matrix
from sixrayd.core.errors import CheckpointError, ServiceError, SettingsError, WorkspaceError
from sixrayd.detectors.backends import BACKENDS, open_backend, resolve_backend
from sixrayd.detectors.catalogue import DETECTORS
from sixrayd.detectors.coding import SSD_CODING, decode
from sixrayd.detectors.decoding import DecodeSettings
from sixrayd.detectors.folding import Network
from sixrayd.detectors.predictor import DynamicInput, Predictor
from sixrayd.detectors.quantising import quantise
from tests.detectors.learnt import learnt, shown
from tests.limits import largest_file
from tests.marks import some_long

CPU = torch.device("cpu")
LEAST = 0.1
TERMS = 9 * 128  # of the longest sum: a convolution of 3 x 3 on 128 channels
SHAPES = ((1, 3, 192, 192), (3, 3, 161, 224), (2, 3, 224, 160))


@pytest.fixture(scope="module")
def trained():
    """A detector that has learnt to find squares and bars, and images it has not seen."""
    return learnt(), [shown(number) for number in range(2000, 2032)]


@pytest.fixture(scope="module")
def rounding(trained):
    """The detector's network as bfloat16 makes it on any machine, as a backend.

    Sums are float32's; their terms and what comes of them have eight bits of mantissa. Only the
    results of the last convolutions are not rounded.
    """
    detector, network = trained[0], Network(trained[0])
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            for parameter in module.parameters():
                parameter.copy_(eight_bits(parameter))
            module.register_forward_pre_hook(lambda _, args: tuple(map(eight_bits, args)))
            if not name.startswith("heads"):
                module.register_forward_hook(lambda _, args, result: eight_bits(result))

    def run(x):
        with torch.inference_mode():
            return *network(x), detector(x)[2]

    return run


def eight_bits(x):
    return x.bfloat16().float()


@pytest.fixture(scope="module")
def quantised(trained, tmp_path_factory):
    pytest.importorskip("nncf")
    path = tmp_path_factory.mktemp("int8") / "int8.zip"
    quantise(trained[0], trained[1][:4], path)
    return path


LONG = ("openvino-int8", "openvino-bf16", "onnxruntime", "torch-bf16")  # to be made ready


@pytest.fixture(scope="module", params=some_long(BACKENDS, LONG))
def backend(request, trained):
    """The name of each backend, and itself."""
    pytest.importorskip(request.param.split("-")[0])
    path = request.getfixturevalue("quantised") if request.param.endswith("int8") else None
    run = open_backend(request.param, trained[0], CPU, threads=1, quantised=path)
    return request.param, run


def allowed(name, rounded):
    """How far a backend may stray where rounding to bfloat16 strays so far.

    Which terms come first in a sum, and where it is rounded, is the machine's to choose, so that
    twice as much is not wrong. Float32 has 16 bits more, and loses at most one of its last for
    each term of a sum. Int8 has as many bits, but for the largest value of a whole map; most are
    several times smaller.
    """
    full = TERMS * 2.0**-16
    return rounded * {"bf16": 2, "int8": 16}.get(name.split("-")[-1], full)


def test_outputs_of_any_shape_in_any_order(trained, rounding, backend):
    (detector, images), (name, run) = trained, backend
    for shape in (*SHAPES, SHAPES[0]):
        x = Predictor(detector).prepare(images[: shape[0]])[0].x
        x = functional.interpolate(x, shape[2:])
        with torch.inference_mode():
            expected = detector(x)

        found = run(x)

        assert [part.dtype for part in found] == [torch.float32] * 3
        assert [part.shape for part in found] == [part.shape for part in expected]
        assert torch.equal(found[2], expected[2])
        for ours, theirs, rounded in zip(found[:2], expected[:2], rounding(x)[:2], strict=True):
            away = (rounded - theirs).abs().mean()
            assert 0 < away < 0.03 * theirs.abs().mean()
            assert (ours - theirs).abs().mean() <= allowed(name, away)
            # What only has eight bits ties, and then suppression keeps another box.
            assert (ours == eight_bits(ours)).float().mean() < 0.01


def test_results_are_not_overwritten_by_the_next_call(backend):
    _, run = backend
    first = run(torch.zeros(SHAPES[0]))
    kept = [part.clone() for part in first]

    run(torch.ones(SHAPES[0]))

    assert all(torch.equal(*pair) for pair in zip(first, kept, strict=True))


def test_inputs_in_any_layout(backend):
    _, run = backend
    x = torch.randn(2, 160, 192, 3).permute(0, 3, 1, 2)

    for same in (x.contiguous(), x.contiguous(memory_format=torch.channels_last)):
        assert torch.equal(run(same)[1], run(x)[1])


def test_priors_follow_the_detectors_reading(trained, backend):
    detector, (_, run) = trained[0], backend
    x = torch.zeros(SHAPES[1])
    pixels = run(x)[2]
    try:
        detector.reading = "fractions"
        with torch.inference_mode():
            expected = detector(x)[2]
        fractions = run(x)[2]
    finally:
        detector.reading = "pixels"

    assert torch.equal(fractions, expected)
    assert not torch.equal(fractions, pixels)


def raw(predictor, images):
    """What a network says of all priors: boxes (B, P, 4) in pixels of the images, scores."""
    (batch,) = predictor.prepare(images)
    offsets, logits, priors = predictor.forward(batch.x)
    boxes = decode(offsets, priors) * batch.scale_wh.repeat(1, 2)[:, None]
    return boxes.double().numpy(), SSD_CODING.score(logits).double().numpy()


def candidates(predictor, images):
    """What is kept of it."""
    (batch,) = predictor.prepare(images)
    return predictor.decode(predictor.forward(batch.x), batch.scale_wh)


@dataclass(frozen=True)
class Away:
    """How far one box may lie from another, in pixels, and one score from another."""

    box: float
    score: float

    def are_same(self, found, boxes, scores):
        """(N, M): which of (M, 4) boxes and (M, C) scores each of N candidates may be."""
        near = np.abs(found.xyxy[:, None] - boxes[None]).max(axis=2) <= self.box
        return near & (np.abs(found.scores[:, None] - scores.T[found.labels]) <= self.score)

    def lost(self, first, second, iou):
        """(N,): candidates of the first that the second neither has nor suppresses."""
        scores = np.where(second.labels[:, None] == [0, 1], second.scores[:, None], -1.0)  # (M, C)
        there = self.are_same(first, second.xyxy, scores).any(axis=1)
        rivals = self._overlaps(first.xyxy, second.xyxy) > iou
        rivals &= second.scores[None] >= first.scores[:, None] - self.score
        rivals &= second.labels[None] == first.labels[:, None]
        return (first.scores > LEAST + self.score) & ~there & ~rivals.any(axis=1)

    def _overlaps(self, first, second):
        """(N, M): the most that (N, 4) boxes, had they moved so far, overlap (M, 4) others."""
        low = np.maximum(first[:, None, :2], second[None, :, :2]) - self.box
        high = np.minimum(first[:, None, 2:], second[None, :, 2:]) + self.box
        shared = (high - low).clip(0).prod(axis=2)
        areas = (first[:, 2:] - first[:, :2] - 2 * self.box).clip(0).prod(axis=1)
        areas = areas[:, None] + (second[:, 2:] - second[:, :2]).prod(axis=1)
        return shared / np.maximum(areas - shared, 1e-9)


@pytest.mark.parametrize(
    "dynamic",
    [None, pytest.param(DynamicInput(scale=2.3, least_px=160), marks=pytest.mark.long)],
)
def test_candidates_of_a_trained_model_are_the_same(trained, rounding, backend, dynamic):
    """But for rounding: scores near the threshold, and rivals that are as good as each other."""
    detector, images = trained
    name, run = backend
    if name == "openvino-int8":
        pytest.skip("int8 changes one candidate in eight, which is why it is only taken by name")
    settings = DecodeSettings(threshold=LEAST)
    exact, rounded, ours = (
        Predictor(detector, settings, dynamic=dynamic, backend=look)
        for look in (None, rounding, run)
    )
    boxes, scores = raw(exact, images)
    other_boxes, other_scores = raw(rounded, images)
    likely = scores.max(axis=2) > LEAST / 2
    away = Away(
        allowed(name, np.abs(other_boxes - boxes)[likely].max()),
        allowed(name, np.abs(other_scores - scores)[likely].max()),
    )
    assert away.box < 2 and away.score < 0.1  # or else all is the same

    pairs = list(zip(candidates(ours, images), candidates(exact, images), strict=True))

    assert sum(len(found.scores) for found, _ in pairs) >= 2 * len(images)
    for place, (found, expected) in enumerate(pairs):
        assert away.are_same(found, boxes[place], scores[place]).any(axis=1).all()
        assert not away.lost(found, expected, settings.iou).any()
        assert not away.lost(expected, found, settings.iou).any()


@pytest.mark.long
def test_int8_finds_what_full_precision_finds(trained, quantised):
    pytest.importorskip("openvino")
    detector, images = trained
    run = open_backend("openvino-int8", detector, CPU, quantised=quantised)

    predictors = [Predictor(detector, backend=backend) for backend in (None, run)]
    assert len(images) == 32
    for image in images:
        best = [predictor.detect([image])[0] for predictor in predictors]
        assert best[0].labels[0] == best[1].labels[0]
        assert iou_matrix(best[0].xyxy[:1], best[1].xyxy[:1])[0, 0] > 0.8
        assert abs(best[0].scores[0] - best[1].scores[0]) < 0.1


@pytest.mark.long
def test_equal_images_give_equal_bytes_and_nothing_beside(trained, quantised, tmp_path):
    quantise(trained[0], trained[1][:4], tmp_path / "again.zip")

    assert (tmp_path / "again.zip").read_bytes() == quantised.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.zip"]


@pytest.mark.long
def test_without_room_for_a_quantised_network_it_says_so(trained, tmp_path):
    pytest.importorskip("nncf")
    with largest_file(1000), pytest.raises(WorkspaceError) as caught:
        quantise(trained[0], trained[1][:1], tmp_path / "int8.zip")

    said = "a network cannot be written there; make room there, or set TMPDIR, then run the same "
    assert str(caught.value).partition(": ")[2] == said + "command again"
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_quantised_networks_of_other_weights_or_none_are_refused(trained, quantised, tmp_path):
    other = copy.deepcopy(trained[0])
    with torch.no_grad():
        next(other.parameters()).add_(1)
    broken = tmp_path / "broken.zip"
    broken.write_bytes(quantised.read_bytes()[:-100])

    with pytest.raises(CheckpointError, match="other weights; quantise again"):
        open_backend("openvino-int8", other, CPU, quantised=quantised)
    for path in (broken, tmp_path / "absent.zip"):
        with pytest.raises(CheckpointError, match=f"{path.name}: not a readable quantised network"):
            open_backend("openvino-int8", trained[0], CPU, quantised=path)
    with pytest.raises(SettingsError, match="openvino-int8: needs a network that"):
        open_backend("openvino-int8", trained[0], CPU)
    with pytest.raises(SettingsError, match="no images to calibrate with"):
        quantise(trained[0], [], tmp_path / "none.zip")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True}, "openvino-bf16"),
        ({"avx512_bf16": False, "amx_bf16": True}, "openvino-bf16"),
        ({"avx2": True}, "openvino"),
    ],
)
def test_auto_goes_by_what_the_cpu_computes_in(monkeypatch, capabilities, expected):
    pytest.importorskip("openvino")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)

    assert resolve_backend("auto", CPU) == expected


def test_auto_is_torch_without_openvino_and_bfloat16_on_a_gpu(monkeypatch):
    assert resolve_backend("auto", torch.device("cuda")) == "torch-bf16"
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    assert resolve_backend("auto", CPU) == "torch"
    with pytest.raises(ServiceError, match=r"openvino cannot .* `pip install 'sixrayd\[cpu\]'`"):
        resolve_backend("openvino", CPU)


def test_unknown_backends_and_wrong_devices_are_refused():
    with pytest.raises(SettingsError) as caught:
        resolve_backend("tensorrt", CPU)
    assert str(caught.value) == f"backend 'tensorrt': expected auto, {', '.join(BACKENDS)}"
    with pytest.raises(SettingsError, match="backend onnxruntime: runs on the CPU"):
        open_backend("onnxruntime", DETECTORS["ssd-small"].build(2), torch.device("cuda"))


QUIET = """
import json, sys
calls = []
sys.addaudithook(lambda event, args: calls.append(event) if event.startswith("socket.") else None)
from pathlib import Path
import numpy as np, torch
from sixrayd.detectors.backends import open_backend
from sixrayd.detectors.quantising import quantise
from sixrayd.detectors.catalogue import DETECTORS
detector = DETECTORS["ssd-small"].build(2)
path = Path(sys.argv[1]) / "int8.zip"
quantise(detector, [np.zeros((64, 64, 3), np.uint8)], path)
for name in ("openvino", "openvino-int8"):
    open_backend(name, detector, torch.device("cpu"), quantised=path)(torch.zeros(1, 3, 64, 64))
Path(sys.argv[1], "calls.json").write_text(json.dumps(calls))
"""


@pytest.mark.long
def test_nothing_is_reported_to_anyone_and_nothing_printed(tmp_path, monkeypatch):
    pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    monkeypatch.delenv("CI", raising=False)  # which switches the reports off as well
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()

    done = subprocess.run(
        [sys.executable, "-c", QUIET, str(tmp_path)], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads((tmp_path / "calls.json").read_text()) == []
    assert not (tmp_path / "home" / "intel").exists()


@pytest.mark.long
def test_a_detector_in_training_mode_is_opened_as_it_will_look():
    torch.manual_seed(0)
    # Its last map has one cell, which batch norm refuses in training.
    detector = DETECTORS["rfb512"].build(1)
    detector.initialise()
    x = torch.randn(1, 3, 288, 288)

    found = open_backend("torch", detector, CPU)(x)

    with torch.inference_mode():
        expected = detector.eval()(x)
    assert len(found) == 3
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize(
    ("written", "changed"),
    [
        ('pads_begin="1, 1" pads_end="1, 1"', 'pads_begin="99999, 99999" pads_end="1, 1"'),
        ('strides="2, 2"', 'strides="1, 1"'),
    ],
)
def test_a_quantised_network_that_computes_more_is_refused(
    trained, quantised, tmp_path, written, changed
):
    """A stranger's could take any time and memory."""
    path = tmp_path / "int8.zip"
    with zipfile.ZipFile(quantised) as honest, zipfile.ZipFile(path, "w") as evil:
        for entry in honest.infolist():
            data = honest.read(entry)
            if entry.filename == "body.xml":
                assert written.encode() in data
                data = data.replace(written.encode(), changed.encode(), 1)
            evil.writestr(entry, data)
    with pytest.raises(CheckpointError) as caught:
        open_backend("openvino-int8", trained[0], CPU, threads=1, quantised=path)
    assert str(caught.value) == (
        f"{path}: another network than its weights'; quantise again; of a mining, remove its "
        "folder and mine again"
    )


@pytest.mark.long
@pytest.mark.parametrize("name", ["ssd300", "rfb512", "retinanet512"])
def test_each_published_kind_of_network_is_quantised_and_taken(name, tmp_path):
    """SSD's has no sum of branches, of which the others' are left in floating point."""
    pytest.importorskip("nncf")
    detector, path = DETECTORS[name].build(2), tmp_path / "int8.zip"
    detector.initialise()
    quantise(detector, [np.zeros((64, 64, 3), np.uint8)], path)
    run = open_backend("openvino-int8", detector, CPU, threads=1, quantised=path)
    side = detector.form.size
    x = torch.zeros(1, 3, side, side)
    with torch.inference_mode():
        wanted = detector.eval()(x)
    found = run(x)
    assert [tuple(part.shape) for part in found] == [tuple(part.shape) for part in wanted]
    assert all(bool(part.isfinite().all()) for part in found)
