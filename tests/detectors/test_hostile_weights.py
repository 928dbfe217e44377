"""Weights that were made to mislead: each ends in one line, without advice to run their code."""

import io
import json
import pickle
import warnings
import zipfile
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import save

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import CheckpointError
from sixrayd.datasets import packing
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
        ({"0.weight": torch.zeros(3, 3).to_sparse()}, MORE),
        ({"0.weight": torch.zeros(3, device="meta")}, MORE),
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


class _Zeros:
    def __reduce__(self):
        return bytearray, (16,)


# A tuple of two tuples of two …, as a key.
_NESTED = b"\x80\x02}N\x85" + b"q\x00h\x00\x86" * 40 + b"K\x01s."
# One list of pairs, of which table after table is made; a table with attributes, given it again and
# again; one long key, hashed each time.
_LIST = b"](" + b"K\x01N\x86" * 20_000 + b"e"
_ORDERED = b"\x80\x02ccollections\nOrderedDict\nq\x00"
_COPIED = _ORDERED + _LIST + b"\x85q\x01](" + b"h\x00h\x01R" * 2_000 + b"e."
_GIVEN = _ORDERED + _LIST + b"\x85Rq\x01h\x00)R" + b"h\x01b" * 2_000 + b"."
_KEYS = b"\x80\x02(" + b"K\x01" * 90_000 + b"tq\x01}" + b"h\x01Ns" * 20_000 + b"."
# The tuple is counted while its list is empty.
_LATER = _ORDERED + b"]q\x02\x85q\x01h\x02" + _LIST[1:] + b"](" + b"h\x00h\x01R" * 2_000 + b"e."
LATER = "not readable weights (it adds to what another value holds; save it by torch.save)"
AGAIN = "not readable weights (it makes the same values again and again; save it by torch.save)"


def _packed(path):
    with zipfile.ZipFile(path) as plain:
        parts = {name: plain.read(name) for name in plain.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in parts.items():
            packed.writestr(name, data)


VIEW = torch.zeros(1).expand(1 << 27)


@pytest.mark.parametrize(
    ("weights", "change", "said"),
    [
        ({"a": _Zeros()}, None, MORE),
        (_NESTED, None, "not readable weights (it holds a tuple of more than 100000 values)"),
        (_COPIED, None, AGAIN),
        (_LATER, None, LATER),
        (_GIVEN, None, AGAIN),
        (_KEYS, None, AGAIN),
        ({"a": torch.zeros(9)}, _packed, "not readable weights (its parts are packed, or overlap"),
        ({"a": VIEW, "b": VIEW[1:]}, None, "b: its tensors repeat each other too often"),
    ],
)
@pytest.mark.parametrize("is_zip", [True, False])
def test_small_pickles_take_no_memory_and_no_time(tmp_path, weights, change, said, is_zip):
    if change and not is_zip:
        pytest.skip("only zips are packed")
    path = tmp_path / "a.pth"
    if isinstance(weights, bytes):
        path.write_bytes(weights)
    else:
        torch.save(weights, path, pickle_protocol=2, _use_new_zipfile_serialization=is_zip)
    if change:
        change(path)
    with within(10, said), pytest.raises(CheckpointError) as caught:
        initialise_from(build_detector("rfb-small", ClassList(("Gun",))), path)
    assert str(caught.value).startswith(f"{path}: {said}")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("DATA.PKL", "it holds a tuple of more than 100000 values"),  # which torch reads as well
        ("other", "it holds no pickle; save it by torch.save"),
    ],
)
def test_a_zip_is_looked_through_by_the_names_that_torch_reads(tmp_path, name, said):
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        for part, data in ((name, _NESTED), ("version", b"3"), ("byteorder", b"little")):
            archive.writestr(f"archive/{part}", data)
    with within(10, said), pytest.raises(CheckpointError) as caught:
        initialise_from(build_detector("rfb-small", ClassList()), path)
    assert str(caught.value) == f"{path}: not readable weights ({said})"


def test_a_pickle_with_a_zip_at_its_end_is_looked_through(tmp_path):
    """Torch tells the two by the first bytes: what is a zip to others is an old pickle to it."""
    steps = b"".join(b"h" + bytes([n - 1]) + b"\x86q" + bytes([n]) for n in range(2, 40))
    pickles = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    path = tmp_path / "a.pth"
    with io.BytesIO() as end:
        with zipfile.ZipFile(end, "w") as archive:
            archive.writestr("a/data.pkl", pickle.dumps({}, 2))
        bomb = b"\x80\x02})q\x01" + steps + b"K\x01s."  # whose hash takes hours
        path.write_bytes(b"".join(pickle.dumps(p, 2) for p in pickles) + bomb + end.getvalue())
    with pytest.raises(CheckpointError) as caught:
        initialise_from(build_detector("rfb-small", ClassList()), path)
    assert str(caught.value) == (
        f"{path}: not readable weights (it holds a tuple of more than 100000 values)"
    )


def test_weights_that_list_files_without_end_are_not_listed(tmp_path, monkeypatch):
    torch.save({"a": torch.zeros(1)}, path := tmp_path / "a.pth")
    monkeypatch.setattr(packing, "_MOST_LISTED", 100)
    with pytest.raises(CheckpointError, match=r"a list of files of \d+ bytes, at most 100; split"):
        initialise_from(build_detector("rfb-small", ClassList()), path)


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


def test_a_zip_that_torch_reads_otherwise_than_we_is_refused(tmp_path):
    """Two lists of parts: its end names the place of one, and lies behind the other."""

    def parts_and_list(content):
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as archive:
            archive.writestr("a/data.pkl", content)
            archive.writestr("a/version", "3\n")
        place = archive.start_dir
        return data.getvalue()[:place], data.getvalue()[place:-22], data.getvalue()[-22:]

    bad, bad_list, end = parts_and_list(_NESTED)
    good, good_list, _ = parts_and_list(pickle.dumps({"a": 1}).ljust(len(_NESTED), b"."))
    assert (len(bad), len(bad_list)) == (len(good), len(good_list))
    (path := tmp_path / "a.pth").write_bytes(bad + bad_list + good + good_list + end)
    with zipfile.ZipFile(path) as archive:
        assert archive.read("a/data.pkl").startswith(pickle.dumps({"a": 1}))
    with pytest.raises(CheckpointError, match="its list of parts is not where its end says"):
        initialise_from(build_detector("rfb-small", ClassList(("Gun",))), path)
