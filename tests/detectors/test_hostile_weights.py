"""Weights that were made to mislead: each ends in one line, without advice to run their code."""

import json

import pytest
import torch
from safetensors.torch import save

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import CheckpointError
from sixrayd.detectors.checkpoints import build_detector, load_checkpoint, why_refused
from sixrayd.detectors.pretrained import initialise_from

PLAIN = "need a dense tensor, held whole"


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"0.weight": torch.zeros(1).expand(1 << 45)}, f"'0.weight': {PLAIN}"),
        ({"0.weight": torch.zeros(3, 3).to_sparse()}, f"'0.weight': {PLAIN}"),
        ({"0.weight": torch.zeros(3, device="meta")}, f"'0.weight': {PLAIN}"),
        ({f"{'9' * 5000}.weight": torch.zeros(1)}, f"'{'9' * 98}…: {PLAIN}"),
        (
            {"\x1b[2J\n": torch.zeros(1)},
            "of no known kind: its tensors are \\x1b[2J\\n; known are RFBNet, ssd.pytorch, the "
            "reduced VGG-16, torchvision's VGG-16, ResNet-50 and RetinaNet",
        ),
        (
            {"a": print},
            "not readable weights (it holds more than tensors, which could run code; save its "
            "state_dict alone)",
        ),
    ],
)
def test_pickles(tmp_path, weights, said):
    torch.save(weights, path := tmp_path / "a.pth")
    with pytest.raises(CheckpointError) as caught:
        initialise_from(build_detector("rfb-small", ClassList(("Gun",))), path)
    assert str(caught.value) == f"{path}: {said}"


INPUT = {"size": 64, "mean": [0, 0, 0], "scale": [1, 1, 1]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"input": INPUT | {"size": 10**30}}, "input: expected a size of 1 to 16384 pixels"),
        ({"input": INPUT | {"scale": [1, 0, 1]}}, "input: expected finite colours, and no scale"),
        ({"input": INPUT | {"mean": [1e999] * 3}}, "input: expected finite colours, and no scale"),
        ({"classes": ["../Gun"]}, "classes: '../Gun' holds a comma, a slash or a control"),
    ],
)
def test_metadata_of_safetensors(tmp_path, change, said):
    about = json.dumps({"detector": "rfb-small", "classes": ["Gun"], "input": INPUT} | change)
    path = tmp_path / "a.safetensors"
    path.write_bytes(save({"a": torch.zeros(1)}, metadata={"sixrayd": about}))
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: not readable weights ({said}")


def test_a_refused_pickle_is_not_recommended(tmp_path):
    torch.save({"a": print}, path := tmp_path / "a.pth")
    with pytest.raises(Exception, match="weights_only") as caught:
        torch.load(path, weights_only=True)
    assert why_refused(caught.value) == "it holds more than tensors, which could run code"
