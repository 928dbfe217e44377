"""`audit --fix` and `--undo`: what changes, what becomes stale, and that all comes back."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from sixrayd.audit.fix import apply_fix, left_out_boxes, undo_fix
from sixrayd.audit.settings import AuditSettings
from sixrayd.audit.stage import audit
from sixrayd.cli import cli
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import sha256_file
from sixrayd.core.index import load_annotations
from sixrayd.core.workspace import Run, Workspace
from sixrayd.status.report import status_report
from tests.processes import ran
from tests.releases import TinyRelease, take, voc

GUN, KNIFE, THIN = ("Gun", 1, 1, 20, 30), ("knife", 31, 11, 60, 50), ("Gun", 40, 5, 41, 60)
TWICE = "P00001/a2: Gun 0,0,20,30: box that repeats another; left out"
NARROW = "P00001/a3: Gun 39,4,41,60: box of few pixels; left out"


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    """A box twice, a narrow one beside it, and a narrow one that is alone in its image."""
    folder = tmp_path_factory.mktemp("fix")
    tiny = TinyRelease()
    tiny.xml["P00001"] = voc("P00001", GUN, KNIFE, GUN, THIN)
    tiny.xml["P00003"] = voc("P00003", THIN)
    take(folder, tiny.write(folder / "release"))
    return folder


@pytest.fixture
def workspace(ingested, tmp_path):
    shutil.copytree(ingested / "ws", tmp_path / "ws")
    return Workspace(tmp_path / "ws")


def files(workspace):
    found = sorted(path for path in workspace.shards.rglob("*") if path.is_file())
    return {str(path.relative_to(workspace.shards)): path.read_bytes() for path in found}


def box_ids(workspace):
    found = load_annotations(workspace)
    return {image: [each.box_id[-2:] for each in boxes] for image, boxes in found.items()}


def test_a_fix_leaves_out_what_it_lists_and_no_image_without_a_box(workspace):
    changes = apply_fix(workspace, 3.0)

    assert [str(change) for change in changes] == [TWICE, NARROW]
    assert box_ids(workspace) == {
        "P00001": ["a0", "a1"],
        "P00002": ["a0", "a1"],
        "P00003": ["a0"],
    }
    lines = (workspace.shards / "fix/patch.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {
            "image": "P00001",
            "box": "P00001/a2",
            "what": "box that repeats another",
            "before": {"label": "Gun", "x1": 0.0, "y1": 0.0, "x2": 20.0, "y2": 30.0},
            "after": None,
        },
        {
            "image": "P00001",
            "box": "P00001/a3",
            "what": "box of few pixels",
            "before": {"label": "Gun", "x1": 39.0, "y1": 4.0, "x2": 41.0, "y2": 60.0},
            "after": None,
        },
    ]


def test_the_ingest_s_run_lists_both_tables(workspace):
    before = workspace.run("shards")
    apply_fix(workspace, 3.0)
    after = workspace.run("shards")

    for name in after.outputs:
        assert sha256_file(workspace.shards / name) == after.outputs[name]
    assert after.outputs["fix/annotations.parquet"] == before.outputs["annotations.parquet"]
    assert after.outputs["annotations.parquet"] != before.outputs["annotations.parquet"]
    assert (before.summary["boxes"], after.summary["boxes"]) == (7, 5)
    assert after.same_work(before)


def test_what_another_limit_spares_is_told_as_put_back(workspace, runner):
    words = ["audit", "-w", str(workspace.root), "--fix"]
    runner.invoke(cli, words, catch_exceptions=False)
    assert left_out_boxes(workspace) == {"P00001/a2", "P00001/a3"}

    said = runner.invoke(cli, [*words, "--narrow-px", "1"], catch_exceptions=False)

    assert "P00001/a3: put back, since it is not narrow by this limit" in said.stdout.splitlines()
    assert left_out_boxes(workspace) == {"P00001/a2"}


def test_undo_puts_every_byte_back(workspace):
    before = files(workspace)
    apply_fix(workspace, 3.0)
    fixed = files(workspace)
    apply_fix(workspace, 3.0)

    assert files(workspace) == fixed
    assert set(fixed) - set(before) == {
        *("fix/annotations.parquet", "fix/patch.jsonl", "fix/run.before.json"),
    }
    assert undo_fix(workspace) == 2
    assert files(workspace) == before
    assert undo_fix(workspace) == 0


def test_another_width_starts_from_the_ingest(workspace):
    apply_fix(workspace, 3.0)

    assert [str(change) for change in apply_fix(workspace, 0.0)] == [TWICE]
    assert box_ids(workspace)["P00001"] == ["a0", "a1", "a3"]


def test_nothing_to_fix_writes_nothing(workspace, ingested):
    tiny = TinyRelease().write(workspace.root / "release")
    take(workspace.root, tiny)
    sound = Workspace(workspace.root / "ws")
    before = files(sound)

    assert apply_fix(sound, 3.0) == ()
    assert files(sound) == before


def test_later_stages_are_stale_until_it_is_undone_and_download_does_not_revert_it(
    workspace, ingested
):
    workspace.finish(Run("mine", "m", {}, workspace.upstream(("shards", ""))))
    audit(workspace, AuditSettings(least=50))

    def progress():
        results = status_report(workspace).results
        return {one.stage: str(one.progress) for one in results if str(one.progress) != "missing"}

    assert progress() == {"shards": "done", "mine": "done", "audit": "done"}
    apply_fix(workspace, 3.0)
    fixed = files(workspace)
    assert progress() == {"shards": "done", "mine": "stale", "audit": "stale"}
    again = take(workspace.root.parent, ingested / "release")
    assert (again.boxes, files(workspace)) == (5, fixed)
    undo_fix(workspace)
    assert progress() == {"shards": "done", "mine": "done", "audit": "done"}


def test_a_table_that_was_edited_is_not_touched(workspace):
    path = workspace.shards / "annotations.parquet"
    path.write_bytes(path.read_bytes() + b"x")
    before = files(workspace)

    with pytest.raises(WorkspaceError) as raised:
        apply_fix(workspace, 3.0)

    assert str(raised.value) == (
        f"{path}: not the table that `sixrayd download` wrote; nothing was changed; "
        "remove the folder shards and run `sixrayd download` again"
    )
    assert files(workspace) == before


@pytest.mark.parametrize("changed", ["annotations.parquet", "run.before.json"])
def test_what_was_kept_and_has_changed_is_not_put_back(workspace, changed):
    apply_fix(workspace, 3.0)
    (workspace.shards / "fix" / changed).write_bytes(b"{}")
    before = files(workspace)

    for step in (undo_fix, lambda workspace: apply_fix(workspace, 3.0)):
        with pytest.raises(WorkspaceError, match=changed):
            step(workspace)
    assert files(workspace) == before


KILLED = """
import os, signal, sys
from pathlib import Path
from sixrayd.audit.fix import apply_fix, undo_fix
from sixrayd.core.workspace import Workspace

root, what = Path(sys.argv[1]), sys.argv[2]
for moment in (2, 4, 6):
    if os.fork():
        os.wait()
        continue
    steps = iter(range(99))

    def counted(step):
        def call(self, *given, **named):
            if self.is_relative_to(root) and next(steps) == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(self, *given, **named)
        return call

    for name in ("replace", "unlink"):
        setattr(Path, name, counted(getattr(Path, name)))
    workspace = Workspace(root / str(moment))
    apply_fix(workspace, 3.0) if what == "fix" else undo_fix(workspace)
    os._exit(0)
"""


@pytest.mark.parametrize("what", ["fix", "undo"])
def test_killed_anywhere_it_goes_on_to_the_same_bytes(workspace, tmp_path, what):
    before = files(workspace)
    if what == "undo":
        apply_fix(workspace, 3.0)
    start, moments = files(workspace), (2, 4, 6)
    for moment in moments:
        shutil.copytree(workspace.root, tmp_path / "killed" / str(moment))
    words = [sys.executable, "-W", "ignore", "-c", KILLED, str(tmp_path / "killed"), what]
    died = ran(words, cwd=Path(__file__).parents[2])
    assert (died.returncode, died.stderr) == (0, "")

    apply_fix(workspace, 3.0)
    fixed = files(workspace)
    left = [files(Workspace(tmp_path / "killed" / str(moment))) for moment in moments]
    assert sum(found not in (start, before, fixed) for found in left) >= 2
    for moment in moments:
        killed = Workspace(tmp_path / "killed" / str(moment))
        if what == "fix":
            apply_fix(killed, 3.0)
            assert files(killed) == fixed, moment
        undo_fix(killed)
        assert files(killed) == before, moment


def test_the_command_prints_each_box_and_audits_what_is_left(workspace, runner):
    root = str(workspace.root)
    fixed = runner.invoke(cli, ["audit", "--fix", "-w", root])
    both = runner.invoke(cli, ["audit", "--fix", "--undo", "-w", root])
    document = json.loads(runner.invoke(cli, ["audit", "--json", "-w", root]).stdout)
    undone = runner.invoke(cli, ["audit", "--undo", "-w", root])

    assert fixed.stdout.splitlines()[:2] == [TWICE, NARROW]
    assert "box that repeats another" not in [kind["flaw"] for kind in document["kinds"]]
    assert both.exit_code == 2
    assert undone.stdout.splitlines()[0] == "2 boxes put back"
    assert "fault   box that repeats another" in undone.stdout
    page = (workspace.folder("audit") / "report.html").read_text("utf-8")
    assert "Left out by --fix" not in page


def test_status_says_that_a_fix_stands(workspace, runner):
    apply_fix(workspace, 3.0)
    line = "  2 boxes left out by `sixrayd audit --fix`, see --undo"
    words = ["status", "-w", str(workspace.root)]

    assert runner.invoke(cli, words).stdout.splitlines()[1] == line
    undo_fix(workspace)
    assert line not in runner.invoke(cli, words).stdout


def test_a_workspace_s_own_settings_fix_nothing(workspace, runner):
    (workspace.root / "sixrayd.toml").write_text("[audit]\nfix = true\n")
    before = files(workspace)
    done = runner.invoke(cli, ["audit", "-w", str(workspace.root)])
    assert "'fix' is nothing that a workspace's own file may set" in str(done.exception)
    assert files(workspace) == before


@pytest.mark.parametrize("change", [lambda ws: apply_fix(ws, 4), undo_fix])
def test_where_a_link_leads_out_nothing_is_written_or_removed(workspace, tmp_path, change):
    away = tmp_path / "away"
    away.mkdir()
    (away / "annotations.parquet").write_text("mine")
    (away / ".mine.part").write_text("mine")
    (workspace.shards / "fix").symlink_to(away)
    with pytest.raises(WorkspaceError, match="a link leads to"):
        change(workspace)
    assert sorted(path.read_text() for path in away.iterdir()) == ["mine", "mine"]
