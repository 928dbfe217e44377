"""Tables that are written from disk are those that are written from memory."""

import pyarrow as pa
import pytest

from sixrayd.core import spool
from sixrayd.core.spool import write_tables
from sixrayd.core.tables import write_table

SCHEMA = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("number", pa.int64(), nullable=False),
        pa.field("labels", pa.list_(pa.string()), nullable=False),
        pa.field("empty", pa.string(), nullable=False),
    ]
)


def table_of(start, end):
    """Names that leave Parquet's dictionary on the way, and lists of none to two texts."""
    names = [f"N{number * 7919 % 100_003:06d}é" for number in range(start, end)]
    labels = [["Gun", "Messer"][: number % 3] for number in range(start, end)]
    columns = [names, list(range(start, end)), labels, [""] * (end - start)]
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], SCHEMA)


@pytest.mark.parametrize(
    "cuts",
    [
        [],
        *(pytest.param(cuts, marks=pytest.mark.long) for cuts in ([1], [0, 99_999])),
        [5000, 5001, 70_000],
    ],
    ids=str,
)
def test_any_pieces_give_the_same_bytes(tmp_path, cuts):
    rows = 100_000
    write_table(tmp_path / "whole", table_of(0, rows), SCHEMA)

    table = table_of(0, rows)
    ends = [*cuts, rows]
    pieces = (table.slice(a, b - a) for a, b in zip([0, *cuts], ends, strict=True))
    write_tables(tmp_path / "joined", pieces, SCHEMA)

    assert (tmp_path / "joined").read_bytes() == (tmp_path / "whole").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["joined", "whole"]


def test_row_groups_end_where_parquet_ends_them(tmp_path):
    rows = spool._ROW_GROUP + 3
    table = pa.table({"number": pa.array(range(rows), pa.int32())})
    write_table(tmp_path / "whole", table, table.schema)

    pieces = [table.slice(0, 9), table.slice(9, rows - 11), table.slice(rows - 2)]
    write_tables(tmp_path / "joined", iter(pieces), table.schema)

    assert (tmp_path / "joined").read_bytes() == (tmp_path / "whole").read_bytes()


def test_no_rows(tmp_path):
    write_table(tmp_path / "whole", SCHEMA.empty_table(), SCHEMA)
    write_tables(tmp_path / "joined", iter([SCHEMA.empty_table()]), SCHEMA)

    assert (tmp_path / "joined").read_bytes() == (tmp_path / "whole").read_bytes()
