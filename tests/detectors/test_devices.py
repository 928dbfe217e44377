"""What a device can, as far as a machine without a GPU can tell."""

import getpass
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sixrayd.core.errors import SettingsError
from sixrayd.detectors.backends import resolve_backend
from sixrayd.detectors.devices import (
    float32_name,
    keep_kernels_private,
    out_of_memory,
    tuned,
)

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def old_gpu(monkeypatch):
    """What torch says of a GPU from before Ampere."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (7, 5))


def test_a_gpu_without_bfloat16_computes_in_float32(old_gpu):
    assert resolve_backend("auto", GPU) == "torch"
    assert float32_name(GPU) == "float32"
    with pytest.raises(SettingsError) as caught:
        resolve_backend("torch-bf16", GPU)
    assert str(caught.value) == (
        "backend torch-bf16: this GPU has no bfloat16; pass --backend torch"
    )


def test_a_newer_gpu_is_reported_with_what_it_shortens(monkeypatch, old_gpu):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (9, 0))

    assert float32_name(GPU) == "float32, convolutions in TF32"
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    assert float32_name(GPU) == "float32"
    assert float32_name(CPU) == "float32"


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("shapes do not match"), False),
        (None, False),
    ],
)
def test_full_memory_is_known_in_all_its_words(error, full):
    assert out_of_memory(error) is full


def test_tuning_ends_with_its_block():
    before = torch.backends.cudnn.benchmark
    with pytest.raises(ZeroDivisionError), tuned(GPU):
        assert torch.backends.cudnn.benchmark
        _ = 1 / 0
    assert torch.backends.cudnn.benchmark == before
    with tuned(CPU):
        assert torch.backends.cudnn.benchmark == before


def test_what_is_compiled_lies_where_nobody_else_writes(tmp_path, monkeypatch):
    """Torch's own folder has a known name in /tmp, and what is in it is run."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir  # takes seconds

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", default_cache_dir())  # as it sets it itself
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    keep_kernels_private()
    folder = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
    assert folder == tmp_path / "cache/sixrayd/torchinductor"
    assert folder.stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    keep_kernels_private()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(folder)  # the user's own choice stays
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    keep_kernels_private()
    folder = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
    assert folder.name.startswith("sixrayd-") and folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("made", ["sixrayd", "sixrayd/torchinductor"])
def test_a_cache_that_another_user_made_is_not_taken_for_what_is_compiled(
    tmp_path, monkeypatch, made
):
    (tmp_path / made).mkdir(parents=True)
    if os.geteuid():
        monkeypatch.setattr(os, "geteuid", lambda: 4711)
    else:  # who may do all in another's folder
        os.chown(tmp_path / made, 4711, 4711)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    keep_kernels_private()
    assert Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]).name.startswith("sixrayd-")


@pytest.mark.long
def test_a_file_of_anothers_by_the_name_of_torchs_own_folder_ends_nothing(tmp_path):
    """In a process of its own, since torch makes the folder once."""
    (tmp_path / f"torchinductor_{getpass.getuser()}").write_bytes(b"")
    code = "import torch; from sixrayd.detectors.devices import pick_device\n"
    code += "pick_device('cpu'); torch.nn.ReLU6(inplace=True)(torch.zeros(1, device='meta'))"
    environment = {"TMPDIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment = {k: v for k, v in os.environ.items() if "INDUCTOR" not in k} | environment
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
