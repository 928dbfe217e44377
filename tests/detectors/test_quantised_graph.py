"""Graphs that OpenVINO would compute with while it reads them."""

import zipfile

import numpy as np
import pytest

from sixrayd.core.errors import CheckpointError
from sixrayd.detectors.backend_openvino import import_openvino, read_quantised
from sixrayd.detectors.quantised_graph import checked_graph

SHA256 = "0" * 64
LAYER = '<layer id="{}" type="{}"><input><port id="0"/><port id="1"/></input></layer>'


def graph(*layers, edges=()):
    """XML of layers by type, numbered from 0, and edges (from, to, port of it)."""
    body = "".join(LAYER.format(*each) for each in enumerate(layers))
    joined = "".join(
        f'<edge from-layer="{a}" to-layer="{b}" to-port="{port}"/>' for a, b, port in edges
    )
    return f"<net><layers>{body}</layers><edges>{joined}</edges></net>".encode()


@pytest.mark.parametrize("kind", ["range", "interpolate"])
def test_what_makes_much_of_little_is_not_computed_to_be_read(tmp_path, kind):
    """With 2**29 in place of 2**10, such a file of 4 kB took 8 GB, and others minutes."""
    pytest.importorskip("openvino")
    openvino, opset = import_openvino(), import_openvino("openvino.opset13")
    image = opset.parameter([1, 3, -1, -1], np.float32)
    if kind == "range":
        start, stop, step = (opset.constant(np.array(n, np.int64)) for n in (0, 1 << 10, 1))
        numbers = opset.range(start, stop, step, "i64")
        side = opset.reduce_max(numbers, opset.constant(np.array([0])), keep_dims=True)
        shaped = opset.reshape(image, side, False)
        said = "an operation 'Range', which no network here has"
    else:
        sizes = opset.constant(np.array([8]))
        sizes = opset.concat([sizes, sizes], 0)
        axes = opset.constant(np.array([2, 3]))
        shaped = opset.interpolate(image, sizes, "nearest", "sizes", axes=axes)
        said = "Interpolate of Concat, which no network here has"
    files = (tmp_path / "body.xml", tmp_path / "body.bin")
    openvino.serialize(openvino.Model([shaped], [image]), *map(str, files))
    with zipfile.ZipFile(path := tmp_path / "int8.zip", "w") as archive:
        archive.writestr("weights.sha256", SHA256)
        for file in files:
            archive.write(file, file.name)

    with pytest.raises(CheckpointError) as caught:
        read_quantised(path, SHA256)
    assert str(caught.value) == f"{path}: not a readable quantised network ({said})"


SIZED = [(0, 1, 0), (1, 2, 0), (3, 2, 1), (2, 4, 0), (0, 5, 0), (4, 5, 1)]
SIZED_BY = ("Parameter", "ShapeOf", "Gather", "Const", "Convert", "Interpolate")


@pytest.mark.parametrize(
    ("xml", "said"),
    [
        (graph(*SIZED_BY, edges=[*SIZED, (5, 5, 1)]), "Interpolate of Interpolate, which no"),
        (graph(*SIZED_BY, edges=[*SIZED, (5, 5, 7)]), "Interpolate of Interpolate, which no"),
        (graph(*SIZED_BY, "Concat", edges=[*SIZED, (6, 4, 0)]), "Convert of Concat, which no"),
        (graph(*SIZED_BY, "Add", edges=[*SIZED, (6, 2, 0)]), "Gather of Add, which no network"),
        (graph(*SIZED_BY, "Loop", edges=SIZED), "an operation 'Loop', which no network here has"),
        (b"<!DOCTYPE a>" + graph("Const"), "has a DTD, expected none"),
        (graph("Const").replace(b"<net>", b'<net xmlns="a">'), "names a namespace, expected none"),
        (graph("Const", "Const").replace(b'id="1" type', b'id="00" type'), "two layers of one"),
        (b"<net>" * 300, "not XML (Excessive depth in document: 256"),
        (b"", "not XML ("),
    ],
)
def test_graphs_that_no_network_here_has(xml, said):
    with pytest.raises(ValueError) as caught:
        checked_graph(xml)
    assert str(caught.value).startswith(said)


def test_a_size_that_comes_of_a_map_passes_as_it_was():
    xml = graph(*SIZED_BY, edges=SIZED)
    assert checked_graph(b"<?xml version='1.0'?><!-- said -->" + xml) == xml
