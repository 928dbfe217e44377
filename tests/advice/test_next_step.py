"""What is to be done next, in each state that a campaign comes to."""

import os
import shutil
from contextlib import contextmanager
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sixrayd.advice.next_step import Judgement, Step, echo_next
from sixrayd.advice.reviews import OnServer
from sixrayd.advice.rounds import round_training
from sixrayd.core.files import make_folder, write_json
from sixrayd.core.locks import held
from sixrayd.core.records import SAMPLE_SCHEMA, TASK_SCHEMA
from sixrayd.core.tables import write_table
from sixrayd.core.workspace import Run, Workspace
from sixrayd.export.settings import ExportSettings
from sixrayd.export.stage import export
from sixrayd.review.folder import ReviewFolder
from sixrayd.review.next_round import next_round
from tests.workspaces import (
    BOB,
    MISSED,
    NOTHING,
    Picture,
    Says,
    build_mine,
    build_review,
    build_shards,
    finish,
)

KNIFE = (("Knife", 10.0, 20.0, 40.0, 50.0, "confirmed", ""),)
FLAGGED = [f"N{n:07d}" for n in (1, 2, 3, 4)]


def built(root):
    """A release, a model that has learnt, and its mining."""
    workspace = Workspace(root)
    boxes = (("Gun", 5, 6, 30, 40, False),)
    pictures = [Picture("P00001", labels=("Gun",), boxes=boxes)]
    build_shards(workspace, [*pictures, *(Picture(f"N{n:07d}") for n in range(1, 10))])
    learnt(workspace, "rfb", 0.5)
    build_mine(workspace, "rfb", FLAGGED)
    return workspace


def learnt(workspace, name, precision, **settings):
    kept = {"detector": "rfb-small", "recipe": {"epochs": 3}, **settings}
    inputs = workspace.upstream(("shards", ""))
    if review := settings.get("round"):
        path = workspace.folder("review", review) / "training.parquet"
        inputs |= workspace.inputs(path)
    summary = {"validation": {"mean": precision}}
    workspace.finish(Run("models", name, kept, inputs, summary=summary))


def reviewed(workspace, *rounds, name="rfb", lanes=("1",), options=None, server="local"):
    """A review that was pushed, and what was pulled of it."""
    build_review(workspace, name, FLAGGED, rounds)
    rows = [
        {"image_id": i, "lane": lane, "kind": "candidate", "rank": n, "image_score": 0.5}
        | {"project": 1, "task": int(i[1:]), "candidates": []}
        for lane in lanes
        for n, i in enumerate(FLAGGED, 1)
    ]
    folder = workspace.folder("review", name)
    write_table(folder / "tasks.parquet", rows, TASK_SCHEMA)
    project = {"key": "ab12", "server": server, "books": [], "settings": options or {}}
    write_json(folder / "project.json", {**project, "inputs": {}})
    return folder


@contextmanager
def server_up(workspace):
    folder = workspace.folder("review") / "server"
    make_folder(folder)
    with held(folder / "running"):
        yield


def step(workspace, **on_server):
    """The next step without the workspace's name."""
    found = Judgement(workspace, on_server).step
    tail = f" -w {workspace.root}"
    assert not found.command or found.command.endswith(tail)
    return replace(found, command=found.command.removesuffix(tail))


def everybody(verdict=NOTHING):
    return [Says(i, verdict) for i in FLAGGED]


def test_a_training_that_learnt_nothing_is_made_longer(tmp_path):
    workspace = Workspace(tmp_path, lambda: "sixrayd train --seed 4 --epochs 3")
    build_shards(workspace, [Picture("P00001"), Picture("N0000001")])
    run = Run("models", "a", {"recipe": {"epochs": 3}}, workspace.upstream(("shards", "")))
    workspace.begin(run)
    assert step(workspace).command == "sixrayd train --seed 4 --epochs 3"
    assert step(workspace).why == "it is interrupted"
    workspace.finish(Run(**{**_plain(run), "summary": {"validation": {"mean": 0.0}}}))
    assert step(workspace) == Step(
        "sixrayd train --seed 4 --epochs 6 --force",
        "it has learnt next to nothing: validation AP 0.000",
    )
    workspace.finish(Run(**{**_plain(run), "summary": {"validation": {"mean": 0.3}}}))
    assert step(workspace).command == "sixrayd mine"


def test_a_newer_model_mines_where_the_one_that_mined_learnt_nothing(tmp_path):
    workspace = built(tmp_path)
    learnt(workspace, "rfb", 0.0)
    workspace.finish(Run("mine", "rfb", {"model": "rfb"}, workspace.upstream(("models", "rfb"))))
    learnt(workspace, "longer", 0.01)
    assert step(workspace).command == "sixrayd train --name longer --epochs 6 --force"
    learnt(workspace, "longer", 0.6)
    assert step(workspace) == Step(
        "sixrayd mine --model longer",
        "what mined has learnt next to nothing; a newer model has not mined",
    )


def test_what_learnt_nothing_does_not_mine_again_and_is_not_sent(tmp_path):
    workspace = built(tmp_path)
    learnt(workspace, "rfb", 0.0)
    longer = "sixrayd train --name rfb --epochs 6 --force"
    why = "it has learnt next to nothing: validation AP 0.000"
    assert step(workspace).command != longer  # whose detections these are is not known
    workspace.finish(Run("mine", "rfb", {"model": "rfb"}, workspace.upstream(("models", "rfb"))))
    assert step(workspace) == Step(longer, why)
    reviewed(workspace, server="https://labels.example.org")
    assert step(workspace).why == "0 of 4 answers"  # sent all the same
    reviewed(workspace, everybody(), server="https://labels.example.org")
    assert step(workspace) == Step("sixrayd estimate", "")
    learnt(workspace, "rfb", 0.01, seed=1)
    assert step(workspace).why == "it has learnt next to nothing: validation AP 0.010"
    learnt(workspace, "rfb", 0.5, seed=1)
    assert step(workspace).why == "its model or the release has changed"
    shutil.rmtree(tmp_path / "models")
    assert step(workspace) == Step("sixrayd train --name rfb", "the model that mined is gone")


def _plain(run):
    return {name: getattr(run, name) for name in Run.__slots__}


@pytest.mark.parametrize(
    "line",
    [
        *("rm -rf /", "sixrayd export --out /", "sixrayd 'train", "x" * 5000, "\udc80"),
        *("sixrayd train -w /home/me/other --force", "sixrayd train --works=/home/me/other"),
        *("sixrayd train -w=/o", "sixrayd train --w /o", "sixrayd train --workspace /o"),
    ],
)
def test_a_strangers_command_is_not_passed_on(tmp_path, line):
    workspace = Workspace(tmp_path)
    finish(workspace, "shards")
    workspace.begin(Run("models", "a", {}, {}))
    (tmp_path / "models/a/command.txt").write_bytes(line.encode("utf-8", "surrogateescape"))
    assert step(workspace).command == "sixrayd train --name a"


def test_nobody_waits_for_answers_that_were_withdrawn(tmp_path):
    workspace = built(tmp_path)
    last = FLAGGED[-1]
    gone = Says(last, NOTHING, version=2, withdrawn=True)
    reviewed(workspace, everybody(), [gone], server="https://labels.example.org")
    assert step(workspace) == Step("sixrayd estimate", "")


def test_the_next_round_keeps_what_is_not_taken_over(tmp_path):
    workspace = built(tmp_path)
    learnt(workspace, "wide", 0.5, window=0.42, background=2.0, input_size=96)
    assert round_training(workspace, "rfb") == (
        "sixrayd train --round rfb --init wide --detector rfb-small --name round-2 "
        "--input-size 96 --window 0.42 --background 2 --epochs 2"
    )


def test_a_mining_of_some_shards_goes_on_with_all(tmp_path):
    workspace = Workspace(tmp_path, lambda: "sixrayd mine negatives-00000.tar --threshold 0.2")
    finish(workspace, "shards")
    learnt(workspace, "rfb", 0.5)
    (tmp_path / "shards" / "negatives-00000.tar").touch()
    workspace.begin(Run("mine", "rfb", {}, {}))
    assert step(workspace) == Step("sixrayd mine --threshold 0.2", "it is interrupted")


@pytest.mark.parametrize(
    ("stage", "line"),
    [
        ("models", "sixrayd train --epochs 2 --window 0.42 --weights last"),
        ("mine", "sixrayd mine --workers 2 --threshold 0.2"),
    ],
)
def test_an_option_that_begins_like_workspace_is_passed_on(tmp_path, stage, line):
    workspace = Workspace(tmp_path, lambda: line)
    finish(workspace, "shards")
    if stage == "mine":
        learnt(workspace, "rfb", 0.5)
    workspace.begin(Run(stage, "rfb", {}, {}))
    assert step(workspace) == Step(line, "it is interrupted")


def test_a_strangers_command_runs_nothing_else(tmp_path):
    workspace = Workspace(tmp_path)
    finish(workspace, "shards")
    workspace.begin(Run("models", "a", {}, {}))
    (tmp_path / "models/a/command.txt").write_text("sixrayd train --name $(reboot); reboot")
    assert step(workspace).command == "sixrayd train --name '$(reboot);' reboot"


def test_a_release_without_negatives_is_not_mined(tmp_path):
    workspace = Workspace(tmp_path)
    finish(workspace, "shards", negatives=0)
    learnt(workspace, "rfb", 0.5)
    assert step(workspace).command == "sixrayd review serve --background"
    with server_up(workspace):
        assert step(workspace) == Step(
            "sixrayd review push --from positives", "the release has no negatives to mine"
        )


def test_the_server_comes_before_the_push_and_reviewers_before_the_pull(tmp_path):
    workspace = built(tmp_path)
    why = "4 flagged images not sent"
    assert step(workspace) == Step("sixrayd review serve --background", why)
    with server_up(workspace):
        assert step(workspace) == Step("sixrayd review push", why)
        reviewed(workspace)
        assert step(workspace) == Step("sixrayd review pull", "0 of 4 answers", "reviewers")
        told = OnServer({"1": (3, 4)}, 3)
        assert step(workspace, rfb=told).why == "3 of 4 answers"
        told = OnServer({"1": (4, 4)}, 4)
        assert step(workspace, rfb=told) == Step("sixrayd review pull", "4 answers to bring in")
    assert step(workspace).command == "sixrayd review serve --background"


def test_nothing_is_exported_before_an_answer(tmp_path):
    workspace = built(tmp_path)
    reviewed(workspace, server="https://labels.example.org")
    assert step(workspace) == Step(
        "sixrayd review pull --url https://labels.example.org", "0 of 4 answers", "reviewers"
    )
    reviewed(workspace, server="/srv/reviews", options={"kind": "files"})
    assert step(workspace).command == "sixrayd review pull --url /srv/reviews --server files"
    build_mine(workspace, "rfb", [])
    assert "export" not in step(workspace).command


def test_what_was_left_out_of_a_push_follows_with_its_options(tmp_path):
    workspace = built(tmp_path)
    options = {"limit": 2, "reviewers": 2, "share": 0.5, "duplicates": True, "again": False}
    folder = reviewed(workspace, [Says(i, NOTHING) for i in FLAGGED[:2]], options=options)
    rows = [row for row in _tasks(folder) if row["image_id"] in FLAGGED[:2]]
    write_table(folder / "tasks.parquet", rows, TASK_SCHEMA)
    with server_up(workspace):
        assert step(workspace) == Step(
            "sixrayd review push --reviewers 2 --share 0.5 --duplicates",
            "2 flagged images not sent",
        )
        build_mine(workspace, "rfb", [f"N{n:07d}" for n in range(1, 8)])
        assert step(workspace).command == (
            "sixrayd review push --limit 4 --reviewers 2 --share 0.5 --duplicates"
        )


def _tasks(folder):
    from sixrayd.core.tables import read_table

    return read_table(folder / "tasks.parquet", TASK_SCHEMA).to_pylist()


def test_spot_checks_that_were_drawn_are_sent(tmp_path):
    workspace = built(tmp_path)
    reviewed(workspace, everybody())
    row = {"image_id": "N0000008", "group": "N0000008", "stratum": "unflagged", "draw": 1}
    path = workspace.folder("estimate", "rfb") / "sample.parquet"
    write_table(path, [{**row, "place": 1}], SAMPLE_SCHEMA)
    with server_up(workspace):
        assert step(workspace) == Step("sixrayd review push", "1 image drawn or planted, not sent")


def test_spot_checks_are_sent_with_as_many_more_of_the_queue_to_hide_them(tmp_path):
    workspace = built(tmp_path)
    reviewed(workspace, everybody(), options={"limit": 4})
    rows = [
        {"image_id": name, "group": name, "stratum": "unflagged", "draw": 1, "place": place}
        for place, name in enumerate(("N0000008", "N0000009"), 1)
    ]
    write_table(workspace.folder("estimate", "rfb") / "sample.parquet", rows, SAMPLE_SCHEMA)
    with server_up(workspace):
        assert step(workspace).command == "sixrayd review push --limit 4"  # it has no more
        build_mine(workspace, "rfb", [f"N{n:07d}" for n in range(1, 8)])
        why = "2 images drawn or planted, not sent"
        assert step(workspace) == Step("sixrayd review push --limit 6", why)

        # Of each fourteen of the queue, six hide planted ones that go with them.
        build_mine(workspace, "rfb", [f"N{n:07d}" for n in range(1, 15)])
        planted = workspace.folder("review", "rfb") / "planted" / "planted.parquet"
        planted.parent.mkdir()
        names = ["N0000001", *(f"N{n:07d}" for n in range(800, 805))]  # of which one was sent
        pq.write_table(pa.table({"image_id": names}), planted)
        assert step(workspace) == Step("sixrayd review push --limit 8", why)


def test_conflicts_go_to_the_adjudicator_and_then_wait_for_him(tmp_path):
    workspace = built(tmp_path)
    second = [Says(i, NOTHING, reviewer=BOB, lane="2") for i in FLAGGED]
    first = [Says(FLAGGED[0], MISSED, KNIFE), *(Says(i, NOTHING) for i in FLAGGED[1:])]
    folder = reviewed(workspace, [*first, *second], lanes=("1", "2"))
    with server_up(workspace):
        assert step(workspace) == Step(
            "sixrayd review adjudicate", "1 image unsettled: 1 to send to an adjudicator"
        )
        ruled = {**_tasks(folder)[0], "lane": "adjudication"}
        write_table(folder / "tasks.parquet", [*_tasks(folder), ruled], TASK_SCHEMA)
        assert step(workspace) == Step(
            "sixrayd review pull",
            "1 image unsettled: 1 with the adjudicator",
            "the adjudicator",
        )
        told = OnServer({"1": (4, 4), "2": (4, 4), "adjudication": (1, 1)}, 1)
        assert step(workspace, rfb=told) == Step("sixrayd review pull", "1 answer to bring in")


def test_an_export_is_stale_by_answers_alone(tmp_path):
    workspace = built(tmp_path)
    folder = reviewed(workspace, everybody())
    estimated(workspace)
    assert step(workspace) == Step("sixrayd export --voc", "")
    export(workspace, ExportSettings(pseudonyms=True, out=tmp_path / "out"))
    assert step(workspace).command == "sixrayd benchmark --train-missing"
    finish(workspace, "review", "rfb", {}, pushed="again")  # as a push without answers leaves it
    assert step(workspace).command == "sixrayd benchmark --train-missing"
    reviewed(workspace, everybody(), [Says(FLAGGED[0], MISSED, KNIFE, version=2)])
    assert folder.joinpath("decisions", "00002.parquet").exists()
    assert step(workspace) == Step("sixrayd estimate", "answers have come since")
    estimated(workspace)
    assert step(workspace) == Step(
        f"sixrayd export --voc --out {tmp_path}/out --pseudonyms --force",
        "answers or an estimate have come since",
    )


def estimated(workspace):
    """An estimate of all answers that there are."""
    files = sorted(workspace.root.glob("review/*/decisions/*.parquet"))
    inputs = {**workspace.upstream(("shards", "")), **workspace.inputs(*files)}
    workspace.finish(Run("estimate", "rfb", {}, inputs))


def test_an_older_estimate_keeps_its_options(tmp_path):
    workspace = built(tmp_path)
    reviewed(workspace, everybody())
    bound = {"confidence": 0.9, "sensitivity": 1.0, "once": False, "consensus": "majority"}
    bound |= {"gamma": 2.0, "confirmed": True}  # without them the next bound would be lower
    settings = {"bound": bound, "target": {"left": None, "recall": 0.95}}
    workspace.finish(Run("estimate", "rfb", settings, {}))
    assert step(workspace).command == (
        "sixrayd estimate --confidence 0.9 --consensus majority --gamma 2.0 --confirmed "
        "--target-recall 0.95"
    )


def test_a_release_that_changed_is_taken_in_place_of_what_is_there(tmp_path):
    workspace = Workspace(tmp_path / "w", lambda: "sixrayd download --release r")
    (release := tmp_path / "r").write_text("before")
    workspace.begin(run := Run("shards", "", {}, workspace.inputs(release)))
    workspace.finish(run)
    release.write_text("after")
    assert step(workspace) == Step("sixrayd download --release r --force", "the ingest is stale")


def test_a_round_follows_while_it_has_something_to_learn(tmp_path):
    workspace = built(tmp_path)
    reviewed(workspace, [Says(FLAGGED[0], MISSED, KNIFE), *everybody()[1:]])
    estimated(workspace)
    export(workspace, ExportSettings())
    why = "no model has learnt from 1 of the 1 find yet"
    assert step(workspace) == Step("sixrayd review next", why)
    next_round(workspace)
    line = "sixrayd train --round rfb --init rfb --detector rfb-small --name round-2 --epochs 2"
    assert step(workspace) == Step(line, why)
    learnt(workspace, "round-2", 0.0, round="rfb")
    assert step(workspace).command == "sixrayd train --name round-2 --epochs 6 --force"
    learnt(workspace, "round-2", 0.5, round="rfb")
    assert step(workspace).command == "sixrayd mine --model round-2"
    build_mine(workspace, "round-2", FLAGGED)
    run = workspace.run("mine", "round-2")
    workspace.finish(Run(**{**_plain(run), "settings": {"model": "round-2"}}))
    assert step(workspace).command == "sixrayd benchmark --train-missing"
    finish(workspace, "benchmark", "rfb")
    assert step(workspace) == Step("", "every stage is done")
    assert str(step(workspace)) == "nothing is left to do"


def test_no_training_is_made_longer_on_what_was_withdrawn(tmp_path):
    workspace = built(tmp_path)
    reviewed(workspace, [Says(FLAGGED[0], MISSED, KNIFE), *everybody()[1:]])
    next_round(workspace)
    learnt(workspace, "round-2", 0.0, round="rfb")
    longer = step(workspace)
    folder = ReviewFolder(workspace, "rfb")
    folder.append_decisions([{**folder.decisions()[0], "version": 2, "follows": 1}])

    why = "decisions or the release have changed since its round was written"
    assert step(workspace) == Step("sixrayd review next --name rfb", why)
    next_round(workspace)
    assert step(workspace) == longer
    assert longer.command == "sixrayd train --name round-2 --epochs 6 --force"


def test_a_round_is_sorted_anew_before_its_model_learns_a_release_that_changed(tmp_path):
    """Else boxes of a class that the release has no more end each training that is named."""
    workspace = built(tmp_path)
    reviewed(workspace, [Says(FLAGGED[0], MISSED, KNIFE), *everybody()[1:]])
    next_round(workspace)
    learnt(workspace, "round-2", 0.5, round="rfb")
    shards = workspace.run("shards")
    classes = [name for name in shards.settings["classes"] if name != "Knife"]
    workspace.finish(replace(shards, settings={**shards.settings, "classes": classes}))
    build_mine(workspace, "round-2", FLAGGED)

    why = "decisions or the release have changed since its round was written"
    assert step(workspace) == Step("sixrayd review next --name rfb", why)
    assert next_round(workspace).left_out == 1
    assert step(workspace).command == "sixrayd train --name round-2 --force"


def test_spot_checks_of_an_older_review_are_waited_for(tmp_path):
    workspace = built(tmp_path)
    folder = reviewed(workspace, everybody()[1:])
    rows = [row | {"kind": "spot check"} for row in _tasks(folder)]
    write_table(folder / "tasks.parquet", rows, TASK_SCHEMA)
    build_mine(workspace, "round-2", FLAGGED[1:])
    newer = reviewed(workspace, name="round-2")
    write_table(newer / "tasks.parquet", [], TASK_SCHEMA)
    with server_up(workspace):
        assert step(workspace) == Step(
            "sixrayd review pull --name rfb", "1 spot check without an answer", "reviewers"
        )
        told = OnServer({"1": (4, 4)}, 1)
        assert step(workspace, rfb=told).why == "1 answer to bring in"


def test_what_is_flagged_goes_to_people_while_a_model_learns(tmp_path):
    workspace = built(tmp_path)
    workspace.begin(Run("models", "round-2", {}, {}))
    with server_up(workspace):
        step_now = step(workspace)
        assert step_now.command == "sixrayd train --name round-2"
        assert step_now.meanwhile == f"sixrayd review push -w {tmp_path}"
        with workspace.lock("models"):
            at_work = step(workspace)
        assert at_work.waits_for.startswith("process ")
        assert at_work.meanwhile == step_now.meanwhile
        mined = Run("mine", "rfb", {"model": "rfb"}, workspace.upstream(("models", "rfb")))
        workspace.finish(mined)
        learnt(workspace, "rfb", 0.0)  # what it flagged wastes people's time
        workspace.finish(replace(mined, inputs=workspace.upstream(("models", "rfb"))))
        workspace.begin(Run("models", "round-2", {}, {}))
        assert (step(workspace).command, step(workspace).meanwhile) == (step_now.command, "")


def test_checks_of_a_round_before_go_to_people_while_others_are_waited_for(tmp_path, capsys):
    workspace = built(tmp_path)
    reviewed(workspace, everybody())
    row = {"image_id": "N0000008", "group": "N0000008", "stratum": "unflagged", "draw": 1}
    path = workspace.folder("estimate", "rfb") / "sample.parquet"
    write_table(path, [{**row, "place": 1}], SAMPLE_SCHEMA)
    build_mine(workspace, "round-2", FLAGGED[:2])
    newer = reviewed(workspace, name="round-2")
    write_table(
        newer / "tasks.parquet", [{**_tasks(newer)[0], "image_id": "N0000007"}], TASK_SCHEMA
    )
    with server_up(workspace):
        assert step(workspace).waits_for == "reviewers"
        echo_next(workspace)
    assert capsys.readouterr().out.splitlines() == [
        f"meanwhile: sixrayd review push --name rfb -w {tmp_path}",
        f"next: reviewers, then sixrayd review pull --name round-2 -w {tmp_path}",
    ]


def test_a_broken_table_is_seen_to_first(tmp_path):
    workspace = built(tmp_path)
    folder = reviewed(workspace, everybody())
    (folder / "decisions" / "00001.parquet").write_bytes(b"no table")
    found = step(workspace)
    assert (found.command, found.waits_for) == ("sixrayd status", "a mended file")
    assert found.why.startswith(f"{folder}/decisions/00001.parquet: ")
    (workspace.folder("export", "rfb")).mkdir(parents=True)
    (workspace.folder("export", "rfb") / "run.json").write_text("{")
    assert Judgement(workspace).results["export"][0].progress == "broken"


def test_a_first_push_of_a_large_mining_is_of_its_likeliest_part(tmp_path):
    """A million tasks are nothing that three people begin with; what follows doubles them."""
    workspace = built(tmp_path)
    build_mine(workspace, "large", [f"N{number:07d}" for number in range(4001)])
    with server_up(workspace):
        assert step(workspace) == Step(
            "sixrayd review push --limit 2000", "4,001 flagged images not sent"
        )


def test_the_next_round_goes_to_as_many_reviewers(tmp_path):
    workspace = built(tmp_path)
    reviewed(workspace, everybody(), options={"limit": 4, "reviewers": 3, "again": True})
    build_mine(workspace, "round-2", [*FLAGGED, "N0000007"])
    with server_up(workspace):
        assert step(workspace) == Step(
            "sixrayd review push --reviewers 3", "1 flagged image not sent"
        )


def test_what_runs_now_is_waited_for_where_it_is_in_the_way(tmp_path):
    workspace = built(tmp_path)
    with workspace.lock("models"):
        told = f"process {os.getpid()} (sixrayd train)"
        assert Judgement(workspace).running != []
        assert step(workspace).command == "sixrayd review serve --background"
    finish(workspace, "models", "newer")
    workspace.begin(Run("models", "later", {}, {}))
    with workspace.lock("models"):
        waits = Step("sixrayd status", f"{told} is at work", told)
        assert replace(step(workspace), meanwhile="") == waits
    assert step(workspace).command == "sixrayd train --name later"


def test_a_mining_that_was_killed_goes_on_also_while_people_are_at_work(tmp_path):
    workspace = built(tmp_path)
    reviewed(workspace, options={"limit": 4})
    with server_up(workspace):
        assert step(workspace).waits_for == "reviewers"
        again = replace(workspace.run("mine", "rfb"), settings={"model": "rfb", "threshold": 0.2})
        with workspace.lock("mine"):
            workspace.begin(again)
        assert step(workspace) == Step(
            "sixrayd mine --name rfb", "it is interrupted; with which options is not known"
        )


def test_a_killed_push_is_made_again(tmp_path):
    workspace = built(tmp_path)
    folder = reviewed(workspace, options={"limit": 4})
    (folder / "run.json").unlink()
    with server_up(workspace):
        assert step(workspace) == Step(
            "sixrayd review push --limit 4", "the last push or pull was killed"
        )


@pytest.mark.parametrize(
    "said",
    [
        {"reviewers": [1], "share": {"a": 1}, "limit": {}, "confirm_finds": "all", "again": 7},
        {"reviewers": 10, "share": float("nan"), "limit": 0, "confirm_finds": 2, "origin": 3},
        {"reviewers": 1e308, "share": float("inf"), "limit": True, "confirm_finds": -1},
        dict.fromkeys(("reviewers", "share", "limit", "confirm_finds", "duplicates", "kind")),
    ],
)
def test_what_nobody_can_have_typed_is_no_option(tmp_path, said):
    workspace = built(tmp_path)
    reviewed(workspace, options={**said, "name": "rfb"})
    assert Judgement(workspace).push_options("rfb") == {"name": "rfb"}
    assert Judgement(workspace).push_of("rfb") == "sixrayd review push"


def test_where_nothing_was_flagged_checks_are_drawn(tmp_path):
    workspace = built(tmp_path)
    build_mine(workspace, "rfb", [])
    assert step(workspace) == Step("sixrayd estimate --sample 100", "the detector flagged nothing")


def test_finds_go_to_a_second_person_where_the_push_said_so(tmp_path):
    workspace = built(tmp_path)
    found = [Says(FLAGGED[0], MISSED, KNIFE), *(Says(i, NOTHING) for i in FLAGGED[1:])]
    options = {"limit": 4, "confirm_finds": 1.0}
    reviewed(workspace, found, options=options)
    with server_up(workspace):
        assert step(workspace) == Step(
            "sixrayd review push --limit 4 --confirm-finds", "1 find that one reader alone saw"
        )
    reviewed(workspace, found, options={**options, "confirm_finds": "all"})  # a stranger's
    with server_up(workspace):
        assert step(workspace).command == "sixrayd estimate"


def test_what_people_are_at_is_not_mined_anew(tmp_path):
    workspace = built(tmp_path)
    inputs = workspace.upstream(("models", "rfb"))
    workspace.finish(Run("mine", "rfb", {"model": "rfb"}, inputs))
    reviewed(workspace, server="https://labels.example.org")
    learnt(workspace, "rfb", 0.6, seed=1)
    assert step(workspace).why == "0 of 4 answers"
    reviewed(workspace, everybody(), server="https://labels.example.org")
    assert step(workspace).why == "its model or the release has changed"
