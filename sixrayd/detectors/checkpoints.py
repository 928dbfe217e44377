"""Weights as safetensors, with what is needed to build the detector they belong to."""

import json
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from sixrayd.core.classes import MOST_CLASSES, ClassList
from sixrayd.core.documents import NONSENSE, parse_json
from sixrayd.core.errors import CheckpointError, SettingsError, printable
from sixrayd.core.files import check_plain, write_bytes
from sixrayd.detectors.catalogue import DETECTORS, MOST_INPUT_PX, Architecture
from sixrayd.detectors.detector import Detector, InputForm

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_MOST_SCORED = 512**2 * MOST_CLASSES  # pixels of the input × classes
_MOST_TENSORS, _MOST_DIMENSIONS = 10_000, 8  # of a file; detectors have some 500, of 4
METADATA_KEY = (
    "sixrayd"  # one metadata key: the order of several is not kept, so bytes would differ
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A detector with its weights, and the classes it was trained for."""

    name: str
    detector: Detector
    classes: ClassList


def save_weights(path: Path, checkpoint: Checkpoint, weights: Mapping[str, Tensor]) -> None:
    """Write weights whole or not at all; equal weights give equal bytes."""
    about = json.dumps(
        {
            "detector": checkpoint.name,
            "classes": list(checkpoint.classes.names),
            "input": asdict(checkpoint.detector.form),
        }
    )
    tensors = {key: tensor.contiguous() for key, tensor in weights.items()}
    write_bytes(path, save(tensors, metadata={METADATA_KEY: about}))


def build_detector(name: str, classes: ClassList, input_size: int | None = None) -> Detector:
    """A detector without weights.

    Args:
        input_size: side of its square input in pixels; None takes the detector's own.
    """
    detector = DETECTORS[name].build(len(classes))
    if input_size is not None:
        detector.form = replace(detector.form, size=input_size)
    return detector


def read_form(said: Any) -> InputForm:
    """The input of a detector, as a file says it.

    Raises:
        KeyError, TypeError, ValueError: it says another thing.
    """
    size, colours = said["size"], [tuple(map(float, said[name])) for name in ("mean", "scale")]
    (mean, scale) = ((a, b, c) for a, b, c in colours)
    if type(size) is not int or not 1 <= size <= MOST_INPUT_PX:
        raise ValueError(f"input: expected a size of 1 to {MOST_INPUT_PX} pixels")
    if not all(map(isfinite, mean + scale)) or not all(scale):
        raise ValueError("input: expected finite colours, and no scale of 0")
    return InputForm(size, mean, scale)


def why_refused(error: Exception) -> str:
    """Why torch does not read a file, without its advice to read it unsafely."""
    if isinstance(error, pickle.UnpicklingError):
        return "it holds more than tensors, which could run code"
    return printable(str(error).partition("\n")[0], 200)


def check_finite(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Refuse weights of which a detector would find nothing at all, without a word.

    Raises:
        CheckpointError: a value is not finite, or of a kind that no network here computes with.
    """
    for key, tensor in weights.items():
        floating = tensor.is_floating_point() and tensor.dtype not in _FLOATS
        if floating or tensor.is_complex():
            raise CheckpointError(f"{path}: {key}: holds {tensor.dtype}; save it as float32")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{path}: {key}: holds values that are not finite")


def architecture_of(path: Path) -> Architecture:
    """What is known of the kind of detector that a weights file is for; the weights stay unread.

    Raises:
        CheckpointError: missing, broken, or not ours.
    """
    try:
        check_plain(path)
        with safe_open(path, framework="pt") as file:
            return DETECTORS[parse_json((file.metadata() or {})[METADATA_KEY])["detector"]]
    except (OSError, SafetensorError, *NONSENSE) as error:
        raise CheckpointError(f"{path}: not weights of a detector of sixrayd") from error


def all_tensors(file: Any) -> dict[str, Tensor]:
    """The tensors of an open safetensors file, whose number and dimensions take time by themselves.

    Raises:
        ValueError: they are more than any detector has.
    """
    names = list(file.keys())
    if len(names) > _MOST_TENSORS:
        raise ValueError(f"{len(names)} tensors, at most {_MOST_TENSORS} are read")
    for name in names:
        if (count := len(file.get_slice(name).get_shape())) > _MOST_DIMENSIONS:
            raise ValueError(f"a tensor of {count} dimensions, at most {_MOST_DIMENSIONS} are read")
    return {name: file.get_tensor(name) for name in names}


def load_checkpoint(path: Path) -> Checkpoint:
    """Build the detector that a weights file is for.

    Raises:
        CheckpointError: missing, broken, not ours, or its tensors do not fit the detector, or are
            not finite.
    """
    try:
        check_plain(path)
        with safe_open(path, framework="pt") as file:
            about = parse_json((file.metadata() or {})[METADATA_KEY])
            weights = all_tensors(file)
        if len(about["classes"]) > MOST_CLASSES:  # which would be built before they fit nothing
            raise ValueError(f"of {len(about['classes'])} classes, at most {MOST_CLASSES}")
        classes = ClassList(tuple(about["classes"]))
        detector = build_detector(about["detector"], classes)
        form = read_form(about["input"])
        if not DETECTORS[about["detector"]].any_size and form.size != detector.form.size:
            raise ValueError(f"input: expected a size of {detector.form.size} pixels")
        if form.size**2 * len(classes) > _MOST_SCORED:
            raise ValueError(f"input: {form.size} pixels, too many for {len(classes)} classes")
        detector.form = form
        check_finite(path, weights)
        detector.load_state_dict(weights)
    except KeyError as error:
        raise CheckpointError(
            f"{path}: not weights of a detector of sixrayd, or of an earlier version: train again"
        ) from error
    except (OSError, SafetensorError, SettingsError, *NONSENSE) as error:
        raise CheckpointError(f"{path}: not readable weights ({error})") from error
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        raise CheckpointError(f"{path}: tensors do not fit {about['detector']}: {first}") from error
    return Checkpoint(about["detector"], detector, classes)
