"""The tables of an ingest: rows of shards, the sides of the split, and findings."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import replacing
from sixrayd.core.findings import FINDING_SCHEMA, Finding, Flaw
from sixrayd.core.records import INDEX_SCHEMA
from sixrayd.core.table_builder import TableBuilder
from sixrayd.core.tables import read_table, write_table
from sixrayd.download.register import Register
from sixrayd.download.scan import MEASURED_SCHEMA
from sixrayd.download.sharding import LISTED_SCHEMA, PARTS, listed_path, measured_path
from sixrayd.imaging.hashes import Indices, hashes_are_whole

_AT_ONCE = 10_000  # lines
Flags = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


def shard_rows(parts: Path, shard: str) -> pa.Table:
    """What is known of a finished shard's images: `INDEX_SCHEMA` without labels and
    what is known of all images together, and `where`.

    Raises:
        WorkspaceError: what was measured is not there, or of other images.
    """
    listed = read_table(listed_path(parts, shard), LISTED_SCHEMA).drop_columns("shard")
    path = measured_path(parts, shard)
    measured = read_table(path, MEASURED_SCHEMA)
    if not listed["image_id"].equals(measured["image_id"]):
        raise WorkspaceError(f"{path}: of other images; remove it, then run the same command again")
    for name in ("width", "height", "phash", "error"):
        listed = listed.append_column(name, measured[name])
    return listed.append_column("shard", pa.repeat(shard, len(listed)))


def recall(folder: Path, sha256: Mapping[str, str]) -> None:
    """Write down what a finished ingest knows of its shards, for another to keep.

    Args:
        sha256: shard → hash of its bytes.
    """
    table = read_table(folder / "index.parquet", INDEX_SCHEMA)
    table = table.append_column("where", table["image_id"])
    for shard in pc.unique(table["shard"]).to_pylist():
        rows = table.filter(pc.equal(table["shard"], shard)).sort_by("offset")
        digests = pa.repeat(sha256[shard], len(rows))
        measured, listed = (path(folder / PARTS, shard) for path in (measured_path, listed_path))
        if hashes_are_whole(rows["phash"]):
            write_table(measured, rows.select(MEASURED_SCHEMA.names), MEASURED_SCHEMA)
        rows = rows.set_column(rows.schema.get_field_index("shard"), "shard", digests)
        write_table(listed, rows.select(LISTED_SCHEMA.names), LISTED_SCHEMA)


def is_test(ids: pa.Array, groups: Indices, positive: Flags, seed: int, test_share: float) -> Flags:
    """Which images are on the test side: whole groups, the same share of those with a positive
    and of those without.

    A group is drawn by the hash of seed and group id, so that more images hardly change where
    the others are.

    Args:
        groups: (N,) index of each image's group: its smallest member.
        positive: (N,) bool.

    Returns:
        (N,) bool.
    """
    is_head = groups == np.arange(len(groups), dtype=groups.dtype)  # (N,)
    heads = np.flatnonzero(is_head).astype(np.int32)  # (G,)
    inverse = (np.cumsum(is_head, dtype=np.int32) - 1)[groups]  # (N,)
    with_positive = np.zeros(len(heads), dtype=bool)
    with_positive[inverse[positive]] = True
    lots = np.fromiter((_lot(seed, ids[head].as_py()) for head in heads), np.uint64, len(heads))
    drawn = np.zeros(len(heads), dtype=bool)
    for stratum in (with_positive, ~with_positive):
        members = np.flatnonzero(stratum)
        count = round(test_share * len(members))
        if test_share > 0 and len(members) > 1:
            count = max(count, 1)
        drawn[members[np.argsort(lots[members], kind="stable")[:count]]] = True
    test: Flags = drawn[inverse]
    return test


def _lot(seed: int, group: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{group}".encode()).digest()[:8], "big")


class Notes(TableBuilder):
    """`FINDING_SCHEMA`: what was settled, by image id, empty for none."""

    def __init__(self) -> None:
        super().__init__(FINDING_SCHEMA)

    def note(self, image: str, finding: Finding) -> None:
        """Take one."""
        flaw, where, text = str(finding.flaw), finding.where, finding.text
        self.add({"flaw": flaw, "where": where, "text": text, "image_id": image})

    def write_lines(self, path: Path) -> None:
        """Write them for people; no file where there is none."""
        if not self:
            return
        with replacing(path) as beside, beside.open("w", encoding="utf-8") as file:
            for batch in self.table().select(["where", "text"]).to_batches(_AT_ONCE):
                rows = zip(*batch.to_pydict().values(), strict=True)
                file.writelines(f"{where}: {text}\n" for where, text in rows)


def finding_rows(
    listed: pa.Table,
    register: Register,
    voc_listed: pa.ChunkedArray,
    ids: pa.Array,
) -> pa.Table:
    """`FINDING_SCHEMA`: what annotations and image sets say wrongly, sorted.

    Args:
        listed: of `FINDING_SCHEMA`: what was noted.
        voc_listed: images that VOC's lists name.
        ids: of the images that the release brings; image sets and VOC's lists, where there are any,
            list all of them between them.
    """
    others = ids if len(voc_listed) else ids[:0]
    if register.listed:
        others = pa.array(register.unlisted(), pa.string())
    unlisted = others.filter(pc.invert(pc.is_in(others, voc_listed)))
    texts = (str(Flaw.UNLISTED_IMAGE), "image sets", "listed by none")
    columns = [pa.repeat(pa.scalar(text), len(unlisted)) for text in texts]
    columns.append(unlisted)
    table = pa.concat_tables([listed, pa.table(columns, schema=FINDING_SCHEMA)])
    return table.sort_by([(name, "ascending") for name in FINDING_SCHEMA.names])
