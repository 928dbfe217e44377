"""The index's order, groups and split, and what was settled."""

import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixrayd.core.classes import ClassList
from sixrayd.core.findings import Finding, Flaw
from sixrayd.core.records import INDEX_SCHEMA
from sixrayd.core.tables import read_table, write_table
from sixrayd.download.imagesets import ImageSets
from sixrayd.download.joining import JoinedImages, write_index
from sixrayd.download.scan import MEASURED_SCHEMA
from sixrayd.download.sharding import LISTED_SCHEMA, listed_path, measured_path
from sixrayd.download.tables import Notes, is_test, shard_rows

CLASSES = ClassList(("Gun", "Knife"))


ROWS = pa.unify_schemas([LISTED_SCHEMA, MEASURED_SCHEMA])


def row(image_id, phash="", error="broken"):
    return {
        "image_id": image_id,
        "shard": "00",
        "offset": 512,
        "size": 9,
        "width": 96 if phash else 0,
        "height": 64 if phash else 0,
        "sha256": "00",
        "phash": phash,
        "where": f"x/{image_id}.jpg",
        "error": "" if phash else error,
    }


def table_of(folder, rows, test_share=0.5, per_shard=2000):
    """The index of images that come in this order."""
    names = [f"x-{number:05d}.tar" for number in range(-(-len(rows) // per_shard) or 1)]
    for number, name in enumerate(names):
        table = pa.Table.from_pylist(rows[number * per_shard :][:per_shard], schema=ROWS)
        write_table(listed_path(folder, name), table.select(LISTED_SCHEMA.names), LISTED_SCHEMA)
        measured = table.select(MEASURED_SCHEMA.names)
        write_table(measured_path(folder, name), measured, MEASURED_SCHEMA)
    with JoinedImages.of(folder, names) as images:
        for name in names:
            images.add(shard_rows(folder, name), ImageSets(CLASSES), set())
        write_index(folder / "index.parquet", images, {}, 0, test_share, 0)
    return read_table(folder / "index.parquet", INDEX_SCHEMA)


def test_rows_are_sorted_and_near_duplicates_named_after_their_first(tmp_path):
    rows = [row("P3", "f" * 64), row("N9", "f" * 64), row("N1"), row("A1"), row("P2", "0" * 64)]

    table = table_of(tmp_path, rows, per_shard=2)

    assert table.schema.names == INDEX_SCHEMA.names
    assert table["image_id"].to_pylist() == ["A1", "N1", "N9", "P2", "P3"]
    assert table["group"].to_pylist() == ["A1", "N1", "N9", "P2", "N9"]


def test_many_rows(tmp_path):
    table = table_of(tmp_path, [row(f"N{n:07d}") for n in range(20_001, 0, -1)], 0.25)

    assert table["image_id"].to_pylist() == [f"N{n:07d}" for n in range(1, 20_002)]
    assert table["group"].to_pylist() == table["image_id"].to_pylist()
    assert table["split"].to_pylist().count("test") == 5000


@pytest.mark.parametrize(
    ("images", "share", "expected"),
    [
        (1, 0.4, 0),
        (2, 0.001, 1),
        (2, 0, 0),
        (10, 0.25, 2),
        (10, 0.94, 9),
        (0, 0.5, 0),
    ],
)
def test_how_many_are_on_the_test_side(tmp_path, images, share, expected):
    """Of one kind: rounded, and at least one of two or more unless none is wanted."""
    table = table_of(tmp_path, [row(f"N{n}") for n in range(images)], share)

    assert table["split"].to_pylist().count("test") == expected


def split(ids, groups, positive, seed, share):
    arrays = (np.array(groups, np.int64), np.array(positive, bool))
    return is_test(pa.array(ids), *arrays, seed, share).tolist()


groupings = st.lists(st.integers(0, 9), min_size=1, max_size=30).map(
    lambda heads: [heads.index(head) for head in heads]
)


@given(groupings, st.data(), st.integers(0, 3), st.floats(0, 0.99))
def test_a_group_is_never_parted_and_both_kinds_have_their_share(groups, data, seed, share):
    positive = data.draw(st.lists(st.booleans(), min_size=len(groups), max_size=len(groups)))
    ids = [f"I{number:03d}" for number in range(len(groups))]

    found = split(ids, groups, positive, seed, share)

    sides = {
        group: {t for t, g in zip(found, groups, strict=True) if g == group} for group in groups
    }
    assert all(len(side) == 1 for side in sides.values())
    shown = {g for g, p in zip(groups, positive, strict=True) if p}
    for kind in (shown, set(groups) - shown):
        drawn = sum(True in sides[group] for group in kind)
        least = 1 if share > 0 and len(kind) > 1 else 0
        assert drawn == max(round(share * len(kind)), least)
    assert split(ids, groups, positive, seed, share) == found


def test_another_seed_draws_another_side_and_more_images_leave_most_where_they_are():
    ids = [f"N{n:04d}" for n in range(400)]
    own, none = list(range(400)), [False] * 400

    first = split(ids, own, none, 0, 0.5)
    other = split(ids, own, none, 1, 0.5)
    fewer = split(ids[:360], own[:360], none[:360], 0, 0.5)

    assert sum(first) == sum(other) == 200
    assert sum(a != b for a, b in zip(first, other, strict=True)) > 100
    assert sum(a != b for a, b in zip(first, fewer, strict=False)) < 40


@pytest.mark.long
def test_notes_without_end_take_columns_and_no_objects(tmp_path):
    notes, count = Notes(), 25_000
    tracemalloc.start()
    for number in range(count):
        notes.note(f"P{number}", Finding(Flaw.OVERHANG, f"{number}.xml", f"clipped {number}"))
    notes.write_lines(tmp_path / "notes.txt")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 8_000_000  # objects take three times as much
    assert len(notes) == count
    lines = (tmp_path / "notes.txt").read_text().splitlines()
    assert lines == [f"{number}.xml: clipped {number}" for number in range(count)]
    assert notes.table()["image_id"].to_pylist() == [f"P{number}" for number in range(count)]
