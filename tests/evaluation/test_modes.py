"""A case worked by hand, by this project's rules and by RFBNet's."""

import numpy as np
import pytest

from sixrayd.core.classes import ClassList
from sixrayd.evaluation.bootstrap import BootstrapSettings, paired_bootstrap
from sixrayd.evaluation.legacy import result_lines
from sixrayd.evaluation.modes import EDGES, in_single, match_in_mode, mean_in_mode
from tests.evaluation.rows import detections, scene, truths

CLASSES = ClassList(("Gun",))
# Ten objects of ten by ten pixels in ten images. Of the detections by falling score: three are
# right, one misses, one overlaps by exactly one half, three more are right.
TRUTH = {f"P{n}": truths((20, 20, 30, 30, 0, 0)) for n in range(10)}
FOUND = {
    "P0": detections((20, 20, 30, 30, 0.95, 0)),
    "P1": detections((20, 20, 30, 30, 0.9, 0)),
    "P2": detections((20, 20, 30, 30, 0.85, 0), (60, 60, 70, 70, 0.8, 0)),
    "P3": detections((20, 20, 30, 25, 0.75, 0)),
    "P4": detections((20, 20, 30, 30, 0.7, 0)),
    "P5": detections((20, 20, 30, 30, 0.65, 0)),
    "P6": detections((20, 20, 30, 30, 0.6, 0)),
}


def test_the_case_worked_by_hand():
    # One half is a match to us: 3 of 3, then 4 of 5, 5 of 6, 6 of 7, 7 of 8 at recall 0.7. Best
    # at recall 0 to 0.3: 1; at 0.4 to 0.7: 7 / 8; beyond: 0.
    assert mean_in_mode("modern", FOUND, TRUTH, CLASSES).mean == pytest.approx(
        (4 * 1 + 4 * 7 / 8) / 11
    )
    # To RFBNet one half is none: 3 of 3, then 4 of 6, 5 of 7, 6 of 8 at recall 0.6. Its points
    # at 0.3 and 0.6 lie a rounding above: 3 of 10 do not reach the first, 6 of 10 not the second.
    # Best at recall 0 to 0.2: 1; at 0.3 to 0.5: 6 / 8; beyond: 0.
    assert mean_in_mode("legacy", FOUND, TRUTH, CLASSES).mean == pytest.approx(
        (3 * 1 + 3 * 6 / 8) / 11
    )


def test_the_case_as_text():
    lines = list(result_lines(FOUND, 0, EDGES))

    assert lines[:2] == ["P0 0.950 21.0 21.0 30.0 30.0\n", "P1 0.900 21.0 21.0 30.0 30.0\n"]
    assert lines[4] == "P3 0.750 21.0 21.0 30.0 25.0\n"
    assert len(lines) == 8
    assert next(result_lines(FOUND, 0, "inclusive")) == "P0 0.950 21.0 21.0 31.0 31.0\n"
    assert list(result_lines(FOUND, 1, EDGES)) == []


@pytest.mark.parametrize("metric", ["voc07", "voc10"])
@pytest.mark.parametrize("mode", ["modern", "legacy"])
def test_a_bootstrap_begins_with_the_value_of_its_mode(mode, metric):
    classes = ClassList(("Gun", "Knife", "Wrench"))
    settings = BootstrapSettings(resamples=20, metric=metric, mode=mode)
    for found, truth in (scene(4), (FOUND, TRUTH)):
        groups = {image_id: image_id for image_id in truth}

        (result,) = paired_bootstrap({"a": found}, truth, groups, classes, "a", settings)

        expected = mean_in_mode(mode, found, truth, classes, metric).mean
        assert result.mean.value == pytest.approx(expected, abs=1e-12)


def test_legacy_holds_numbers_in_single_precision():
    found = {"a": detections((0.1, 0, 9, 9, 0.0065, 0))}

    assert in_single(found)["a"].xyxy.dtype == np.float32
    # In single precision 0.0065 lies above itself, in double below.
    assert match_in_mode("legacy", found, {"a": truths()}, 0).scores.tolist() == [0.007]
    assert match_in_mode("modern", found, {"a": truths()}, 0).scores.tolist() == [0.0065]
