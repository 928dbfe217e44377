"""Running a detector's network with torch: on a CPU, or on a GPU with one shape kept ready."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from sixrayd.core.printing import console
from sixrayd.detectors.devices import compiles, keep_kernels_private, out_of_memory, tuned
from sixrayd.detectors.folding import Network, Shapes, to_bfloat16

Forward = Callable[[Tensor], tuple[Tensor, Tensor, Shapes]]
_WARM_UPS = 3  # runs in which libraries choose their kernels, before these are recorded
_ASTRAY = 0.05  # mean difference of logits, beside their mean size, that bfloat16 does not explain


def open_torch(
    network: Network,
    device: torch.device,
    threads: int,
    *,
    bf16: bool,
    ready: tuple[int, int] | None = None,
) -> Forward:
    """The network on a device: (B, 3, H, W) float32 → offsets, logits, shapes of source maps.

    Args:
        threads: of the process, from now on; 0 leaves them.
        ready: images and side in pixels of a square batch that a GPU keeps ready; others run as
            they come. CPUs take no notice.
    """
    if threads:
        torch.set_num_threads(threads)
    if bf16:
        to_bfloat16(network)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run(forward: Forward, x: Tensor) -> tuple[Tensor, Tensor, Shapes]:
        # Weights are in bfloat16 already: nothing is worth keeping from one call to the next.
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16, cache_enabled=False):
            return forward(x.contiguous(memory_format=torch.channels_last))

    def plain(x: Tensor) -> tuple[Tensor, Tensor, Shapes]:
        return run(network.look, x)

    if ready is None or not torch.cuda.is_available() or device.type != "cuda":
        return plain
    shape = (ready[0], 3, ready[1], ready[1])
    fast: Forward = plain
    with tuned(device):
        if compiles():
            keep_kernels_private()
            torch.compiler.reset()  # its limit of graphs is shared by all networks of the process
            compiled = torch.compile(network.look, dynamic=False)
            fast = _proven("compiled", lambda _: partial(run, compiled), plain, shape) or plain
        recorded = _proven("recorded", lambda full: Recorded(fast, full), plain, shape)

    def forward(x: Tensor) -> tuple[Tensor, Tensor, Shapes]:
        half = shape[0] < 2 * len(x) <= 2 * shape[0]
        if recorded and half and x.shape[1:] == shape[1:]:
            return recorded(x)
        return fast(x) if x.shape == shape else plain(x)

    return forward


def _proven(
    how: str, make: Callable[[Tensor], Forward], plain: Forward, shape: tuple[int, ...]
) -> Forward | None:
    """A faster way to run the network, if it runs here and gives what the plain way gives; else
    none, and a line that says so."""
    try:
        with torch.inference_mode():
            full = torch.randn(shape, device="cuda")
            way = make(full)
            expected, found = (run(full)[1].float() for run in (plain, way))
            away = float((found - expected).abs().mean() / expected.abs().mean())
    except Exception as error:  # of many kinds: compilers, drivers, calls that cannot be recorded
        if out_of_memory(error) or out_of_memory(error.__context__):
            raise torch.cuda.OutOfMemoryError(str(error)) from error
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    else:
        if away < _ASTRAY:
            return way
        reason = f"its logits would differ by {away:.0%}"
    console.print(f"the network is not {how} for this GPU: {reason}", soft_wrap=True)
    return None


class Recorded:
    """A run of one shape, recorded as a CUDA graph: one call starts all of its kernels.

    Args:
        forward: run a few times, then recorded.
        x: (B, 3, H, W) an input of the shape.
    """

    def __init__(self, forward: Forward, x: Tensor) -> None:
        self.x = x.contiguous(memory_format=torch.channels_last).clone()
        now = torch.cuda.current_stream(x.device)
        side = torch.cuda.Stream(x.device)  # type: ignore[no-untyped-call]
        side.wait_stream(now)
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                forward(self.x)
        now.wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        # Other threads may copy meanwhile, which would spoil a recording of the whole process. A
        # recording that fails leaves its own stream in place, hence the outer one.
        with (
            torch.cuda.stream(now),
            torch.cuda.graph(self.graph, capture_error_mode="thread_local"),
        ):
            self.results = forward(self.x)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor, Shapes]:
        """(b, 3, H, W) with b up to the recorded B → results of these images, the caller's own."""
        self.x[: len(x)].copy_(x)
        self.graph.replay()
        offsets, logits, shapes = self.results
        return offsets[: len(x)].clone(), logits[: len(x)].clone(), shapes
