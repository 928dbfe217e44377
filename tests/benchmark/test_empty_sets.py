"""Confusing negatives and plain ones of our own exports: read, learnt from, counted apart."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sixrayd.benchmark.judging import load_sides
from sixrayd.benchmark.parts import Part
from sixrayd.benchmark.results import Alarm
from sixrayd.benchmark.scoring import Scorer
from sixrayd.benchmark.tree import VocTree, ingest, load_sets
from sixrayd.core.classes import ClassList
from sixrayd.core.detections import Detections, Truths
from sixrayd.core.index import Index
from sixrayd.core.records import EMPTY_SETS
from sixrayd.core.workspace import Workspace
from sixrayd.evaluation.bootstrap import BootstrapSettings
from sixrayd.export.settings import ExportSettings
from sixrayd.export.stage import export
from tests.workspaces import NOTHING, Says, Small


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Two confusing negatives, one a side; a test image that is plain; training ones of all."""
    small = Small()
    for picture in small.pictures:
        if picture.image_id in ("N0000002", "N0000007"):
            picture.split = "test"
    small.rounds.append([Says("N0000006", NOTHING)])
    return small.build(tmp_path_factory.mktemp("small") / "ws")


def sides_of(small, tmp_path, **settings):
    tree = export(small, ExportSettings(out=tmp_path / "out", **settings)).tree
    data = Workspace(tmp_path / "data")
    ingest(VocTree.find(Path(tree)), data, ClassList())
    return data, load_sides(data, ClassList(), frozenset(), 2, 0)


def test_our_own_export_has_negatives_of_both_kinds_on_both_sides(small, tmp_path):
    data, sides = sides_of(small, tmp_path, sets=tuple(EMPTY_SETS))

    assert (sides.negatives.ids, sides.confusing) == (("N0000002", "N0000007"), {"N0000002"})
    backgrounds = Index.load(data).rows(source="negative", split="train")["image_id"]
    assert backgrounds.to_pylist() == ["N0000003", "N0000006", "N0000008"]
    assert load_sets(data) == {
        **{"N0000002": "confusing", "N0000006": "confusing", "N0000003": "audited_empty"},
        **{"N0000007": "negative", "N0000008": "negative"},
    }


def test_a_tree_that_names_no_sets_does_not_tell_them_apart(small, tmp_path):
    _, sides = sides_of(small, tmp_path)

    assert (sides.negatives.ids, sides.confusing) == ((), None)


def said(*scores):
    count = len(scores)
    boxes = np.tile([1.0, 1, 9, 9], (count, 1)).reshape(-1, 4)
    return Detections(boxes, np.array(scores, float), np.zeros(count, int))


def test_false_alarms_stand_apart(small, tmp_path):
    _, sides = sides_of(small, tmp_path, sets=("confusing", "negative"))
    ids, classes = sides.test.ids, ClassList(("Gun",))
    truth = Truths(np.array([[1.0, 1, 9, 9]]), np.zeros(1, int))
    judged = replace(sides.test, truths=dict.fromkeys(ids, truth))
    found = {"a": Part(dict.fromkeys(ids, said(0.6)), {})}
    empty = {"a": Part({"N0000002": said(0.9, 0.7), "N0000007": said(0.1)}, {})}

    scorer = Scorer(judged, classes, BootstrapSettings(100), found, empty, sides.confusing)

    alarms = [alarm for alarm in scorer._alarms("a") if alarm.recall == 0.9]
    assert alarms == [
        Alarm(0.9, 500.0, 1000.0),
        Alarm(0.9, 1000.0, 2000.0, "confusing"),
        Alarm(0.9, 0.0, 0.0, "plain"),
    ]
