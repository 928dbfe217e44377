"""From the parts of all shards to ranked candidates."""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.boxes import EDGES
from sixrayd.core.records import CANDIDATE_SCHEMA
from sixrayd.mine.worker import PART_SCHEMA

_ORDER = [
    (key, "descending" if key == "score" else "ascending")
    for key in ("rank", "score", "label", *EDGES)
]


def split_parts(parts: Iterable[pa.Table]) -> tuple[pa.Table, pa.Table]:
    """Detections and errors of parts; the errors by image id."""
    rows = pa.concat_tables([PART_SCHEMA.empty_table(), *parts])
    errors = rows.filter(pc.not_equal(rows["error"], "")).sort_by("image_id")
    return rows.filter(pc.equal(rows["error"], "")), errors


def skipped_lines(errors: pa.Table) -> bytes:
    """`skipped.jsonl`: an image and what is wrong with it in each line."""
    rows = errors.select(["image_id", "error"]).to_pylist()
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def rank_candidates(found: pa.Table, model: str) -> pa.Table:
    """Number images by falling best score, ties by image id, and boxes within them.

    The same rows in any order give the same table.

    Args:
        found: of the part schema, without errors.

    Returns:
        A table of `CANDIDATE_SCHEMA`, sorted by rank, then box.
    """
    best = found.group_by("image_id").aggregate([("score", "max")])
    best = best.sort_by([("score_max", "descending"), ("image_id", "ascending")])
    best = best.append_column("rank", pa.array(range(1, best.num_rows + 1), pa.int64()))
    joined = found.join(best, keys="image_id").sort_by(_ORDER)
    ranks = joined["rank"].to_numpy()  # (N,) rising
    numbers = pa.array(np.arange(len(ranks)) - np.searchsorted(ranks, ranks), pa.int64())
    parts = joined["image_id"], pa.scalar(model), numbers.cast(pa.string()), pa.scalar("/")
    columns: dict[str, Any] = {name: joined[name] for name in joined.column_names}
    columns |= {
        "box_id": pc.binary_join_element_wise(*parts),
        "model": pa.repeat(pa.scalar(model), len(ranks)),
        "image_score": joined["score_max"],
    }
    return pa.table({name: columns[name] for name in CANDIDATE_SCHEMA.names}).cast(CANDIDATE_SCHEMA)
