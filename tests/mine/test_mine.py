import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from sixrayd.cli import cli
from sixrayd.core.detections import Detections
from sixrayd.core.errors import (
    CheckpointError,
    ImageError,
    ServiceError,
    SettingsError,
    WorkspaceError,
)
from sixrayd.core.index import shard_contents, shard_sizes
from sixrayd.core.records import CANDIDATE_SCHEMA, Source
from sixrayd.core.tables import read_table
from sixrayd.core.workspace import Workspace
from sixrayd.mine.inference import Inference, InferenceSettings
from sixrayd.mine.local_engine import mine_here
from sixrayd.mine.preparing import inference_device
from sixrayd.mine.settings import MineSettings
from sixrayd.mine.shard import ShardTask
from sixrayd.mine.stage import mine
from sixrayd.mine.worker import MineJob, Worker
from sixrayd.review.queue.plan import drawing_of, mining_belief
from sixrayd.statistics.belief import BELIEF, Belief
from sixrayd.statistics.drawing import HELD_OUT, MOST_DRAWN, HeldOut
from tests.detectors.learnt import train_further
from tests.processes import started
from tests.squares import ingest, squares

# Torch starts at once, OpenVINO translates the detector anew each time.
SETTINGS = MineSettings(batch=4, mirror=False, threshold=0.02, backend="torch")
PLAIN = InferenceSettings(threshold=0.02, mirror=False)


def _candidates(workspace):
    path = workspace.folder("mine", "rfb-small") / "candidates.parquet"
    return read_table(path, CANDIDATE_SCHEMA).to_pylist()


def test_hidden_objects_come_first(workspace):
    result = mine(workspace, replace(SETTINGS, backend="auto"))

    rows = _candidates(workspace)
    first = sorted({row["image_id"] for row in rows if row["rank"] <= 6})
    assert first == [f"N000000{n}" for n in range(1, 7)]
    assert (result.shards_done, result.shards, result.images) == (3, 3, 30)
    assert (result.candidates, result.skipped, result.fresh) == (len(rows), 1, True)


def test_known_positives_say_what_scores_are_worth(tmp_path, runner):
    workspace = ingest(tmp_path, squares(positives=70, negatives=60, hidden=6))
    train_further(workspace, validation=0.5)

    answer = runner.invoke(
        cli, ["mine", "-w", str(workspace.root), "--backend", "torch"], catch_exceptions=False
    )

    belief = Belief.load(workspace.output("mine", "rfb-small", BELIEF))
    assert belief.images == 60
    assert 20 <= belief.held_out <= 50
    assert 4 < belief.hidden < 9
    told = f"believed to hold contraband: {belief.hidden:.0f} of them, if what was missed scores"
    assert told in " ".join(answer.output.split())
    best = np.array([_candidates(workspace)[0]["image_score"]])
    assert mining_belief(workspace, "rfb-small").of(best) > 0.5

    held_out = HeldOut.load(workspace.output("mine", "rfb-small", HELD_OUT))
    assert held_out.images == belief.held_out
    least, right = held_out.least_score(), held_out.share_right()
    assert 0.1 < least < 1 and 0.5 <= right <= 1
    told = f"drawn for reviewers: boxes that score {least:.2g} or more, right in {right:.0%} of"
    assert told in " ".join(answer.output.split())
    assert drawing_of(workspace, "rfb-small", MOST_DRAWN, None).least == least


@pytest.mark.long  # trains
def test_a_disk_that_fails_at_the_end_does_not_end_a_mining_without_its_scores_worth(tmp_path):
    workspace = ingest(tmp_path, squares(positives=70, negatives=6, hidden=2))
    train_further(workspace, validation=0.5)
    whole = workspace.shards / "positives-00000.tar"
    whole.rename(aside := tmp_path / "aside")
    whole.symlink_to("/proc/self/mem")  # no byte of which can be read
    with pytest.raises(WorkspaceError, match=r"cannot be read \(Input/output error\)"):
        mine(workspace, SETTINGS)
    aside.replace(whole)
    assert mine(workspace, SETTINGS).fresh
    assert workspace.output("mine", "rfb-small", HELD_OUT).exists()


def test_without_enough_known_positives_scores_stay_what_they_are(workspace):
    result = mine(workspace, SETTINGS)  # whose model leaves none of 48

    assert result.believed is None
    assert mining_belief(workspace, "rfb-small") is None
    assert drawing_of(workspace, "rfb-small", MOST_DRAWN, None).least == 0


def test_candidates_are_ranked_by_image_then_box(workspace):
    mine(workspace, SETTINGS)

    rows = _candidates(workspace)
    assert len(rows) >= 6
    assert rows == sorted(rows, key=lambda r: (r["rank"], -r["score"]))
    order = list(dict.fromkeys((-r["image_score"], r["image_id"]) for r in rows))
    assert order == sorted(order)
    assert len({row["box_id"] for row in rows}) == len(rows)
    assert rows[0]["box_id"] == f"{rows[0]['image_id']}/rfb-small/0"


def test_an_unreadable_image_is_named_and_ends_in_exit_code_3(workspace, runner):
    answer = runner.invoke(
        cli,
        ["mine", "-w", str(workspace.root), "--no-mirror", "--backend", "torch", "--json"],
        catch_exceptions=False,
    )

    assert answer.exit_code == 3
    assert json.loads(answer.stdout)["skipped"] == 1
    listed = workspace.folder("mine", "rfb-small") / "skipped.jsonl"
    rows = [json.loads(line) for line in listed.read_text().splitlines()]
    assert [row["image_id"] for row in rows] == ["N0000030"]
    assert rows[0]["error"].startswith("N0000030")


def test_an_unreadable_image_stops_where_that_is_asked_for(workspace):
    with pytest.raises(ImageError, match=r"^N0000030.*; mend it, or pass --on-error skip$"):
        mine(workspace, replace(SETTINGS, on_error="stop"))


def test_a_second_run_does_nothing(workspace):
    mine(workspace, SETTINGS)

    assert not mine(workspace, replace(SETTINGS, batch=3)).fresh


@pytest.mark.parametrize(
    ("wish", "error", "message"),
    [
        pytest.param(
            {"backend": "torhc"},
            SettingsError,
            "backend 'torhc': expected auto, torch",
            marks=pytest.mark.long,
        ),
        pytest.param(
            {"shards": ("no.tar",)},
            WorkspaceError,
            "shard 'no.tar': is none of the 3",
            marks=pytest.mark.long,
        ),
        (
            {"threshold": 0.5},
            WorkspaceError,
            r"mining \(threshold 0.02 there, 0.5 asked for\)",
        ),
    ],
)
def test_what_is_mined_is_not_replaced_unasked(workspace, wish, error, message):
    mine(workspace, SETTINGS)
    folder = workspace.folder("mine", "rfb-small")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    with pytest.raises(error, match=message):
        mine(workspace, replace(SETTINGS, **wish))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before

    assert mine(workspace, replace(SETTINGS, threshold=0.5, force=True)).fresh


def test_what_says_how_a_cascade_chooses_needs_one():
    with pytest.raises(SettingsError, match=r"^keep: says how a cascade chooses; add --cascade"):
        MineSettings(keep=0.5)
    assert MineSettings(keep=0.5, cascade="small").keep == 0.5


def test_shard_by_shard_in_any_order_ends_in_the_same_bytes(workspace, tmp_path):
    whole = Workspace(tmp_path / "whole")
    shutil.copytree(workspace.root, whole.root)
    mine(whole, SETTINGS)

    for name in ("negatives-00002.tar", "negatives-00000.tar"):
        part = mine(workspace, replace(SETTINGS, shards=(name,)))
    assert (part.shards_done, part.shards) == (2, 3)
    assert not (workspace.folder("mine", "rfb-small") / "run.json").exists()
    mine(workspace, SETTINGS)

    for name in ("candidates.parquet", "run.json", "skipped.jsonl"):
        first, second = (w.folder("mine", "rfb-small") / name for w in (workspace, whole))
        assert first.read_bytes() == second.read_bytes(), name


def test_killed_and_run_again_it_ends_in_the_same_bytes(workspace, tmp_path):
    whole = Workspace(tmp_path / "whole")
    shutil.copytree(workspace.root, whole.root)
    mine(whole, SETTINGS)
    command = [sys.executable, "-m", "sixrayd", "mine", "-w", str(workspace.root), "--batch", "4"]
    command += ["--no-mirror", "--threshold", "0.02", "--backend", "torch"]
    parts = workspace.folder("mine", "rfb-small") / "parts"

    with started(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as running:
        while not list(parts.glob("*.parquet")):
            assert running.poll() is None, "ended before it could be killed"
            time.sleep(0.005)
        running.send_signal(signal.SIGKILL)
        running.wait()
    mine(workspace, SETTINGS)

    for name in ("candidates.parquet", "run.json"):
        first, second = (w.folder("mine", "rfb-small") / name for w in (workspace, whole))
        assert first.read_bytes() == second.read_bytes(), name


def test_a_truncated_shard_loses_no_image_silently(workspace):
    shard = workspace.shards / "negatives-00001.tar"
    shard.write_bytes(shard.read_bytes()[:7000])

    result = mine(workspace, SETTINGS)

    listed = (workspace.folder("mine", "rfb-small") / "skipped.jsonl").read_text()
    rows = [json.loads(line) for line in listed.splitlines()]
    lost = [row for row in rows if row["image_id"] != "N0000030"]
    assert result.skipped == len(rows) == 1 + len(lost)
    assert len(lost) > 0
    assert all("negatives-00001.tar" in row["error"] for row in lost)


def test_weights_that_were_changed_by_hand_are_refused(workspace):
    weights = workspace.folder("models", "rfb-small") / "weights.safetensors"
    weights.write_bytes(weights.read_bytes() + b"x")

    with pytest.raises(WorkspaceError, match=r"weights\.safetensors: not the file that"):
        mine(workspace, SETTINGS)


def test_an_unknown_shard_is_refused(workspace):
    with pytest.raises(WorkspaceError) as caught:
        mine(workspace, replace(SETTINGS, shards=("negatives-9.tar",)))
    assert str(caught.value) == (
        "shard 'negatives-9.tar': is none of the 3 negative shards "
        "(negatives-00000.tar to negatives-00002.tar)"
    )


def test_nothing_trained(tmp_path):
    workspace = ingest(tmp_path, squares(4, 4, 0))

    with pytest.raises(WorkspaceError, match=r"models: nothing yet; run `sixrayd train -w "):
        mine(workspace)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_one_line_and_leaves_nothing(workspace):
    with pytest.raises(SettingsError, match=r"^device cuda: torch sees no GPU .*--device cpu$"):
        mine(workspace, replace(SETTINGS, device="cuda"))

    assert not workspace.folder("mine").exists()
    assert mine(workspace, replace(SETTINGS, device="cpu")).fresh


def test_how_to_look_is_settled_without_where(workspace):
    mine(workspace, replace(SETTINGS, backend="torch"))

    path = workspace.folder("mine", "rfb-small") / "look.json"
    settled = json.loads(path.read_text())
    assert settled["backend"] == "torch"
    run = workspace.run("mine", "rfb-small")
    assert ("tdc" in run.settings, "cropped" in run.summary) == (False, False)
    assert settled.keys().isdisjoint({"device", "threads", "batch"})


def test_nothing_is_settled_before_the_detector_has_opened(trained, tmp_path):
    weights = trained.output("models", "rfb-small", "weights.safetensors")
    broken = tmp_path / "weights.safetensors"
    broken.write_bytes(weights.read_bytes()[:-8])
    job = MineJob(str(trained.shards), str(tmp_path), weights, PLAIN, batch=5)
    shards = list(shard_contents(trained, Source.NEGATIVE, {"negatives-00000.tar": 10}))
    tasks = [ShardTask(*shard) for shard in shards]
    told = []

    with pytest.raises(CheckpointError):
        mine_here(replace(job, weights=broken), tasks, 1, told.append, lambda: told.append("open"))
    assert told == []

    mine_here(job, tasks, 1, lambda report: told.append(report.images), lambda: told.append("open"))
    assert told == ["open", 5, 10, 10]


def test_a_mining_goes_on_with_the_backend_and_where_it_runs():
    assert inference_device(MineSettings(device="auto"), "openvino").type == "cpu"
    on_cluster = MineSettings(device="cuda", engine="ray")
    assert inference_device(on_cluster, "torch-bf16").type == "cuda"


def test_batches_under_way_together_leave_the_same_bytes(trained, tmp_path):
    weights = trained.output("models", "rfb-small", "weights.safetensors")
    sizes = shard_sizes(trained, Source.NEGATIVE)
    parts = {}
    for ahead in (0, 1):
        folder = tmp_path / str(ahead)
        worker = Worker(MineJob(str(trained.shards), str(folder), weights, PLAIN, batch=3))
        worker.ahead = ahead
        for name, sha256 in shard_contents(trained, Source.NEGATIVE, sizes):
            report = worker.mine(ShardTask(name, sha256))
            assert (report.images, report.finished) == (10, True)
        parts[ahead] = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert len(parts[0]) == 3
    assert parts[0] == parts[1]


class SmallMemory(Inference):
    """A look that takes few images at a time, as a GPU with little memory does."""

    classes = ("Gun",)

    def __init__(self, takes):
        self.takes, self.sizes = takes, []

    def detect(self, images):
        if len(images) > self.takes:
            raise torch.cuda.OutOfMemoryError
        self.sizes.append(len(images))
        return [Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64)) for _ in images]


def test_a_batch_that_memory_does_not_take_is_halved(trained, tmp_path):
    weights = trained.output("models", "rfb-small", "weights.safetensors")
    worker = Worker(MineJob(str(trained.shards), str(tmp_path), weights, PLAIN, batch=7))
    (shard,) = shard_contents(trained, Source.NEGATIVE, {"negatives-00000.tar": 10})
    worker.inference = SmallMemory(2)

    assert worker.mine(ShardTask(*shard)).images == 10
    assert worker.inference.sizes == [1, 2, 2, 2, 1, 2]  # of 7, then of 3

    worker.inference = SmallMemory(0)
    (shard,) = shard_contents(trained, Source.NEGATIVE, {"negatives-00001.tar": 10})
    with pytest.raises(ServiceError, match=r"does not take 1 images at a time; pass a smaller"):
        worker.mine(ShardTask(*shard))
