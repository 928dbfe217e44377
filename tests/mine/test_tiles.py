"""Where tiles lie, which of their detections count, and what becomes of several lists."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixrayd.core.detections import Detections
from sixrayd.crop.region import Region
from sixrayd.detectors.decoding import DecodeSettings
from sixrayd.mine.tiles import OVERLAP, merge_tiles, shown_whole, tile_regions

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
    box = np.array([[start, start, start + length, start + length]])

    assert any(shown_whole(box, tile, (side, side)).all() for tile in tiles)


@pytest.mark.parametrize(
    ("box", "inside"),
    [
        ((300, 160, 340, 190), False),  # cut on the left
        ((306, 160, 340, 190), False),  # hardly away from the border
        ((307, 160, 340, 190), True),
        ((350, 150, 390, 190), False),  # cut at the top
        ((650, 160, 700, 350), True),  # the image's own edges cut nothing
        ((280, 160, 340, 190), False),  # reaches beyond
        ((10, 10, 20, 20), False),  # elsewhere
    ],
)
def test_inner_borders_cut_and_outer_ones_do_not(box, inside):
    tile = Region(300, 150, 700, 350)  # 400 x 200: nearer than 6.25 and 3.125 pixels is cut

    assert shown_whole(np.array([box], float), tile, (700, 350)).tolist() == [inside]


def test_no_boxes_are_shown():
    assert shown_whole(np.zeros((0, 4)), Region(0, 0, 9, 9), (20, 9)).tolist() == []


SIZE_WH = (700, 350)
FIRST, SECOND, THIRD, FOURTH = tile_regions(SIZE_WH, 2)


def merged(whole, tiles, settings=SETTINGS):
    views = {tile: found(*tiles.get(tile, ())) for tile in (FIRST, SECOND, THIRD, FOURTH)}
    return rows(merge_tiles(found(*whole), views, SIZE_WH, settings))


def test_what_both_see_scores_their_mean_and_what_one_sees_half():
    whole = [(10, 10, 50, 50, 0.4, 0), (600, 10, 640, 50, 0.25, 1)]
    tiles = {FIRST: [(11, 10, 51, 50, 0.8, 0)], FOURTH: [(500, 300, 520, 340, 0.7, 0)]}

    assert merged(whole, tiles) == [
        (11, 10, 51, 50, pytest.approx(0.6), 0),
        (500, 300, 520, 340, 0.35, 0),
        (600, 10, 640, 50, 0.125, 1),
    ]


def test_what_every_tile_cuts_keeps_its_score():
    large = (250, 50, 450, 300, 0.5, 0)
    pieces = {
        FIRST: [(250, 50, 400, 200, 0.9, 0)],
        SECOND: [(300, 50, 450, 200, 0.9, 0)],
        THIRD: [(250, 150, 400, 300, 0.9, 0)],
        FOURTH: [(300, 150, 450, 300, 0.9, 0)],
    }

    assert merged([large], pieces) == [large]


def test_two_tiles_that_show_one_object_count_once():
    tiles = {FIRST: [(320, 20, 360, 60, 0.6, 0)], SECOND: [(321, 20, 361, 60, 0.8, 0)]}

    assert merged([(320, 20, 360, 60, 0.4, 0)], tiles) == [
        (321, 20, 361, 60, pytest.approx(0.6), 0)
    ]


def test_at_one_place_classes_do_not_compete():
    tiles = {FIRST: [(10, 10, 50, 50, 0.6, 1)]}

    assert merged([(10, 10, 50, 50, 0.8, 0)], tiles) == [
        (10, 10, 50, 50, 0.4, 0),
        (10, 10, 50, 50, 0.3, 1),
    ]


def test_what_falls_to_the_threshold_is_dropped():
    assert merged([(10, 10, 50, 50, 0.2, 0), (70, 10, 99, 50, 0.21, 0)], {}) == [
        (70, 10, 99, 50, 0.105, 0)
    ]


def test_only_so_many_stay():
    several = [(100 * n, 0, 100 * n + 50, 50, 0.9 - n / 10, 0) for n in range(3)]
    larger = (250, 50, 450, 300, 0.95, 1)

    assert [row[4] for row in merged([larger, *several], {})] == [0.95, 0.45, 0.4]


def test_nothing_seen_is_nothing_found():
    assert merged([], {}) == []
