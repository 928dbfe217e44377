"""What lists and documents say, beside what the tables say."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import open_plain, sha256_file
from sixrayd.core.records import EMPTY_SETS, Split
from sixrayd.core.staging import MANIFEST
from sixrayd.core.tables import read_table
from sixrayd.datasets.export_files import BARE, DATASET, LISTS, SPLITS, STATE_SCHEMA, STATES
from sixrayd.datasets.export_set import TREE
from sixrayd.validate.faults import FaultList
from sixrayd.validate.tables import POSITIVE, ExportTables, own_file, read_document

_LONGEST = 1 << 12  # bytes of a line


def check_documents(place: Path, tables: ExportTables, faults: FaultList) -> None:
    """`dataset.json`, `run.json`, `splits.json`, the lists and `states.parquet`."""
    counted = _flat(tables.counted)
    run = read_document(place, "run.json", faults)
    for path, said in ((DATASET, tables.document.get("counts")), ("run.json", run.get("summary"))):
        for keys, value in counted.items():
            if (stated := _at(said, keys)) != value:
                found = "nothing" if stated is None else stated
                faults.add(path, ".".join(keys), found, value)
    _check_manifest(place, run, faults)
    _check_states(place, tables, faults)
    sides = read_document(place, SPLITS, faults)
    for side in Split:
        expected = tables.images.where(state=POSITIVE, exported=True, split=str(side))
        said = sides.get(side)
        _compare(SPLITS, str(side), said if isinstance(said, list) else [], expected, faults)
    for path, state in LISTS.items():
        _check_list(place, path, tables.images.where(state=str(state)), faults)
    bare = tables.images.where(state=POSITIVE, exported=False)
    _check_list(place, BARE, bare, faults)
    if (place / TREE).is_dir():
        _check_image_sets(place, tables, faults)


def _check_manifest(place: Path, run: Mapping[str, Any], faults: FaultList) -> None:
    outputs, file = run.get("outputs"), own_file(place, MANIFEST)
    stated = outputs.get(MANIFEST) if isinstance(outputs, dict) else None
    if file is not None and stated != (found := sha256_file(file)):
        faults.add(MANIFEST, "", f"SHA-256 {found}", f"{stated}, as run.json has it")


def _check_states(place: Path, tables: ExportTables, faults: FaultList) -> None:
    file = own_file(place, STATES)
    if file is None:
        if not faults.tells_of(STATES):
            faults.add(STATES, "", "nothing", "a table of states")
        return
    try:
        table = read_table(file, STATE_SCHEMA)
    except WorkspaceError as error:
        faults.add(STATES, "", f"what cannot be read ({error})", "a table of states")
        return
    images = tables.images.table.select(STATE_SCHEMA.names)
    if len(table) != len(images):
        faults.add(STATES, "", f"{len(table)} images", f"{len(images)}, as images.parquet has")
        return
    for name in STATE_SCHEMA.names:
        one, other = (each[name].combine_chunks() for each in (table, images))
        for row in faults.told(STATES, np.asarray(pc.indices_nonzero(pc.not_equal(one, other)))):
            faults.add(STATES, f"row {row + 1}: {name}", one[row], other[row])


def _check_image_sets(place: Path, tables: ExportTables, faults: FaultList) -> None:
    """Image sets without class names."""
    folder = f"{TREE}/ImageSets/Main"
    for name, side in (("train", "train"), ("trainval", "train"), ("test", "test")):
        expected = tables.images.where(state=POSITIVE, exported=True, split=side)
        if name != "trainval" or (place / folder / "trainval.txt").exists():
            _check_list(place, f"{folder}/{name}.txt", expected, faults)
    sets = tables.counted["sets"]
    for name in sets:
        for ending, wanted in (("", {}), *((f"_{s}", {"split": str(s)}) for s in Split)):
            state = str(EMPTY_SETS[name])
            expected = tables.images.where(state=state, exported=True, **wanted)
            _check_list(place, f"{folder}/{name}{ending}.txt", expected, faults)


def _check_list(place: Path, path: str, expected: pa.ChunkedArray, faults: FaultList) -> None:
    file = own_file(place, path)
    if file or not faults.tells_of(path):
        _compare(path, "", _lines(file) if file else (), expected, faults)


def _lines(file: Path) -> Iterator[str]:
    with open_plain(file) as opened:
        while line := opened.readline(_LONGEST):
            yield line.decode("utf-8", "replace").removesuffix("\n")


def _compare(
    path: str, element: str, found: Iterable[Any], expected: pa.ChunkedArray, faults: FaultList
) -> None:
    """The first image in which a list differs from what the tables say."""
    wanted = (one.as_py() for one in expected)
    for number, (said, known) in enumerate(zip_longest(found, wanted), 1):
        if said != known:
            at = f"{element}: {number}" if element else f"line {number}"
            faults.add(path, at, "no more" if said is None else said, known or "no more")
            return


def _flat(table: Mapping[str, Any], *above: str) -> dict[tuple[str, ...], Any]:
    """Values of nested tables by their names."""
    found: dict[tuple[str, ...], Any] = {}
    for key, value in table.items():
        keys = (*above, key)
        found |= _flat(value, *keys) if isinstance(value, dict) else {keys: value}
    return found


def _at(document: Any, keys: Iterable[str]) -> Any:
    """What a document says at a place; None for nothing."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document
