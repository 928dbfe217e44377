"""What a device can, as far as a machine without a GPU can tell."""

import pytest
import torch

from sixrayd.core.errors import SettingsError
from sixrayd.detectors.backends import resolve_backend
from sixrayd.detectors.devices import float32_name, out_of_memory, tuned

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
