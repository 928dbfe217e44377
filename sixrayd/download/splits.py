"""Splits that a release, or a file beside it, brings: which images train, and which test."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.records import MOST_SPLITS, SPLIT_SCHEMA, Split
from sixrayd.core.tables import write_table
from sixrayd.datasets.image_lists import listed_lines
from sixrayd.datasets.sides import (
    are_too_many,
    is_too_long,
    listed_image_of,
    side_of_word,
    split_of_list,
)
from sixrayd.datasets.split_files import SplitFile
from sixrayd.download.faults import Faults
from sixrayd.download.members import Member
from sixrayd.imaging.hashes import Indices

_MOST_LISTS = 100  # of one split: each is compared with those of the other side


@dataclass(frozen=True, slots=True)
class _Side:
    """What one file says of one side."""

    side: Split
    where: str
    ids: pa.Array


class GivenSplits:
    """All splits of a release, by name; what several files say of one name is put together.

    An image on both sides of a split is a fault, and on neither where faults are passed over.
    So is a split beyond `MOST_SPLITS`, or a file beyond `_MOST_LISTS` of one, which is left out.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._sides: defaultdict[str, list[_Side]] = defaultdict(list)  # of which split
        self._voc_lists: dict[str, pa.ChunkedArray] = {}  # file → images
        self._asked: dict[str, str] = {}  # split that `--split` names → its file
        self._both: defaultdict[str, set[str]] = defaultdict(set)  # split → on both its sides

    def add_file(self, file: SplitFile) -> None:
        """Read what `--split` names.

        Raises:
            ReleaseError: it is not of the form, has but one side, or a fault stops.
        """
        self._asked[file.name] = str(file.path)
        for side, ids in file.sides(self._faults.add).items():
            self._add(file.name, side, str(file.path), pa.array(ids, pa.string()))

    def add_list(self, where: str, ids: pa.ChunkedArray) -> None:
        """Take the images of an image set; its file's name is the side, its folder's the split."""
        stem = where.rpartition("/")[2].rpartition(".")[0]
        if side := side_of_word(stem):
            self._add(split_of_list(where), Split(side), where, ids)

    def add_voc_list(self, member: Member) -> None:
        """Read one of VOC's lists: an image in each line."""
        bad, ids = list[Finding](), list[str]()
        too_long = is_too_long(member.data, member.where, bad)
        for number, name in () if too_long else listed_lines(member.data):
            if image := listed_image_of(name, bad, f"{member.where}: line {number}"):
                ids.append(image)
            elif are_too_many(bad, member.where):
                break
        for fault in bad:
            self._faults.add(fault.where, fault.text, fault.flaw)
        found = pa.chunked_array([ids], pa.string())
        self._voc_lists[member.where] = found
        self.add_list(member.where, found)

    @property
    def voc_listed(self) -> pa.ChunkedArray:
        """Images that VOC's lists name."""
        chunks = [chunk for ids in self._voc_lists.values() for chunk in ids.chunks]
        return pa.chunked_array(chunks, pa.string())

    def absent(self, known: pa.Array) -> dict[str, str]:
        """Images that VOC's lists name and the release lacks → the first list that does.

        Args:
            known: ids of the release's images.
        """
        found: dict[str, str] = {}
        for where, ids in self._voc_lists.items():
            for image in ids.filter(pc.invert(pc.is_in(ids, known))).to_pylist():
                found.setdefault(image, where)
        return found

    def add_sides(self, name: str, sides: Mapping[str, str]) -> None:
        """Take the sides that labels say of images, where no list of images did."""
        listed = pa.chunked_array([one.ids for one in self._sides.get(name, ())], pa.string())
        for side in Split:
            ids = pa.array([image for image, said in sides.items() if said == side], pa.string())
            if len(new := ids.filter(pc.invert(pc.is_in(ids, listed)))):
                self._add(name, side, f"the labels of {side}", new)

    def write(self, folder: Path, ids: pa.Array, groups: Indices) -> dict[str, dict[str, int]]:
        """Write `splits.parquet`; no file where no split is given.

        Args:
            ids: (N,) of the release's images.
            groups: (N,) which of them each one's group is named by.

        Returns:
            Counts by split: train, test, groups_on_both_sides, not_in_release.
        """
        tables = {name: self._table(name, sides) for name, sides in sorted(self._sides.items())}
        known = {n: t.filter(pc.is_in(t["image_id"], ids)) for n, t in tables.items()}
        for name in [name for name, table in known.items() if not self._divides(name, table)]:
            del known[name]
        if known:
            table = pa.concat_tables(known.values())
            write_table(folder / "splits.parquet", table, SPLIT_SCHEMA)
        return {
            name: _counts(table, ids, groups)
            | {"not_in_release": tables[name].num_rows - table.num_rows}
            for name, table in known.items()
        }

    def _divides(self, name: str, table: pa.Table) -> bool:
        """Whether a split has two sides in the release; of one that was asked for, a fault if not.

        Raises:
            ReleaseError: it was asked for, and faults stop.
        """
        empty = [str(side) for side in Split if not pc.any(pc.equal(table["side"], side)).as_py()]
        if empty and name in self._asked:
            text = f"no image of the {' and the '.join(empty)} side is in the release; not kept"
            self._faults.add(self._asked[name], text)
        return not empty

    def _add(self, name: str, side: Split, where: str, ids: pa.ChunkedArray | pa.Array) -> None:
        if name not in self._sides and len(self._sides) >= MOST_SPLITS:
            text = f"more than {MOST_SPLITS} splits; {name} is left out"
            self._faults.add(where, text, Flaw.NOT_READ)
            return
        if len(self._sides[name]) == _MOST_LISTS:
            text = f"more than {_MOST_LISTS} lists of split {name}; left out"
            self._faults.add(where, text, Flaw.NOT_READ)
            return
        new = ids.unique()
        for other in self._sides[name]:
            if other.side != side:
                for image in new.filter(pc.is_in(new, other.ids)).to_pylist():
                    self._on_both(name, image, where, other.where)
        self._sides[name].append(_Side(side, where, new))

    def _on_both(self, name: str, image: str, where: str, there: str) -> None:
        self._both[name].add(image)
        text = f"{image} is on the other side of split {name} by {there}"
        self._faults.add(where, text, Flaw.TWO_SIDES)

    def _table(self, name: str, sides: Sequence[_Side]) -> pa.Table:
        both = pa.array(sorted(self._both[name]), pa.string())
        parts = []
        for side in Split:
            listed = [one.ids for one in sides if one.side == side]
            ids = pa.chunked_array(listed, pa.string()).unique()
            ids = ids.filter(pc.invert(pc.is_in(ids, both)))
            columns = [pa.repeat(name, len(ids)), ids, pa.repeat(str(side), len(ids))]
            parts.append(pa.table(columns, schema=SPLIT_SCHEMA))
        return pa.concat_tables(parts).sort_by("image_id")


def _counts(table: pa.Table, ids: pa.Array, groups: Indices) -> dict[str, int]:
    places = np.asarray(pc.index_in(table["image_id"], ids))
    grouped = pa.table([pa.array(groups[places]), table["side"]], ["group", "side"])
    sides = grouped.group_by("group").aggregate([("side", "count_distinct")])["side_count_distinct"]
    counts = {str(side): pc.sum(pc.equal(table["side"], str(side))) for side in Split}
    counts["groups_on_both_sides"] = pc.sum(pc.greater(sides, 1))
    return {key: int(count.as_py() or 0) for key, count in counts.items()}
