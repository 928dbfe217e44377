"""ONNX Runtime as a backend: one graph for every input shape, in float32."""

import logging
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sixrayd.core.extras import import_extra
from sixrayd.detectors.folding import Network

_OPSET = 18


def open_onnxruntime(network: Network, threads: int) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """A network, exported and loaded.

    Raises:
        ServiceError: onnxruntime, onnx or onnxscript is not installed.
    """
    runtime = import_extra("onnxruntime", "cpu")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    session = runtime.InferenceSession(
        _exported(network), options, providers=["CPUExecutionProvider"]
    )

    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        offsets, logits = session.run(None, {"images": x.contiguous().numpy()})
        return torch.from_numpy(offsets), torch.from_numpy(logits)

    return forward


def _exported(network: Network) -> bytes:
    import_extra("onnx", "cpu")
    import_extra("onnxscript", "cpu")
    # Sides of the example must differ, and none be 1, lest the exporter take them for constants.
    side = 32 * (network.sources.least_px // 32 + 2)
    any_shape = {"images": dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)}
    example = torch.zeros(2, 3, side, side + 32)
    data: bytes = traced(network, example, ["offsets", "logits"], any_shape).SerializeToString()
    return data


def traced(module: nn.Module, images: Tensor, outputs: list[str], dynamic_shapes: Any) -> Any:
    """A module that takes `images` as an onnx.ModelProto, without the exporter's chatter.

    Args:
        images: an example.
        outputs: names.
        dynamic_shapes: as `torch.export` takes them.
    """
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's own, about its dependencies
            program = torch.onnx.export(
                module,
                (images,),
                input_names=["images"],
                output_names=outputs,
                dynamic_shapes=dynamic_shapes,
                opset_version=_OPSET,
                dynamo=True,
                verbose=False,
            )
    finally:
        logger.setLevel(level)
    assert program is not None
    return program.model_proto
