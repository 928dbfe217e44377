"""The machine, its ceilings, and what the networks give and take there."""

import os
import platform
import shutil
import subprocess
import time
from contextlib import nullcontext
from importlib.metadata import distributions
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import torch
from torch import Tensor

from benchmarks.backends import THRESHOLD, after_suppression
from benchmarks.gpu.inputs import spread_detector
from benchmarks.gpu.plan import Setting
from benchmarks.gpu.running import Measurement, SkippedError
from benchmarks.gpu.timing import forget_peak, peak_gib, seconds
from sixrayd.core.cores import available_cores
from sixrayd.core.printing import console
from sixrayd.detectors.backends import Outputs, open_backend
from sixrayd.detectors.decoding import DecodeSettings, decode_batch
from sixrayd.detectors.devices import compiles, computes_bfloat16, float32_name

CPU = torch.device("cpu")
_PRECISIONS = {"bf16": "torch-bf16", "tf32": "torch", "fp32": "torch"}  # → backend
_COMPILING_S = 45.0  # that one network may take, until one has been seen


def machine(part: Measurement) -> None:
    """What is here."""
    device = part.setting.torch_device
    facts: dict[str, Any] = {
        "cores that this process may use": available_cores(),
        "cores of the machine": os.cpu_count(),
        "processor": _processor(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "C compiler and Triton, so that torch compiles": compiles(),
        "C compiler": next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), "none"),
        **{name: _version(name) for name in ("triton", "torchvision", "simplejpeg")},
        "opencv": cv2.__version__,
        "bf16 matrices": computes_bfloat16(device),
        "TF32 in convolutions (allowed)": torch.backends.cudnn.allow_tf32,
        "TF32 in matrix products (allowed)": torch.backends.cuda.matmul.allow_tf32,
        "float32 convolutions computed in": float32_name(device),
    }
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        facts |= {
            "GPU": about.name,
            "memory, GiB": about.total_memory / 2**30,
            "multiprocessors": about.multi_processor_count,
            "compute capability": f"{about.major}.{about.minor}",
            "CUDA of torch": torch.version.cuda,
            "cuDNN": torch.backends.cudnn.version(),
            "driver": _driver(),
        }
    for what, value in facts.items():
        part.row(fact=what, value=value)


def _version(name: str) -> str:
    return next((found.version for found in distributions(name=name)), "none")


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _driver() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        asked = subprocess.run(query, capture_output=True, text=True, timeout=10)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"not told ({type(error).__name__})"
    return asked.stdout.strip() or "not told"


def matrices(part: Measurement) -> None:
    """The rate of large products, and of copies from pinned memory: what nothing goes beyond."""
    device, rounds = part.setting.torch_device, part.setting.sizes.rounds
    on_gpu = device.type == "cuda"
    sides = (4096, 8192, 16384) if on_gpu else (512,)
    for precision in ("bf16", "tf32", "fp32") if on_gpu else ("bf16", "fp32"):
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        for side in sides if precision != "fp32" else sides[:1]:
            a, b = (torch.randn(side, side, dtype=dtype, device=device) for _ in range(2))
            times = seconds(lambda a=a, b=b: a @ b, device, 2 * rounds)  # type: ignore[misc]
            rate = 2 * side**3 / median(times) / 1e12
            part.row(product=precision, side=side, TFLOP_per_s=rate, rounds=len(times))
    if not on_gpu:
        part.note("Copies from pinned memory: no GPU here.")
        return
    pinned = torch.empty(64, 512, 512, 3, dtype=torch.uint8, pin_memory=True)
    for name, memory in (("pinned", pinned), ("pageable", pinned.clone())):
        times = seconds(lambda m=memory: m.to(device, non_blocking=True), device, 2 * rounds)  # type: ignore[misc]
        rate = memory.nbytes / median(times) / 1e9
        part.row(copy_of_64_inputs_from=name, GB_per_s=rate, rounds=len(times))


def outputs(part: Measurement) -> None:
    """Every detector, run as it comes, beside float32 on the CPU."""
    for name in part.setting.sizes.detectors:
        if part.left_s < 15:
            part.trim(name)
            continue
        network = _Compared(part, name)
        for precision in _precisions(part.setting):
            network.measure(precision, "as it comes")


def recorded(part: Measurement) -> None:
    """The same, recorded as a CUDA graph, and compiled before that."""
    if part.setting.device != "cuda":
        raise SkippedError("no GPU here")
    names = part.setting.sizes.detectors
    longest_s = 5.0
    for way in ("recorded", "compiled, recorded") if compiles() else ("recorded",):
        for precision in ("bf16", "tf32", "fp32"):
            # In other precisions than mining's, for the detectors that matter most.
            for name in names if precision == "bf16" else names[:2]:
                if part.left_s < longest_s + 10:
                    part.trim(f"{name} in {precision} {way}")
                    continue
                start = time.monotonic()
                _Compared(part, name).measure(precision, way)
                longest_s = max(longest_s, time.monotonic() - start)
        longest_s = _COMPILING_S
    if not compiles():
        part.note("Compiled: torch cannot compile here, which takes Triton and a C compiler.")


def _precisions(setting: Setting) -> tuple[str, ...]:
    return ("fp32", "tf32", "bf16") if setting.device == "cuda" else ("fp32", "bf16")


class _Compared:
    """A detector with the outputs that the CPU gives in float32, and the candidates in them."""

    def __init__(self, part: Measurement, name: str) -> None:
        self.part, self.name = part, name
        self.detector, self.x = spread_detector(part.setting, name)
        path = part.setting.folder / f"{name}-outputs.pt"
        if not path.exists():
            torch.save(open_backend("torch", self.detector, CPU)(self.x), path)
        self.expected: Outputs = torch.load(path)
        self.candidates = self._decoded(self.expected)

    def measure(self, precision: str, way: str) -> None:
        """A row of differences and a row of times."""
        device, sizes = self.part.setting.torch_device, self.part.setting.sizes
        torch.backends.cudnn.allow_tf32 = precision != "fp32"
        torch.compiler.reset()  # of networks that are compiled, few are kept beside each other
        forget_peak(device)
        eager = nullcontext() if way != "recorded" else torch.compiler.set_stance("force_eager")
        start = time.monotonic()
        with eager, console.capture() as said:
            backend = open_backend(
                _PRECISIONS[precision],
                self.detector,
                device,
                batch=0 if way == "as it comes" else sizes.batch,
            )
        opening_s = time.monotonic() - start
        times = -(-sizes.batch // len(self.x))
        full = self.x.repeat(times, 1, 1, 1)[: sizes.batch].to(device)
        found: Outputs = tuple(t.cpu() for t in backend(full))  # type: ignore[assignment]
        what = {"detector": self.name, "precision": precision, "way": way}
        self.part.row(**what, **self._differences(found, device))
        taken = seconds(lambda: backend(full), device, sizes.rounds)
        self.part.row(
            **what,
            batch=sizes.batch,
            ms_an_image=1e3 * median(taken) / len(full),
            images_per_s=len(full) / median(taken),
            rounds=len(taken),
            opening_s=opening_s,
            peak_GiB=peak_gib(device),
        )
        if said.get():
            self.part.note(f"{self.name} in {precision}, {way}: {said.get().strip()}")

    def _differences(self, found: Outputs, device: torch.device) -> dict[str, Any]:
        """Of the images that the CPU looked at; their candidates are chosen on the device."""
        few = [t[: len(self.x)] for t in found[:2]]
        offsets, logits = ((a - b).abs() for a, b in zip(few, self.expected, strict=False))
        theirs = self._decoded((*few, found[2]), device)
        same = after_suppression(theirs, self.candidates)
        return {
            "logits_most": float(logits.max()),
            "logits_mean": float(logits.mean()),
            "mean_logit": float(self.expected[1].abs().mean()),
            "offsets_most": float(offsets.max()),
            "offsets_mean": float(offsets.mean()),
            "candidates": same["candidates"],
            "changed": 1 - same["matched_within_0.01"],
            "other_box": 1 - same["matched_at_iou_0.99"],
        }

    def _decoded(self, some: tuple[Tensor, ...], device: torch.device = CPU) -> Any:
        there: Outputs = tuple(t.to(device) for t in some)  # type: ignore[assignment]
        settings = DecodeSettings(threshold=THRESHOLD)
        return decode_batch(there, settings, self.detector.coding)
