"""Keras' HDF5 files: both of its forms, every fault by name, and files that mean harm."""

import sys

import numpy as np
import pytest
import torch

from sixrayd.core.errors import CheckpointError, ServiceError
from sixrayd.crop.keras_weights import read_keras_weights

h5py = pytest.importorskip("h5py")

EXPECTED = {
    "conv.weight": (5, 4, 2, 3),
    "conv.bias": (5,),
    "fc1.weight": (7, 6),
    "fc1.bias": (7,),
}
KERAS = {
    "conv/conv/kernel:0": (2, 3, 4, 5),
    "conv/conv/bias:0": (5,),
    "fc1/fc1/kernel:0": (6, 7),
    "fc1/fc1/bias:0": (7,),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.h5"


def values():
    rng = np.random.default_rng(3)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in KERAS.items()}


def write(path, arrays, prefix=""):
    with h5py.File(path, "w") as file:
        file.create_group(f"{prefix}input_1")  # layers without weights are empty groups
        for name, array in arrays.items():
            file[prefix + name] = array


def refusal(path):
    with pytest.raises(CheckpointError) as caught:
        read_keras_weights(path, EXPECTED)
    return str(caught.value)


def test_kernels_are_turned_to_torchs_layout(path):
    arrays = values()
    write(path, arrays)

    weights = read_keras_weights(path, EXPECTED)

    assert {name: tuple(tensor.shape) for name, tensor in weights.items()} == EXPECTED
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    assert all(tensor.is_contiguous() for tensor in weights.values())
    conv, dense = arrays["conv/conv/kernel:0"], arrays["fc1/fc1/kernel:0"]
    for row, column, one, other in [(0, 0, 0, 0), (1, 2, 3, 4), (0, 2, 1, 3)]:
        assert weights["conv.weight"][other, one, row, column] == conv[row, column, one, other]
    assert weights["fc1.weight"][6, 2] == dense[2, 6]
    assert weights["conv.bias"].tolist() == arrays["conv/conv/bias:0"].tolist()
    assert weights["fc1.bias"].tolist() == arrays["fc1/fc1/bias:0"].tolist()


def test_a_saved_model_is_read_and_its_optimiser_passed_over(path):
    arrays = values()
    write(path, arrays, "model_weights/")
    with h5py.File(path, "a") as file:
        file["optimizer_weights/Adam/iterations:0"] = 7

    weights = read_keras_weights(path, EXPECTED)

    assert weights["fc1.bias"].tolist() == arrays["fc1/fc1/bias:0"].tolist()


def test_doubles_and_halves_become_single_precision(path):
    arrays = values()
    arrays["conv/conv/bias:0"] = np.arange(5, dtype=np.float64)
    arrays["fc1/fc1/bias:0"] = np.arange(7, dtype=np.float16)
    write(path, arrays)

    weights = read_keras_weights(path, EXPECTED)

    assert weights["conv.bias"].dtype == weights["fc1.bias"].dtype == torch.float32
    assert weights["conv.bias"].tolist() == [0, 1, 2, 3, 4]


def test_missing_and_unexpected_datasets_are_named(path):
    arrays = values()
    del arrays["fc1/fc1/bias:0"], arrays["conv/conv/kernel:0"]
    arrays["fc9/fc9/kernel:0"] = np.zeros(2)
    write(path, arrays)

    assert refusal(path) == (
        f"{path}: weights do not belong to this network: 2 missing (first conv.weight) and "
        "1 unexpected (first fc9.weight), of 4 expected"
    )


@pytest.mark.parametrize(
    "extra",
    [
        "conv/other/bias:0",  # a second one of the same layer
        "conv/conv/gamma:0",
        "bias:0",
        "model_weights",
    ],
)
def test_nothing_in_a_file_is_passed_over(path, extra):
    write(path, values() | {extra: np.zeros(5, np.float32)})

    assert refusal(path).endswith(f"network: 1 unexpected (first {extra}), of 4 expected")


def test_a_shape_is_checked_before_anything_is_read(path):
    write(path, {name: array for name, array in values().items() if name != "fc1/fc1/kernel:0"})
    with h5py.File(path, "a") as file:  # four petabytes, none of them on the disk
        file.create_dataset("fc1/fc1/kernel:0", (1 << 25, 1 << 25), "f4", chunks=(1024, 1024))

    assert refusal(path) == (
        f"{path}: /fc1/fc1/kernel:0: shape (33554432, 33554432), expected (6, 7)"
    )


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(7, np.int64), "int64 values, expected floating point"),
        (np.array([b"weights"] * 7), "|S7 values, expected floating point"),
        (h5py.Empty("f4"), "shape None, expected (7,)"),
        (np.zeros((7, 1), np.float32), "shape (7, 1), expected (7,)"),
        (np.array([0, 0, 0, np.nan, 0, 0, 0]), "a weight is not finite"),
    ],
)
def test_values_that_are_no_weights_are_refused(path, array, message):
    write(path, values() | {"fc1/fc1/bias:0": array})

    assert refusal(path) == f"{path}: /fc1/fc1/bias:0: {message}"


def test_values_of_another_file_are_never_read(path, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(28))
    arrays = values()
    bias = arrays.pop("fc1/fc1/bias:0")
    write(tmp_path / "other.h5", {"bias": bias})

    write(path, arrays)
    with h5py.File(path, "a") as file:
        file["fc1/fc1/bias:0"] = h5py.ExternalLink(tmp_path / "other.h5", "bias")
    assert "1 missing (first fc1.bias)" in refusal(path)

    write(path, arrays)
    with h5py.File(path, "a") as file:
        file.create_dataset("fc1/fc1/bias:0", (7,), "f4", external=[(secret, 0, 28)])
    assert refusal(path).endswith("its values lie in another file; save them in this one")

    layout = h5py.VirtualLayout((7,), "f4")
    layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "bias", (7,))
    write(path, arrays)
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset("fc1/fc1/bias:0", layout)
    assert refusal(path).endswith("its values lie in another file; save them in this one")


@pytest.mark.parametrize(
    "packing", [{"compression": "gzip"}, {"chunks": (8,), "maxshape": (None,)}, {"shuffle": True}]
)
def test_values_that_are_packed_are_not_unpacked(path, packing):
    arrays = values()
    bias = arrays.pop("fc1/fc1/bias:0")
    write(path, arrays)
    with h5py.File(path, "a") as file:
        file.create_dataset("fc1/fc1/bias:0", data=bias, **packing)
    assert refusal(path) == (
        f"{path}: /fc1/fc1/bias:0: its values are packed; save them as Keras does by itself"
    )


@pytest.mark.parametrize("data", [b"", b"\x80\x02}q\x00.", b"\x89HDF\r\n\x1a\n" + bytes(200)])
def test_what_is_not_hdf5_is_refused(path, data):
    path.write_bytes(data)

    assert refusal(path).startswith(f"{path}: not readable weights of Keras (")


def test_a_file_cut_short_is_refused(path):
    write(path, values())
    path.write_bytes(path.read_bytes()[:-2000])

    assert refusal(path).startswith(f"{path}: not readable weights of Keras (")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "none.h5", tmp_path):
        assert refusal(path) == (f"{path}: no such file, expected weights that Keras saved as HDF5")


def test_without_h5py_it_says_what_to_install(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)

    with pytest.raises(ServiceError) as caught:
        read_keras_weights(path, EXPECTED)
    assert str(caught.value) == (
        "h5py cannot be imported (import of h5py halted; None in "
        "sys.modules); install it with `pip install 'sixrayd[benchmark]'`"
    )


@pytest.mark.parametrize("deep", [True, False])
def test_groups_without_end_are_not_walked_through(path, deep):
    write(path, values())
    with h5py.File(path, "a") as file:
        if deep:
            file.create_group("g/" * 1000)
        else:
            for number in range(10_001):
                file.create_group(str(number))

    assert refusal(path) == (
        f"{path}: not readable weights of Keras (more than 16 groups in groups, or 10,000 parts in "
        "all)"
    )
