"""What a checkpoint of a training holds, which may be a stranger's, held against its places."""

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class EpochResult:
    """One line of `metrics.csv`."""

    epoch: int  # from 1
    learning_rate: float  # of the epoch's last step
    offset_loss: float  # means over the epoch's steps
    class_loss: float
    validation: float | None = None  # mean average precision, where the epoch was validated


def fitting(found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a checkpoint, which may be a stranger's, each as its place needs it.

    Raises:
        ValueError: one is of another shape or kind, or not finite.
    """
    for key, place in own.items():
        tensor = found.get(key)
        if not isinstance(tensor, Tensor):
            raise ValueError(f"{key}: no tensor, expected one")
        if (tensor.shape, tensor.dtype) != (place.shape, place.dtype):
            expected = f"expected {place.dtype} of {[*place.shape]}"
            raise ValueError(f"{key}: {tensor.dtype} of {[*tensor.shape]}, {expected}")
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{key}: holds values that are not finite")
    return {key: found[key] for key in own}


def state_of_optimizer(
    found: Mapping[str, Any], optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """What an optimiser has kept for each weight; how it goes on is its own.

    Raises:
        ValueError, LookupError, TypeError: it is none of these weights'.
    """
    state = dict[int, dict[str, Tensor]]()
    weights = (w for group in optimizer.param_groups for w in group["params"])
    for number, weight in enumerate(weights):
        if number not in found["state"]:  # it has had no gradient
            continue
        if isinstance(optimizer, torch.optim.SGD):
            places = {"momentum_buffer": weight}
        else:
            places = {"step": torch.zeros(()), "exp_avg": weight, "exp_avg_sq": weight}
        kept = state[number] = fitting(found["state"][number], places)
        if kept.get("step", 1) < 1:
            raise ValueError(f"weight {number}: step {kept['step']}, expected at least 1")
    return {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}


def state_of_scaler(found: Mapping[str, Any], scaler: torch.amp.GradScaler) -> dict[str, Any]:
    """How far a loss is scaled; how that goes on is the scaler's own.

    Raises:
        ValueError, LookupError, TypeError: it is none.
    """
    if not 0 < found["scale"] < math.inf:
        raise ValueError(f"scale {found['scale']}, expected a number above 0")
    count = step_count(found["_growth_tracker"])
    return scaler.state_dict() | {"scale": float(found["scale"]), "_growth_tracker": count}


def step_count(found: Any) -> int:
    """A number of steps.

    Raises:
        ValueError: it is none.
    """
    if type(found) is not int or found < 0:
        raise ValueError(f"{found!r:.50}, expected a number of steps")
    return found


def read_results(rows: list[list[Any]], epochs: int) -> list[EpochResult]:
    """What became of each epoch.

    Raises:
        TypeError, ValueError: it is none of so many, or holds what is no number.
    """
    if len(rows) > epochs:
        raise ValueError(f"{len(rows)} epochs, expected at most {epochs}")
    results = [EpochResult(*row) for row in rows]
    for number, result in enumerate(results, 1):
        *losses, validation = astuple(result)  # the last no number where nothing had to be found
        whole = result.epoch == number and all(map(math.isfinite, losses))
        if not whole or not isinstance(validation, float | None):
            said = f"{astuple(result)!r:.100}"
            raise ValueError(f"epoch {number}: {said}, expected its number and losses")
    return results
