"""Counting what crops take away."""

import statistics
from collections import Counter

import numpy as np
import pytest

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.tables import table_bytes, table_from
from sixrayd.mine.removed import Removed, by_thousandth, counts_of, summed_up, with_counts
from sixrayd.mine.worker import PART_SCHEMA


def part(metadata):
    table = PART_SCHEMA.with_metadata(metadata).empty_table()
    return table_from(table_bytes(table), "here", PART_SCHEMA)


def test_shares_are_counted_by_the_thousandth():
    assert by_thousandth([0.2161, 0.0, None, 0.2159, 1.0]) == {216: 2, 0: 1, 1000: 1}


@pytest.mark.parametrize("images", [1, 2, 7, 8])
def test_median_and_mean_are_those_of_the_shares(images):
    shares = (np.random.default_rng(images).integers(0, 1001, images) / 1000).tolist()

    found = summed_up(by_thousandth(shares))

    assert found.cropped == images
    assert found.median == pytest.approx(statistics.median(shares))
    assert found.mean == pytest.approx(statistics.mean(shares), abs=1e-6)


def test_parts_keep_the_counts_beside_what_they_kept():
    counts = by_thousandth([0.5, 0.25, 0.5])
    schema = with_counts(PART_SCHEMA.with_metadata({b"images": b"3"}), counts)

    kept = part(schema.metadata)

    assert counts_of(kept, "here") == counts
    assert kept.schema.metadata[b"images"] == b"3"
    assert with_counts(PART_SCHEMA, Counter()) is PART_SCHEMA
    assert counts_of(PART_SCHEMA.empty_table(), "here") == Counter()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[1]", "here: counts of the crop are broken"),
        (b'{"a": 1}', "here: counts of the crop are broken"),
        (b"{", "here: counts of the crop are broken"),
        (b'{"1001": 1}', "here: counts of the crop are out of range; mine it again"),
        (b'{"5": -1}', "here: counts of the crop are out of range; mine it again"),
    ],
)
def test_counts_that_are_none_are_refused(text, message):
    with pytest.raises(WorkspaceError) as caught:
        counts_of(part({b"removed": text}), "here")
    assert str(caught.value).startswith(message)


def test_what_is_said_of_it():
    assert summed_up(Counter()).lines() == Removed().lines() == []
    assert summed_up(by_thousandth([0.216, 0.25])).lines() == [
        "cropped away: median 23.3 %, mean 23.3 % of the area of 2 images".replace(" %", "%")
    ]
    assert summed_up(by_thousandth([0.0, 0.0, 0.012])).lines() == [
        "cropped away: median 0.0%, mean 0.4% of the area of 3 images",
        "that is under 3%: --tdc-border edge, a greater --k or another --tdc-layer crops more, "
        "--crop none saves the time",
    ]
