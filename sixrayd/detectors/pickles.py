"""Pickles of tensors, looked through before torch reads them: a few bytes may ask for any memory
and any time, though torch runs no code of theirs.
"""

import pickle
import pickletools
import re
import warnings
import zipfile
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


def _check_pickle(file: IO[bytes]) -> None:
    """Refuse functions that tensors do not need, and tuples of tuples without end."""
    stack, known = list[int](), dict[Any, int]()  # how many values each thing on the stack has
    marks = list[int]()
    for opcode, argument, _ in pickletools.genops(file):
        name = opcode.name
        if name in ("GLOBAL", "INST") and not _GLOBALS.fullmatch(str(argument)):
            raise pickle.UnpicklingError(f"{argument!r:.80} is nothing that tensors need")
        if name == "MARK":
            marks.append(len(stack))
        elif "PUT" in name or name == "MEMOIZE":
            known[len(known) if argument is None else argument] = stack[-1]
        elif "GET" in name:
            stack.append(known.get(argument, 1))
        else:
            _step(opcode, stack, marks)


def _step(opcode: Any, stack: list[int], marks: list[int]) -> None:
    """What an opcode takes from the stack and puts there."""
    taken = len(opcode.stack_before)
    if pickletools.markobject in opcode.stack_before:
        taken = len(stack) - marks.pop() + opcode.stack_before.index(pickletools.markobject)
    values = stack[len(stack) - taken :]
    del stack[len(stack) - taken :]
    size = 1 + (sum(values) if "TUPLE" in opcode.name else 0)
    if size > _MOST_VALUES:
        raise ValueError(f"it holds a tuple of more than {_MOST_VALUES} values")
    stack += [size] * len(opcode.stack_after)
