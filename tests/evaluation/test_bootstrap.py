"""The paired bootstrap against data sets that are really copied, and on simulations."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import SettingsError, ShapeError
from sixrayd.evaluation.average_precision import mean_average_precision
from sixrayd.evaluation.bootstrap import (
    BootstrapSettings,
    Difference,
    Interval,
    _draw,
    group_names,
    paired_bootstrap,
    weighted_means,
)
from tests.evaluation.rows import detections, scene, truths

CLASSES = ClassList(("Gun", "Knife", "Wrench"))
GUN = ClassList(("Gun",))
METRICS = ("voc07", "voc10")


def copied(images, groups, copies):
    """The images of each group as often as `copies` says, each under an id of its own."""
    return {
        f"{image_id}#{n}": each
        for image_id, each in images.items()
        for n in range(copies[groups[image_id]])
    }


@pytest.mark.parametrize("metric", METRICS)
def test_a_case_by_hand(metric):
    # a: right at 0.9, and one object missed. b: wrong at 0.8, right at 0.7.
    truth = {
        "a": truths((0, 0, 10, 10, 0, 0), (50, 50, 60, 60, 0, 0)),
        "b": truths((0, 0, 10, 10, 0, 0)),
    }
    found = {
        "a": detections((0, 0, 10, 10, 0.9, 0)),
        "b": detections((50, 50, 60, 60, 0.8, 0), (0, 0, 10, 10, 0.7, 0)),
    }
    weights = np.array([[1, 1], [2, 0], [0, 2], [1, 2]])
    values = weighted_means(
        found, truth, {"a": "x", "b": "y"}, GUN, weights, BootstrapSettings(metric=metric)
    )
    # Precision at the hits: 1, 2/3 of 3 · 1, 1 of 4 · 1/2, 1/2 of 2 · 1, 3/5, 3/5 of 4.
    expected = {
        "voc10": [(1 + 2 / 3) / 3, 2 / 4, 1 / 2, (1 + 2 * 3 / 5) / 4],
        "voc07": [(4 + 3 * 2 / 3) / 11, 6 / 11, 1 / 2, (3 + 5 * 3 / 5) / 11],
    }
    assert values.tolist() == pytest.approx(expected[metric])


@given(st.integers(0, 50), st.lists(st.integers(0, 3), min_size=4, max_size=4))
@settings(max_examples=40)
def test_weights_equal_copies(seed, copies):
    found, truth = scene(seed, images=8)
    groups = {image_id: f"g{n % 4}" for n, image_id in enumerate(sorted(truth))}
    times = dict(zip(["g0", "g1", "g2", "g3"], copies, strict=True))
    for metric in METRICS:
        options = BootstrapSettings(metric=metric)
        weights = np.array([copies, [1, 1, 1, 1]])
        values = weighted_means(found, truth, groups, CLASSES, weights, options)
        many = copied(truth, groups, times)
        if any((~each.difficult).any() for each in many.values()):
            plain = mean_average_precision(
                copied(found, groups, times), many, CLASSES, metric=metric
            )
            assert values[0] == pytest.approx(plain.mean)
        else:
            assert np.isnan(values[0])
        assert values[1] == pytest.approx(
            mean_average_precision(found, truth, CLASSES, metric=metric).mean
        )


def test_many_draws_are_worked_off_in_parts(monkeypatch):
    found, truth = scene(1)
    groups = {image_id: image_id for image_id in truth}
    weights = np.random.default_rng(0).integers(0, 3, (50, len(truth)))
    whole = weighted_means(found, truth, groups, CLASSES, weights, BootstrapSettings())
    monkeypatch.setattr("sixrayd.evaluation.bootstrap._MOST_CELLS", 100)
    parts = weighted_means(found, truth, groups, CLASSES, weights, BootstrapSettings())
    assert whole.shape == (50,)
    assert parts.tolist() == whole.tolist()


def test_draws_take_a_byte_a_group(monkeypatch):
    """A million groups of a release, drawn a thousand times, would take 8 GB."""
    drawn = np.random.default_rng(3).multinomial(40, np.full(40, 1 / 40), size=50)
    monkeypatch.setattr("sixrayd.evaluation.bootstrap._MOST_CELLS", 100)
    copies = _draw(40, 50, 3)
    assert copies.dtype == np.uint8
    assert copies[1:].tolist() == drawn.tolist()
    assert copies[0].tolist() == [1] * 40


def test_systems_are_compared_on_the_same_draws():
    found, truth = scene(2, images=40)
    worse = {
        i: replace(each, xyxy=each.xyxy + np.where(each.scores > 0.8, 400, 0)[:, None])
        for i, each in found.items()
    }
    groups = {image_id: image_id for image_id in truth}
    systems = {"rfb": found, "again": found, "worse": worse}
    options = BootstrapSettings(resamples=200, metric="voc10")
    rfb, again, poor = paired_bootstrap(systems, truth, groups, CLASSES, "rfb", options)
    assert (rfb.name, again.name, poor.name) == ("rfb", "again", "worse")
    assert rfb.difference is None
    assert rfb.mean == again.mean
    assert again.difference == Difference(Interval(0.0, 0.0, 0.0), 0.0, True)
    values = [
        mean_average_precision(system, truth, CLASSES, metric="voc10").mean
        for system in (found, worse)
    ]
    assert (rfb.mean.value, poor.mean.value) == pytest.approx(values)
    assert rfb.mean.low < values[0] < rfb.mean.high
    interval = poor.difference.interval
    assert interval.value == pytest.approx(values[1] - values[0])
    assert interval.low < interval.value < interval.high < 0
    assert interval.low < poor.difference.lower_bound < interval.value
    assert not poor.difference.non_inferior
    # Paired: the difference varies less than two systems drawn apart would.
    widths = [each.high - each.low for each in (rfb.mean, poor.mean)]
    assert interval.high - interval.low < np.hypot(*widths)


def test_the_margin_decides():
    found, truth = scene(2, images=40)
    worse = {
        i: replace(each, scores=each.scores * (np.arange(len(each.scores)) % 3 + 1))
        for i, each in found.items()
    }
    groups = {image_id: image_id for image_id in truth}
    systems = {"rfb": found, "tdc": worse}
    bound = None
    for margin, expected in ((0.0, False), (0.999, True)):
        options = BootstrapSettings(resamples=100, margin=margin)
        difference = paired_bootstrap(systems, truth, groups, CLASSES, "rfb", options)[1].difference
        assert difference.non_inferior is expected
        assert bound in (None, difference.lower_bound)
        bound = difference.lower_bound
    assert -0.999 < bound < 0


def test_the_same_seed_draws_the_same():
    found, truth = scene(3)
    groups = {image_id: image_id for image_id in truth}
    runs = [
        paired_bootstrap({"rfb": found}, truth, groups, CLASSES, "rfb", options)
        for options in (BootstrapSettings(resamples=50, seed=seed) for seed in (7, 7, 8))
    ]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def simulate(rng, rate, twins):
    """60 groups of scans with one object each, found at `rate`; twins are found alike."""
    truth, found, groups = {}, {}, {}
    for number in range(60):
        seen = rng.random() < rate
        for twin in range(twins):
            name = f"P{number:03d}{twin}"
            truth[name] = truths((0, 0, 10, 10, 0, 0))
            found[name] = detections((0, 0, 10, 10, 0.9, 0)) if seen else detections()
            groups[name] = f"P{number:03d}0"
    return found, truth, groups


@pytest.mark.long
def test_intervals_cover_what_the_data_were_drawn_from():
    # Without false alarms the area is the recall, so the truth behind every draw is the rate.
    rng = np.random.default_rng(11)
    options = BootstrapSettings(resamples=200, metric="voc10")
    covered = {"groups": 0, "images": 0}
    for _ in range(60):
        found, truth, groups = simulate(rng, 0.6, twins=3)
        for unit, of in (("groups", groups), ("images", {name: name for name in truth})):
            mean = paired_bootstrap({"rfb": found}, truth, of, GUN, "rfb", options)[0].mean
            covered[unit] += mean.low <= 0.6 <= mean.high
    assert covered["groups"] >= 52  # 57 expected of 60
    # Drawing images as if twins were strangers makes intervals too narrow.
    assert covered["images"] <= 48


def test_groups_and_settings_that_do_not_fit():
    found, truth = scene(1, images=2)
    groups = dict.fromkeys(truth, "one")
    assert group_names(truth, groups) == ["one"]
    with pytest.raises(ShapeError, match=r"^groups: 1 images have none, first P00001$"):
        paired_bootstrap({"rfb": found}, truth, {"P00000": "one"}, CLASSES, "rfb")
    with pytest.raises(
        ShapeError, match=r"^weights: need \(R, 1\) for as many groups, got \(1, 2\)"
    ):
        weighted_means(found, truth, groups, CLASSES, np.ones((1, 2), int), BootstrapSettings())
    with pytest.raises(SettingsError, match=r"^reference 'ssd': must be one of rfb$"):
        paired_bootstrap({"rfb": found}, truth, groups, CLASSES, "ssd")
    with pytest.raises(ShapeError, match=r"^truths: no object of Gun in 1 images$"):
        paired_bootstrap({"rfb": {}}, {"a": truths()}, {"a": "a"}, GUN, "rfb")
    for wrong in ({"resamples": 0}, {"confidence": 1.0}, {"margin": -0.1}):
        with pytest.raises(
            SettingsError, match=r"^bootstrap: needs resamples >= 1, 0 < confidence"
        ):
            BootstrapSettings(**wrong)
    with pytest.raises(SettingsError, match=r"^metric 'coco': must be one of voc07, voc10$"):
        BootstrapSettings(metric="coco")
