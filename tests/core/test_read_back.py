"""Results that were kept as JSON: whatever a stranger changes, it is one line or a result."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sixrayd.benchmark.outcome import BenchmarkResult
from sixrayd.benchmark.results import SweepPoint
from sixrayd.benchmark.saying import lines_of
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.read_back import read_back, read_back_all
from sixrayd.core.runs import Run
from sixrayd.core.workspace import Workspace
from sixrayd.mine.command import _print_mined
from sixrayd.mine.external import ExternalResult
from sixrayd.mine.stage import MineResult
from sixrayd.train.stage import _result as training_result

ODD: tuple[Any, ...] = (None, "x", -1, 1.5, [], {}, [1], {"a": []}, True, 10**400, float("nan"))
MINED = {
    **{"backend": "torch", "shards_done": 1, "shards": 1, "images": 4, "flagged": 2},
    **{"candidates": 3, "skipped": 0, "cropped": 4, "area_removed_median": 0.1},
    **{"area_removed_mean": 0.2, "believed": 1.5, "drawn_from": 0.5, "drawn_right": 0.75},
    "not_drawn": ["Gun"],
}
TAKEN = {
    **{"flagged": 2, "candidates": 3, "below_threshold": 1, "not_negatives": 1, "skipped": 0},
}
JUDGED = {
    **{"means": {"b": 0.25, "a": 0.5}, "order": ["b", "a"], "chosen_k": 0.15, "protocol": "paper"},
    **{"absent": {"c": "no weights"}, "paper": {"a": {"printed": 1.0, "recomputed": 1.5}}},
    **{"alarms": {"a": {"0.8": 3.0}}, "alarms_among": {"plain": {"a": {"0.8": None}}}},
    **{"k_from": "as asked", "k_edge": "", "remarks": ["one"]},
    "split": {
        **{"name": "", "file": "", "train": 3, "test": 2},
        **{"crossing_groups": 0, "crossing_images": 0},
    },
    "models": [
        {
            **{"name": "a", "detector": "rfb", "epochs": 1, "seed": 0, "images_seen": 3},
            **{"validation": None, "start": "random", "sha256": "00", "input_px": 512},
        }
    ],
    "departures": [{"what": "input", "ours": "256", "paper": "512"}],
}


@dataclass(frozen=True)
class Kept:
    """One of each kind."""

    name: str
    count: int
    share: float | None
    parts: Mapping[str, Sequence[int]]
    more: "tuple[Kept, ...]" = ()


def mined(said: Any) -> None:
    known = {"name": "a", "model": "b", "folder": "c"}
    _print_mined(read_back(MineResult, said, "run.json", **known, fresh=False))


def taken(said: Any) -> None:
    read_back(ExternalResult, said, "run.json", name="a", model="b", folder="c", fresh=False)


def judged(said: Any) -> None:
    summary = Run.of(
        {"stage": "benchmark", "name": "a", "settings": {}, "inputs": {}, "summary": said},
        Path("run.json"),
    ).summary
    list(lines_of(BenchmarkResult.of("a", "b", summary, fresh=False)))


def places(said: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """All that JSON says, by the keys that lead there."""
    if at:
        yield at
    inside = said.items() if isinstance(said, dict) else []
    for key, below in enumerate(said) if isinstance(said, list) else inside:
        yield from places(below, (*at, key))


def changed(document: Any) -> Iterator[Any]:
    """One thing of another kind, lost, or one too many."""
    yield from ({**document, "more": 1}, {**document, "name": 1})
    for *above, last in places(document):
        for odd in (*ODD, ...):
            copy = deepcopy(document)
            inside = copy
            for key in above:
                inside = inside[key]
            if odd is ...:
                del inside[last]
            else:
                inside[last] = odd
            yield copy


@pytest.mark.parametrize(("read", "said"), [(mined, MINED), (taken, TAKEN), (judged, JUDGED)])
def test_what_a_stranger_changes_is_a_result_or_one_line(
    read: Callable[[Any], None], said: Any
) -> None:
    read(said)
    refused = []
    for other in changed(said):
        try:
            read(json.loads(json.dumps(other)))
        except (WorkspaceError, ValueError) as error:
            assert isinstance(error, WorkspaceError) or "order" in str(error)
            refused.append(str(error))
    assert len(refused) > 40
    assert all("\n" not in line for line in refused)


def test_messages() -> None:
    good = {"name": "a", "count": 1, "share": None, "parts": {"b": [1]}}
    assert read_back(Kept, {**good, "later": 1}, "f") == Kept("a", 1, None, {"b": [1]})
    for other, text in (
        ({**good, "count": True}, "count is True, expected another kind"),
        ({**good, "share": 1 << 64}, "share is 18446744073709551616, expected another kind"),
        ({**good, "parts": {"b": 1}}, "parts: b is 1, expected another kind"),
        ({**good, "more": [good, {}]}, "lacks 'name'"),
        ([], "[], expected an object"),
    ):
        with pytest.raises(WorkspaceError) as caught:
            read_back(Kept, other, "f")
        assert str(caught.value) == f"f: {text}; run the stage that wrote it again"


@pytest.mark.parametrize("text", ["{", "{}", "[1]", '[{"k": 1}]', "[[]]", "9"])
def test_a_list_in_a_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "sweep.json"
    path.write_text(text)
    with pytest.raises(WorkspaceError, match=f"^{path}: "):
        read_back_all(SweepPoint, path)


def test_a_training_has_no_precision_that_is_no_float(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    folder = workspace.folder("models", "a")
    folder.mkdir(parents=True)
    run = {
        **{"stage": "models", "name": "a", "inputs": {}},
        "settings": {"detector": "rfb-small", "recipe": {"epochs": 1}},
        "summary": {"positives": 1, "backgrounds": 1, "validation": {"Gun": 10**400}},
    }
    (folder / "run.json").write_text(json.dumps(run))
    with pytest.raises(WorkspaceError, match=r"run\.json \(validation is "):
        training_result(workspace, workspace.run("models", "a"), fresh=False)
