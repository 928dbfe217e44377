"""What a stage kept in its folder, and a stranger changed: one line, or as if it were not there."""

import json
from pathlib import Path
from typing import Any

import pytest

from sixrayd.audit.fix import left_out_boxes
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.workspace import Workspace
from sixrayd.estimate.sample import SampleFolder
from sixrayd.estimate.stage import _read_at
from sixrayd.review.folder import ReviewFolder
from sixrayd.review.planting.worth import _newest_evidence
from sixrayd.statistics.stated import stated_bound
from sixrayd.train.round import _check_split

# Beyond any float, and beyond any whole number, as JSON may have them.
ODD = (10**400, float("inf"), None, "x", [], {}, [1], {"settings": 1})


def kept(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:9])
def test_what_others_changed_ends_in_one_line(odd: Any, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    said = {"found": 1, "estimate": odd, "upper": odd, "images": 1, "recall": odd}
    estimate = {**said, "settings": {"confidence": odd}, "rests_on": [], "read_at": [odd]}
    draws = {"edges": [ODD[0], odd], "draws": [], "population": "", "version": ""}
    for document in (estimate, odd):
        kept(tmp_path / "estimate/a/estimate.json", document)
        kept(tmp_path / "estimate/a/run.json", {})
        with pytest.raises(WorkspaceError, match=r"estimate\.json: broken"):
            stated_bound(workspace, "a")
        assert _read_at(workspace, "a") == ()
        assert _newest_evidence(workspace)[0] is None
    for document in (draws, odd):
        kept(tmp_path / "estimate/a/draws.json", document)
        with pytest.raises(WorkspaceError, match=r"draws\.json: broken"):
            SampleFolder(workspace, "a").plan()
    books = [{"project": odd, "annotations": [{"annotation": odd, "task": odd}]}]
    for document in ({"files": [], "books": books}, odd):
        kept(tmp_path / "review/a/pulled.json", document)
        assert ReviewFolder(workspace, "a").cursors() == {}
    kept(tmp_path / "shards/fix/run.before.json", {})
    kept(tmp_path / "shards/fix/patch.jsonl", odd)
    with pytest.raises(WorkspaceError, match="not a patch of `sixrayd audit --fix`"):
        left_out_boxes(workspace)
    kept(tmp_path / "round.json", odd)
    with pytest.raises(WorkspaceError, match="not what `sixrayd review next` wrote"):
        _check_split(tmp_path / "round.json", "a", "b")
