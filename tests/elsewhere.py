"""A second device where there is none: CPU tensors marked as on it, and every call watched."""

from collections import Counter
from contextlib import ExitStack
from functools import partial
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn.utils import clip_grad
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._pytree import tree_leaves, tree_map_only

AWAY = torch.device("cuda")
# These need values of the device on the host, which waits for them.
_WAITS = {
    *("item", "tolist", "numpy", "__array__", "__bool__", "__int__", "__float__", "__index__"),
    *("nonzero", "argwhere", "masked_select", "equal", "allclose", "unique", "bincount"),
    *("__contains__", "__repr__", "__str__", "__format__", "is_nonzero", "unique_consecutive"),
    "repeat_interleave",
}
# A number of the device given to these is read on the host.
_NUMBERS = {"__getitem__", "__setitem__", "topk", "narrow", "arange", "full", "new_full"}
_INDEXING = {"__getitem__", "__setitem__", "index_put_"}
# These take not even a number of the CPU beside tensors of the device.
_JOINS = {"cat", "stack", "index_select", "take", "gather", "scatter", "scatter_"}
_VIEWS = {"__getitem__", "narrow", "view", "reshape", "permute"}


class MixedDevicesError(RuntimeError):
    """What CUDA refuses: tensors of two devices in one call."""


class Elsewhere(TorchFunctionMode):
    """Within, a tensor sent to or made on "cuda" is marked, and computes as ever on the CPU.

    What marked tensors give is marked; a call that mixes them with others raises as on a GPU,
    numbers (0 dimensions) apart. What autograd calls by itself is not seen.

    Attributes:
        waits: calls seen for which the host would wait for the device, by name; "upload" is a
            copy from memory that is not pinned, or that asks to wait, "download" one to the CPU,
            "number" one of the device that is given as a size, a bound or an index.
    """

    def __init__(self):
        super().__init__()
        self.waits = Counter()

    def __enter__(self):
        self._patches = ExitStack()
        # Two places where torch's C code sees that all tensors lie on the CPU.
        for place, name, ours in (
            (clip_grad, "_group_tensors_by_device_and_dtype", self._grouped),
            (torch.nn.Parameter, "__new__", self._parameter),
            (torch, "load", self._loaded),  # marks are attributes, which files keep
        ):
            self._patches.enter_context(
                patch.object(place, name, partial(ours, getattr(place, name)))
            )
        return super().__enter__()

    def __exit__(self, *error):
        self._patches.close()
        return super().__exit__(*error)

    @staticmethod
    def _grouped(grouped, lists):
        return {
            (AWAY if is_away(group[0][0][0]) else device, dtype): group
            for (device, dtype), group in grouped(lists).items()
        }

    @staticmethod
    def _parameter(new, cls, data=None, requires_grad=True):
        parameter = new(cls, data, requires_grad)
        return _marked(parameter, "_away") if is_away(data) else parameter

    @staticmethod
    def _loaded(load, *args, **kwargs):
        return tree_map_only(Tensor, _unmarked, load(*args, **kwargs))

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = resolve_name(func) or func.__name__
        short = name.removesuffix(".__get__").rsplit(".", 1)[-1]
        if short == "__deepcopy__":  # whose second argument remembers other copies
            return _marked(func(*args), "_away") if is_away(args[0]) else func(*args)
        tensors = _tensors((args, kwargs))
        if name.endswith("device.__get__"):
            return AWAY if is_away(args[0]) else func(*args)
        if name.endswith("is_cuda.__get__"):
            return is_away(args[0])
        if short == "is_pinned":
            return _has(args[0], "_pinned")
        if short == "pin_memory":
            return _marked(args[0].clone(), "_pinned")
        if short in ("to", "cuda", "cpu"):
            return self._moved(func, short, args, kwargs)
        if short == "copy_":
            waits = not (kwargs.get("non_blocking") or any(a is True for a in args[2:]))
            self._crossed(args[1], is_away(args[0]), waits)
            return func(*args, **kwargs)
        if short == "__set__":  # of .data or .grad
            func(*args)
            if isinstance(args[1], Tensor):
                args[0]._away = is_away(args[1])
            return None
        away = any(map(is_away, tensors))
        if away and short != "_has_compatible_shallow_copy_type":  # asked before any move
            self._check(short, tensors, args)
        pinned = kwargs.pop("pin_memory", False) or (
            short in _VIEWS and _has(tensors[0], "_pinned")
        )
        if kwargs.get("device") is not None:
            away = torch.device(kwargs.pop("device")).type == AWAY.type
            self._count("upload", away and short in ("tensor", "as_tensor"))
        self._count("upload", away and short == "new_tensor")
        result = func(*args, **kwargs)
        for mark, wanted in (("_away", away), ("_pinned", pinned)):
            if wanted:
                result = tree_map_only(Tensor, lambda t, mark=mark: _marked(t, mark), result)
        return result

    def _check(self, short, tensors, args):
        indices = _tensors(args[1]) if short in _INDEXING else []
        near = [t for t in tensors if not is_away(t) and (t.ndim or short in _JOINS)]
        foreign = [t for t in near if not any(t is index for index in indices)]
        in_place = short.endswith("_") and not short.endswith("__")
        if in_place and isinstance(args[0], Tensor) and not is_away(args[0]):
            foreign = foreign or [args[0]]  # a place on the CPU for values of the device
        if foreign or (indices and not is_away(args[0])):
            shapes = [tuple(t.shape) for t in foreign or args[:1]]
            raise MixedDevicesError(f"{short}: of the CPU beside tensors of the device: {shapes}")
        self._count("upload", any(t.ndim and not is_away(t) for t in indices))
        self._count("mask", any(t.dtype == torch.bool for t in indices))
        if short in _NUMBERS:
            given = [leaf for part in _parts(args[1:]) for leaf in _tensors(part)]
            numbers = [t for t in given if is_away(t) and not t.ndim and t.dtype != torch.bool]
            self._count("number", bool(numbers))
        self._count(short, short in _WAITS or (short == "where" and len(args) == 1))
        if short in ("numpy", "__array__"):
            raise TypeError(f"{short}: the tensor is on the device; copy it to the CPU first")

    def _moved(self, func, short, args, kwargs):
        there = {"cuda": AWAY.type, "cpu": "cpu"}.get(short)
        plain = []
        for value in args[1:]:
            if isinstance(value, torch.device | str):
                there, value = torch.device(value).type, "cpu"
            elif isinstance(value, Tensor):
                there = AWAY.type if is_away(value) else "cpu"
            plain.append(value)
        if kwargs.get("device") is not None:
            there, kwargs["device"] = torch.device(kwargs["device"]).type, "cpu"
        away = is_away(args[0]) if there is None else there == AWAY.type
        crosses = away != is_away(args[0])
        self._crossed(
            args[0], away, not (kwargs.get("non_blocking") or any(v is True for v in plain))
        )
        result = args[0] if short != "to" else func(args[0], *plain, **kwargs)
        if crosses:
            result = result.clone() if result is args[0] else result
            result._away = away
        return _marked(result, "_away") if away else result

    def _crossed(self, tensor, away, waits):
        waits = waits or not _has(tensor, "_pinned")
        self._count("upload", away and not is_away(tensor) and tensor.ndim and waits)
        self._count("download", is_away(tensor) and not away)

    def _count(self, name, waited):
        if waited:
            self.waits[name] += 1


def is_away(tensor):
    """Whether the tensor is marked."""
    return _has(tensor, "_away")


def _has(tensor, mark):
    return bool(getattr(tensor, mark, False))


def _marked(tensor, mark):
    setattr(tensor, mark, True)
    return tensor


def _unmarked(tensor):
    tensor._away = tensor._pinned = False
    return tensor


def _parts(values):
    """The values, and what slices among them are made of."""
    for value in tree_leaves(values):
        yield from (value.start, value.stop, value.step) if isinstance(value, slice) else (value,)


def _tensors(tree):
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
