"""What runs a detector's network: torch, OpenVINO or ONNX Runtime, behind one call."""

import copy
import hashlib
import importlib.util
import threading
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from sixrayd.core.errors import CheckpointError, SettingsError
from sixrayd.core.extras import import_extra
from sixrayd.detectors.backend_onnxruntime import open_onnxruntime
from sixrayd.detectors.backend_openvino import (
    import_openvino,
    open_openvino,
    read_quantised,
)
from sixrayd.detectors.backend_torch import open_torch
from sixrayd.detectors.catalogue import BACKENDS
from sixrayd.detectors.decoding import check_numbers
from sixrayd.detectors.detector import Detector
from sixrayd.detectors.devices import computes_bfloat16
from sixrayd.detectors.folding import Network, Shapes

Outputs = tuple[Tensor, Tensor, Tensor]  # offsets, logits, priors
Backend = Callable[[Tensor], Outputs]
"""(B, 3, H, W) normalised float32 on the device → offsets, logits and priors, float32.

Any B, H and W; the results are the caller's. Of several threads that call, one runs at a time.
"""


def resolve_backend(name: str, device: torch.device, able: Collection[str] = BACKENDS) -> str:
    """The backend that a name means on this machine.

    "auto" is what should be fastest of what is installed and keeps the candidates: bfloat16 on a
    GPU and on CPUs that compute in it. Int8 is only taken by name.

    Args:
        able: what can run the detector, as its `Architecture` has it.

    Raises:
        SettingsError: unknown, or not for this device.
        ServiceError: its library is not installed.
    """
    if name == "auto":
        fastest = _fastest(device)
        name = fastest if fastest in able else "torch"
    if name not in able:
        raise SettingsError(f"backend {name!r}: expected auto, {', '.join(able)}")
    if name == "torch-bf16" and device.type != "cpu" and _fastest(device) != name:
        raise SettingsError(f"backend {name}: this GPU has no bfloat16; pass --backend torch")
    library = name.split("-")[0]
    if library != "torch" and device.type != "cpu":
        raise SettingsError(
            f"backend {name}: runs on the CPU; pass --device cpu or another backend"
        )
    if library == "openvino":
        import_openvino()
    elif library == "onnxruntime":
        import_extra(library, "cpu")
    return name


def open_backend(
    name: str,
    detector: Detector,
    device: torch.device,
    *,
    threads: int = 0,
    quantised: Path | None = None,
    batch: int = 0,
) -> Backend:
    """A detector's network, ready to run.

    Its weights are copied; `detector.reading` is followed as it changes.

    Args:
        threads: 0 takes the library's own choice, all cores as a rule. Torch's are the process's.
        quantised: what `quantise` wrote for this detector; "openvino-int8" needs it.
        batch: images a step as a rule: on a GPU, the network is compiled and recorded for so
            many in the detector's square. 0 does neither, which benchmarks need: all that they
            compare runs alike.

    Raises:
        SettingsError, ServiceError: as `resolve_backend`; or int8 without `quantised`.
        CheckpointError: `quantised` cannot be read, or belongs to other weights; or what the
            detector says is no number, of which OpenVINO makes one.
    """
    name = resolve_backend(name, device)
    network = Network(detector)
    if name.startswith("torch"):
        ready = (batch, detector.form.size) if batch else None
        look = open_torch(network, device, threads, bf16=name == "torch-bf16", ready=ready)
        return partial(_run, look, detector, threading.Lock())
    if name.startswith("openvino"):
        _check_overflow(network, detector)
    if name == "onnxruntime":
        run = open_onnxruntime(network, threads)
    elif name == "openvino-int8":
        if quantised is None:
            raise SettingsError("backend openvino-int8: needs a network that `quantise` wrote")
        body = read_quantised(quantised, weights_sha256(detector))
        try:
            run = open_openvino(network, "bf16", threads, body)
        except CheckpointError as error:
            raise CheckpointError(f"{quantised}: {error}") from error
    else:
        run = open_openvino(network, "f32" if name == "openvino" else "bf16", threads)
    shapes = _MapShapes(network)
    return partial(_run, lambda x: (*run(x), shapes(x)), detector, threading.Lock())


def _check_overflow(network: Network, detector: Detector) -> None:
    """Refuse a network that says of black and white what is no number."""
    form, side = detector.form, network.sources.least_px + 63
    both = (torch.tensor([[0.0], [255.0]]) - torch.tensor(form.mean)) / torch.tensor(form.scale)
    with torch.inference_mode():
        outputs = network(both[:, :, None, None].expand(-1, -1, side, side).contiguous())
    check_numbers(all(bool(part.isfinite().all()) for part in outputs))


class _MapShapes:
    """Shapes of a network's source maps for an input, without running it."""

    def __init__(self, network: Network) -> None:
        # On the meta device tensors have shapes and no values.
        self.sources = copy.deepcopy(network.sources).to("meta")
        self.along: dict[int, list[int]] = {}  # a side of the input → that of each map

    def __call__(self, x: Tensor) -> Shapes:
        return tuple(zip(*(self._sides(side) for side in x.shape[2:]), strict=True))

    def _sides(self, side: int) -> list[int]:
        if side not in self.along:
            maps = self.sources(torch.empty(1, 3, side, side, device="meta"))
            self.along[side] = [m.shape[2] for m in maps]
        return self.along[side]


def _run(
    look: Callable[[Tensor], tuple[Tensor, Tensor, Shapes]],
    detector: Detector,
    lock: threading.Lock,
    x: Tensor,
) -> Outputs:
    with lock, torch.inference_mode():
        offsets, logits, shapes = look(x)
        priors = detector.priors(shapes, (x.shape[2], x.shape[3]), x.device)
        return offsets.float(), logits.float(), priors


def weights_sha256(detector: Detector) -> str:
    """Of all its weights, whatever file they came from."""
    weights = {key: tensor.contiguous() for key, tensor in detector.state_dict().items()}
    return hashlib.sha256(save(weights)).hexdigest()


def _fastest(device: torch.device) -> str:
    if device.type != "cpu":
        elsewhere = not torch.cuda.is_available()  # on a cluster's GPUs, of which nothing is known
        return "torch-bf16" if elsewhere or computes_bfloat16(device) else "torch"
    if importlib.util.find_spec("openvino") is None:
        return "torch"
    can = torch.cpu.get_capabilities()
    return "openvino-bf16" if can.get("avx512_bf16") or can.get("amx_bf16") else "openvino"
