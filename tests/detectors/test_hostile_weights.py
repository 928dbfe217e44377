"""Weights that were made to mislead: each ends in one line, without advice to run their code."""

import io
import json
import pickle
import resource
import warnings
import zipfile
from collections import OrderedDict
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import save

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import CheckpointError
from sixrayd.detectors import pickles
from sixrayd.detectors.backend_openvino import read_quantised
from sixrayd.detectors.backends import open_backend
from sixrayd.detectors.checkpoints import (
    Checkpoint,
    build_detector,
    load_checkpoint,
    save_weights,
    why_refused,
)
from sixrayd.detectors.pickles import read_tensors
from sixrayd.detectors.predictor import Predictor
from sixrayd.detectors.pretrained import initialise_from
from tests.limits import within

PLAIN = "need a dense tensor, held whole"
LONG = "a name of 5,007 signs, at most 200 are read"
MORE = (
    "not readable weights (it holds more than tensors, which could run code; save its state_dict "
    "alone)"
)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"0.weight": torch.zeros(1).expand(1 << 45)}, f"'0.weight': {PLAIN}"),
        ({"0.weight": torch.zeros(3, 3).to_sparse()}, f"'0.weight': {PLAIN}"),
        ({"0.weight": torch.zeros(3, device="meta")}, f"'0.weight': {PLAIN}"),
        ({f"{'9' * 5000}.weight": torch.zeros(1)}, f"'{'9' * 98}…: {LONG}"),
        (
            {"\x1b[2J\n": torch.zeros(1)},
            "of no known kind: its tensors are \\x1b[2J\\n; known are RFBNet, ssd.pytorch, the "
            "reduced VGG-16, torchvision's VGG-16, ResNet-50 and RetinaNet",
        ),
        ({"a": print}, MORE),
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
        ({"input": INPUT | {"size": 10**30}}, "input: expected a size of 1 to 2048 pixels"),
        ({"input": INPUT | {"size": 2049}}, "input: expected a size of 1 to 2048 pixels"),
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


@pytest.mark.parametrize(
    ("name", "size", "classes", "said"),
    [
        ("rfb300", 512, 1, "input: expected a size of 300 pixels"),
        ("rfb-small", 2048, 63, "input: 2048 pixels, too many for 63 classes"),
    ],
)
def test_no_weights_ask_for_an_input_beyond_memory(tmp_path, name, size, classes, said):
    names = [f"c{number}" for number in range(classes)]
    about = {"detector": name, "classes": names, "input": INPUT | {"size": size}}
    path = tmp_path / "a.safetensors"
    path.write_bytes(save({"a": torch.zeros(1)}, metadata={"sixrayd": json.dumps(about)}))
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert str(caught.value) == f"{path}: not readable weights ({said})"


def test_large_inputs_go_through_the_network_in_parts():
    detector = build_detector("rfb-small", ClassList(("Gun",)), 1024)
    images = [np.zeros((8, 8, 3), np.uint8)] * 9
    assert [b.places for b in Predictor(detector).prepare(images)] == [
        (0, 1, 2, 3),
        (4, 5, 6, 7),
        (8,),
    ]
    many = build_detector("rfb-small", ClassList(tuple(map(str, range(119)))), 512)
    assert [len(b.places) for b in Predictor(many).prepare(images)] == [4, 4, 1]


def test_a_refused_pickle_is_not_recommended(tmp_path):
    torch.save({"a": print}, path := tmp_path / "a.pth")
    with pytest.raises(Exception, match="weights_only") as caught:
        torch.load(path, weights_only=True)
    assert why_refused(caught.value) == "it holds more than tensors, which could run code"


# As keys, whose hashes are reckoned: a tuple of two tuples of two …; one in one in one ….
_PAIRS = b"\x80\x02}N\x85" + b"q\x00h\x00\x86" * 40 + b"K\x01s."
_DEEP = b"\x80\x02}N" + b"\x85" * 1_000_000 + b"K\x01s."
# Of one list of pairs, table after table is made.
_NUMBERS = b"".join(b"M" + number.to_bytes(2, "little") + b"N\x86" for number in range(20_000))
_TABLES = (
    b"\x80\x02ccollections\nOrderedDict\nq\x00](" + _NUMBERS + b"e\x85q\x01]("
    b"%se." % (b"h\x00h\x01R" * 2_000)
)
ONE_S = "not readable weights (it takes more than 1 s to read; save its state_dict alone, by"
MEMORY = "not readable weights (it takes more than 64 MB of memory to read; save its state_dict"
ENDS = "not readable weights (torch ends, or waits for ever, as it reads it; save its state_dict"
REPEATED = "b: its tensors repeat each other too often"


def _repeated(path, *, is_zip):
    view = torch.zeros(1).expand(1 << 27)
    torch.save({"a": view, "b": view[1:]}, path, _use_new_zipfile_serialization=is_zip)


def _packed(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed, io.BytesIO() as plain:
        torch.save({"a": torch.zeros(32 << 20)}, plain)
        with zipfile.ZipFile(plain) as parts:
            for name in parts.namelist():
                packed.writestr(name, parts.read(name))


def _zip_of(pickled, path, name="data.pkl"):
    with zipfile.ZipFile(path, "w") as archive:
        for part, data in ((name, pickled), ("version", b"3"), ("byteorder", b"little")):
            archive.writestr(f"archive/{part}", data)


def _old(pickled, path):
    """As before torch 1.6, and with a zip at its end, by which torch does not go."""
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    _zip_of(pickle.dumps({}, 2), path)
    path.write_bytes(b"".join(pickle.dumps(p, 2) for p in head) + pickled + path.read_bytes())


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (partial(_zip_of, _PAIRS), ONE_S),
        (partial(_zip_of, _PAIRS, name="DATA.PKL"), ONE_S),
        (partial(_zip_of, _TABLES), MEMORY),
        (partial(_old, _PAIRS), ONE_S),
        (partial(_old, _TABLES), MEMORY),
        (_packed, MEMORY),
        (partial(_repeated, is_zip=True), REPEATED),
        (partial(_repeated, is_zip=False), REPEATED),
    ],
)
def test_weights_that_ask_for_more_than_their_size_explains(tmp_path, monkeypatch, write, said):
    if said == MEMORY:
        monkeypatch.setattr(pickles, "_MORE_BYTES", 64 << 20)
        monkeypatch.setattr(pickles, "_TIMES_ITS_SIZE", 0)
    monkeypatch.setattr(pickles, "_MOST_S", 60 if said == MEMORY else 1)
    write(path := tmp_path / "a.pth")
    with within(120, said), pytest.raises(CheckpointError) as caught:
        initialise_from(build_detector("rfb-small", ClassList(("Gun",))), path)
    assert str(caught.value).startswith(f"{path}: {said}")


@pytest.mark.parametrize("write", [_zip_of, _old])
def test_weights_that_end_torch_end_no_command(tmp_path, write):
    write(_DEEP, path := tmp_path / "a.pth")
    before = resource.getrlimit(resource.RLIMIT_STACK)
    resource.setrlimit(resource.RLIMIT_STACK, (8 << 20, before[1]))
    try:
        with pytest.raises(CheckpointError) as caught:
            initialise_from(build_detector("rfb-small", ClassList(("Gun",))), path)
    finally:
        resource.setrlimit(resource.RLIMIT_STACK, before)
    assert str(caught.value).startswith(f"{path}: {ENDS}")


@pytest.mark.parametrize("named", ["numel", "untyped_storage", "isfinite", "detach"])
def test_tensors_and_tables_are_read_as_such_whatever_attributes_they_have(tmp_path, named):
    tensor, file = torch.full((3,), torch.nan), io.BytesIO()
    setattr(tensor, named.upper(), "x")
    table = OrderedDict({"a": tensor})
    table.ITEMS = table.GET = "x"
    torch.save(table, file, _use_new_zipfile_serialization=False)
    data = file.getvalue()
    for name in (named, "items", "get"):
        data = data.replace(name.upper().encode(), name.encode())
    (path := tmp_path / "a.pth").write_bytes(data)
    assert read_tensors(path).items == "x"
    with pytest.raises(CheckpointError) as caught:
        initialise_from(build_detector("rfb-small", ClassList(("Gun",))), path)
    assert str(caught.value) == f"{path}: a: holds values that are not finite"


def test_weights_of_too_many_classes_are_not_built(tmp_path):
    about = {"detector": "rfb-small", "classes": [f"c{n}" for n in range(1001)]}
    about["input"] = {"size": 300, "mean": [0, 0, 0], "scale": [1, 1, 1]}
    path = tmp_path / "a.safetensors"
    path.write_bytes(save({"a": torch.zeros(1)}, metadata={"sixrayd": json.dumps(about)}))
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert str(caught.value) == (f"{path}: not readable weights (of 1001 classes, at most 1000)")


def test_a_quantised_network_that_is_packed_is_not_unpacked(tmp_path):
    pytest.importorskip("openvino")
    with zipfile.ZipFile(path := tmp_path / "int8.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("weights.sha256", "body.xml", "body.bin"):
            archive.writestr(name, bytes(1 << 20))
    with pytest.raises(CheckpointError) as caught:
        read_quantised(path, "0" * 64)
    size = path.stat().st_size
    assert str(caught.value) == (
        f"{path}: not a readable quantised network (unpacks to more than {size} bytes, 1 times "
        "its size and 0 MiB)"
    )


@pytest.mark.parametrize("part", ["heads.classes.0.bias", "heads.offsets.0.bias"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_taken_for_ones_that_find_nothing(
    tmp_path, part, value
):
    classes = ClassList(("Gun",))
    detector = build_detector("rfb-small", classes)
    weights = detector.state_dict()
    weights[part] = torch.full_like(weights[part], value)
    path = tmp_path / "a.safetensors"
    save_weights(path, Checkpoint("rfb-small", detector, classes), weights)

    for read in (load_checkpoint, partial(initialise_from, build_detector("rfb-small", classes))):
        with pytest.raises(CheckpointError) as caught:
            read(path)
        assert str(caught.value) == f"{path}: {part}: holds values that are not finite"


def test_weights_that_overflow_are_not_taken_for_ones_that_find_nothing():
    detector = build_detector("rfb-small", ClassList(("Gun",)), 64)
    with torch.no_grad():
        for tensor in detector.parameters():
            tensor.mul_(1e15)

    with pytest.raises(CheckpointError, match=r"^what the detector says is no number: "):
        Predictor(detector).detect([np.full((64, 64, 3), 200, np.uint8)])


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({f"t{n}": torch.zeros(0) for n in range(10_001)}, "10001 tensors, at most 10000 are read"),
        ({"t": torch.zeros([1] * 9)}, "a tensor of 9 dimensions, at most 8 are read"),
    ],
    ids=["tensors", "dimensions"],
)
def test_what_takes_time_by_its_number_is_counted_first(tmp_path, tensors, said):
    """A million empty tensors, or dimensions in 2 MB, took more than 20 s."""
    path, classes = tmp_path / "a.safetensors", ClassList(("Gun",))
    detector = build_detector("rfb-small", classes)
    save_weights(path, Checkpoint("rfb-small", detector, classes), tensors)

    for read in (load_checkpoint, partial(initialise_from, build_detector("rfb-small", classes))):
        with pytest.raises(CheckpointError) as caught:
            read(path)
        assert str(caught.value) == f"{path}: not readable weights ({said})"


@pytest.mark.parametrize("part", ["weights", "variances", "input"])
def test_openvino_makes_no_numbers_of_what_is_none(part):
    pytest.importorskip("openvino")
    detector = build_detector("rfb-small", ClassList(("Gun",)), 64).eval()
    for name, tensor in detector.state_dict().items():
        if part == "weights" and tensor.is_floating_point():
            tensor.mul_(1e15)
        if part == "variances" and name.endswith("running_var"):
            tensor.neg_()
    if part == "input":
        detector.form = replace(detector.form, scale=(1e-300, 1.0, 1.0))

    with pytest.raises(CheckpointError, match=r"^what the detector says is no number: "):
        open_backend("openvino", detector, torch.device("cpu"))


@pytest.mark.parametrize("kind", [torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64])
def test_weights_of_odd_numbers_are_refused(tmp_path, kind):
    path, classes = tmp_path / "a.safetensors", ClassList(("Gun",))
    detector = build_detector("rfb-small", classes)
    weights = {"0.weight": torch.zeros(8, dtype=torch.uint8).view(kind)}
    save_weights(path, Checkpoint("rfb-small", detector, classes), weights)

    for read in (load_checkpoint, partial(initialise_from, detector)):
        with pytest.raises(CheckpointError) as caught:
            read(path)
        assert str(caught.value) == f"{path}: 0.weight: holds {kind}; save it as float32"


def test_torch_says_nothing_of_a_strange_pickle(tmp_path):
    """It asks users to write to its makers, for each of the five pickles of an old file."""
    file = io.BytesIO()
    torch.save({"a": torch.ones(2)}, file, _use_new_zipfile_serialization=False)
    (tmp_path / "a.pth").write_bytes(file.getvalue().replace(b"\x80\x02", b"\x80\x07"))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert read_tensors(tmp_path / "a.pth")["a"].tolist() == [1, 1]
    assert said == []
