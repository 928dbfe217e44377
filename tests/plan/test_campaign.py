"""What comes of a division of the time, and which one is taken."""

from dataclasses import replace

import numpy as np
import pytest

from sixrayd.plan.bands import OF_BELIEF, Bands
from sixrayd.plan.campaign import CampaignState, Division, Foresight, Sampled, _single
from sixrayd.plan.dividing import divide, seconds_of
from sixrayd.statistics.missed import PlannedEvidence, bound_planned
from sixrayd.statistics.planned import LookPlan, total_upper
from sixrayd.statistics.sensitivity import PERFECT, Sensitivity

BELIEVED = np.array([0.3, 0.05, 0.0004])
IMAGES = np.array([50, 450, 9500])


def state(**changed):
    """Ten thousand images, five hundred flagged, at ten seconds each."""
    nothing = np.zeros(3, np.int64)
    bands = Bands(OF_BELIEF, BELIEVED, IMAGES, nothing, nothing)
    queue = np.repeat([0, 1], IMAGES[:2])
    made = CampaignState(
        bands=bands,
        queue=queue,
        seconds=np.full(500, 10.0),
        task_s=10.0,
        timed=0,
        groups=1.0,
        sampled=Sampled(0, 0, 10_000),
        sides=(PERFECT, PERFECT),
        alpha=0.05,
    )
    return replace(made, **changed)


@pytest.mark.parametrize("finds", [0, 1, 7])
@pytest.mark.parametrize("share", [0.05, 0.4])
def test_a_single_look_is_the_planned_one(finds, share):
    exact = total_upper([finds], LookPlan((share,)), 3000, 0.05)
    found = _single(np.array([finds]), np.array([share]), 0.05, np.array([3000]))

    assert found.tolist() == [exact]


def test_without_a_check_all_that_is_undecided_may_be_contraband():
    outcomes = Foresight(state(), 50).outcomes(Division(queue=500))

    # A slower team gets less far, a faster one no further than to the end.
    assert outcomes.left.min() == 9500
    assert (outcomes.left[outcomes.pace > 1] >= 9500 + 500 * (1 - 1 / 1.05)).any()
    assert outcomes.finds.mean() == pytest.approx(30, rel=0.3)


def test_what_is_drawn_and_answered_is_what_estimate_says():
    sides = (Sensitivity(planted=50, hits=47, known=True), Sensitivity(planted=52, hits=48))
    looks = (0.1, 0.2, 0.3)
    evidence = PlannedEvidence(500, 37, 0, 9500, 6, (2, 5), 1900, 0, LookPlan(looks), *sides)
    nothing = np.zeros(3, np.int64)
    everything = Bands(OF_BELIEF, BELIEVED, IMAGES, IMAGES, nothing)
    sampled = Sampled(500, 37, 9500, 6, 1900, 0, 5, (2,), looks, 2)
    done = state(
        bands=everything,
        queue=np.zeros(0, np.int64),
        seconds=np.zeros(0),
        sampled=sampled,
        sides=sides,
        found=43,
    )
    outcomes = Foresight(done, 20).outcomes(Division())

    assert set(outcomes.finds.tolist()) == {43}
    assert outcomes.left == pytest.approx([bound_planned(evidence).upper] * 20, abs=0.5)


def test_more_checks_leave_less_open_and_more_queue_finds_more():
    sight = Foresight(state(), 200)
    left = [sight.outcomes(Division(queue=500, checks=n)).left.mean() for n in (100, 400, 1600)]
    finds = [sight.outcomes(Division(queue=n, checks=100)).finds.mean() for n in (50, 200, 500)]

    assert left == sorted(left, reverse=True)
    assert finds == sorted(finds)


@pytest.mark.parametrize("hours", [1.0, 3.0, 12.0])
def test_a_division_fits_its_time(hours):
    here = state(known_most=200)
    division = divide(here, 3600 * hours)
    spent = seconds_of(here, Foresight(here, 128), division)

    assert 0.8 * 3600 * hours < spent.total <= 3600 * hours
    assert spent.known <= 0.1 * 3600 * hours
    assert division.checks > 0 and division.queue > 0


def test_more_time_reaches_further():
    found = [divide(state(), 3600 * hours) for hours in (0.5, 1, 2, 4, 40)]

    assert [d.queue + d.checks for d in found] == sorted(d.queue + d.checks for d in found)
    assert (found[-1].queue, found[-1].checks) == (500, 9500)
    assert found[-1].rest_s > 0


def test_looks_that_were_planned_keep_their_size():
    looks = (0.02, 0.04, 0.08)
    sampled = Sampled(500, 30, 9500, 1, 190, 0, 1, (), looks, 1)
    decided = IMAGES * [1, 1, 0]
    bands = Bands(OF_BELIEF, BELIEVED, IMAGES, decided, np.array([20, 10, 0]))
    empty = (np.zeros(0, np.int64), np.zeros(0))
    here = state(bands=bands, queue=empty[0], seconds=empty[1], sampled=sampled, found=31)

    assert divide(here, 3600.0).checks == 190  # 360 tasks: the next look, not the last
    assert divide(here, 7200.0).checks == 570
    assert divide(here, 600.0).checks == 0


def planned(**changed):
    """Two looks of four are drawn and answered, and the queue is done."""
    looks = (0.05, 0.1, 0.15, 0.2)
    sampled = Sampled(500, 37, 9500, 6, 950, 0, 5, (2,), looks, 2)
    bands = Bands(OF_BELIEF, BELIEVED, IMAGES, IMAGES * [1, 1, 0], np.array([20, 17, 0]))
    empty = {"queue": np.zeros(0, np.int64), "seconds": np.zeros(0), "timed": 1000}
    return state(bands=bands, sampled=sampled, found=43, **(empty | changed))


def test_planned_looks_are_drawn_whole_or_not_at_all():
    sight = Foresight(planned(), 400)
    tight, roomy = (sight._checks(Division(checks=950, held_s=held)) for held in (0.0, 3000.0))

    assert set(tight.tolist()) == {475, 950} and set(roomy.tolist()) == {950}
    fits = sight.pace <= 1.02  # by which a look may be too long
    assert (tight == 950).tolist() == fits.tolist()
    assert set(Foresight(planned(), 50)._checks(Division(checks=475)).tolist()) <= {0, 475}


def test_a_look_that_does_not_fit_leaves_its_time_to_the_queue():
    left = {"queue": np.ones(400, np.int64), "seconds": np.full(400, 10.0)}
    sight = Foresight(planned(**left), 400)
    division = Division(queue=50, checks=475)
    checks = sight._checks(division)
    time = sight._time(division, checks)

    assert time[checks == 475] == pytest.approx((5250 / sight.pace - 4750)[checks == 475].clip(0))
    assert time[checks == 0] == pytest.approx((5250 / sight.pace)[checks == 0])
    assert (checks == 0).any() and time[checks == 0].min() > 3000


def test_the_bound_foreseen_at_planned_looks_is_that_of_the_looks():
    sight = Foresight(planned(), 400)
    outcomes = sight.outcomes(Division(checks=475, held_s=1e5))
    plan, found = LookPlan((0.05, 0.1, 0.15, 0.2)), set()
    for more in np.unique(outcomes.finds - 43):
        exact = total_upper([2, 5, int(5 + more)], plan, 9500, 0.05) - 6 - more
        found.add(round(float(np.median(outcomes.left[outcomes.finds == 43 + more])) / exact, 1))

    assert found == {1.0}


def test_known_items_are_not_asked_for_twice():
    shown = Sensitivity(planted=60, hits=58, known=True)
    assert divide(state(known_most=500), 36_000.0).known > 60
    assert divide(state(known_most=40), 36_000.0).known == 40
    assert divide(state(known_most=500, sides=(shown, shown)), 36_000.0).known == 0


def test_more_finds_than_there_is_time_for_go_by_a_share():
    division = divide(state(alone=300), 9000.0)

    assert division.second == 0.4
    assert divide(state(), 9000.0).second == 1.0
