"""Exports of odd releases, of odd workspaces, and of those that were killed on the way."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sixrayd.core.errors import UnfitFileError, WorkspaceError
from sixrayd.core.files import sha256_file
from sixrayd.core.staging import MANIFEST
from sixrayd.core.tables import read_table, write_table
from sixrayd.core.workspace import Workspace
from sixrayd.export.describing import write_about
from sixrayd.export.settings import ExportSettings
from sixrayd.export.stage import export
from sixrayd.export.target import is_whole
from tests.limits import TOO_LARGE, largest_file
from tests.workspaces import (
    MISSED,
    NOTHING,
    Picture,
    Says,
    Small,
    build_mine,
    build_review,
    build_shards,
    finish,
)

GUN = (("Gun", 1, 1, 9, 9, "drawn", ""),)
STATES = (
    "source positive",
    "found positive",
    "confusing negative",
    "audited empty",
    "undecided",
    "flagged but unreviewed",
    "unflagged",
    "unreadable",
)


def release(root, pictures, flagged=(), *says):
    workspace = Workspace(root)
    build_shards(workspace, pictures)
    build_mine(workspace, "first", list(flagged))
    build_review(workspace, "first", list(flagged), [list(says)] if says else [])
    return workspace


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    return Small().build(tmp_path_factory.mktemp("untouched") / "ws")


@pytest.fixture
def workspace(untouched, tmp_path):
    """One in which every state occurs."""
    shutil.copytree(untouched.root, tmp_path / "ws")
    return Workspace(tmp_path / "ws")


def files(folder):
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.parametrize(
    ("picture", "state", "images", "boxes"),
    [
        (Picture("P1", boxes=(("Gun", 1, 1, 9, 9, False),)), "source positive", 1, 1),
        (Picture("P1", labels=("Gun",)), "source positive", 0, 0),
        (Picture("N1"), "unflagged", 0, 0),
        (Picture("P1", error="truncated"), "unreadable", 0, 0),
        (Picture("N1", boxes=(("Gun", 1, 1, 9, 9, False),)), "undecided", 0, 0),
    ],
)
def test_a_release_of_one_image(tmp_path, picture, state, images, boxes):
    result = export(release(tmp_path / "ws", [picture]), ExportSettings())

    assert result.states == dict.fromkeys(STATES, 0) | {state: 1}
    assert result.images == {"train": images, "test": 0}
    assert sum(result.origins.values()) == boxes
    written = files(Path(result.tree))
    assert written["VOC2007/ImageSets/Main/train.txt"] == b"P1\n" * images
    assert sum(name.endswith(".jpg") for name in written) == images


def test_everything_is_found_and_nothing_is_left(tmp_path):
    ids = [f"N{n}" for n in range(1, 8)]
    pictures = [Picture(i, "test" if i == "N7" else "train") for i in ids]
    workspace = release(tmp_path / "ws", pictures, ids, *(Says(i, MISSED, GUN) for i in ids))

    result = export(workspace, ExportSettings(with_negatives=True))

    assert result.states == dict.fromkeys(STATES, 0) | {"found positive": 7}
    assert result.images == {"train": 6, "test": 1}
    assert result.origins == {"drawn": 7}
    assert result.notes == ()
    tree = Path(result.tree)
    assert (tree / "found_positives.txt").read_text().split() == ids
    assert (tree / "negatives.txt").read_text() == ""


def test_negatives_that_are_copied_are_in_no_image_set(tmp_path):
    pictures = [Picture("N1"), Picture("N2"), Picture("N3", error="cut"), Picture("N4")]
    workspace = release(tmp_path / "ws", pictures, ["N2", "N4"], Says("N2", NOTHING))

    tree = Path(export(workspace, ExportSettings(with_negatives=True)).tree)

    assert sorted(p.name for p in (tree / "VOC2007/JPEGImages").iterdir()) == ["N1.jpg", "N2.jpg"]
    assert [p.name for p in (tree / "VOC2007/Annotations").iterdir()] == ["N2.xml"]
    sets = (tree / "VOC2007/ImageSets/Main").iterdir()
    assert {path.read_text() for path in sets} == {""}
    assert json.loads((tree / "splits.json").read_text()) == {"train": [], "test": []}


def test_lists_and_states_agree(workspace):
    tree = Path(export(workspace, ExportSettings()).tree)

    rows = pq.read_table(tree / "states.parquet").to_pylist()
    listed = {
        "found_positives": "found positive",
        "negatives": "unflagged",
        "confusing_negatives": "confusing negative",
        "audited_empty": "audited empty",
        "undecided": "undecided",
        "unreadable": "unreadable",
    }
    for name, state in listed.items():
        expected = [row["image_id"] for row in rows if row["state"] == state]
        assert (tree / f"{name}.txt").read_text().split() == expected
        assert expected


def test_one_difference_in_the_settings_is_another_export(workspace):
    export(workspace, ExportSettings())
    for other in (
        {"with_negatives": True},
        {"consensus": "majority"},
        {"pseudonyms": True},
    ):
        with pytest.raises(WorkspaceError, match="holds an export of other inputs or settings"):
            export(workspace, ExportSettings(**other))
    assert not (workspace.root / ".pseudonyms.key").exists()
    assert not export(workspace, ExportSettings(force=True)).written


def test_an_export_elsewhere_takes_the_place_of_none_inside(workspace, tmp_path):
    inside = Path(export(workspace, ExportSettings()).tree)
    before = files(inside)

    beside = export(workspace, ExportSettings(out=tmp_path / "D"))
    assert (beside.written, beside.tree) == (True, str(tmp_path / "D"))
    assert files(inside) == before
    assert sorted(workspace.names("export")) == ["D", "first"]
    assert workspace.run("export", "D").settings["out"] == str(tmp_path / "D")

    other = ExportSettings(out=tmp_path / "D", with_negatives=True, force=True)
    assert export(workspace, other).written
    assert files(inside) == before


def test_a_relative_folder_is_the_one_below_the_caller(workspace, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    result = export(workspace, ExportSettings(out=Path("a/../D")))

    assert result.tree == str(tmp_path / "D")
    assert not export(workspace, ExportSettings(out=tmp_path / "D")).written


@pytest.mark.parametrize("name", ["shards/index.parquet", "shards/annotations.parquet"])
def test_a_table_that_is_gone_or_broken(workspace, name):
    path = workspace.root / name
    path.write_bytes(b"PAR1")
    with pytest.raises(WorkspaceError) as caught:
        export(workspace, ExportSettings())
    assert str(caught.value).startswith(f"{path}: not a readable Parquet table (")
    path.unlink()
    with pytest.raises(WorkspaceError) as caught:
        export(workspace, ExportSettings())
    assert str(caught.value) == f"{path}: missing; `sixrayd status` names the next command"
    assert not list((workspace.root / "export").glob("*"))


def test_a_decision_that_makes_no_sense_names_its_table(workspace):
    path = workspace.folder("review", "first") / "decisions/00002.parquet"
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[1]["verdict"] = "perhaps"
    write_table(path, rows, table.schema)

    with pytest.raises(WorkspaceError) as caught:
        export(workspace, ExportSettings())

    assert str(caught.value) == (f"{path}: decision on N0000005: 'perhaps' is not a valid Verdict")


def test_stages_before_that_have_not_finished(tmp_path):
    workspace = release(tmp_path / "ws", [Picture("N1")], ["N1"])
    run = workspace.folder("mine", "first") / "run.json"
    kept = run.read_bytes()
    run.unlink()
    with pytest.raises(WorkspaceError) as caught:
        export(workspace, ExportSettings())
    mine = f"sixrayd mine -w {workspace.root}"
    assert str(caught.value) == f"{run}: missing; run `{mine}` first"
    run.write_bytes(kept)
    finish(workspace, "shards", images=2)
    with pytest.raises(WorkspaceError) as caught:
        export(workspace, ExportSettings())
    assert str(caught.value) == (
        f"{workspace.shards / 'index.parquet'}: 1 images, the ingest counted 2; run `sixrayd "
        "download` again"
    )


_KILLED = """
import os, shutil, sys
from pathlib import Path
from sixrayd.core.workspace import Workspace
from sixrayd.export.settings import ExportSettings
from sixrayd.export.stage import export

owners = {"write_bytes": Path, "rename": Path, "sync": os, "rmtree": shutil}
for folder in sorted(Path(sys.argv[1]).iterdir()):
    if os.fork():
        os.wait()
        continue
    name, number = folder.name.split("-")
    step, steps = getattr(owners[name], name), iter(range(999))

    def counted(*given, **named):
        if next(steps) == int(number):
            os._exit(9)
        return step(*given, **named)

    setattr(owners[name], name, counted)
    export(Workspace(folder), ExportSettings(force=True))
    os._exit(0)
"""
# Step that the process ends before → what is there then. Two leftovers are swept away first, twice.
MOMENTS = {
    "write_bytes-20": "old",
    "rename-1": "nothing",
    "rmtree-4": "new",
}


def test_killed_at_any_step_the_old_export_or_the_new_one_is_there_whole(workspace, tmp_path):
    old = files(Path(export(workspace, ExportSettings()).tree))
    answers = [*Small().rounds, [Says("N0000006", MISSED, GUN)]]
    build_review(workspace, "first", ["N0000006"], answers)
    for moment in MOMENTS:
        shutil.copytree(workspace.root, tmp_path / "killed" / moment)
    new = files(Path(export(workspace, ExportSettings(force=True)).tree))

    words = [sys.executable, "-c", _KILLED, str(tmp_path / "killed")]
    subprocess.run(words, check=True, cwd=Path(__file__).parents[2], capture_output=True)

    there = {}
    for moment in MOMENTS:
        killed = Workspace(tmp_path / "killed" / moment)
        tree = killed.folder("export", "first")
        found = files(tree) if tree.exists() else {}
        known = {"nothing": {}, "old": old, "new": new}
        there[moment] = next((name for name, kept in known.items() if kept == found), "a part")
        assert export(killed, ExportSettings(force=True)).written == (there[moment] != "new")
        assert files(tree) == new
    assert there == MOMENTS


def test_no_answers_are_left_out_since_something_was_killed(workspace):
    build_mine(workspace, "second", ["N0000008"])
    build_review(workspace, "second", ["N0000008"], [[Says("N0000008", MISSED, GUN)]])
    second = workspace.folder("review", "second")
    (second / "run.json").unlink()  # as a pull takes it away, and one that was killed leaves it
    with pytest.raises(WorkspaceError) as caught:
        export(workspace, ExportSettings())
    assert str(caught.value) == (
        f"{second}: has decisions and no run.json: a push, a pull or the like was killed; "
        f"`sixrayd status -w {workspace.root}` names what ends it, or leave them out: name the "
        "reviews that count with --review"
    )
    assert export(workspace, ExportSettings(review=("first",))).name == "first"


def test_an_export_elsewhere_stands_beside_the_workspaces_own(workspace, tmp_path):
    own = export(workspace, ExportSettings())
    before = files(Path(own.tree))

    other = export(workspace, ExportSettings(out=tmp_path / "SIXray-D"))

    assert files(Path(own.tree)) == before
    assert workspace.names("export") == [own.name, "SIXray-D"]
    assert workspace.run("export", "SIXray-D").settings["out"] == other.tree
    again = export(workspace, ExportSettings(out=tmp_path / "SIXray-D"))
    assert (again.written, list(again.images)) == (False, ["train", "test"])


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("other/{name}", "is an export, too; give --out another name"),
        (".hidden", "name '.hidden': needs to be a plain folder name"),
        ("ws/shards/D", "lies in shards/ of the workspace, where `sixrayd download` keeps its own"),
        ("file/D", "cannot be written (File exists); name another place, or move aside"),
    ],
)
def test_where_it_cannot_go_is_said_before_anything_is_written(workspace, tmp_path, out, message):
    own = export(workspace, ExportSettings())
    (tmp_path / "file").write_text("")
    target = tmp_path / out.format(name=own.name)

    with pytest.raises(WorkspaceError) as caught:
        export(workspace, ExportSettings(out=target))

    assert message in str(caught.value)
    assert not target.exists()


def test_where_no_room_is_left_the_export_before_stays(workspace):
    tree = Path(export(workspace, ExportSettings()).tree)
    before = files(tree)
    settings = ExportSettings(with_negatives=True, force=True)

    with largest_file(1000), pytest.raises(WorkspaceError) as caught:
        export(workspace, settings)

    assert str(caught.value) == f"{tree}: {TOO_LARGE}"
    assert files(tree) == before
    assert export(workspace, settings).written


def test_no_file_elsewhere_makes_a_tree_whole(workspace, tmp_path):
    manifest = Path(export(workspace, ExportSettings()).tree) / MANIFEST
    (tmp_path / "theirs").write_text("theirs")
    listed = manifest.read_text()
    outside = os.path.relpath(tmp_path / "theirs", manifest.parent)
    for path in (str(tmp_path / "theirs"), outside):
        manifest.write_text(f"{listed}{sha256_file(tmp_path / 'theirs')}  {path}\n")
        with pytest.raises(UnfitFileError, match="expected a SHA-256, two blanks and a path"):
            export(workspace, ExportSettings(force=True))
        manifest.write_text(listed)
        assert not export(workspace, ExportSettings(force=True)).written


def test_force_mends_a_tree_that_lost_a_file_and_leaves_a_whole_one(workspace):
    tree = Path(export(workspace, ExportSettings()).tree)
    before = files(tree)
    (tree / "VOC2007/JPEGImages/P00001.jpg").unlink()

    assert export(workspace, ExportSettings(force=True)).written
    assert files(tree) == before
    assert not export(workspace, ExportSettings(force=True)).written


def test_reviews_of_one_mining_have_its_table_read_once(workspace, tmp_path):
    run = json.loads((workspace.folder("review", "first") / "run.json").read_text())
    for number in range(20):
        folder = workspace.folder("review", f"r{number}")
        folder.mkdir()
        (folder / "run.json").write_text(json.dumps(run | {"name": folder.name}))
    read, table = [], workspace.folder("mine", "first") / "candidates.parquet"

    def noted(frame, event, _):
        if event == "call" and frame.f_code is read_table.__code__:
            read.append(frame.f_locals["path"])

    before = sys.getprofile()
    sys.setprofile(noted)
    try:
        export(workspace, ExportSettings(out=tmp_path / "D"))
    finally:
        sys.setprofile(before)
    assert read.count(table) == 1


@pytest.mark.parametrize("at", [".git/HEAD", "VOC2007/notes.txt", "elsewhere"])
@pytest.mark.parametrize("out", ["", "D"])
def test_files_of_others_are_not_replaced_with_an_export(workspace, tmp_path, at, out):
    place = tmp_path / out if out else None
    tree = Path(export(workspace, ExportSettings(out=place)).tree)
    own = tree / at
    if at == "elsewhere":
        own.symlink_to(tmp_path, target_is_directory=True)
    else:
        own.parent.mkdir(exist_ok=True)
        own.write_text("mine")
    before = files(tree)

    with pytest.raises(WorkspaceError) as caught:
        export(workspace, ExportSettings(out=place, with_negatives=True, force=True))
    assert str(caught.value) == (
        f"{tree}: holds what is not the export's, {at}, and would be removed with it; move that "
        "elsewhere first"
    )
    assert files(tree) == before
    own.unlink()
    assert export(workspace, ExportSettings(out=place, with_negatives=True, force=True)).written


def test_files_of_others_that_come_while_an_export_is_written_stay(workspace):
    tree = Path(export(workspace, ExportSettings()).tree)

    def come(frame, event, _):
        if event == "call" and frame.f_code is write_about.__code__:
            (tree / "notes.txt").write_text("mine")

    before = sys.getprofile()
    sys.setprofile(come)
    try:
        with pytest.raises(WorkspaceError, match=r"the export's, notes\.txt, and"):
            export(workspace, ExportSettings(with_negatives=True, force=True))
    finally:
        sys.setprofile(before)
    assert (tree / "notes.txt").read_text() == "mine"
    assert not [*tree.parent.glob(".*")]


@pytest.mark.long
@pytest.mark.parametrize("names", [11 * ["hole"], [f"hole{number:02}" for number in range(11)]])
def test_what_gives_more_than_is_written_is_not_looked_through(tmp_path, names):
    """200 links to a hole, or lines of it, in a stranger's export took minutes."""
    with (tmp_path / names[0]).open("wb") as hole:
        hole.truncate(100 << 20)
    for name in names[1:]:
        if not (tmp_path / name).exists():
            (tmp_path / name).symlink_to(names[0])
    digest = sha256_file(tmp_path / names[0])
    (tmp_path / MANIFEST).write_text("".join(f"{digest}  {name}\n" for name in names[:10]))
    assert is_whole(tmp_path) == (names[0] != "hole")
    (tmp_path / MANIFEST).write_text("".join(f"{digest}  {name}\n" for name in names))
    assert not is_whole(tmp_path)


def test_files_of_others_stay_beside_a_manifest_that_people_changed(workspace):
    tree = Path(export(workspace, ExportSettings()).tree)
    (tree / "README.md").write_text("by hand")
    listed = [line for line in (tree / MANIFEST).read_text().splitlines() if "README" not in line]
    listed.append(f"{sha256_file(tree / 'README.md')}  README.md")
    (tree / MANIFEST).write_text("".join(f"{line}\n" for line in listed))
    (tree / ".git").write_text("mine")
    with pytest.raises(WorkspaceError, match=r"holds what is not the export's, \.git, and would"):
        export(workspace, ExportSettings(with_negatives=True, force=True))
    (tree / ".git").unlink()
    assert export(workspace, ExportSettings(with_negatives=True, force=True)).written


@pytest.mark.parametrize("at", ["labels/train.cache", ".DS_Store", "labels/Thumbs.db"])
def test_caches_of_other_programs_are_replaced_with_an_export(workspace, at):
    tree = Path(export(workspace, ExportSettings()).tree)
    (tree / at).parent.mkdir(exist_ok=True)
    (tree / at).write_text("made anew by who wants it")
    assert export(workspace, ExportSettings(with_negatives=True, force=True)).written
    assert not (tree / at).exists()


def test_a_manifest_without_end_is_not_replaced(workspace):
    """Of a stranger's workspace: 250 MB of short lines took 6 GB."""
    tree = Path(export(workspace, ExportSettings()).tree)
    (tree / MANIFEST).write_bytes(b"a\n" * 100_000)
    run = json.loads((tree / "run.json").read_text())
    run["outputs"] = {MANIFEST: sha256_file(tree / MANIFEST)}
    (tree / "run.json").write_text(json.dumps(run))
    with pytest.raises(WorkspaceError) as caught:
        export(workspace, ExportSettings(with_negatives=True, force=True))
    assert str(caught.value) == (
        f"{tree / MANIFEST}: line 1: found 'a', expected a SHA-256, two blanks and a path "
        "below the folder; put a good copy in its place"
    )


def test_what_a_kill_left_beside_it_goes_when_nothing_is_to_do(workspace):
    tree = Path(export(workspace, ExportSettings()).tree)
    leftover = tree.with_name(f".{tree.name}.sixrayd-old")
    leftover.mkdir()

    assert not export(workspace, ExportSettings()).written
    assert not leftover.exists()
