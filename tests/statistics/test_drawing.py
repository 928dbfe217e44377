"""What is drawn for reviewers: few boxes, right half the time on known positives."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from sixrayd.core.boxes import one_an_object
from sixrayd.core.detections import Detections, Truths
from sixrayd.core.errors import WorkspaceError
from sixrayd.statistics.drawing import Drawing, HeldOut

HERE, NEAR, FAR = (0, 0, 10, 10), (0, 0, 10, 12), (50, 50, 60, 60)
ROW = dict(zip(("x1", "y1", "x2", "y2"), HERE, strict=True)) | {"label": "Gun"}
NAMES = ("Gun", "Knife")
EMPTY = Truths(np.zeros((0, 4)), np.zeros(0, np.int64))


def found(*boxes):
    """Of (edges, score, label)."""
    edges, scores, labels = zip(*boxes, strict=True)
    return Detections(np.array(edges, float), np.array(scores), np.array(labels))


def there(*boxes, difficult=False):
    edges, labels = zip(*boxes, strict=True)
    return Truths(np.array(edges, float), np.array(labels), np.full(len(labels), difficult))


def of_one(*rows):
    """20 known positives: what was found is in the first, a (score, right) each, in places."""
    scores, right = zip(*rows, strict=True)
    return HeldOut(20, tuple(range(len(rows))), scores, right)


def test_proposals_are_judged_as_they_are_drawn():
    seen = found((HERE, 0.4, 1), (NEAR, 0.9, 0), (FAR, 0.5, 0))
    held_out = HeldOut.of([seen, seen], [there((HERE, 1), (FAR, 0)), EMPTY], NAMES)
    # Of the two in one place the likelier is drawn, which has the wrong class.
    right, labels = (False, True, False, False), ("Gun",) * 4
    assert held_out == HeldOut(2, (0, 1, 0, 1), (0.9, 0.5, 0.9, 0.5), right, labels)
    difficult = HeldOut.of([found((HERE, 0.5, 0))], [there((HERE, 0), difficult=True)], NAMES)
    assert difficult.right == (True,)
    apart = HeldOut.of([found((HERE, 0.5, 0))], [there(((0, 0, 10, 21), 0))], NAMES)
    assert apart.right == (False,)


def test_the_least_score_from_which_half_are_right():
    held_out = of_one((0.9, True), (0.8, False), (0.7, False), (0.6, True), (0.5, False))
    assert (held_out.least_score(5), held_out.share_right(5)) == (0.6, 0.5)
    assert (held_out.least_score(3), held_out.share_right(3)) == (0.8, 0.5)
    assert (held_out.least_score(1), held_out.share_right(1)) == (0.9, 1.0)


def test_equal_scores_are_drawn_together_or_not():
    both = HeldOut(20, (0, 0, 0), (0.9, 0.5, 0.5), (False, True, False))
    assert both.least_score() == math.inf  # half of the first two, a third of all that come
    assert both.share_right() == 0


def test_a_detector_that_is_never_right_draws_nothing():
    assert of_one((0.9, False)).least_score() == math.inf
    assert HeldOut(20, (), (), ()).least_score() == math.inf
    assert Drawing(math.inf).of([ROW | {"score": 1.0}]) == ()


def test_too_few_known_positives_say_nothing():
    assert HeldOut(4, (0,), (0.9,), (False,)).least_score() == 0
    assert HeldOut(19, (0, 0, 0), (0.9, 0.8, 0.7), (True, False, False)).least_score() == 0


@pytest.mark.parametrize(
    "held_out",
    [
        HeldOut(5, (0,), (0.9,), (False,)),
        HeldOut(5, (), (), ()),
        HeldOut(2, (0, 1, 2) * 2, (0.9, 0.8, 0.7) * 2, (False,) * 5 + (True,)),
    ],
)
def test_few_known_positives_tell_of_a_detector_that_is_never_right(held_out):
    assert (held_out.least_score(), held_out.share_right()) == (math.inf, 0)


def test_a_class_that_is_never_right_is_not_drawn_and_moves_no_threshold():
    def judged(knives):
        right = (True, True, False, *(False,) * knives)
        scores = (0.9, 0.8, 0.3, *(0.7,) * knives)
        labels = ("Gun",) * 3 + ("Knife",) * knives
        return HeldOut(20, (0,) * len(right), scores, right, labels)

    drawing = judged(5).drawing()
    assert drawing == Drawing(0.3, 3, frozenset({"Knife"}))
    assert judged(5).share_right() == pytest.approx(2 / 3)
    far = dict(zip(ROW, FAR, strict=False))
    both = [ROW | {"score": 0.4}, ROW | far | {"score": 0.9, "label": "Knife"}]
    assert drawing.of(both) == (both[0],)
    assert judged(4).drawing() == Drawing(0.8)  # four are too few to tell, and move it
    with_unnamed = replace(judged(5), labels=())  # of an earlier version
    assert with_unnamed.drawing() == Drawing(0.8)


def test_a_score_of_float32_is_drawn_from_itself_on():
    row = {
        **ROW,
        "score": float(np.float32(0.3)),
    }
    held_out = HeldOut.of([found((HERE, np.float32(0.3), 0))] * 20, [there((HERE, 0))] * 20, NAMES)
    assert Drawing(held_out.least_score()).of([row]) == (row,)


def test_of_two_that_overlap_the_likelier_remains():
    xyxy = np.array([HERE, NEAR, FAR, HERE], float)
    assert one_an_object(xyxy, np.array([0.2, 0.9, 0.5, 0.9])).tolist() == [1, 2]
    assert one_an_object(np.zeros((0, 4)), np.zeros(0)).tolist() == []


def test_it_is_read_back_and_nothing_else_is(tmp_path):
    path = tmp_path / "held_out.json"
    assert HeldOut.load(path) is None
    held_out = of_one((0.9, True), (0.8, False))
    held_out.save(path)
    assert HeldOut.load(path) == held_out
    whole = json.loads(path.read_text())
    for change in (
        {"scores": [0.9]},
        {"scores": [0.9, 1.5]},
        {"images": None},
        {"places": 3},
        {"labels": ["Gun"]},
    ):
        path.write_text(json.dumps(whole | change))
        with pytest.raises(WorkspaceError, match=f"^{path}: "):
            HeldOut.load(path)
    path.write_text("[]")
    with pytest.raises(WorkspaceError, match="not what `sixrayd mine` wrote"):
        HeldOut.load(path)
