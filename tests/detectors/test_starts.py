"""Where published weights come from, and which detectors a source fits."""

import hashlib

import pytest
import torch
from torch import nn

from sixrayd.core.errors import CheckpointError, SettingsError
from sixrayd.core.workspace import Workspace
from sixrayd.detectors.pretrained import WEIGHTS, WeightsFile, find_weights
from sixrayd.detectors.starts import check_starts, sources_of
from sixrayd.detectors.vgg import reduced_vgg16

CONTENT = b"weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NOWHERE = "https://127.0.0.1:9/vgg16_reducedfc.pth"
WAYS = (
    "; pass --init FILE, put vgg16_reducedfc.pth into the folder that SIXRAYD_WEIGHTS names, or "
    "start at random with --init none, which costs precision: the published recipes expect these "
    "weights"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder that a person names; the published file is as good as unreachable."""
    folder = tmp_path / "mine"
    folder.mkdir()
    monkeypatch.setenv("SIXRAYD_WEIGHTS", str(folder))
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    monkeypatch.setitem(WEIGHTS, "vgg16-reduced", WeightsFile(NOWHERE, SHA256))
    return folder


def test_published_weights_are_taken_from_the_named_folder(folder):
    (folder / "vgg16_reducedfc.pth").write_bytes(CONTENT)

    assert find_weights("vgg16-reduced") == folder / "vgg16_reducedfc.pth"


def test_else_from_where_they_were_fetched_to(folder, tmp_path, monkeypatch):
    fetched = tmp_path / "hub" / "checkpoints" / "vgg16_reducedfc.pth"
    fetched.parent.mkdir(parents=True)
    fetched.write_bytes(CONTENT)

    assert find_weights("vgg16-reduced") == fetched
    monkeypatch.delenv("SIXRAYD_WEIGHTS")
    assert find_weights("vgg16-reduced") == fetched


def refusal():
    with pytest.raises(CheckpointError) as caught:
        find_weights("vgg16-reduced")
    message = str(caught.value)
    assert "\n" not in message and message.endswith(WAYS)
    return message.removesuffix(WAYS)


def test_other_bytes_of_that_name_are_refused(folder):
    path = folder / "vgg16_reducedfc.pth"
    path.write_bytes(b"others")
    found = hashlib.sha256(b"others").hexdigest()

    with pytest.raises(CheckpointError) as caught:
        find_weights("vgg16-reduced")
    assert str(caught.value) == (
        f"--init vgg16-reduced: {path}: SHA-256 {found}, expected {SHA256}…: not what was "
        "published under that name; replace it, or pass it as --init FILE if it is meant"
    )


def test_what_is_no_file_is_refused_with_both_ways_on(folder):
    path = folder / "vgg16_reducedfc.pth"
    path.mkdir()
    assert "Is a directory" in refusal()


def test_a_folder_that_is_not_there_is_named(folder):
    folder.rmdir()

    assert refusal() == f"--init vgg16-reduced: SIXRAYD_WEIGHTS={folder}: no such folder"


def test_what_cannot_be_fetched_is_one_line_with_both_ways_on(folder):
    found = refusal()

    assert found.startswith(f"--init vgg16-reduced: {NOWHERE}: not fetched (")
    assert "refused" in found


@pytest.mark.parametrize(
    ("init", "sources"),
    [
        ("auto", {"": "auto"}),
        ("none", {"": "none"}),
        ("", {"": "none"}),
        ("vgg16", {"": "vgg16"}),
        (
            "ssd512=vgg16,retinanet512=resnet50",
            {"": "auto", "ssd512": "vgg16", "retinanet512": "resnet50"},
        ),
        ("none,rfb512=a=b,c.pth", {"": "none", "rfb512": "a=b,c.pth"}),
        ("my,file=1.pth,ssd300=x", {"": "my,file=1.pth", "ssd300": "x"}),
        ("ssd-small=first", {"": "auto", "ssd-small": "first"}),
    ],
)
def test_a_source_for_each_detector(init, sources):
    assert sources_of(init) == sources


@pytest.mark.parametrize(
    ("init", "message"),
    [
        ("ssd512=a,ssd512=b", "--init ssd512=a,ssd512=b: two sources for ssd512"),
        ("vgg16,ssd512=", "--init vgg16,ssd512=: no source for ssd512"),
    ],
)
def test_none_or_two_sources_are_refused(init, message):
    with pytest.raises(SettingsError) as caught:
        sources_of(init)
    assert str(caught.value) == message


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    """The reduced VGG-16 under the names of its published file; each tensor one number."""
    lower, upper = reduced_vgg16()
    state = nn.Sequential(*lower, *upper).state_dict()
    light = {key: torch.tensor(0.01).expand(value.shape) for key, value in state.items()}
    path = tmp_path_factory.mktemp("vgg") / "vgg.pth"
    torch.save(light, path)
    return path


def test_a_source_that_fits_some_detectors_alone_is_refused_before_any_is_trained(vgg, tmp_path):
    wanted = dict.fromkeys(("ssd300", "retinanet-small", "rfb300"), str(vgg))

    with pytest.raises(CheckpointError) as caught:
        check_starts(Workspace(tmp_path), wanted)

    assert str(caught.value) == (
        f"--init {vgg}: fits ssd300 and rfb300, not retinanet-small ({vgg}: 0.weight: the detector "
        "has no such layer; weights of VGG-16 as reduced for SSD do not belong to it); name a "
        f"source for each, as in --init ssd300={vgg},retinanet-small=auto,rfb300={vgg}"
    )
    with pytest.raises(CheckpointError, match=r"\.pth: does not fit rfb-small \("):
        check_starts(Workspace(tmp_path), {"rfb-small": str(vgg)})


def test_a_source_that_fits_and_random_starts_are_let_pass(vgg, tmp_path, folder):
    check_starts(Workspace(tmp_path), {"ssd300": str(vgg), "rfb-small": "auto", "rfb512": "none"})
    with pytest.raises(CheckpointError, match=r"^--init vgg16-reduced: .* not fetched"):
        check_starts(Workspace(tmp_path), {"rfb-small": "auto", "rfb512": "auto"})
