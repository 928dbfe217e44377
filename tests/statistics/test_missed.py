"""The bound put together: who overlooked what, the split of alpha, images and classes."""

from dataclasses import astuple, replace

import numpy as np
import pytest
from scipy.stats import binom

from sixrayd.core.errors import SettingsError
from sixrayd.statistics.finite import Block, Stratum, joint_limits
from sixrayd.statistics.hypergeometric import once_limits
from sixrayd.statistics.missed import (
    AlphaSplit,
    MissedEvidence,
    bound_by_class,
    bound_missed,
    percent_down,
)
from sixrayd.statistics.sensitivity import Sensitivity

STRATA = (
    Stratum("high", 800, (Block(1000, 200, 4, 4),)),
    Stratum("low", 3500, (Block(4000, 500, 1, 1),)),
)
PERFECT = MissedEvidence(reviewed=300, found=40, strata=STRATA)
PLANTED = replace(
    PERFECT,
    with_proposals=Sensitivity(planted=200, hits=190),
    without_proposals=Sensitivity(planted=150, hits=120),
)


def test_perfect_reviewers_leave_what_the_strata_leave():
    bound = bound_missed(PERFECT)

    limits = joint_limits(STRATA, 0.05)
    assert bound.limits == limits
    assert bound.split == AlphaSplit(0.05, 0, 0, 0, 0)
    assert (bound.found, bound.lower, bound.upper) == (45, limits.lower, limits.upper)
    assert bound.estimate == limits.estimate == pytest.approx(800 * 4 / 200 + 3500 / 500)
    assert (bound.sensitivity_with, bound.sensitivity_without) == (1.0, 1.0)
    assert bound.images is None
    assert bound.recall == 45 / (45 + limits.upper)


def test_alpha_is_spent_only_where_something_can_be_wrong():
    sure, stated, shown = Sensitivity(), Sensitivity(0.9), Sensitivity(planted=20, hits=18)

    splits = [
        astuple(AlphaSplit.of(0.05, *pair))
        for pair in ((shown, shown), (stated, stated), (sure, shown))
    ]
    assert splits == [
        pytest.approx((0.03, 0.005, 0.005, 0.005, 0.005)),
        pytest.approx((0.04, 0.005, 0.005, 0, 0)),
        pytest.approx((0.035, 0.005, 0.005, 0, 0.005)),
    ]


def test_planted_threats_widen_the_bound_and_never_tighten_it():
    hits = range(0, 151, 10)
    uppers = [
        bound_missed(replace(PLANTED, without_proposals=Sensitivity(planted=150, hits=count))).upper
        for count in hits
    ]

    assert uppers == sorted(uppers, reverse=True)
    assert uppers[-1] > bound_missed(PERFECT).upper
    assert uppers[0] > 4900  # who never saw a planted threat may have overlooked every unit


def test_overlooked_units_are_more_than_a_binomial_count_at_one_look_allows():
    stated = replace(PERFECT, with_proposals=Sensitivity(0.8), without_proposals=Sensitivity(0.5))

    bound = bound_missed(stated)

    findable = 5 + joint_limits(STRATA, 0.04).upper
    fixed = [
        max(t for t in range(found, 2000) if binom.cdf(found, t, rate) > 0.005)
        for found, rate in ((40, 0.8), (findable, 0.5))
    ]
    assert bound.upper + 45 > sum(fixed)
    assert bound.upper + 45 < 1.1 * sum(fixed)
    assert bound.estimate == pytest.approx(40 / 0.8 - 40 + (5 + 23) / 0.5 - 5)
    assert (bound.sensitivity_with, bound.sensitivity_without) == (0.8, 0.5)


@pytest.mark.parametrize(
    ("queue", "with_", "without", "seen"),
    [
        (0, 190, 120, (190, 120)),
        (0, 120, 190, (120, 190)),
        (1, 120, 190, (120, 120)),  # the queue has been there
        (1, 190, 120, (190, 120)),
        (0, 120, None, (120, 120)),
        (0, None, 120, (120, 120)),
    ],
)
def test_the_lower_sensitivity_counts_where_the_queue_was_or_nobody_measured(
    queue, with_, without, seen
):
    def shown(hits):
        return Sensitivity() if hits is None else Sensitivity(planted=200, hits=hits)

    strata = (replace(STRATA[0], pool_now=800 - queue), STRATA[1])
    evidence = replace(
        PERFECT, strata=strata, with_proposals=shown(with_), without_proposals=shown(without)
    )
    bound = bound_missed(evidence)

    assert evidence.queue_in_strata == bool(queue)
    lower = tuple(shown(hits).lower(0.005) for hits in seen)
    assert (bound.sensitivity_with, bound.sensitivity_without) == lower
    findable = joint_limits(strata, bound.split.sampling).estimate
    rates = [hits / 200 for hits in seen]
    assert bound.estimate == pytest.approx(40 / rates[0] - 40 + (5 + findable) / rates[1] - 5)
    assert bound.upper < 4000


def test_a_stratum_nobody_checked_counts_whole_and_once():
    more = replace(PLANTED, strata=(*STRATA, Stratum("rest", 900)))

    assert bound_missed(more).upper == bound_missed(PLANTED).upper + 900
    assert (bound_missed(more).unchecked, bound_missed(PLANTED).unchecked) == (900, 0)


def test_nothing_is_left_of_nothing():
    bound = bound_missed(MissedEvidence(0, 0, ()))

    assert (bound.lower, bound.estimate, bound.upper, bound.recall) == (0, 0.0, 0, 1.0)


def test_reviewers_who_see_nothing_leave_all_units():
    blind = Sensitivity(planted=30, hits=0)
    bound = bound_missed(replace(PERFECT, with_proposals=blind, without_proposals=blind))

    assert bound.upper == 260 + 5000 - 5
    assert bound.estimate == 260 + 5000 - 5


def test_images_are_those_of_the_largest_unfound_units():
    sizes = np.ones(260 + 4995, np.int64)
    sizes[[3, 700, 5000]] = 40, 9, 25
    evidence = replace(PERFECT, sizes=sizes, cleared_in_found=6)

    bound, planted = bound_missed(evidence), bound_missed(replace(PLANTED, sizes=sizes))

    assert bound.images == bound.upper + 39 + 8 + 24
    assert planted.images == planted.upper + 39 + 8 + 24
    overlooked = bound_missed(replace(PLANTED, sizes=sizes, cleared_in_found=6))
    assert overlooked.images == planted.images + 6
    done = MissedEvidence(5, 5, (), sizes=np.zeros(0, np.int64))
    assert bound_missed(done).images == 0


def test_one_look_is_another_bound():
    once = bound_missed(PERFECT, once=True)

    assert once.upper == once_limits(STRATA, 0.05).upper
    assert once.lower == 0


def test_classes_share_alpha():
    knives = replace(PERFECT, found=10)

    bounds = bound_by_class({"gun": PERFECT, "knife": knives}, 0.05)

    assert bounds == {
        "gun": bound_missed(PERFECT, 0.025),
        "knife": bound_missed(knives, 0.025),
    }
    assert bound_by_class({}) == {}


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (2999 / 3000, "99.9 %"),
        (1.0, "100.0 %"),
        (0.29, "29.0 %"),
        (0.0, "0.0 %"),
        (0.0019, "0.1 %"),
    ],
)
def test_shares_are_rounded_down(share, words):
    assert percent_down(share) == words


def test_targets():
    bound = bound_missed(PERFECT)

    assert bound.meets()
    assert bound.meets(recall=bound.recall, left=bound.upper)
    assert not bound.meets(recall=bound.recall + 1e-9)
    assert not bound.meets(left=bound.upper - 1)


def test_evidence_that_contradicts_itself():
    with pytest.raises(SettingsError, match=r"^evidence: 6 found among 5 reviewed$"):
        MissedEvidence(5, 6, ())
    with pytest.raises(SettingsError, match=r"^evidence: 3 sizes for 5255 unfound units$"):
        replace(PERFECT, sizes=np.ones(3, np.int64))
