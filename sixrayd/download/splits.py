"""Splits that a release, or a file beside it, brings: which images train, and which test."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.files import write_table
from sixrayd.core.findings import Flaw
from sixrayd.core.index import Index
from sixrayd.core.records import SPLIT_SCHEMA, Split
from sixrayd.datasets.image_lists import listed_lines, text_of
from sixrayd.datasets.sides import side_of_word, split_of_list
from sixrayd.datasets.split_files import SplitFile, listed_image
from sixrayd.download.faults import Faults
from sixrayd.download.members import Member


@dataclass(frozen=True, slots=True)
class _Side:
    """What one file says of one side."""

    side: Split
    where: str
    ids: pa.Array


class GivenSplits:
    """All splits of a release, by name; what several files say of one name is put together.

    An image on both sides of a split is a fault, and on neither where faults are passed over.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._sides: defaultdict[str, list[_Side]] = defaultdict(list)  # of which split
        self._voc_lists: dict[str, pa.Array] = {}  # file → images
        self._asked: dict[str, str] = {}  # split that `--split` names → its file
        self._both: defaultdict[str, set[str]] = defaultdict(set)  # split → on both its sides

    def add_file(self, file: SplitFile) -> None:
        """Read what `--split` names.

        Raises:
            ReleaseError: it is not of the form, has but one side, or a fault stops.
        """
        self._asked[file.name] = str(file.path)
        for side, ids in file.sides(self._faults.add).items():
            self._add(file.name, side, str(file.path), ids)

    def add_list(self, where: str, ids: Sequence[str]) -> None:
        """Take the images of an image set; its file's name is the side, its folder's the split."""
        stem = where.rpartition("/")[2].rpartition(".")[0]
        if side := side_of_word(stem):
            self._add(split_of_list(where), Split(side), where, ids)

    def add_voc_list(self, member: Member) -> None:
        """Read one of VOC's lists: an image in each line."""
        lines = listed_lines(text_of(member.data))
        named = ((f"{member.where}: line {number}", name) for number, name in lines)
        ids = [listed_image(name, where, self._faults.add) for where, name in named]
        ids = [image for image in ids if image]
        self._voc_lists[member.where] = pa.array(ids, pa.string())
        self.add_list(member.where, ids)

    @property
    def voc_listed(self) -> pa.ChunkedArray:
        """Images that VOC's lists name."""
        return pa.chunked_array(list(self._voc_lists.values()), pa.string())

    def absent(self, index: Index) -> dict[str, str]:
        """Images that VOC's lists name and the release lacks → the first list that does."""
        found: dict[str, str] = {}
        for where, ids in self._voc_lists.items():
            for image in ids.filter(pc.invert(_is_in(ids, index))).to_pylist():
                found.setdefault(image, where)
        return found

    def add_sides(self, name: str, sides: Mapping[str, str]) -> None:
        """Take the sides that labels say of images, where no list of images did."""
        listed = pa.chunked_array([one.ids for one in self._sides[name]], pa.string())
        for side in Split:
            ids = pa.array([image for image, said in sides.items() if said == side], pa.string())
            if new := ids.filter(pc.invert(pc.is_in(ids, listed))).to_pylist():
                self._add(name, side, f"the labels of {side}", new)

    def write(self, index: Index) -> dict[str, dict[str, int]]:
        """Write `splits.parquet` beside the index; no file where no split is given.

        Returns:
            Counts by split: train, test, groups_on_both_sides, not_in_release.
        """
        tables = {name: self._table(name, sides) for name, sides in sorted(self._sides.items())}
        known = {n: t.filter(_is_in(t["image_id"], index)) for n, t in tables.items()}
        for name in [name for name, table in known.items() if not self._divides(name, table)]:
            del known[name]
        if known:
            table = pa.concat_tables(known.values())
            write_table(index.folder / "splits.parquet", table, SPLIT_SCHEMA)
        return {
            name: _counts(table, index) | {"not_in_release": tables[name].num_rows - table.num_rows}
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

    def _add(self, name: str, side: Split, where: str, ids: Iterable[str]) -> None:
        new = pa.array(ids, pa.string()).unique()
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


def _counts(table: pa.Table, index: Index) -> dict[str, int]:
    places = pc.index_in(table["image_id"], index.table["image_id"].combine_chunks())
    groups = pa.table([index.table["group"].take(places), table["side"]], ["group", "side"])
    sides = groups.group_by("group").aggregate([("side", "count_distinct")])["side_count_distinct"]
    counts = {str(side): pc.sum(pc.equal(table["side"], str(side))) for side in Split}
    counts["groups_on_both_sides"] = pc.sum(pc.greater(sides, 1))
    return {key: int(count.as_py() or 0) for key, count in counts.items()}


def _is_in(ids: pa.ChunkedArray, index: Index) -> pa.ChunkedArray:
    return pc.is_in(ids, index.table["image_id"].combine_chunks())
