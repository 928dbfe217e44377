"""Where tiles lie, which of their detections count, and what becomes of several lists."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixrayd.crop.region import Region
from sixrayd.detectors.decoding import DecodeSettings
from sixrayd.evaluation.matching import Detections
from sixrayd.mine.tiles import OVERLAP, best_of, tile_regions, uncut

SETTINGS = DecodeSettings(threshold=0.1, iou=0.45, most=3)


def found(*rows):
    """Detections from (x1, y1, x2, y2, score, label)."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


def rows(detections):
    columns = (detections.xyxy, detections.scores, detections.labels)
    return [(*b.tolist(), float(s), int(c)) for b, s, c in zip(*columns, strict=True)]


def test_four_tiles_overlap_by_a_quarter():
    tiles = tile_regions((700, 350), 2)

    assert [tile.xyxy for tile in tiles] == [
        (0, 0, 400, 200),
        (300, 0, 700, 200),
        (0, 150, 400, 350),
        (300, 150, 700, 350),
    ]


def test_nine_tiles_show_objects_two_and_a_half_times_as_large():
    tiles = tile_regions((500, 250), 3)

    assert [tile.x1 for tile in tiles[:3]] == [0, 150, 300]
    assert {tile.size_wh for tile in tiles} == {(200, 100)}
    assert len(tiles) == 9


def test_one_tile_is_the_whole():
    assert tile_regions((31, 17), 1) == [Region(0, 0, 31, 17)]


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 4))
def test_tiles_reach_every_edge_and_leave_no_gap(width, height, grid):
    tiles = tile_regions((width, height), grid)

    assert len(tiles) == grid * grid
    for low, high, length in (("x1", "x2", width), ("y1", "y2", height)):
        spans = sorted({(getattr(t, low), getattr(t, high)) for t in tiles})
        assert spans[0][0] == 0
        assert spans[-1][1] == length
        assert all(b[0] <= a[1] for a, b in itertools.pairwise(spans))


@given(st.integers(100, 3000), st.integers(2, 4), st.floats(0, 1), st.floats(0.01, 1))
def test_what_is_smaller_than_the_overlap_lies_uncut_in_a_tile(side, grid, at, share):
    tiles = tile_regions((side, side), grid)
    most = (OVERLAP - 2 / 64) * tiles[0].size_wh[0] - 2  # rounding takes up to two pixels
    length = share * most
    start = at * (side - length)
    box = (start, start, start + length, start + length, 0.5, 0)

    inside = [t for t in tiles if t.x1 <= start and start + length <= t.x2]
    inside = [t for t in inside if t.y1 <= start and start + length <= t.y2]

    assert any(rows(uncut(found(box), tile, (side, side))) == [box] for tile in inside)


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        ((300, 160, 340, 190, 0.9, 0), False),  # cut on the left
        ((306, 160, 340, 190, 0.9, 0), False),  # hardly away from the border
        ((307, 160, 340, 190, 0.9, 0), True),
        ((350, 150, 390, 190, 0.9, 0), False),  # cut at the top
        ((650, 160, 700, 350, 0.9, 0), True),  # the image's own edges cut nothing
    ],
)
def test_inner_borders_cut_and_outer_ones_do_not(box, kept):
    tile = Region(300, 150, 700, 350)  # 400 x 200: nearer than 6.25 and 3.125 pixels is cut

    assert rows(uncut(found(box), tile, (700, 350))) == ([box] if kept else [])


def test_nothing_is_uncut():
    assert rows(uncut(found(), Region(300, 150, 700, 350), (700, 350))) == []


def test_the_best_of_two_views_of_one_object_stays():
    whole = found((10, 10, 50, 50, 0.3, 0), (200, 10, 240, 50, 0.25, 1))
    tile = found((11, 10, 50, 51, 0.8, 0), (10, 10, 50, 50, 0.6, 1))

    assert rows(best_of([whole, tile], SETTINGS)) == [
        (11, 10, 50, 51, 0.8, 0),
        (10, 10, 50, 50, 0.6, 1),
        (200, 10, 240, 50, 0.25, 1),
    ]


def test_only_so_many_stay():
    several = found(*((100 * n, 0, 100 * n + 50, 50, 0.9 - n / 10, 0) for n in range(5)))

    assert [row[4] for row in rows(best_of([found(), several], SETTINGS))] == [0.9, 0.8, 0.7]


def test_the_best_of_nothing_is_nothing():
    assert rows(best_of([found(), found()], SETTINGS)) == []
