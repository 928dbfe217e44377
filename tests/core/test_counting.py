"""Tables that hold little and unpack to more than memory."""

import itertools
import math
import secrets
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sixrayd.advice.reviews import Reviews
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import write_json
from sixrayd.core.records import DECISION_SCHEMA, SAMPLE_SCHEMA, TASK_SCHEMA, TRAINING_SCHEMA
from sixrayd.core.spool import write_tables
from sixrayd.core.staging import Staging
from sixrayd.core.tables import column_batches, read_table, some_columns, table_bytes, write_table
from sixrayd.core.workspace import Workspace
from sixrayd.datasets.workspace_set import read_columns
from sixrayd.review.folder import Project, ReviewFolder
from sixrayd.statistics.standing import ANSWER_SCHEMA
from tests.limits import address_space

IDS = pa.schema([("image_id", pa.string())])
LABELS = pa.schema([("labels", pa.list_(pa.string()))])


def repeated(text: str, rows: int) -> pa.Array:
    """One text, stored once."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([text]))


def bomb(path: Path, text: str, rows: int, name: str = "image_id") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    column = repeated(text, rows)
    if name == "labels":
        column = pa.ListArray.from_arrays(pa.array(range(rows + 1), pa.int32()), column)
    pq.write_table(
        pa.table({name: column}),
        path,
        compression="zstd",
        dictionary_pagesize_limit=1 << 30,
        store_schema=False,
        write_statistics=False,
    )
    return path


READS: dict[str, Callable[[Path, pa.Schema], object]] = {
    "table": read_table,
    "columns": some_columns,
    "batches": lambda path, schema: list(column_batches(path, schema, 1 << 14)),
}


def test_what_we_write_of_rows_that_are_alike_is_read(tmp_path: Path) -> None:
    schema = pa.schema([("box_id", pa.string()), ("sha256", pa.string())])
    table = pa.table({name: ["a" * 64] * 120_000 for name in schema.names})

    write_table(tmp_path / "a.parquet", table, schema)
    (tmp_path / "b.parquet").write_bytes(table_bytes(table))
    write_tables(tmp_path / "c.parquet", [table.slice(0, 9), table.slice(9)], schema)
    staging = Staging(tmp_path)
    with staging.table("d.parquet", schema) as add:
        for row in table.to_pylist():
            add(row)

    assert (tmp_path / "c.parquet").read_bytes() == (tmp_path / "a.parquet").read_bytes()
    assert not list(tmp_path.glob(".*"))
    for name in ("a.parquet", "b.parquet", "c.parquet", "d.parquet"):
        assert read_table(tmp_path / name, schema) == table


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("schema", [IDS, LABELS], ids=["text", "list"])
def test_a_text_of_many_rows_is_counted_for_each(
    tmp_path: Path, schema: pa.Schema, read: Callable[[Path, pa.Schema], object]
) -> None:
    path = bomb(tmp_path / "a.parquet", "A" * 3_000_000, 1000, schema.names[0])
    size = path.stat().st_size
    assert size < 1000
    with address_space(1 << 30), pytest.raises(WorkspaceError) as error:
        read(path, schema)
    assert str(error.value) == (
        f"{path}: not a readable Parquet table (unpacks to more than {(64 << 20) + 100 * size} "
        "bytes, 100 times its size and 64 MiB); run the stage that wrote it again"
    )


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_long_text_is_refused_before_it_is_unpacked(
    tmp_path: Path, read: Callable[[Path, pa.Schema], object]
) -> None:
    path = bomb(tmp_path / "a.parquet", "A" * (1 << 28), 1)
    with address_space(1 << 27), pytest.raises(WorkspaceError, match="times its size and 64 MiB"):
        read(path, IDS)


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_padding_buys_no_more_than_it_costs(
    tmp_path: Path, read: Callable[[Path, pa.Schema], object]
) -> None:
    path = bomb(tmp_path / "a.parquet", secrets.token_hex(5 << 20), 300)
    assert 5 << 20 < path.stat().st_size < 6 << 20  # it would be 3 GB
    with address_space(1 << 30), pytest.raises(WorkspaceError, match="times its size and 64 MiB"):
        read(path, IDS)


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_one_long_text_among_many_short_ones_is_read(
    tmp_path: Path, read: Callable[[Path, pa.Schema], object]
) -> None:
    schema = pa.schema([("reason", pa.string())])
    rows = pa.table({"reason": ["x" * 100_000, *["one", "two"] * 5_000]}, schema=schema)
    pq.write_table(rows, tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet", schema)
    table = pa.concat_tables(found) if isinstance(found, list) else found
    assert table.equals(rows)


def test_only_columns_that_are_wanted_count(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"image_id": ["N1"] * 1000, "other": repeated("A" * 3_000_000, 1000)}),
        path,
        dictionary_pagesize_limit=1 << 30,
        write_statistics=False,
    )
    assert some_columns(path, IDS)["image_id"].to_pylist() == ["N1"] * 1000
    with pytest.raises(WorkspaceError, match="times its size"):
        some_columns(path, pa.schema([("other", pa.string())]))


def test_more_rows_than_the_size_accounts_for_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    schema = pa.schema([("number", pa.int64())])
    pq.write_table(pa.table([pa.array([7]).take(pa.array([0] * 9_000_000))], schema), path)
    assert path.stat().st_size < 100_000
    with pytest.raises(WorkspaceError, match="100 times its size and 64 MiB"):
        read_table(path, schema)


PLACES: dict[str, tuple[str, Callable[[Workspace], object]]] = {
    "images of a review": (
        "review/x/tasks.parquet",
        lambda w: ReviewFolder(w, "x").images_by_alias(Project("key", "local")),
    ),
    "spot checks": ("estimate/x/sample.parquet", lambda w: Reviews(w, {}).states),
    "splits": ("a.parquet", lambda w: read_columns(w.root / "a.parquet", ["image_id"])),
}


@pytest.mark.parametrize("place", PLACES)
def test_every_table_of_a_workspace_is_counted(tmp_path: Path, place: str) -> None:
    name, read = PLACES[place]
    write_json(tmp_path / "review/x/project.json", {"key": "k", "server": "local"})
    bomb(tmp_path / name, "A" * 3_000_000, 1000)
    with address_space(1 << 30), pytest.raises(WorkspaceError) as error:
        read(Workspace(tmp_path))
    assert str(error.value).startswith(f"{tmp_path / name}: no")
    assert "times its size" in f"{error.value} {error.value.__cause__}"


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize(
    ("lengths", "said"),
    [
        ([1, 10_001, 2], "labels: 10001 of one row, at most 10000 are read"),
        ([10_000] * 103, "labels: 1030000 in 103 rows, at most 1020600 of so many are read"),
    ],
)
def test_long_lists_are_not_made_into_objects(
    tmp_path: Path,
    lengths: list[int],
    said: str,
    read: Callable[[Path, pa.Schema], object],
) -> None:
    ends = pa.array([0, *itertools.accumulate(lengths)], pa.int32())
    lists = pa.ListArray.from_arrays(ends, repeated("A", sum(lengths)).cast(pa.string()))
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"labels": lists}, LABELS), path)
    with pytest.raises(WorkspaceError) as error:
        read(path, LABELS)
    assert said in str(error.value)


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("kind", [pa.string(), pa.struct([("label", pa.string())])], ids=str)
def test_nothing_in_a_list_is_taken_for_a_value(
    tmp_path: Path, kind: pa.DataType, read: Callable[[Path, pa.Schema], object]
) -> None:
    schema = pa.schema([("boxes", pa.list_(kind))])
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"boxes": [[], None]}, schema), path)
    read(path, schema)
    pq.write_table(pa.table({"boxes": [[], [None]]}, schema), path)
    with pytest.raises(WorkspaceError, match="boxes: null in a list, expected a value"):
        read(path, schema)


def test_countless_boxes_of_one_image_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    schema = pa.schema([("box_id", pa.string()), ("image_id", pa.string())])
    ids = [f"P1/a{number}" for number in range(10_001)]
    pq.write_table(pa.table({"box_id": ids, "image_id": ["P1"] * len(ids)}, schema), path)
    with pytest.raises(WorkspaceError, match="10001 boxes of one image, at most 10000 are read"):
        read_table(path, schema)
    pq.write_table(pa.table({"box_id": ids, "image_id": ids}, schema).slice(0, 0), path)
    assert read_table(path, schema).num_rows == 0


def box_table(count: int, **edges: float) -> pa.Table:
    """Boxes that only their image tells apart, as far as they are not told otherwise."""
    said = {"x1": 1.0, "y1": 2.0, "x2": 9.0, "y2": 9.0, "score": 0.5, "height": 9.0, **edges}
    ids = [f"P{number:06}" for number in range(count)]
    same = {name: pa.repeat(value, count) for name, value in said.items()}
    return pa.table({"box_id": pa.repeat("", count), "image_id": ids, **same})


def test_many_findings_of_no_image_are_read(tmp_path: Path) -> None:
    rows = 10_001
    texts = [secrets.token_hex(8) for _ in range(rows)]
    found = pa.table([["BAD_NAME"] * rows, [""] * rows, [""] * rows, texts], schema=_FOUND)
    pq.write_table(found, tmp_path / "findings.parquet")
    assert read_table(tmp_path / "findings.parquet", _FOUND).equals(found)


_FOUND = pa.schema(
    [pa.field(n, pa.string(), nullable=False) for n in ("flaw", "image_id", "box_id", "text")]
)


@pytest.mark.long
def test_far_more_boxes_than_bytes_are_not_made_into_objects(tmp_path: Path) -> None:
    path, table = tmp_path / "a.parquet", box_table(250_000)
    pq.write_table(table.slice(0, 100_000), path, compression="zstd", compression_level=19)
    assert read_table(path, table.schema).num_rows == 100_000
    pq.write_table(table, path, compression="zstd", compression_level=19)
    most = 100_000 + path.stat().st_size // 4
    assert most < 250_000
    with pytest.raises(WorkspaceError, match=rf"\(250000 rows in \d+ bytes, at most {most} are"):
        read_table(path, table.schema)


@pytest.mark.parametrize(
    ("schema", "most"),
    [
        *((schema, lambda size: size // 8) for schema in (TASK_SCHEMA, DECISION_SCHEMA)),
        (ANSWER_SCHEMA, lambda size: size // 8),
        *(
            (schema, lambda size: 100_000 + size // 4)
            for schema in (SAMPLE_SCHEMA, TRAINING_SCHEMA)
        ),
    ],
    ids=["tasks", "decisions", "answers", "sample", "round"],
)
def test_far_more_answers_than_bytes_are_not_made_into_objects(
    tmp_path: Path, schema: pa.Schema, most: Callable[[int], int]
) -> None:
    path, rows = tmp_path / "a.parquet", most(0) + 20_000
    least = {pa.string(): "", pa.bool_(): False, pa.int64(): 0, pa.float32(): 0, pa.float64(): 0}
    row = {field.name: least.get(field.type, []) for field in schema}
    row |= {"image_id": "N1", "kind": "candidate", "role": "positive", "verdict": "unsure"}
    table = pa.Table.from_pylist([row], schema).take(pa.array([0] * rows))
    pq.write_table(table, path, compression="zstd")
    size = path.stat().st_size
    with pytest.raises(WorkspaceError, match=f"{rows} rows in {size} bytes, at most {most(size)} "):
        read_table(path, schema)
    write_table(path, table, schema)
    assert read_table(path, schema).num_rows == rows


@pytest.mark.parametrize("read", [read_table, some_columns])
@pytest.mark.parametrize(
    ("edges", "said"),
    [
        ({"y1": math.nan}, "y1: not finite in a row, expected a number"),
        ({"x2": math.inf}, "x2: not finite in a row, expected a number"),
        ({"x2": 1.0}, "a box without area, expected x1 below x2"),
        ({"score": math.nan}, "score: not finite in a row, expected a number"),
        ({"height": -1.0}, "height: below 0 in a row, expected pixels"),
        ({"y1": 1e300}, "a box without area, expected y1 below y2"),
    ],
)
def test_boxes_that_are_none_are_refused(
    tmp_path: Path,
    edges: dict[str, float],
    said: str,
    read: Callable[[Path, pa.Schema], object],
) -> None:
    path, table = tmp_path / "a.parquet", box_table(3)
    pq.write_table(table, path)
    read(path, table.schema)
    pq.write_table(pa.concat_tables([table, box_table(1, **edges)]), path)
    with pytest.raises(WorkspaceError) as error:
        read(path, table.schema)
    assert f"not a readable Parquet table ({said})" in str(error.value)
