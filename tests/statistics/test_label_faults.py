"""What share of labelled images has a fault: exact limits, boxes resampled by image."""

import numpy as np
import pytest
from scipy.stats import hypergeom

from sixrayd.core.boxes import Box
from sixrayd.core.errors import SettingsError
from sixrayd.statistics.label_faults import (
    LabelFaults,
    anchored,
    box_share,
    compare_labels,
    image_share,
)

GUN = Box("Gun", 10.0, 10.0, 50.0, 50.0)


@pytest.mark.parametrize(
    "labels, seen, faults",
    [
        ([GUN], [GUN], (1, 0, 0, 0)),
        ([], [GUN], (0, 1, 0, 0)),
        ([GUN], [], (1, 0, 1, 0)),
        ([GUN], [Box("Knife", 10.0, 10.0, 50.0, 50.0)], (1, 0, 1, 0)),
        ([GUN], [Box("Gun", 10.0, 10.0, 50.0, 36.0)], (1, 0, 0, 1)),  # an IoU of 0.65
        ([GUN], [Box("Gun", 10.0, 10.0, 50.0, 38.0)], (1, 0, 0, 0)),  # of 0.7
        ([GUN], [Box("Gun", 10.0, 10.0, 50.0, 29.0)], (1, 1, 1, 0)),  # of 0.475: another thing
        ([GUN, GUN], [GUN], (2, 0, 1, 0)),
    ],
)
def test_labels_against_what_a_reader_sees(labels, seen, faults):
    assert compare_labels(labels, seen) == LabelFaults(*faults)


def test_the_limits_hold_in_every_small_set():
    worst = 1.0
    for images in (6, 15):
        for drawn in range(1, images + 1):
            shares = [image_share(images, drawn, found) for found in range(drawn + 1)]
            for faulty in range(images + 1):
                chances = hypergeom.pmf(range(drawn + 1), images, faulty, drawn)
                holds = [s.low <= faulty / images <= s.high for s in shares]
                worst = min(worst, float(chances @ np.array(holds)))
    assert 0.95 <= worst < 0.98


def test_undecided_images_widen_the_share_on_both_sides():
    sure, unsure = image_share(1000, 100, 6), image_share(1000, 100, 6, 4)
    assert (sure.value, sure.low) == (unsure.value, unsure.low)
    assert unsure.high == image_share(1000, 100, 10).high > sure.high
    whole = image_share(50, 50, 3)
    assert (whole.low, whole.value, whole.high) == (0.06, 0.06, 0.06)
    with pytest.raises(SettingsError):
        image_share(10, 5, 6)


def test_boxes_of_one_image_are_drawn_together():
    apart = [LabelFaults(1, 0, int(n < 20), 0) for n in range(200)]
    together = [LabelFaults(20, 0, 20 * (n < 1), 0) for n in range(10)]
    assert box_share(apart).value == box_share(together).value == 0.1
    assert box_share(apart).high < 0.15 and box_share(together).high >= 0.3
    assert box_share(apart) == box_share(apart)
    nothing = box_share([LabelFaults(0, 1, 0, 0)])
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 0)


def test_shown_boxes_that_hide_what_is_missing_are_told():
    assert anchored((2, 80), (6, 20)) < 0.01
    assert anchored((8, 80), (2, 20)) > 0.5 and anchored((0, 0), (0, 0)) == 1
