"""OpenVINO as a backend, in float32, bfloat16 or int8."""

import logging
import sys
import warnings
import zipfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from io import StringIO
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sixrayd.core.errors import CheckpointError, WorkspaceError
from sixrayd.core.extras import import_extra
from sixrayd.core.files import open_plain, replacing
from sixrayd.core.growth import Allowance
from sixrayd.datasets.packing import member_bytes, opened_zip
from sixrayd.detectors.folding import Network
from sixrayd.detectors.quantised_graph import checked_graph

_SHA256, _XML, _BIN = "weights.sha256", "body.xml", "body.bin"
_ROUNDING = ("FakeQuantize", "Convert", "Multiply", "Subtract")
_WEIGHTED = ("Convolution", "GroupConvolution", "Add")  # whose constants are rounded
_EXACT = ["Add", "Divide"]  # of branches, and by a length, which rounding could make zero
_AGAIN = "quantise again; of a mining, remove its folder and mine again"
_ROOM = "make room there, or set TMPDIR, then run the same command again"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


def import_openvino(name: str = "openvino") -> ModuleType:
    """OpenVINO, or nncf beside it, without their telemetry.

    Both report to their maker what they are used for, unless this module cannot be imported.

    Raises:
        ServiceError: not installed.
    """
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    return import_extra(name, "cpu")


def open_openvino(
    network: Network, precision: str, threads: int, body: Any = None
) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """A network, converted and compiled for the CPU.

    What follows its last convolutions is compiled apart, in float32: as outputs of a model, the
    convolutions' sums stay in float32 too. In bfloat16 the scores of rivals tie, so that
    suppression keeps other boxes.

    Args:
        precision: "f32" or "bf16", of all up to there that is not quantised.
        body: of `read_quantised`, instead of all up to there.

    Raises:
        ServiceError: openvino is not installed.
        CheckpointError: the body computes something else than the network.
    """
    front, tail = _converted(network)
    if body is not None:
        _check_same(body, front)
    pieces = [(front if body is None else body, precision), (tail, "f32")]
    core = import_openvino().Core()
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,  # else every process of one thread takes the first core
    }
    chain = [
        core.compile_model(
            piece, "CPU", settings | {"INFERENCE_PRECISION_HINT": kind}
        ).create_infer_request()
        for piece, kind in pieces
    ]

    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        chain[0].infer({0: x.contiguous().numpy()}, share_inputs=True)
        for before, after in pairwise(chain):
            for place in range(len(after.input_tensors)):
                after.set_input_tensor(place, before.get_output_tensor(place))
            after.infer()
        offsets, logits = (chain[-1].get_output_tensor(place).data.copy() for place in (0, 1))
        return torch.from_numpy(offsets), torch.from_numpy(logits)

    return forward


def write_quantised(
    network: Network, inputs: Sequence[np.ndarray[Any, Any]], path: Path, sha256: str
) -> None:
    """Quantise a network up to its last convolutions and write it, whole or not at all.

    The first convolution, the last ones and sums of branches stay in floating point: they cost
    little, and leaving them out halved and halved again the candidates that change.

    Args:
        inputs: (1, 3, H, W) normalised float32 each, to calibrate with.
        sha256: of the detector's weights.

    Raises:
        ServiceError: openvino or nncf is not installed.
        WorkspaceError: it cannot be written.
    """
    openvino, nncf = import_openvino(), import_openvino("nncf")
    nncf.set_log_level(logging.ERROR)
    # The extremes of every activation: its usual estimate cuts off what few large objects cause.
    extremes = nncf.AdvancedQuantizationParameters(
        activations_range_estimator_params=import_openvino(
            "nncf.quantization.range_estimator"
        ).RangeEstimatorParametersSet.MINMAX
    )
    body, _ = _converted(network)
    with redirect_stdout(StringIO()):  # its progress bars
        body = nncf.quantize(
            body,
            nncf.Dataset(inputs),
            preset=nncf.QuantizationPreset.MIXED,
            # Not validated: a detector may have no sum or no quotient.
            ignored_scope=nncf.IgnoredScope(names=_ends(body), types=_EXACT, validate=False),
            subset_size=len(inputs),
            fast_bias_correction=False,
            advanced_parameters=extremes,
        )
    body.set_friendly_name("body")
    for number, operation in enumerate(body.get_ordered_ops()):
        operation.set_friendly_name(str(number))  # names count up while a process runs
    with TemporaryDirectory() as folder, replacing(path) as beside:
        try:
            openvino.serialize(body, *(str(Path(folder, name)) for name in (_XML, _BIN)))
        except RuntimeError as error:  # which does not say what the storage said
            raise WorkspaceError(f"{folder}: a network cannot be written there; {_ROOM}") from error
        with zipfile.ZipFile(beside, "w") as archive:
            archive.writestr(zipfile.ZipInfo(_SHA256, _LONG_AGO), sha256)
            for name in (_XML, _BIN):
                archive.writestr(zipfile.ZipInfo(name, _LONG_AGO), Path(folder, name).read_bytes())


def read_quantised(path: Path, sha256: str) -> Any:
    """What `write_quantised` wrote, for `open_openvino`.

    Raises:
        ServiceError: openvino is not installed.
        CheckpointError: missing, broken, or of other weights than those with this SHA-256.
    """
    openvino = import_openvino()
    try:
        with open_plain(path) as file, opened_zip(file) as archive:
            allowance = Allowance(path.stat().st_size, 0, 1)  # as it is written: not packed
            found, xml, weights = (
                member_bytes(archive, archive.getinfo(name), allowance)
                for name in (_SHA256, _XML, _BIN)
            )
            if found.decode() != sha256:
                raise CheckpointError(f"{path}: quantised from other weights; {_AGAIN}")
            return openvino.Core().read_model(checked_graph(xml), weights)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, RuntimeError) as error:
        raise CheckpointError(f"{path}: not a readable quantised network ({error})") from error


def _check_same(body: Any, front: Any) -> None:
    """Refuse a body that may be a stranger's and does more than the network, rounded: it could take
    any time and memory.

    Raises:
        CheckpointError: it has other operations, or of other shapes.
    """
    if list(map(str, map(_gist, _own(body)))) != list(map(str, map(_gist, _own(front)))):
        raise CheckpointError(f"another network than its weights'; {_AGAIN}")
    for each in body.get_ordered_ops():
        if each.get_type_name() in _ROUNDING and each.get_output_partial_shape(
            0
        ) != each.get_input_partial_shape(0):
            raise CheckpointError(f"rounds to other shapes than its weights' network; {_AGAIN}")


def _own(model: Any) -> list[Any]:
    """Operations that are no constants and round nothing, in order."""
    left_out = (*_ROUNDING, "Constant")
    return [each for each in model.get_ordered_ops() if each.get_type_name() not in left_out]


def _gist(operation: Any) -> tuple[Any, ...]:
    """All of an operation that says how much it computes: of constants, those that are no
    weights."""
    kind, inputs = operation.get_type_name(), operation.inputs()
    nodes = [] if kind in _WEIGHTED else [each.get_source_output().get_node() for each in inputs]
    known = [node.data.tolist() for node in nodes if node.get_type_name() == "Constant"]
    attributes = sorted(operation.get_attributes().items())
    shapes = [each.get_partial_shape() for each in (*inputs, *operation.outputs())]
    return kind, attributes, shapes, known


def _converted(network: Network) -> tuple[Any, Any]:
    """OpenVINO's models of everything up to the last convolutions, and of what follows them."""
    openvino = import_openvino()
    side = network.sources.least_px + 63
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, about how torch traces
        whole = openvino.convert_model(
            network, example_input=torch.zeros(1, 3, side, side), input=[(-1, 3, -1, -1)]
        )
    results = [last.output(0) for last in _last_convolutions(whole)]
    return _cut(whole, [(result, result.get_target_inputs()) for result in results])


def _cut(model: Any, places: list[tuple[Any, Any]]) -> tuple[Any, Any]:
    """A model in two; the outputs of the first are the inputs of the second, in order.

    Args:
        places: an output of an operation, and the inputs that it is cut off from.
    """
    openvino, entries = import_openvino(), []
    for number, (source, targets) in enumerate(places):
        entry = openvino.op.Parameter(source.get_element_type(), source.get_partial_shape())
        for target in targets:
            target.replace_source_output(entry.output(0))
        source.get_tensor().set_names({f"cut{number}"})  # else they count up while a process runs
        entries.append(entry)
    sources = [source for source, _ in places]
    return (
        openvino.Model(sources, model.get_parameters()),
        openvino.Model(model.get_results(), entries),
    )


def _ends(model: Any) -> list[str]:
    """Names of the first convolution and of the last ones."""
    kinds = ((o.get_type_name(), o.get_friendly_name()) for o in model.get_ordered_ops())
    first = [name for kind, name in kinds if kind == "Convolution"][:1]
    return first + [last.get_friendly_name() for last in _last_convolutions(model)]


def _last_convolutions(model: Any) -> list[Any]:
    found: list[Any] = []
    seen: set[str] = set()
    left = list(model.get_results())
    while left:
        for entry in left.pop().inputs():
            node = entry.get_source_output().get_node()
            if node.get_name() not in seen:
                seen.add(node.get_name())
                (found if node.get_type_name() == "Convolution" else left).append(node)
    return found
