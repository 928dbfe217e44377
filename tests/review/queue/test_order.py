"""The queue: calibration, times, groups and the forecast, on values worked out by hand."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from sixrayd.core.errors import SettingsError
from sixrayd.core.records import Kind
from sixrayd.review.queue.image import ReviewImage
from sixrayd.review.queue.order import (
    PRIOR_DECISIONS,
    UNMEASURED_S,
    Past,
    Queued,
    forecast,
    order,
    probabilities,
    task_seconds,
)


def item(name, score=0.5, kind=Kind.CANDIDATE, boxes=1, group=None):
    return ReviewImage(name, kind, 0, score, ({},) * boxes, group or name)


def past(score=0.5, found=True, kind=Kind.CANDIDATE, boxes=1, seconds=10.0):
    return Past(kind, score, boxes, found, seconds)


def ids(queue):
    return [queued.item.image_id for queued in queue]


def reviewed(count, seed=0, kind=Kind.CANDIDATE, scale=1.0):
    """Decisions whose finds are as frequent as their scores, times `scale`."""
    rng = np.random.default_rng(seed)
    scores, draws = rng.uniform(0, 1, (2, count))
    return [past(s, d < s * scale, kind) for s, d in zip(scores, draws, strict=True)]


def test_nothing_waits():
    assert order([], [past()]) == ()
    assert forecast((), 1) == 0


def test_without_a_past_the_score_orders():
    waiting = [item("c", 0.2, boxes=0), item("b", 0.9, boxes=5), item("a", 0.9), item("d", 0.4)]

    queue = order(waiting, [])

    assert ids(queue) == ["a", "b", "d", "c"]
    assert [q.probability for q in queue] == pytest.approx([0.9, 0.9, 0.4, 0.2])
    assert {q.seconds for q in queue} == {UNMEASURED_S}


def test_duplicates_come_by_the_mean_of_the_scores_however_similar():
    copies = [item(f"d{n}", 0.9 + n / 100, Kind.DUPLICATE) for n in range(3)]

    queue = order([item("a", 0.8), item("b", 0.4), item("c", 0.3), *copies], [])

    assert ids(queue) == ["a", "d2", "d1", "d0", "b", "c"]
    assert [q.probability for q in queue if q.item in copies] == pytest.approx([0.5] * 3)


def test_finds_among_the_best_scores_do_not_carry_duplicates_ahead():
    decided = [past(0.95) for _ in range(100)]
    waiting = [item(f"n{n}", n / 1000) for n in range(900)]

    queue = order([*waiting, item("copy", 0.99, Kind.DUPLICATE)], decided)

    chances = {q.item.image_id: q.probability for q in queue}
    candidates = [p for name, p in chances.items() if name != "copy"]
    assert chances["copy"] == pytest.approx((sum(candidates) + 100.5) / 1001)
    assert chances["copy"] < chances["n899"]


def test_duplicates_rise_when_decisions_say_so():
    waiting = [item("a", 0.5), item("copy", 0.99, Kind.DUPLICATE), item("far", 0.8, Kind.DUPLICATE)]
    decided = [past(0.99, True, Kind.DUPLICATE), past(0.8, False, Kind.DUPLICATE)] * 50

    a, copy, far = probabilities(waiting, decided)

    # Two bins of 50 decisions; the belief of 1/2 weighs as 20 more in each.
    assert (a, copy, far) == pytest.approx((1 / 2, 60 / 70, 10 / 70))


def test_belief_goes_on_from_the_outermost_shares():
    decided = [past(s, f, Kind.DUPLICATE) for s, f in ((0.8, False), (0.9, True))] * 50
    scores = (0.7, 0.8, 0.825, 0.9, 0.95)
    waiting = [item(f"{s}", s, Kind.DUPLICATE) for s in scores]

    chances = probabilities(waiting, decided)

    assert chances.tolist() == pytest.approx([n / 7 for n in (1, 1, 2.25, 6, 6)])


def test_a_curve_goes_on_in_proportion():
    # Thirty finds at 1/2 make the curve's a = 30 expit(-a), whose solution is 2.429197; b stays 1.
    low, middle, high = probabilities(
        [item(f"{s}", s) for s in (0.2, 0.5, 0.8)], [past(0.5, True)] * 30
    )

    assert 30 * expit(-2.429197) == pytest.approx(2.429197, abs=1e-4)
    beliefs = expit(2.429197 + np.log([0.25, 1, 4]))
    share = (30 + PRIOR_DECISIONS * beliefs[1]) / (30 + PRIOR_DECISIONS)
    assert middle == pytest.approx(share, abs=1e-4)
    assert low == pytest.approx(share * beliefs[0] / beliefs[1], abs=1e-4)
    left = (1 - share) * (1 - beliefs[2]) / (1 - beliefs[1])
    assert high == pytest.approx(1 - left, abs=1e-4)


def test_duplicates_alone_begin_at_one_half():
    assert probabilities([item("a", 0.9, Kind.DUPLICATE)], []).tolist() == [0.5]


@pytest.mark.parametrize("scale", [0.1, 0.5, 1.0])
def test_many_decisions_are_believed(scale):
    scores = np.linspace(0.1, 0.9, 9)

    chances = probabilities([item(f"{s}", s) for s in scores], reviewed(20000, scale=scale))

    assert np.abs(chances - scale * scores).max() < 0.05


def test_few_decisions_move_little_and_more_move_more():
    waiting = [item("a", 0.5)]

    few, more, many = (
        probabilities(waiting, [past(0.5, False)] * count)[0] for count in (1, 20, 2000)
    )

    assert 0.5 > few > 0.38 > more > 0.05 > many > 0.0
    # One decision makes the curve's a = -expit(a), whose solution is -0.401058.
    assert expit(-0.401058) == pytest.approx(0.401058, abs=1e-5)
    assert few == pytest.approx(0.401058 * PRIOR_DECISIONS / (PRIOR_DECISIONS + 1), abs=1e-5)


@pytest.mark.parametrize("found", [True, False])
def test_certainty_is_never_reached(found):
    kinds = (Kind.CANDIDATE, Kind.DUPLICATE)
    waiting = [item(f"{kind}{s}", s, kind) for kind in kinds for s in (0.0, 0.5, 1.0)]
    decided = [past(s, found, kind) for kind in kinds for s in (0.0, 0.4, 1.0)] * 5000

    for left in (waiting, waiting[3:]):  # with candidates waiting and without
        chances = probabilities(left, decided)
        assert ((chances > 0) & (chances < 1)).all()
        assert (np.abs(chances - found) < 0.1).all()


def test_below_the_decided_scores_chances_go_on_falling():
    decided = [each for each in reviewed(600, scale=0.8) if each.score > 0.6]
    waiting = [item(f"{n:02}", n / 100) for n in range(5, 60, 5)]

    chances = probabilities(waiting, decided)

    assert (np.diff(chances) > 0).all()
    assert chances[0] < 0.15 < chances[-1] < 0.6


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=30),
    st.lists(st.floats(0, 1), min_size=2, max_size=30),
    st.sampled_from([Kind.CANDIDATE, Kind.DUPLICATE, Kind.POSITIVE]),
)
def test_with_equal_times_each_kind_keeps_the_order_of_its_scores(decided, scores, kind):
    waiting = [item(f"{n}", score, kind) for n, score in enumerate(scores)]
    said = [past(score, found, kind) for score, found in decided]

    queue = order(waiting, said)

    assert all(0 <= q.probability <= 1 for q in queue)
    shown = [q.item.image_score for q in queue]
    # Scores that differ by rounding alone may change places.
    assert all(first >= second - 1e-9 for first, second in pairwise(shown))


def test_a_quick_task_goes_before_a_likelier_slow_one():
    times = [past(0.5, n % 2, boxes=b, seconds=s) for b, s in ((0, 2.0), (3, 30.0)) for n in (0, 1)]

    queue = order([item("slow", 0.6, boxes=7), item("quick", 0.5, boxes=0)], times * 200)

    assert ids(queue) == ["quick", "slow"]
    # 400 times each and 10 of the mean, which is 16 seconds.
    assert [q.seconds for q in queue] == pytest.approx([(800 + 160) / 410, (12000 + 160) / 410])


def test_times_by_kind_and_number_of_boxes():
    decided = [
        *[past(boxes=0, seconds=4.0)] * 30,
        *[past(boxes=3, seconds=8.0)] * 20,
        *[past(boxes=9, seconds=12.0)] * 10,
        past(kind=Kind.SPOT_CHECK, boxes=0, seconds=9.0),
        past(seconds=0.0),  # not measured
        past(boxes=2, seconds=5000.0),  # lunch counts as ten medians, 80 seconds
    ]

    times = task_seconds(decided)

    mean = (120 + 160 + 120 + 9 + 80) / 62
    assert len(times) == len(Kind) * 4
    assert times[Kind.CANDIDATE, 0] == pytest.approx((120 + 10 * mean) / 40)
    assert times[Kind.CANDIDATE, 1] == pytest.approx(mean)
    assert times[Kind.CANDIDATE, 2] == pytest.approx((80 + 10 * mean) / 11)
    assert times[Kind.CANDIDATE, 3] == pytest.approx((280 + 10 * mean) / 40)
    assert times[Kind.SPOT_CHECK, 0] == pytest.approx((9 + 10 * mean) / 11)
    assert times[Kind.DUPLICATE, 3] == pytest.approx(mean)


def test_a_time_that_nobody_answers_in_counts_as_a_thousandth_of_a_second():
    assert min(task_seconds([past(boxes=0, seconds=1e-320)] * 30).values()) == pytest.approx(0.001)


def test_groups_come_whole_where_their_finds_per_second_put_them():
    waiting = [
        item("a", 0.9, group="bag"),
        item("b", 0.2, group="bag"),
        item("c", 0.6),
        item("d", 0.4),
        item("e", 0.5, group="e"),
        item("f", 0.5, group="e"),
    ]

    assert ids(order(waiting, [])) == ["c", "a", "b", "e", "f", "d"]


def test_the_order_of_arrival_changes_nothing():
    rng = np.random.default_rng(3)
    waiting = [
        item(f"{n:02}", round(float(s), 1), boxes=n % 5, group=f"g{n % 7}")
        for n, s in enumerate(rng.uniform(0, 1, 40))
    ]

    queue = order(waiting, reviewed(60))

    assert sorted(ids(queue)) == [each.image_id for each in waiting]
    assert ids(order([waiting[n] for n in rng.permutation(40)], reviewed(60))) == ids(queue)


def test_the_next_hour():
    queue = [Queued(item(f"{n}"), p, 1800.0) for n, p in enumerate((0.8, 0.6, 0.4, 0.2))]

    assert forecast(queue, 0) == 0
    assert forecast(queue, 1) == pytest.approx(1.4)
    assert forecast(queue, 0.75) == pytest.approx(1.1)
    assert forecast(queue, 0.5, reviewers=3) == pytest.approx(1.8)
    assert forecast(queue, 100) == pytest.approx(2.0)


def test_no_forecast_of_less_than_no_work():
    with pytest.raises(SettingsError, match=r"^forecast: -1 hours of 2 reviewers: needs 0 or more"):
        forecast((), -1, 2)


@pytest.mark.parametrize(
    ("kind", "score", "boxes"),
    [
        *((kind, 0.5, 0) for kind in (Kind.PLANTED, Kind.SPOT_CHECK, Kind.SHAM)),
        *((Kind.CANDIDATE, score, 1) for score in (1.01, -0.01, math.nan)),
    ],
)
def test_items_that_cannot_be_queued(kind, score, boxes):
    with pytest.raises(SettingsError, match=r"^N1: .* needs one of candidate, duplicate, positive"):
        order([item("N1", score, kind, boxes)], ())
