"""Weights that Keras saved as HDF5, for networks whose layers bear the same names."""

from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sixrayd.core.errors import CheckpointError
from sixrayd.core.extras import import_extra

_KINDS = {"kernel": "weight", "bias": "bias"}
_DEEPEST = 16  # groups in groups, whose paths HDF5 spells out for each; Keras has about 5
_MOST = 10_000  # groups and datasets, the optimiser's included
Shape = tuple[int, ...]


def read_keras_weights(path: Path, expected: Mapping[str, Shape]) -> dict[str, Tensor]:
    """The weights in torch's layout, after every dataset of the file is accounted for.

    Both forms are read: `save_weights` (layers at the root) and `save` (layers in
    `model_weights`; the optimiser's state is passed over). Kernels of convolutions are turned
    from (H, W, in, out) to (out, in, H, W), those of dense layers from (in, out) to (out, in).
    Nothing is read before its shape is known to be right, nor from any other file.

    Args:
        expected: `LAYER.weight` or `LAYER.bias` → its shape in torch.

    Raises:
        CheckpointError: missing, not HDF5, not these layers, not these shapes, not finite,
            or more parts or deeper ones than any network of Keras has.
        ServiceError: h5py is not installed.
    """
    h5py = import_extra("h5py", "benchmark")
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file, expected weights that Keras saved as HDF5")
    try:
        with h5py.File(path, "r") as file:
            datasets = _datasets(file, h5py.Dataset)
            _check_names(path, set(datasets), set(expected))
            for name, shape in expected.items():
                _check_layout(f"{path}: {datasets[name].name}", datasets[name], _in_keras(shape))
            return {name: _tensor(path, datasets[name]) for name in expected}
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: not readable weights of Keras ({error})") from error


def _datasets(file: Any, dataset_type: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    seen = count(1)

    def visit(name: str, item: Any) -> None:  # follows neither soft nor external links
        if name.count("/") > _DEEPEST or next(seen) > _MOST:
            raise ValueError(f"more than {_DEEPEST} groups in groups, or {_MOST:,} parts in all")
        parts = name.removeprefix("model_weights/").split("/")
        if not isinstance(item, dataset_type) or parts[0] == "optimizer_weights":
            return
        kind = parts[-1].split(":")[0]
        key = f"{parts[0]}.{_KINDS[kind]}" if kind in _KINDS and len(parts) > 1 else name
        found[name if key in found else key] = item

    file.visititems(visit)
    return found


def _check_names(path: Path, found: set[str], expected: set[str]) -> None:
    missing, unexpected = sorted(expected - found), sorted(found - expected)
    faults = [
        f"{len(names)} {what} (first {names[0]})"
        for names, what in ((missing, "missing"), (unexpected, "unexpected"))
        if names
    ]
    if faults:
        raise CheckpointError(
            f"{path}: weights do not belong to this network: {' and '.join(faults)}, "
            f"of {len(expected)} expected"
        )


def _check_layout(where: str, dataset: Any, shape: Shape) -> None:
    if dataset.shape != shape:
        raise CheckpointError(f"{where}: shape {dataset.shape}, expected {shape}")
    if dataset.dtype.kind != "f":
        raise CheckpointError(f"{where}: {dataset.dtype} values, expected floating point")
    if dataset.external or dataset.is_virtual:
        raise CheckpointError(f"{where}: its values lie in another file; save them in this one")
    # A packed chunk unpacks to any size, and one may be larger than all values.
    packed = dataset.id.get_create_plist().get_nfilters() > 0
    if packed or any(
        chunk > side for chunk, side in zip(dataset.chunks or shape, shape, strict=True)
    ):
        raise CheckpointError(f"{where}: its values are packed; save them as Keras does by itself")


def _in_keras(shape: Shape) -> Shape:
    if len(shape) == 4:
        return (shape[2], shape[3], shape[1], shape[0])
    return shape[::-1]


def _tensor(path: Path, dataset: Any) -> Tensor:
    values = np.asarray(dataset[()], dtype=np.float32)
    if not np.isfinite(values).all():
        raise CheckpointError(f"{path}: {dataset.name}: a weight is not finite")
    axes = (3, 2, 0, 1) if values.ndim == 4 else range(values.ndim)[::-1]
    return torch.from_numpy(np.ascontiguousarray(values.transpose(tuple(axes))))
