"""Splits that a release, or a file beside it, brings: which images train, and which test."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.errors import ReleaseError, SettingsError
from sixrayd.core.files import open_plain, sha256_file, write_table
from sixrayd.core.findings import Flaw
from sixrayd.core.records import LEAK_FREE, SPLIT_SCHEMA, Split
from sixrayd.datasets.image_lists import listed_lines, text_of
from sixrayd.datasets.sides import SPLIT_NAME, side_of_word, split_of_list
from sixrayd.download.faults import Faults, why
from sixrayd.download.imagesets import csv_rows, listed_image
from sixrayd.download.members import Member
from sixrayd.imaging.hashes import Indices

_MAX_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class SplitFile:
    """A file that `--split` names: `NAME=FILE`, or a file whose stem is the name.

    Raises:
        SettingsError: it is neither CSV nor JSON, or the name does not serve.
    """

    name: str
    path: Path

    def __post_init__(self) -> None:
        if not SPLIT_NAME.fullmatch(self.name) or self.name == LEAK_FREE:
            raise SettingsError(
                f"--split: {self.name[:80]!r} cannot name a split; pass --split NAME={self.path} "
                f"with a NAME of letters, digits, dots, _ and -, other than {LEAK_FREE}"
            )
        if self.path.suffix.lower() not in (".csv", ".json"):
            raise SettingsError(f"--split: {self.path}: need a .csv or .json file")

    @classmethod
    def of(cls, text: str) -> "SplitFile":
        """What was typed."""
        name, equals, file = text.partition("=")
        if equals and not Path(text).exists():
            return cls(name, Path(file))
        return cls(Path(text).stem, Path(text))

    def sha256(self) -> str:
        """Of its bytes.

        Raises:
            ReleaseError: it cannot be read, or is too large.
        """
        try:
            if (size := self.path.stat().st_size) > _MAX_BYTES:
                raise ReleaseError(f"{self.path}: {size} bytes, at most {_MAX_BYTES} are read")
            return sha256_file(self.path)
        except OSError as error:
            raise ReleaseError(f"{self.path}: {why(error, self.path)}") from error

    def rows(self, faults: Faults) -> Iterator[tuple[Split, str]]:
        """Side and image, as often as the file has them."""
        with open_plain(self.path) as file:
            member = Member(str(self.path), file.read())
        read = _json_rows if member.suffix == ".json" else _csv_rows
        for where, side, name in read(member, faults):
            if image := listed_image(name, where, faults):
                yield side, image


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
        self._voc_lists: dict[str, pa.ChunkedArray] = {}  # file → images
        self._both: defaultdict[str, set[str]] = defaultdict(set)  # split → on both its sides

    def add_file(self, file: SplitFile) -> None:
        """Read what `--split` names.

        Raises:
            ReleaseError: it is not of the form, has but one side, or a fault stops.
        """
        listed: dict[Split, list[str]] = {side: [] for side in Split}
        for side, image in file.rows(self._faults):
            listed[side].append(image)
        for side, ids in listed.items():
            if not ids:
                raise ReleaseError(f"{file.path}: no image of the {side} side; a split needs both")
            self._add(file.name, side, str(file.path), pa.array(ids, pa.string()))

    def add_list(self, where: str, ids: pa.ChunkedArray) -> None:
        """Take the images of an image set; its file's name is the side, its folder's the split."""
        stem = where.rpartition("/")[2].rpartition(".")[0]
        if side := side_of_word(stem):
            self._add(split_of_list(where), Split(side), where, ids)

    def add_voc_list(self, member: Member) -> None:
        """Read one of VOC's lists: an image in each line."""
        lines = listed_lines(text_of(member.data))
        named = ((f"{member.where}: line {number}", name) for number, name in lines)
        ids = [listed_image(name, where, self._faults) for where, name in named]
        found = pa.chunked_array([[image for image in ids if image]], pa.string())
        self._voc_lists[member.where] = found
        self.add_list(member.where, found)

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
        listed = pa.chunked_array([one.ids for one in self._sides[name]], pa.string())
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
        tables = {
            name: self._table(name, sides)
            for name, sides in sorted(self._sides.items())
            if {one.side for one in sides} == {*Split}  # a list of one side divides nothing
        }
        known = {n: t.filter(pc.is_in(t["image_id"], ids)) for n, t in tables.items()}
        if any(table.num_rows for table in known.values()):
            table = pa.concat_tables(known.values())
            write_table(folder / "splits.parquet", table, SPLIT_SCHEMA)
        return {
            name: _counts(table, ids, groups)
            | {"not_in_release": tables[name].num_rows - table.num_rows}
            for name, table in known.items()
        }

    def _add(self, name: str, side: Split, where: str, ids: pa.ChunkedArray | pa.Array) -> None:
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
            ids = pa.chunked_array([one.ids for one in sides if one.side == side]).unique()
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


def _csv_rows(member: Member, faults: Faults) -> Iterator[tuple[str, Split, str]]:
    """Where, side and image of each row below a header with `image` and `side`."""
    rows = csv_rows(member, faults)
    header = [name.lower() for name in next(rows, ("", []))[1]]
    if not {"image", "side"} <= set(header):
        raise ReleaseError(
            f"{member.where}: columns are {','.join(header)[:80] or 'missing'}, expected image,side"
        )
    for where, cells in rows:
        row = dict(zip(header, cells, strict=False))
        side = side_of_word(row.get("side", ""))
        if side and "image" in row:
            yield where, Split(side), row["image"]
        else:
            faults.add(
                where, f"expected an image and a side such as train or test, got {cells[:9]}"
            )


def _json_rows(member: Member, faults: Faults) -> Iterator[tuple[str, Split, str]]:
    """Where, side and image of each entry of an export's `splits.json`."""
    try:
        document = json.loads(text_of(member.data))
    except (ValueError, RecursionError) as error:
        raise ReleaseError(f"{member.where}: not JSON ({error})") from error
    if not isinstance(document, dict) or not all(map(side_of_word, document)):
        raise ReleaseError(
            f'{member.where}: expected {{"train": [image, …], "test": [image, …]}}, as in the '
            "splits.json of an export"
        )
    for key, names in document.items():
        if not isinstance(names, list):
            raise ReleaseError(f"{member.where}: {key}: expected a list of images")
        for number, name in enumerate(names, 1):
            where = f"{member.where}: {key}: image {number}"
            if isinstance(name, str):
                yield where, Split(side_of_word(key)), name
            else:
                faults.add(where, f"expected the name of an image, got {str(name)[:80]}")
