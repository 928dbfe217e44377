"""The workspace: lock, run.json, staleness."""

import hashlib
import json
import os
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from sixrayd.core.errors import AnnotationError, OtherWorkError, WorkspaceError
from sixrayd.core.typed import TYPED
from sixrayd.core.workspace import Run, Workspace
from tests.limits import within

RUN = Run("mine", "a", {"seed": 1, "classes": ("Gun",)}, {"x": "1"})


@pytest.mark.parametrize("count", [1000, 1001])
def test_no_more_classes_than_are_told_apart(tmp_path, count):
    """Of a stranger's `run.json`, 45,000 took 17 GB to train, and 135,000 files to export."""
    workspace = Workspace(tmp_path)
    names = [f"C{number}" for number in range(count)]
    workspace.finish(Run("shards", "", {"classes": names}, {}))
    if count == 1000:
        assert list(workspace.classes().names) == names
        return
    with pytest.raises(AnnotationError) as caught:
        workspace.classes()
    assert str(caught.value) == (
        f"{tmp_path}/shards/run.json: 1001 classes, at most 1000 are told apart"
    )


def test_begin_finish_and_repeat(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert workspace.begin(RUN)
    (tmp_path / "mine/a/part").write_text("half")
    assert workspace.begin(RUN)
    assert (tmp_path / "mine/a/part").exists(), "an interrupted run of the same work goes on"
    workspace.finish(replace(RUN, summary={"n": 2}))
    assert sorted(path.name for path in (tmp_path / "mine/a").iterdir()) == ["part", "run.json"]
    assert not workspace.begin(RUN)
    assert workspace.run("mine", "a").summary == {"n": 2}


def test_what_is_spoiled_is_not_done(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for stage in ("models", "mine"):
        run = replace(RUN, stage=stage)
        workspace.begin(run)
        file = tmp_path / stage / "a/weights"
        file.write_text("whole")
        outputs = {"weights": hashlib.sha256(b"whole").hexdigest()}
        workspace.finish(replace(run, outputs=outputs))
        assert workspace.other_work(run) == "" and not workspace.begin(run)

        file.write_text("")
        assert workspace.other_work(run) == "weights is gone or not what was written"
        with pytest.raises(WorkspaceError) as caught:
            workspace.output(stage, "a", "weights")
        command = {"models": "sixrayd train", "mine": "sixrayd mine"}[stage]
        assert str(caught.value) == (
            f"{file}: not the file that '{command}' wrote; "
            f"run `{command} --name a --force -w {tmp_path}`"
        )
        assert workspace.begin(run) and not file.exists()


def test_a_strangers_list_of_one_file_by_thousands_of_paths_is_looked_through(
    tmp_path: Path,
) -> None:
    workspace = Workspace(tmp_path)
    workspace.begin(RUN)
    for name in "ab":
        (tmp_path / "mine/a" / name).mkdir()
    (tmp_path / "mine/a/weights").write_text("whole")
    ways = ["".join(f"{name}/../" for name in names) for names in product("ab", repeat=12)]
    digest = hashlib.sha256(b"whole").hexdigest()
    workspace.finish(replace(RUN, outputs={f"{way}weights": digest for way in ways}))
    with within(10, "hashes"):
        assert workspace.is_done(RUN)


def test_a_release_that_was_named_from_another_folder_is_named_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "sixrayd download --release rel --seed 1"
    workspace = Workspace(tmp_path / "w", lambda **_: line)
    (tmp_path / "rel").mkdir()
    (tmp_path / "sub/rel").mkdir(parents=True)
    workspace.begin(Run("shards", "", {"release": str(tmp_path / "rel")}, {}))

    monkeypatch.chdir(tmp_path)
    assert workspace.typed("shards") == line
    monkeypatch.chdir(tmp_path / "sub")
    whole = f"sixrayd download --release {tmp_path}/rel --seed 1"
    assert workspace.typed("shards") == whole
    (tmp_path / "rel").rmdir()
    assert workspace.typed("shards") == line


def test_other_work_starts_afresh_unless_kept(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    other = replace(RUN, settings={"seed": 2})
    workspace.begin(RUN)
    (tmp_path / "mine/a/part").write_text("half")
    assert workspace.begin(other, keep=True)
    assert (tmp_path / "mine/a/part").exists()
    assert workspace.begin(RUN)
    assert not (tmp_path / "mine/a/part").exists()


def test_unreadable_runs(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    path = tmp_path / "mine/a/run.json"
    with pytest.raises(WorkspaceError) as caught:
        workspace.run("mine", "a")
    assert str(caught.value) == f"{path}: missing; run `sixrayd mine -w {tmp_path}` first"
    workspace.begin(RUN)
    workspace.finish(replace(RUN, name="b"))
    with pytest.raises(WorkspaceError, match=r" first, or name one that is there: b$"):
        workspace.run("mine", "a")
    some = "expected stage, name, settings and inputs at least"
    names = "stage, name, settings, inputs, outputs, summary, version, format"
    for text, why in (
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ('{"stage": 1}', some),
        ("[]", f"expected an object with {names}"),
    ):
        path.write_text(text)
        with pytest.raises(WorkspaceError) as caught:
            workspace.run("mine", "a")
        assert (
            str(caught.value)
            == f"{path}: not a run.json ({why}); run `sixrayd mine -w {tmp_path}` again"
        )
    workspace.finish(replace(RUN, format=99))
    with pytest.raises(WorkspaceError) as caught:
        workspace.run("mine", "a")
    assert str(caught.value) == f"{path}: format 99, expected 1; run it again"


def test_names_by_age(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with pytest.raises(WorkspaceError) as caught:
        workspace.newest("mine")
    assert (
        str(caught.value) == f"{tmp_path}/mine: nothing yet; run `sixrayd mine -w {tmp_path}` first"
    )
    for name in ("b", "a", "c"):
        workspace.finish(replace(RUN, name=name))
    workspace.begin(replace(RUN, name="unfinished"))
    for odd in (b"x\xff", b"a\nb", b"a\\b"):  # folders that somebody else made
        shutil.copytree(tmp_path / "mine/c", tmp_path / "mine" / os.fsdecode(odd))
    assert len(workspace.folders("mine")) == 7
    assert workspace.names("mine") == ["b", "a", "c"]
    assert workspace.newest("mine") == "c"


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", ".."])
def test_names_stay_in_the_workspace(tmp_path: Path, name: str) -> None:
    with pytest.raises(WorkspaceError) as caught:
        Workspace(tmp_path).folder("mine", name)
    assert str(caught.value) == f"name {name!r}: needs to be a plain folder name"


def test_inputs_and_staleness(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    outside = tmp_path / "release.zip"
    outside.write_bytes(b"one")
    workspace.finish(Run("shards", "", {"classes": ["Gun"]}, workspace.inputs(outside)))
    assert list(workspace.run("shards").inputs) == [str(outside)]
    inputs = workspace.upstream(("shards", ""))
    assert list(inputs) == ["shards/run.json"]
    workspace.finish(replace(RUN, inputs=inputs))
    assert (workspace.stale("shards"), workspace.stale("mine", "a")) == ([], [])
    written = outside.stat().st_mtime_ns
    while outside.stat().st_mtime_ns == written:  # a file's clock ticks slowly
        outside.write_bytes(b"two")
    assert workspace.stale("shards") == [str(outside)]
    workspace.finish(Run("shards", "", {"classes": ["Gun"]}, workspace.inputs(outside)))
    assert (workspace.stale("shards"), workspace.stale("mine", "a")) == ([], ["shards/run.json"])


def test_holes_are_read_once_and_not_without_end(tmp_path: Path) -> None:
    """A stranger's run.json may name thousands of files of holes, and each by many paths."""
    workspace = Workspace(tmp_path)
    for name, size in (("holes", 200 << 20), ("more", 900 << 20)):
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, size)
    names = ["holes", *("mine/../" * count + "holes" for count in range(1, 9)), "more"]
    workspace.finish(replace(RUN, inputs=dict.fromkeys(names, "1")))
    with pytest.raises(WorkspaceError) as caught:
        workspace.stale("mine", "a")
    assert str(caught.value) == (
        f"{tmp_path}/more: with those read before {1100 << 20} bytes, nearly all of them holes; "
        "expected files that are written"
    )


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    first, second = Workspace(tmp_path), Workspace(tmp_path)
    with first.lock():
        with pytest.raises(WorkspaceError) as caught, second.lock():
            pass
        assert str(caught.value) == (
            f"{tmp_path}: in use by process {os.getpid()}; wait for it, or name another "
            "workspace with -w"
        )
    with second.lock():
        pass


def test_a_mistyped_folder_is_not_made(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    with pytest.raises(WorkspaceError, match=r"ws/shards/run.json: missing"):
        workspace.lock("models").__enter__()
    assert not workspace.root.exists()


def test_other_work_that_was_begun_is_named_with_what_goes_on_with_it(tmp_path: Path) -> None:
    workspace, other = Workspace(tmp_path), replace(RUN, settings={**RUN.settings, "more": 1})
    workspace.begin(RUN)
    (workspace.folder("mine", "a") / TYPED).write_text("sixrayd mine --name a")
    refused = (
        r"a: holds another mining \(more not set there, 1 asked for\); pass --force .* new one"
    )
    with pytest.raises(OtherWorkError, match=rf"{refused}; what is there goes on by `(.*)`$") as on:
        workspace.refuse_other_work(other, "mining")
    assert f"`{workspace.command('sixrayd mine --name a')}`" in str(on.value)
    workspace.refuse_other_work(RUN, "mining")
    workspace.finish(RUN)
    with pytest.raises(OtherWorkError, match=rf"{refused}$"):  # nothing is left of it to be done
        workspace.refuse_other_work(other, "mining")


def test_run_holds_no_time_of_day(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.finish(RUN)
    assert sorted(json.loads((tmp_path / "mine/a/run.json").read_text())) == [
        "format",
        "inputs",
        "name",
        "outputs",
        "settings",
        "stage",
        "summary",
        "version",
    ]


def hidden_halves(workspace: Workspace) -> None:
    """What a forced export leaves that is killed between its two renames."""
    for name, end in (("a", "old"), ("a", "part"), ("b", "part")):
        folder = workspace.folder("export") / f".{name}.sixrayd-{end}"
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}" if end == "part" else "whole")


def test_hidden_halves_are_never_shown_and_the_next_run_sees_to_them(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    hidden_halves(workspace)
    (tmp_path / "export/.else").mkdir()
    assert workspace.folders("export") == workspace.names("export") == []
    with workspace.lock():
        assert workspace.names("export") == ["a"]
    left = sorted(path.name for path in (tmp_path / "export").iterdir())
    assert left == [".else", "a"]
    assert (tmp_path / "export/a/run.json").read_text() == "whole"


def test_a_pipe_for_a_record_is_not_waited_for(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.shards.mkdir()
    os.mkfifo(workspace.shards / "run.json")

    with pytest.raises(WorkspaceError) as caught:
        workspace.run("shards")
    assert "a pipe, expected a plain file" in str(caught.value)


def test_people_work_beside_what_computes(tmp_path: Path) -> None:
    first, second = Workspace(tmp_path), Workspace(tmp_path)
    half = tmp_path / "mine" / ".candidates.parquet.sixrayd-part"
    with first.lock("models"):
        half.mkdir(parents=True)
        with second.lock("review"):
            assert half.exists()  # of a mining, which a review does not tidy up
        second.check_idle("estimate")
        for stage in ("mine", "benchmark", "shards", "export", ""):
            with pytest.raises(WorkspaceError) as caught, second.lock(stage):
                pass
            assert str(caught.value) == (
                f"{tmp_path}: in use by process {os.getpid()} (sixrayd train); wait for it, or "
                "name another workspace with -w"
            )
    with first.lock("review"):
        with second.lock("mine"):
            assert not half.exists()
        with pytest.raises(WorkspaceError, match=r"\(sixrayd review\)"):
            second.check_idle("estimate")
    assert first.busy() == []


def test_what_was_typed_is_kept_with_what_it_began(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, lambda: "sixrayd train --epochs 3 --init 'my weights.pth'")
    run = Run("models", "a", {}, {})
    workspace.begin(run)
    workspace.finish(run)
    again = Workspace(tmp_path)
    assert again.typed("models", "a") == "sixrayd train --epochs 3 --init 'my weights.pth'"
    assert again.typed("models", "b") == ""


@pytest.mark.parametrize("url", ["s3://KEY:SECRET@bucket/parts", "gs://bucket/parts?token=SECRET"])
def test_a_command_with_a_secret_is_not_kept(tmp_path: Path, url: str) -> None:
    workspace = Workspace(tmp_path, lambda: f"sixrayd mine --parts-at {url}")
    workspace.begin(Run("mine", "a", {}, {}))
    assert workspace.typed("mine", "a") == ""
    assert not any(b"SECRET" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("link", ["mine", "mine/a"])
def test_nothing_is_removed_through_a_link(tmp_path: Path, link: str, keep: bool) -> None:
    photos = tmp_path / "victim/Photos"
    photos.mkdir(parents=True)
    (photos / "a.jpg").write_text("theirs")
    (tmp_path / "w").mkdir()
    if link == "mine":
        (tmp_path / "w/mine").symlink_to(tmp_path / "victim")
    else:
        (tmp_path / "w/mine").mkdir()
        (tmp_path / "w/mine/a").symlink_to(photos)
    (photos / ".b.sixrayd-part").mkdir()
    workspace, name = Workspace(tmp_path / "w"), "Photos" if link == "mine" else "a"
    run = replace(RUN, name=name)

    with pytest.raises(WorkspaceError) as caught, workspace.lock("mine"):
        workspace.begin(run, keep=keep)
    assert str(caught.value) == (
        f"{tmp_path}/w/mine/{name}: a link leads to {photos}, outside of the workspace, where "
        "nothing is removed or replaced; remove the link, or choose another --name or workspace"
    )
    assert sorted(p.name for p in photos.iterdir()) == [".b.sixrayd-part", "a.jpg"]
    assert (photos / "a.jpg").read_text() == "theirs"


def test_links_that_people_make_go_on(tmp_path: Path) -> None:
    for name in ("disk/mine", "disk/empty", "real"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "w").symlink_to("real")
    workspace = Workspace(tmp_path / "w")
    workspace.begin(RUN)
    workspace.begin(replace(RUN, settings={}))  # in a workspace that is a link itself

    (tmp_path / "real/models").symlink_to(tmp_path / "disk/mine")
    there = replace(RUN, stage="models")
    with workspace.lock("models"):
        assert workspace.begin(there), "a new result in a folder elsewhere"
        assert workspace.begin(there), "it goes on"
        workspace.finish(there)
        assert not workspace.begin(there), "and is read"
    (tmp_path / "real/shards").symlink_to(tmp_path / "disk/empty")
    assert workspace.begin(replace(RUN, stage="shards", name=""), keep=True)
    assert sorted(p.name for p in (tmp_path / "disk/empty").iterdir()) == ["plan.json"]


def test_a_link_for_a_result_is_removed_by_itself(tmp_path: Path) -> None:
    (tmp_path / "w/mine/b").mkdir(parents=True)
    (tmp_path / "w/mine/b/part").write_text("kept")
    (tmp_path / "w/mine/a").symlink_to("b")
    assert Workspace(tmp_path / "w").begin(RUN)
    assert not (tmp_path / "w/mine/a").is_symlink()
    assert [p.name for p in (tmp_path / "w/mine/b").iterdir()] == ["part"]


def test_a_workspace_from_elsewhere_does_not_say_what_its_files_hash_to(tmp_path: Path) -> None:
    theirs, file = Workspace(tmp_path / "theirs"), tmp_path / "theirs" / "file"
    file.parent.mkdir()
    file.write_text("good")
    good = theirs.inputs(file)
    before = file.stat()
    file.write_text("evil")  # as long, and given its old time
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    shutil.copytree(theirs.root, tmp_path / "ours")

    ours = Workspace(tmp_path / "ours").inputs(tmp_path / "ours" / "file")
    assert ours == {"file": hashlib.sha256(b"evil").hexdigest()} != good
