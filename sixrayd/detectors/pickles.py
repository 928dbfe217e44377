"""Pickles of tensors, looked through before torch reads them: a few bytes may ask for any memory
and any time, though torch runs no code of theirs.
"""

import pickle
import pickletools
import re
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from sixrayd.core.files import open_plain
from sixrayd.datasets.packing import opened_zip, said_place

_GLOBALS = re.compile(
    r"collections OrderedDict|torch (\w*Storage|Size|Tensor|[a-z]+\d+(_\w+)?)"
    r"|torch\.storage \w*Storage|torch\._utils _rebuild_(tensor|tensor_v2|parameter)"
    r"|torch\._tensor _rebuild_from_type_v2|torch\.nn\.parameter Parameter"
)
_ZIP = b"PK\x03\x04"
_LEGACY_PICKLES = 5  # of a file of torch before 1.6; bytes of storages follow
_MOST_VALUES = 100_000  # of a tuple, with those in it
_MADE_A_BYTE, _ENDLESS = 4, 1 << 40  # values that functions make; a list may hold itself
_CALLS = ("REDUCE", "NEWOBJ", "NEWOBJ_EX")
_CALLED = re.compile(r"OrderedDict$|Size$|Parameter$|_rebuild_")
_ADD = ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD")


def read_tensors(path: Path) -> Any:
    """What `torch.load` gives of tensors alone, on the CPU.

    Raises:
        ValueError: it may unpack to more than it is.
        pickle.UnpicklingError: it asks for more than tensors need.
        Exception: it is broken, of whatever kind its bytes lead to.
    """
    with open_plain(path) as file:
        if file.read(len(_ZIP)) == _ZIP:  # as torch tells them apart, not by their ends
            _check_zip(file)
        else:
            file.seek(0)
            for _ in range(_LEGACY_PICKLES):
                _check_pickle(file)
    with warnings.catch_warnings(action="ignore"):  # torch asks to be told of strange protocols
        return torch.load(path, map_location="cpu", weights_only=True)


def _check_zip(file: IO[bytes]) -> None:
    with opened_zip(file) as archive:
        # Torch takes the list at the place that the file's end names, zipfile the one before it.
        if archive.start_dir != said_place(file):
            raise ValueError("its list of parts is not where its end says; save it by torch.save")
        entries = archive.infolist()
        packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
        if packed or sum(entry.file_size for entry in entries) > file.seek(0, 2):
            raise ValueError("its parts are packed, or overlap; save it by torch.save")
        # By the names that torch reads them by: as they stand in the file, in letters of any size.
        pickles = [e for e in entries if e.orig_filename.lower().endswith(".pkl")]
        if not pickles:
            raise ValueError("it holds no pickle; save it by torch.save")
        for entry in pickles:
            with archive.open(entry) as part:
                _check_pickle(part)


@dataclass(slots=True)
class _Thing:
    """What lies on a pickle's stack.

    Args:
        values: in it, where it is a tuple, with those in tuples within.
        in_all: values in it, of lists and tables as well.
        name: of a function or a type.
        held: something else has counted it.
    """

    values: int = 1
    in_all: int = 1
    name: str = ""
    held: bool = False


def _check_pickle(file: IO[bytes]) -> None:
    """Refuse functions that tensors do not need, tuples of tuples without end, and values that are
    made again and again out of what was noted once.
    """
    stack, known, marks = list[_Thing](), dict[Any, _Thing](), list[int]()
    made = 0  # values, by functions and in keys
    for opcode, argument, place in pickletools.genops(file):
        name = opcode.name
        if name in ("GLOBAL", "INST") and not _GLOBALS.fullmatch(str(argument)):
            raise pickle.UnpicklingError(f"{argument!r:.80} is nothing that tensors need")
        if name == "MARK":
            marks.append(len(stack))
        elif "PUT" in name or name == "MEMOIZE":
            known[len(known) if argument is None else argument] = stack[-1]
        elif "GET" in name:
            stack.append(known.get(argument, _Thing()))
        elif name == "GLOBAL":
            stack.append(_Thing(name=str(argument)))
        else:
            made += _step(opcode, stack, marks)
            if made > _MOST_VALUES + _MADE_A_BYTE * (place or 0):
                raise ValueError("it makes the same values again and again; save it by torch.save")


def _step(opcode: Any, stack: list[_Thing], marks: list[int]) -> int:
    """What an opcode takes from the stack and puts there; how many values it goes through anew."""
    taken = len(opcode.stack_before)
    if pickletools.markobject in opcode.stack_before:
        taken = len(stack) - marks.pop() + opcode.stack_before.index(pickletools.markobject)
    things = stack[len(stack) - taken :]
    del stack[len(stack) - taken :]
    given = min(sum(each.in_all for each in things), _ENDLESS)
    if opcode.name in _CALLS and things and things[0].name and not _CALLED.search(things[0].name):
        raise pickle.UnpicklingError(f"{things[0].name!r:.80} is called, which no tensor needs")
    adds = opcode.name in _ADD and bool(things)
    if adds and things[0].held:  # a pickle of tensors is done with a list before it is put anywhere
        raise ValueError("it adds to what another value holds; save it by torch.save")
    for each in things[adds:]:
        each.held = True
    if adds:  # to what may be noted elsewhere
        things[0].in_all = given
        stack.append(things[0])
    elif opcode.name == "DUP":
        stack += things * 2
    else:
        size = 1 + (sum(each.values for each in things) if "TUPLE" in opcode.name else 0)
        if size > _MOST_VALUES:
            raise ValueError(f"it holds a tuple of more than {_MOST_VALUES} values")
        stack += [_Thing(size, 1 + given) for _ in opcode.stack_after]
    if "ITEM" in opcode.name or opcode.name == "DICT":  # keys are hashed, tuples each time
        return sum(each.values - 1 for each in things)
    return given if opcode.name in (*_CALLS, "BUILD") else 0
