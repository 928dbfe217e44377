"""Exported graphs run by ONNX Runtime against the detectors that they came from."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import CheckpointError, SettingsError
from sixrayd.detectors.decoding import DecodeSettings
from sixrayd.detectors.onnx import OnnxPredictor, export_onnx
from sixrayd.detectors.predictor import Predictor
from sixrayd.detectors.rfb import rfb_small

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

CLASSES = ClassList(("gun", "knife"))
INPUT_HW = (160, 224)
FEW = DecodeSettings(threshold=0.2, most=20)


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(0)
    detector = rfb_small(2).eval()
    detector.initialise(background=0.6)
    return detector


@pytest.fixture(scope="module")
def exported(detector, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "rfb.onnx"
    export_onnx(detector, path, CLASSES, input_hw=INPUT_HW)
    return path


@pytest.mark.long
@pytest.mark.parametrize("batch", [1, 3])
def test_the_graph_gives_the_detectors_boxes_and_scores(detector, exported, batch):
    from sixrayd.detectors.coding import decode

    x = torch.randn(batch, 3, *INPUT_HW)
    with torch.inference_mode():
        offsets, logits, priors = detector(x)

    boxes, scores = OnnxPredictor(exported, threads=1).session.run(None, {"images": x.numpy()})

    assert np.abs(boxes - decode(offsets, priors).numpy()).max() < 1e-3
    assert np.abs(scores - logits.softmax(-1)[..., 1:].numpy()).max() < 1e-4
    assert boxes.shape == (batch, 2940, 4)
    assert scores.shape == (batch, 2940, 2)


@pytest.mark.long
def test_detections_are_those_of_the_predictor(detector, tmp_path):
    path = tmp_path / "square.onnx"
    export_onnx(detector, path, CLASSES, batch=2)
    images = [np.full((200, 300, 3), 255, np.uint8), np.full((90, 80, 3), 200, np.uint8)]
    images[0][50:120, 60:200] = (200, 90, 30)
    images[1][20:50, 10:60] = (20, 190, 130)

    predictor = OnnxPredictor(path, FEW, threads=1)
    ours, theirs = predictor.detect(images), Predictor(detector, FEW).detect(images)

    for found, expected in zip(ours, theirs, strict=True):
        assert len(found.scores) == len(expected.scores) > 0
        assert found.labels.tolist() == expected.labels.tolist()
        assert np.abs(found.xyxy - expected.xyxy).max() < 1e-3
        assert np.abs(found.scores - expected.scores).max() < 1e-4


@pytest.mark.long
def test_a_graph_knows_its_classes_and_input(detector, exported):
    predictor = OnnxPredictor(exported)

    assert predictor.classes == CLASSES
    assert predictor.form == detector.form
    assert predictor.input_hw == INPUT_HW
    assert predictor.detect([]) == []
    assert [p.name for p in exported.parent.iterdir()] == ["rfb.onnx"]


def test_wrong_classes_and_sizes_are_refused_before_anything_is_written(detector, tmp_path):
    path = tmp_path / "rfb.onnx"

    with pytest.raises(SettingsError, match="onnx: 1 classes, but the detector scores 2"):
        export_onnx(detector, path, ClassList(("gun",)))
    with pytest.raises(SettingsError, match=r"onnx: input \(0, 224\), batch None: expected"):
        export_onnx(detector, path, CLASSES, input_hw=(0, 224))
    assert list(tmp_path.iterdir()) == []


def test_other_files_are_refused(tmp_path):
    from onnx import TensorProto, helper

    broken, other = tmp_path / "broken.onnx", tmp_path / "other.onnx"
    broken.write_bytes(b"not a graph")
    value = helper.make_tensor_value_info("a", TensorProto.FLOAT, [1])
    out = helper.make_tensor_value_info("b", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["a"], ["b"])], "g", [value], [out])
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10)
    other.write_bytes(model.SerializeToString())

    with pytest.raises(CheckpointError, match=r"broken\.onnx: not a readable ONNX graph"):
        OnnxPredictor(broken)
    with pytest.raises(CheckpointError, match=r"other\.onnx: not a detector that sixrayd exported"):
        OnnxPredictor(other)
    with pytest.raises(CheckpointError, match=r"absent\.onnx: not a readable ONNX graph"):
        OnnxPredictor(tmp_path / "absent.onnx")


def test_names_in_a_graph_do_not_reach_the_terminal(tmp_path, capfd):
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "ab"]
    unused = [helper.make_tensor("\x1b]0;mine\x07", TensorProto.FLOAT, [1], [0.0])]
    nodes = [helper.make_node("Identity", ["a"], ["b"])]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], unused)
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10)
    (path := tmp_path / "odd.onnx").write_bytes(model.SerializeToString())

    with pytest.raises(CheckpointError, match="not a detector that sixrayd exported"):
        OnnxPredictor(path)
    assert capfd.readouterr().err == ""


def test_weights_in_other_files_are_not_read(tmp_path, monkeypatch):
    import onnx

    monkeypatch.chdir(tmp_path)  # where it would look for them
    (tmp_path / "secret").write_bytes(bytes(8))
    weights = onnx.TensorProto(name="boxes", data_type=onnx.TensorProto.FLOAT, dims=[2])
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="secret")
    shape = onnx.helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, [2])
    nodes = [onnx.helper.make_node("Identity", ["boxes"], ["scores"])]
    graph = onnx.helper.make_graph(nodes, "graph", [], [shape], [weights])
    opset = onnx.helper.make_opsetid("", 18)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=9), "evil.onnx")

    with pytest.raises(CheckpointError, match=r"^evil.onnx: not a readable ONNX graph \(.*secret"):
        OnnxPredictor(Path("evil.onnx"))
