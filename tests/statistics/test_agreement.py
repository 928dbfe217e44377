"""Coefficients of agreement against published examples, and intervals against scipy's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap

from sixrayd.core.errors import SettingsError, ShapeError
from sixrayd.evaluation.bootstrap import Interval
from sixrayd.statistics.agreement import (
    cluster_bootstrap,
    cohen_kappa,
    fleiss_kappa,
    gwet_ac1,
    krippendorff_alpha,
    mean_iou,
    percent_agreement,
    specific_agreement,
)

# Fleiss 1971, Table 1: 30 patients, six diagnoses each, of five kinds.
FLEISS = [
    *("444444", "222555", "233335", "555555", "222444", "113333"),
    *("333355", "113334", "114444", "555555", "144444", "124444"),
    *("222333", "144444", "224445", "333335", "111455", "111112"),
    *("224444", "133555", "555555", "244444", "224555", "114444"),
    *("144445", "222224", "111155", "224444", "133333", "555555"),
]
# Krippendorff 2011, Sec. C, and Gwet 2014: 12 units, four observers, gaps.
GAPS = [
    *("11.1", "2232", "3333", "3333", "2222", "1234"),
    *("4444", "1121", "2222", ".555", "..11", "..3."),
]


def once(rows):
    return np.ones((1, len(rows)), np.int64)


def counts_of(units, categories):
    return np.array([[unit.count(category) for category in categories] for unit in units])


def two(both, first_alone, second_alone, neither):
    """Answers of two reviewers, category 0 for yes, from a table of four cells."""
    cells = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    said = np.repeat(cells, [both, first_alone, second_alone, neither], axis=0)
    return said[:, 0], said[:, 1], np.stack([(said == k).sum(axis=1) for k in (0, 1)], axis=1)


def test_fleiss_1971():
    counts = counts_of(FLEISS, "12345")
    assert counts.sum() == 180
    assert round(float(fleiss_kappa(counts, once(counts))[0]), 3) == 0.430
    assert round(float(percent_agreement(counts, once(counts))[0]), 3) == 0.556


def test_four_raters_with_gaps():
    counts = counts_of(GAPS, "12345")
    assert counts.sum() == 41
    figures = [f(counts, once(counts))[0] for f in (percent_agreement, fleiss_kappa, gwet_ac1)]
    assert [round(float(figure), 5) for figure in figures] == [0.81818, 0.76117, 0.77544]
    assert round(float(krippendorff_alpha(counts, once(counts))[0]), 3) == 0.743


def test_kappa_below_its_least_is_not_defined():
    """Chance of ten images, agreement of one: -9.5, where two who always differ have -1."""
    counts = np.array([[1, 1], *[[0, 1]] * 9])
    assert np.isnan(fleiss_kappa(counts, once(counts))).all()
    assert fleiss_kappa(counts[:1], once(counts[:1])) == pytest.approx([-1])


def test_krippendorff_s_binary_example():
    first, second = "0100000010", "1110010000"
    counts = counts_of([a + b for a, b in zip(first, second, strict=True)], "01")
    assert round(float(krippendorff_alpha(counts, once(counts))[0]), 3) == 0.095


@pytest.mark.parametrize(
    ("cells", "kappa", "positive", "negative"),
    [
        # Feinstein and Cicchetti 1990: the same 85 % of agreement; by hand, 80 / 95 and 90 / 105.
        ((40, 9, 6, 45), 0.70, 80 / 95, 90 / 105),
        ((80, 10, 5, 5), 0.32, 160 / 175, 10 / 25),
    ],
)
def test_the_paradox_of_kappa(cells, kappa, positive, negative):
    first, second, counts = two(*cells)
    assert percent_agreement(counts, once(counts)) == pytest.approx([0.85])
    assert round(float(cohen_kappa(first, second, once(counts))[0]), 2) == kappa
    assert specific_agreement(counts, 0, once(counts)) == pytest.approx([positive])
    assert specific_agreement(counts, 1, once(counts)) == pytest.approx([negative])


def test_ac1_where_kappa_collapses():
    # The usual example of Gwet's: -0.0234 and 0.9408; by hand, AC1's chance is 2 * 0.972 * 0.028.
    first, second, counts = two(118, 5, 2, 0)
    assert percent_agreement(counts, once(counts)) == pytest.approx([0.944])
    assert gwet_ac1(counts, once(counts)) == pytest.approx([(0.944 - 0.054432) / (1 - 0.054432)])
    assert round(float(cohen_kappa(first, second, once(counts))[0]), 4) == -0.0234


def test_specific_agreement_of_three_with_a_gap():
    # Ordered pairs from a yes: image 1 has 6, all agree; image 2 has 4, of which 2 agree; image 3,
    # answered by two, has 1, which does not; image 4 was seen by one.
    counts = np.array([[3, 0], [2, 1], [1, 1], [1, 0]])
    assert specific_agreement(counts, 0, once(counts)) == pytest.approx([8 / 11])
    assert specific_agreement(counts, 1, once(counts)) == pytest.approx([0])
    assert percent_agreement(counts, once(counts)) == pytest.approx([(1 + 1 / 3 + 0) / 3])


def test_mean_iou_counts_what_only_one_boxed():
    overlaps, objects = np.array([0.8, 1.5, 0.0]), np.array([1, 3, 1])
    assert mean_iou(overlaps, objects, once(objects)) == pytest.approx([2.3 / 5])
    copies = np.array([[2, 0, 0], [0, 0, 0]])
    assert mean_iou(overlaps, objects, copies) == pytest.approx([0.8, np.nan], nan_ok=True)


def test_nothing_to_agree_on_is_not_a_number():
    empty, same = np.zeros((0, 2), np.int64), np.array([[2, 0], [2, 0]])
    for coefficient in (percent_agreement, fleiss_kappa, krippendorff_alpha, gwet_ac1):
        assert np.isnan(coefficient(empty, once(empty))).all()
    none = np.zeros(0, np.int64)
    assert np.isnan(cohen_kappa(none, none, once(none))).all()
    # All in one category: chance explains everything, but AC1 and the plain share are whole.
    for coefficient in (fleiss_kappa, krippendorff_alpha):
        assert np.isnan(coefficient(same, once(same))).all()
    assert np.isnan(cohen_kappa(same[:, 1], same[:, 1], once(same))).all()
    assert (gwet_ac1(same, once(same))[0], percent_agreement(same, once(same))[0]) == (1, 1)
    assert np.isnan(specific_agreement(same, 1, once(same))).all()


def test_shapes_are_checked():
    with pytest.raises(ShapeError, match=r"^agreement: need counts \(N, K>=2\), got \(3, 1\)$"):
        gwet_ac1(np.ones((3, 1), np.int64), np.ones((1, 3), np.int64))
    with pytest.raises(ShapeError, match=r"^kappa: need \(N,\) twice, got \(3,\) and \(2,\)$"):
        cohen_kappa(np.zeros(3, np.int64), np.zeros(2, np.int64), np.ones((1, 3), np.int64))


@settings(max_examples=50)
@given(
    st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=8),
    st.data(),
)
def test_copies_are_as_good_as_repeated_images(rows, data):
    copies = data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    counts = np.array(rows)
    repeated = np.repeat(counts, copies, axis=0)
    for coefficient in (percent_agreement, fleiss_kappa, krippendorff_alpha, gwet_ac1):
        weighed = coefficient(counts, np.array([copies]))
        assert weighed == pytest.approx(coefficient(repeated, once(repeated)), nan_ok=True)


def test_intervals_agree_with_scipy_s():
    rng = np.random.default_rng(3)
    first = rng.random(150) < 0.2
    second = np.where(rng.random(150) < 0.1, ~first, first)
    counts = np.stack([first.astype(int) + second, 2 - first.astype(int) - second], axis=1)
    groups = [f"{n // 2}" for n in range(150)]
    (ours,) = cluster_bootstrap(lambda copies: [gwet_ac1(counts, copies)], groups, 4000, 1)

    def of_groups(drawn, axis):
        assert axis == -1
        drawn = np.atleast_2d(drawn)
        copies = np.stack([np.bincount(row, minlength=75) for row in drawn])
        return gwet_ac1(counts, np.repeat(copies, 2, axis=1))

    theirs = bootstrap(
        (np.arange(75),), of_groups, n_resamples=4000, method="percentile", rng=2
    ).confidence_interval
    assert ours.value == pytest.approx(gwet_ac1(counts, once(counts))[0])
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.01)
    assert ours.high - ours.low > 0.1


def test_a_group_is_drawn_whole():
    agree = np.array([1, 1, 1, 1, 0, 0, 0, 0])

    def share(copies):
        return [copies @ agree / copies.sum(axis=1)]

    (alone,) = cluster_bootstrap(share, list("abcdefgh"), 2000)
    (grouped,) = cluster_bootstrap(share, list("aaaabbbb"), 2000)
    assert (alone.value, grouped) == (0.5, Interval(0.5, 0.0, 1.0))
    assert 0 < alone.low < 0.5 < alone.high < 1


def test_the_bootstrap_repeats_itself_and_says_what_is_not_defined(monkeypatch):
    counts = counts_of(GAPS, "12345")
    undefined = counts_of(["11", "11"], "12")

    def both(copies):
        return [krippendorff_alpha(counts, copies), np.full(len(copies), np.nan)]

    first = cluster_bootstrap(both, GAPS, 200, 5)
    assert first[1] is None
    monkeypatch.setattr("sixrayd.statistics.agreement._MOST_CELLS", 30)  # in several batches
    assert cluster_bootstrap(both, GAPS, 200, 5) == first
    assert cluster_bootstrap(both, GAPS, 200, 6) != first
    (whole,) = cluster_bootstrap(lambda copies: [gwet_ac1(undefined, copies)], ["a", "b"], 20)
    assert whole == Interval(1.0, 1.0, 1.0)
    assert cluster_bootstrap(lambda copies: [percent_agreement(counts[:0], copies)], []) == [None]
    with pytest.raises(SettingsError, match=r"^bootstrap: needs .* got 0 and 0.95$"):
        cluster_bootstrap(both, GAPS, 0)
