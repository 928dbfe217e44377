import pytest
import torch

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import CheckpointError
from sixrayd.detectors.catalogue import DETECTORS
from sixrayd.detectors.checkpoints import (
    Checkpoint,
    build_detector,
    load_checkpoint,
    save_weights,
)

CLASSES = ClassList(("Gun", "Knife"))


@pytest.fixture
def small():
    torch.manual_seed(0)
    return build_detector("retinanet-small", CLASSES, 320)


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_is_built_for_its_classes(name):
    detector = build_detector(name, CLASSES, 288)

    own = DETECTORS[name].build(2)
    assert detector.form.size == 288
    assert (detector.form.mean, detector.form.scale) == (own.form.mean, own.form.scale)
    assert detector.heads.outputs == (2 if name.startswith("retinanet") else 3)


def test_what_is_saved_is_loaded_and_equal_weights_give_equal_bytes(small, tmp_path):
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for path in paths:
        save_weights(path, Checkpoint("retinanet-small", small, CLASSES), small.state_dict())

    loaded = load_checkpoint(paths[0])

    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert (loaded.name, loaded.classes) == ("retinanet-small", CLASSES)
    assert loaded.detector.form == small.form
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        pairs = zip(small.eval()(image), loaded.detector.eval()(image), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_weights_that_do_not_fit_are_refused(small, tmp_path):
    path = tmp_path / "weights.safetensors"
    weights = dict(small.state_dict())
    del weights["heads.classes.bias"]
    save_weights(path, Checkpoint("retinanet-small", small, CLASSES), weights)

    with pytest.raises(CheckpointError, match="tensors do not fit retinanet-small"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "not readable weights"), (None, "not readable weights")]
)
def test_broken_or_missing_files_are_refused(content, message, tmp_path):
    path = tmp_path / "weights.safetensors"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


def test_weights_of_an_unknown_detector_are_refused(small, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_weights(path, Checkpoint("yolo", small, CLASSES), small.state_dict())

    with pytest.raises(CheckpointError, match="not weights of a detector of sixrayd"):
        load_checkpoint(path)
