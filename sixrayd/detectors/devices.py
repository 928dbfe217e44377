"""Which device computes, and what it can."""

import atexit
import os
import shutil
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import torch

from sixrayd.core.errors import SettingsError
from sixrayd.core.private import is_own


def pick_device(name: str = "auto") -> torch.device:
    """`auto` is the GPU where there is one. What torch writes lies in a private place from here on.

    Raises:
        SettingsError: "cuda" where torch sees no GPU.
    """
    keep_kernels_private()
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        built = torch.version.cuda
        reason = f"torch is built for CUDA {built}" if built else "torch is built without CUDA"
        raise SettingsError(f"device cuda: torch sees no GPU here ({reason}); pass --device cpu")
    if name == "auto":
        name = "cuda" if there else "cpu"
    return torch.device(name)


def computes_bfloat16(device: torch.device) -> bool:
    """Whether a GPU multiplies matrices in bfloat16 itself: from Ampere on."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def float32_name(device: torch.device) -> str:
    """What networks of float32 are computed in there, for a report: since Ampere, GPUs shorten
    what convolutions multiply to 10 bits of mantissa (TF32) unless told otherwise."""
    ampere = device.type == "cuda" and torch.cuda.get_device_capability(device)[0] >= 8
    shortened = ampere and torch.backends.cudnn.allow_tf32
    return "float32, convolutions in TF32" if shortened else "float32"


def out_of_memory(error: BaseException | None) -> bool:
    """Whether a GPU's memory was full: torch says so, the driver and libraries in other words."""
    words = ("_ALLOC_FAILED", "out of memory")
    return isinstance(error, RuntimeError) and (
        isinstance(error, torch.cuda.OutOfMemoryError) or any(w in str(error) for w in words)
    )


@contextmanager
def tuned(device: torch.device) -> Iterator[None]:
    """Within, a GPU tries cuDNN's algorithms on each new shape and keeps the fastest: for work
    that has few shapes."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = before or device.type == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


@lru_cache
def compiles() -> bool:
    """Whether torch can compile for a GPU here, which takes Triton and a C compiler."""
    try:
        import triton  # type: ignore[import-not-found, import-untyped, unused-ignore] # noqa: F401
    except ImportError:
        return False
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    return any(shutil.which(name) for name in (compiler, "cc", "gcc", "clang"))


def keep_kernels_private() -> None:
    """Have what torch compiles, and loads as code, lie where its user alone may write: not in a
    cache that another has made.

    By itself it makes a folder of a known name in the folder for temporary files as soon as some
    layers run, on a CPU too. Another user of the machine may have made it first, or a file so
    called, which would end what runs.
    """
    variable = "TORCHINDUCTOR_CACHE_DIR"
    chosen = os.environ.get(variable, "")
    if chosen and not chosen.startswith(f"{tempfile.gettempdir()}/torchinductor_"):  # torch's own
        return
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        folder = Path(cache).expanduser() / "sixrayd" / "torchinductor"
        folder.mkdir(parents=True, exist_ok=True)
        for each in (folder.parent, folder):
            each.chmod(0o700)  # which only its owner can, and root
            if not is_own(each):
                raise PermissionError(each)
    except (OSError, RuntimeError):  # no home, or one that cannot be written
        folder = Path(tempfile.mkdtemp(prefix="sixrayd-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ[variable] = str(folder)
