"""What `sixrayd status` says of a workspace in each state."""

import json
import os
import shutil
from pathlib import Path

from click.testing import CliRunner

from sixrayd.advice.results import ResultStatus, StageProgress
from sixrayd.core.files import write_json
from sixrayd.core.records import ADJUDICATION
from sixrayd.core.workspace import ASIDE, STAGES, Run, Workspace
from sixrayd.export.settings import ExportSettings
from sixrayd.export.stage import export
from sixrayd.review.folder import ReviewFolder
from sixrayd.status.command import status
from sixrayd.status.report import status_report
from tests.workspaces import BOB, NOTHING, UNSURE, Says, Small, build_mine, build_review


def finish(workspace: Workspace, stage: str, name: str = "", *before: tuple[str, str]) -> None:
    settings = {"classes": ["Gun"], "name": name}
    inputs = workspace.upstream(*before)
    workspace.finish(Run(stage, name, settings, inputs, summary={"n": 1, "ids": ["x"]}))


def states(workspace: Workspace) -> dict[str, StageProgress]:
    return {
        f"{result.stage}/{result.name}".rstrip("/"): result.progress
        for result in status_report(workspace).results
    }


def test_empty_workspace(tmp_path: Path) -> None:
    report = status_report(Workspace(tmp_path / "ws"))
    stages = [name for name in STAGES if name not in ASIDE]
    assert report.results == tuple(ResultStatus(name, "", StageProgress.MISSING) for name in stages)
    assert report.next_command == f"sixrayd download --release FOLDER -w {tmp_path}/ws"
    assert report.next.why == f"{tmp_path}/ws is not there"
    assert not (tmp_path / "ws").exists()


def test_done_interrupted_and_missing(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    finish(workspace, "shards")
    workspace.begin(Run("models", "a", {}, {}))
    report = status_report(workspace)
    assert report.results[:2] == (
        ResultStatus("shards", "", StageProgress.DONE, summary={"n": 1}),
        ResultStatus("models", "a", StageProgress.INTERRUPTED),
    )
    assert report.next_command == f"sixrayd train --name a -w {tmp_path}"


def test_an_export_elsewhere_is_told_of_when_the_one_that_had_its_name_is_gone(
    tmp_path: Path,
) -> None:
    workspace = Small().build(tmp_path / "workspace")
    export(workspace, ExportSettings())
    export(workspace, ExportSettings(out=tmp_path / "away"))
    assert states(workspace)["export/away"] == StageProgress.DONE
    shutil.rmtree(workspace.folder("export", "first"))
    assert states(workspace)["export/away"] == StageProgress.DONE


def test_what_a_process_makes_now_is_not_called_interrupted(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    finish(workspace, "shards")
    workspace.begin(Run("models", "a", {}, {}))
    with workspace.lock("mine"):
        assert states(workspace)["models/a"] == StageProgress.INTERRUPTED
    with workspace.lock("models"):
        assert states(workspace)["models/a"] == StageProgress.RUNNING
        shown = CliRunner().invoke(status, ["-w", str(tmp_path)])
        assert shown.stdout.splitlines()[1] == "models/a                 running"
        workspace.begin(Run("models", "b", {}, {}))  # which of the two it is, nothing tells
        both = states(workspace)
    assert (both["models/a"], both["models/b"]) == (StageProgress.INTERRUPTED,) * 2


def test_change_goes_down_the_pipeline(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    finish(workspace, "shards")
    finish(workspace, "models", "a", ("shards", ""))
    finish(workspace, "mine", "m", ("shards", ""), ("models", "a"))
    run = workspace.run("shards")
    workspace.finish(Run("shards", "", {**run.settings, "seed": 5}, {}))
    report = status_report(workspace)
    assert [(r.stage, r.progress, r.changed) for r in report.results[:3]] == [
        ("shards", StageProgress.DONE, ()),
        ("models", StageProgress.STALE, ("shards/run.json",)),
        ("mine", StageProgress.STALE, ("models/a/run.json", "shards/run.json")),
    ]
    assert report.next_command == f"sixrayd train --name a --force -w {tmp_path}"


def test_new_result_makes_up_for_a_stale_one(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    finish(workspace, "shards")
    workspace.finish(Run("models", "old", {}, {"shards/run.json": "0" * 64}))
    finish(workspace, "models", "new", ("shards", ""))
    found = states(workspace)
    assert (found["models/old"], found["models/new"]) == (StageProgress.STALE, StageProgress.DONE)
    assert status_report(workspace).next_command == f"sixrayd mine -w {tmp_path}"


def test_release_that_was_put_away_is_not_a_fault(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    release = tmp_path / "release.zip"
    release.write_bytes(b"x")
    workspace.finish(Run("shards", "", {}, workspace.inputs(release)))
    release.write_bytes(b"changed")
    assert status_report(workspace).results[0].changed == (str(release),)
    release.unlink()
    first = status_report(workspace).results[0]
    assert (first.progress, first.changed, first.gone) == (StageProgress.DONE, (), (str(release),))


def test_broken_run(tmp_path: Path) -> None:
    (tmp_path / "mine/m").mkdir(parents=True)
    (tmp_path / "mine/m/run.json").write_text("{")
    found = [result for result in status_report(Workspace(tmp_path)).results if result.name == "m"]
    assert [(r.progress, r.error) for r in found] == [
        (
            StageProgress.BROKEN,
            f"{tmp_path}/mine/m/run.json: not a run.json (Expecting property name enclosed in "
            f"double quotes: line 1 column 2 (char 1)); run `sixrayd mine -w {tmp_path}` again",
        )
    ]


def test_text_and_json(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    finish(workspace, "shards")
    workspace.finish(Run("models", "a", {}, {"shards/run.json": "0" * 64}))
    done = CliRunner().invoke(status, ["-w", str(tmp_path)])
    assert done.exit_code == 0
    assert done.stdout.splitlines()[:3] == [
        "shards                   done",
        "models/a                 stale",
        "  changed: shards/run.json",
    ]
    assert done.stdout.splitlines()[-1] == f"next: sixrayd train --name a --force -w {tmp_path}"
    document = json.loads(CliRunner().invoke(status, ["-w", str(tmp_path), "--json"]).stdout)
    assert document["next_command"] == f"sixrayd train --name a --force -w {tmp_path}"
    assert document["results"][0]["progress"] == "done"


def test_given_splits_are_named(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    counts = {"train": 52, "test": 8, "groups_on_both_sides": 3, "not_in_release": 0}
    workspace.finish(Run("shards", "", {}, {}, summary={"n": 1, "splits": {"sixray10": counts}}))

    said = CliRunner().invoke(status, ["-w", str(tmp_path)])
    document = CliRunner().invoke(status, ["-w", str(tmp_path), "--json"])

    assert said.stdout.splitlines()[1] == "  split sixray10: 52 train, 8 test"
    assert json.loads(document.stdout)["splits"] == {"sixray10": counts}


def test_people_a_run_and_many_results_fit_one_screen(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    finish(workspace, "shards")
    for number in range(30):
        finish(workspace, "models", f"m{number:02d}", ("shards", ""))
    build_mine(workspace, "m29", ["N0000001", "N0000002", "N0000003"])
    build_review(workspace, "m29", ["N0000001", "N0000002"], [[Says("N0000001", NOTHING)]])
    project = {"key": "ab", "server": "https://labels.example.org", "books": [], "settings": {}}
    write_json(workspace.folder("review", "m29") / "project.json", {**project, "inputs": {}})

    with workspace.lock("models"):
        shown = CliRunner().invoke(status, ["-w", str(tmp_path)])
        document = CliRunner().invoke(status, ["-w", str(tmp_path), "--json"])

    assert shown.stdout.splitlines() == [
        "shards                   done",
        "models                   27 older results",
        "models/m27               done",
        "models/m28               done",
        "models/m29               done",
        "mine/m29                 done",
        "review/m29               done: 1 of 2 answers",
        "estimate                 missing",
        "export                   missing",
        "benchmark                missing",
        "1 flagged image not sent to reviewers",
        f"running now: process {os.getpid()}: sixrayd train",
        "why: 1 of 2 answers",
        f"next: reviewers, then sixrayd review pull --url https://labels.example.org -w {tmp_path}",
    ]
    told = json.loads(document.stdout)
    assert told["next"]["waits_for"] == "reviewers"
    assert told["running"] == [f"process {os.getpid()}: sixrayd train"]
    assert (told["reviews"][0]["lanes"], told["not_sent"]) == ({"1": [1, 2]}, 1)


def test_what_an_adjudicator_answered_counts_as_in_the_status_of_the_review(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    build_mine(workspace, "first", ["N0000001"])
    said = [Says("N0000001", UNSURE), Says("N0000001", NOTHING, (), BOB, lane=ADJUDICATION)]
    build_review(workspace, "first", ["N0000001"], [said])
    folder = ReviewFolder(workspace, "first")
    write_json(folder.path / "project.json", {"key": "ab", "books": [], "inputs": {}})
    folder.write_tasks([*folder.tasks(), {**folder.tasks()[0], "lane": ADJUDICATION}])
    (state,) = status_report(workspace).reviews
    counts = folder.progress()
    assert state.in_all == (counts.decided, counts.tasks) == (2, 2)
    shown = CliRunner().invoke(status, ["-w", str(tmp_path)])
    assert any(
        line.startswith("review/first") and "2 of 2" in line for line in shown.stdout.splitlines()
    )


def test_an_audit_that_counts_nothing_is_shown_without_counts(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.finish(Run("audit", "", {}, {}))
    done = CliRunner().invoke(status, ["-w", str(tmp_path)])
    assert done.exception is None
    assert f"{'audit':<24} done" in done.stdout.splitlines()
