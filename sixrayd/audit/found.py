"""The table of findings, made column by column: a million findings take no objects."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sixrayd.core.findings import LIKELY_MISSED, Flaw

# audit/findings.parquet: sorted by kind, then by image.
FOUND_SCHEMA = pa.schema(
    [
        pa.field(name, pa.string(), nullable=False)
        for name in ("severity", "flaw", "image_id", "other_id", "box_id", "where", "text")
    ]
)
ORDER = sorted(Flaw, key=lambda flaw: (flaw not in LIKELY_MISSED, flaw.severity))  # as shown
Texts = Any  # an Arrow column of texts, or one text for all rows


def found(
    flaw: Flaw,
    image_id: Texts,
    text: Texts,
    *,
    other: Texts = "",
    box: Texts = "",
    where: Texts = "",
) -> pa.Table:
    """Findings of one kind; at least one column is an array, and a text stands for all rows."""
    columns = (str(flaw.severity), str(flaw), image_id, other, box, where, text)
    count = next(len(column) for column in columns if not isinstance(column, str))
    return pa.table(
        [pa.repeat(pa.scalar(c), count) if isinstance(c, str) else c for c in columns],
        schema=FOUND_SCHEMA,
    )


def sorted_findings(tables: Iterable[pa.Table]) -> pa.Table:
    """All findings, in the order in which they are shown."""
    table = pa.concat_tables([FOUND_SCHEMA.empty_table(), *tables])
    place = pc.index_in(table["flaw"], pa.array([str(flaw) for flaw in ORDER]))
    keys = ["place", *FOUND_SCHEMA.names[2:]]
    table = table.append_column("place", place).sort_by([(key, "ascending") for key in keys])
    return table.select(FOUND_SCHEMA.names).combine_chunks()


def joined(*parts: Texts) -> pa.Array:
    """Texts put together row by row."""
    return pc.binary_join_element_wise(*parts, "")


def numbers(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> pa.Array:
    """Whole numbers as texts."""
    return pc.cast(pa.array(np.rint(values).astype(np.int64)), pa.string())
