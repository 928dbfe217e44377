"""Every backend against the detector itself: any shape, the same candidates, no noise."""

import copy
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from sixrayd.core.boxes import iou_matrix
from sixrayd.core.errors import CheckpointError, ServiceError, SettingsError
from sixrayd.detectors.backends import BACKENDS, open_backend, quantise, resolve_backend
from sixrayd.detectors.catalogue import DETECTORS
from sixrayd.detectors.checkpoints import load_checkpoint
from sixrayd.detectors.decoding import DecodeSettings
from sixrayd.detectors.predictor import DynamicInput, Predictor
from sixrayd.imaging.decode import decode_rgb
from sixrayd.train.stage import train
from tests.squares import QUICK, ingest, picture, squares

CPU = torch.device("cpu")
LEAST = 0.1
SHAPES = ((1, 3, 192, 192), (3, 3, 161, 224), (2, 3, 224, 160))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A detector that has learnt to find squares and bars, and images it has not seen."""
    workspace = ingest(tmp_path_factory.mktemp("backends"), squares(48, 16, 16))
    train(workspace, QUICK)
    weights = workspace.output("models", "rfb-small", "weights.safetensors")
    detector = load_checkpoint(weights).detector
    images = [decode_rgb(picture(n, ("Gun", "Knife")[n % 2])[0], str(n)) for n in range(2000, 2032)]
    settle_norms(detector, Predictor(detector).prepare(images)[0].x)
    return detector, images


def settle_norms(detector, x):
    """Statistics of these inputs: so short a training leaves those that it began with."""
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    with torch.no_grad():
        detector.train()(x)
    detector.eval()


@pytest.fixture(scope="module")
def quantised(trained, tmp_path_factory):
    pytest.importorskip("nncf")
    path = tmp_path_factory.mktemp("int8") / "int8.zip"
    quantise(trained[0], trained[1][:4], path)
    return path


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request, trained):
    """The name of each backend, and itself."""
    pytest.importorskip(request.param.split("-")[0])
    path = request.getfixturevalue("quantised") if request.param.endswith("int8") else None
    run = open_backend(request.param, trained[0], CPU, threads=1, quantised=path)
    return request.param, run


def allowed(name, full, bf16, int8):
    """What a backend is allowed by the precision it computes in."""
    return {"bf16": bf16, "int8": int8}.get(name.split("-")[-1], full)


def test_outputs_of_any_shape_in_any_order(trained, backend):
    detector, (name, run) = trained[0], backend
    for shape in (*SHAPES, SHAPES[0]):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(shape[2]))
        with torch.inference_mode():
            expected = detector(x)

        found = run(x)

        assert [part.dtype for part in found] == [torch.float32] * 3
        assert [part.shape for part in found] == [part.shape for part in expected]
        assert torch.equal(found[2], expected[2])
        away = (found[1] - expected[1]).abs().mean() / expected[1].abs().mean()
        assert away < allowed(name, 1e-5, 0.02, 0.3)


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


def changed(found, expected):
    """Candidates of either side that the other lacks, and all; near the threshold none counts."""
    lost, candidates = 0, 0
    for ours, theirs in ((found, expected), (expected, found)):
        sure = ours.scores > LEAST + 0.01
        near = iou_matrix(ours.xyxy[sure], theirs.xyxy) >= 0.99
        near &= ours.labels[sure][:, None] == theirs.labels[None]
        near &= np.abs(ours.scores[sure][:, None] - theirs.scores[None]) <= 0.01
        lost += int((~near.any(axis=1)).sum())
        candidates += int(sure.sum())
    return lost, candidates


@pytest.mark.parametrize("dynamic", [None, DynamicInput(scale=2.3, least_px=160)])
def test_candidates_of_a_trained_model_are_the_same(trained, backend, dynamic):
    detector, images = trained
    name, run = backend
    if name == "openvino-int8":
        pytest.skip("int8 changes one candidate in eight, which is why it is only taken by name")
    settings = DecodeSettings(threshold=LEAST)
    reference = Predictor(detector, settings, dynamic=dynamic).detect(images)

    found = Predictor(detector, settings, dynamic=dynamic, backend=run).detect(images)

    counts = np.array([changed(*pair) for pair in zip(found, reference, strict=True)])
    lost, candidates = counts.sum(axis=0)
    assert candidates >= 4 * len(images)  # of both sides
    assert lost <= allowed(name, 0.0, 0.02, 0.0) * candidates


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


def test_equal_images_give_equal_bytes_and_nothing_beside(trained, quantised, tmp_path):
    quantise(trained[0], trained[1][:4], tmp_path / "again.zip")

    assert (tmp_path / "again.zip").read_bytes() == quantised.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.zip"]


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
        open_backend("onnxruntime", DETECTORS["ssd-small"](2), torch.device("cuda"))


QUIET = """
import json, sys
calls = []
sys.addaudithook(lambda event, args: calls.append(event) if event.startswith("socket.") else None)
from pathlib import Path
import numpy as np, torch
from sixrayd.detectors.backends import open_backend, quantise
from sixrayd.detectors.catalogue import DETECTORS
detector = DETECTORS["ssd-small"](2)
path = Path(sys.argv[1]) / "int8.zip"
quantise(detector, [np.zeros((64, 64, 3), np.uint8)], path)
for name in ("openvino", "openvino-int8"):
    open_backend(name, detector, torch.device("cpu"), quantised=path)(torch.zeros(1, 3, 64, 64))
Path(sys.argv[1], "calls.json").write_text(json.dumps(calls))
"""


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


def test_a_detector_in_training_mode_is_opened_as_it_will_look():
    torch.manual_seed(0)
    # Its last map has one cell, which batch norm refuses in training.
    detector = DETECTORS["rfb512"](1)
    detector.initialise()
    x = torch.randn(1, 3, 288, 288)

    found = open_backend("torch", detector, CPU)(x)

    with torch.inference_mode():
        expected = detector.eval()(x)
    assert len(found) == 3
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-4)
