"""Backups that restore, and those that must not."""

import io
import json
import os
import shutil
import sqlite3
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from sixrayd.core.dates import Dates
from sixrayd.core.errors import ServiceError, WorkspaceError
from sixrayd.core.records import IMAGE_IDS, Verdict
from sixrayd.core.restored import half_restored, restored_at
from sixrayd.core.tables import some_columns, write_table
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.decision import decision_files, load_decisions, standing_decisions
from sixrayd.decisions.versions import withdrawals
from sixrayd.estimate.sample import draw_sample
from sixrayd.estimate.settings import SampleSettings
from sixrayd.review.command import review
from sixrayd.review.folder import Book, Project, ReviewFolder
from sixrayd.review.label_studio.backup import _write, back_up, back_up_when_due, backups
from sixrayd.review.label_studio.client import LabelStudio
from sixrayd.review.label_studio.labelling import verdict_region
from sixrayd.review.label_studio.restore import restore
from sixrayd.review.label_studio.server import find_server, running_server, server_folder
from sixrayd.review.pull import pull
from sixrayd.review.push import push
from sixrayd.review.settings import PullSettings, PushSettings
from tests.limits import TOO_LARGE, largest_file
from tests.processes import started
from tests.releases import repacked
from tests.review.conftest import build
from tests.workspaces import Picture, Says, build_mine, build_shards, decision_row


@pytest.mark.long
def test_a_lost_server_comes_back_from_its_backup(tmp_path):
    workspace = build(tmp_path / "workspace", 3)
    build_mine(workspace, "first", ["N0000001", "N0000002"])
    with running_server(workspace):
        project = push(workspace, PushSettings()).project
        with LabelStudio(find_server(workspace, "", None)) as server:
            for verdict in (Verdict.NOTHING, Verdict.UNSURE):
                task = server.next_task(project)
                server.submit(task.task_id, [verdict_region(verdict)], 1)
        pull(workspace, PullSettings())
        before = load_decisions(workspace, "first")
        assert len(backups(workspace)) == 1  # made by the pull
        made = back_up(workspace)
        assert (made.tasks, made.annotations) == (2, 2)
        with pytest.raises(
            ServiceError,
            match=r"running at http://127.0.0.1:\d+; stop it with `sixrayd review stop -w ",
        ):
            restore(workspace)
    secret = (server_folder(workspace) / "secret.json").read_bytes()
    shutil.rmtree(server_folder(workspace) / "data")
    (server_folder(workspace) / "secret.json").unlink()
    shutil.rmtree(workspace.folder("review", "first"))

    shell = CliRunner().invoke(review, ["restore", "-w", str(workspace.root)])
    assert shell.exit_code == 0, shell.output
    back, following = shell.stdout.splitlines()
    assert back == f"{made.file}: 2 tasks, 2 annotations are back"
    assert following == f"next: sixrayd review serve --background -w {workspace.root}"
    assert (server_folder(workspace) / "secret.json").read_bytes() == secret
    assert load_decisions(workspace, "first") == before
    with running_server(workspace):
        result = pull(workspace, PullSettings(full=True))
        assert (result.new, result.gone, result.progress.decided) == (0, 0, 2)
        assert push(workspace, PushSettings()).added == 0


def small(root):
    """A workspace with a database that looks like Label Studio's, and one review file."""
    workspace = Workspace(root)
    data = server_folder(workspace) / "data"
    data.mkdir(parents=True)
    with sqlite3.connect(data / "label_studio.sqlite3") as database:
        database.execute("CREATE TABLE task (id)")
        database.execute("CREATE TABLE task_completion (id)")
        database.execute("INSERT INTO task VALUES (1)")
    database.close()
    folder = workspace.folder("review", "r")
    folder.mkdir(parents=True)
    (folder / "project.json").write_text("{}")
    return workspace


def listed(members, name, data):
    """The manifest with one more file in it, then that file."""
    from hashlib import sha256

    manifest = json.loads(members[0][1])
    manifest["files"][name] = sha256(data).hexdigest()
    return [("manifest.json", json.dumps(manifest).encode()), *members[1:], (name, data)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m[1:], "it does not begin with a manifest"),
        (lambda m: m[:-1], "review/r/project.json is missing from it"),
        (lambda m: [*m, ("server/x", b"")], "it holds 'server/x', which it should not"),
        (lambda m: [*m[:-1], (m[-1][0], b"[]")], "project.json is not what was backed up"),
        (lambda m: listed(m, "../x", b""), "it holds '../x', which it should not"),
        (lambda m: listed(m, "server/../../x", b""), "it holds 'server/../../x', which it"),
    ],
)
def test_what_is_not_a_whole_backup_changes_nothing(tmp_path, change, message):
    workspace = small(tmp_path / "w")
    made = back_up(workspace)
    broken = repacked(made.file, tmp_path / "broken.tar.gz", change)
    before = {p: p.read_bytes() for p in workspace.root.rglob("*") if p.is_file()}
    with pytest.raises(WorkspaceError) as caught:
        restore(workspace, broken)
    assert f"{broken}: not a whole backup: {message}" in str(caught.value)
    after = {p: p.read_bytes() for p in workspace.root.rglob("*") if p.is_file()}
    marks = (".lock", ".lock-review", "running")
    assert {p: b for p, b in after.items() if p.name not in marks} == before
    assert not (tmp_path / "x").exists()


def test_where_no_room_is_left_nothing_is_called_damaged(tmp_path):
    workspace = small(tmp_path / "w")
    made = back_up(workspace)
    with largest_file(1000), pytest.raises(WorkspaceError) as caught:
        back_up(workspace)
    assert str(caught.value) == (
        f"{server_folder(workspace)}: no backup can be written (disk I/O error); make room there, "
        "and see that it can be written; the database is as it was"
    )
    with largest_file(1000), pytest.raises(WorkspaceError) as caught:
        restore(workspace)
    assert str(caught.value) == f"{workspace.root}: {TOO_LARGE}"
    assert restore(workspace).file == made.file


def test_newer_reviews_stay_and_older_data_moves_aside(tmp_path):
    workspace = small(tmp_path)
    made = back_up(workspace)
    (workspace.folder("review", "r") / "project.json").write_text('{"later": 1}')
    result = restore(workspace)
    assert (result.file, result.tasks, result.annotations) == (made.file, 1, 0)
    assert result.kept == ("review/r/project.json",)
    assert (workspace.folder("review", "r") / "project.json").read_text() == '{"later": 1}'
    assert (tmp_path / "review" / "server").joinpath(result.replaced, "data").is_dir()


def test_what_two_machines_added_under_one_number_counts(tmp_path):
    """What was withdrawn on the other machine must not stand again."""
    here, there = (small(tmp_path / name) for name in ("here", "there"))
    folders = [ReviewFolder(workspace, "r") for workspace in (here, there)]
    for folder in folders:
        folder.keep(Project("k", "local"))
        for kind in (False, True):
            folder.append_decisions([decision_row(Says("N1", "nothing there"), 1)], planted=kind)
    row = folders[1].decisions()[0]
    more = [decision_row(Says("N2", "nothing there"), 2)], withdrawals([row], "x", "2026-02-02")
    for folder, rows in zip(folders, more, strict=True):
        folder.append_decisions(rows)

    for _ in range(2):  # again is safe
        restore(here, Path(back_up(there).file))

    assert [int(path.stem) for path in decision_files(here, "r")] == [1, 2, 3]
    assert len(folders[0].decisions(planted=True)) == 1
    assert list(standing_decisions(load_decisions(here, "r"))) == ["N2"]


def test_nothing_of_another_review_of_the_same_name_is_mixed_in(tmp_path):
    """Its later tables would count and its first not, as their numbers happen to be."""
    here, there = (small(tmp_path / name) for name in ("here", "there"))
    for workspace, images in ((here, ["N1"]), (there, ["N1", "N2", "N3"])):
        folder = ReviewFolder(workspace, "r")
        folder.keep(Project(f"pushed in {workspace.root.name}", "local"))
        for task, image_id in enumerate(images, 1):
            folder.append_decisions([decision_row(Says(image_id, "nothing there"), task)])
    folder.append_decisions([decision_row(Says("N4", "nothing there"), 9)], planted=True)
    ours = here.folder("review", "r")
    before = {path: path.read_bytes() for path in ours.rglob("*") if path.is_file()}
    made = Path(back_up(there).file)

    for _ in range(2):  # again is safe
        result = restore(here, made)

        assert {path: path.read_bytes() for path in ours.rglob("*") if path.is_file()} == before
        assert result.kept == ()
        (told,) = result.apart
        assert told.startswith("r: the backup's review of this name is another one, ")
        assert told.endswith(f"To take that instead, move {ours} away and restore again")
    ours.rename(tmp_path / "away")
    assert restore(here, made).apart == ()
    assert list(standing_decisions(load_decisions(here, "r"))) == ["N1", "N2", "N3"]


@pytest.mark.parametrize("here_as_well", ["", "pushed", "taken over"])
def test_an_older_copy_takes_in_what_was_sent_since(tmp_path, here_as_well):
    """Answers of a lane that `project.json` does not name are not pulled."""
    here, there = (small(tmp_path / name) for name in ("here", "there"))
    first, second = Book("1", 0, 3), Book("2", 0, 4)
    sent = {here: ((first,), ["1"]), there: ((first, second), ["1", "2"])}
    for workspace, (books, lanes) in sent.items():
        folder = ReviewFolder(workspace, "r")
        folder.keep(Project("k", "local", books))
        folder.write_tasks([task_row("N1", lane) for lane in lanes])
        planted = [{"image_id": f"N{lane}0"} for lane in lanes]
        write_table(folder.path / "planted/planted.parquet", planted, IMAGE_IDS)
    ours = ReviewFolder(here, "r")
    if here_as_well == "pushed":  # none of the two has all
        ours.write_tasks([task_row("N1", "1"), task_row("N2", "1")])
    elif here_as_well:
        ours.keep(replace(ours.project(), taken_over={"1": "2"}))
    before = what_was_sent(ours)

    result = restore(here, Path(back_up(there).file))

    assert what_was_sent(ours) == (before if here_as_well else what_was_sent(folder))
    names = ("planted/planted.parquet", "project.json", "tasks.parquet")
    kept = [f"review/r/{name}" for name in names] if here_as_well else []
    assert (list(result.kept), result.apart) == (kept, ())


def what_was_sent(folder):
    """Of a review: its projects, its tasks and what is planted."""
    planted = some_columns(folder.path / "planted/planted.parquet", IMAGE_IDS).to_pylist()
    return folder.project(), folder.tasks(), planted


def task_row(image_id, lane):
    """An image that was sent to a reviewer."""
    return {
        "image_id": image_id,
        "lane": lane,
        "kind": "candidate",
        "rank": 0,
        "image_score": 0.5,
        "project": 3,
        "task": int(lane),
        "candidates": [],
    }


def test_of_draws_made_on_two_machines_one_stands_whole_and_both_are_told(tmp_path):
    """Files of two samples do not lie beside each other, and draws that only go on are taken in."""
    here, there, onward = (small(tmp_path / name) for name in ("here", "there", "onward"))
    for workspace in (here, there, onward):
        build_shards(workspace, [Picture("P0000001"), *(Picture(f"N{n}") for n in range(30))])
        build_mine(workspace, "r", ["N0", "N1"])
    drawn = [draw_sample(workspace, SampleSettings(units=5)) for workspace in (here, there)]
    result = workspace_file(there, "result.json")  # which only the other machine has
    result.write_text("{}")
    before = of_sample(here)
    first, *_ = restore(here, Path(back_up(there).file)).apart
    assert of_sample(here) == before
    ours, theirs = (each.commitment[:12] for each in drawn)
    assert first.startswith("r: its spot checks were drawn twice, here (5 groups in 1 draw, ")
    assert f"{ours}…) and where the backup was made (5 groups in 1 draw, " in first
    assert f"{theirs}…); yours stand" in first
    assert first.endswith(f"move {here.folder('estimate', 'r')} away and restore again")

    restore(onward, Path(back_up(here).file))
    more = draw_sample(onward, SampleSettings(units=3))
    made = Path(back_up(onward).file)
    for _ in range(2):  # again is safe
        assert restore(here, made).apart == ()
        assert of_sample(here) == of_sample(onward)
    assert draw_sample(here, SampleSettings(units=2)).units_in_all == more.units_in_all + 2
    (told,) = restore(here, made).apart
    assert told.startswith("r: your spot checks (10 groups in 3 draws, the last at ")


def workspace_file(workspace, name):
    return workspace.folder("estimate", "r") / name


def of_sample(workspace):
    """What lies beside a sample, by name."""
    folder = workspace.folder("estimate", "r")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_a_pull_knew_of_other_data_is_forgotten(tmp_path):
    workspace = small(tmp_path)
    pulled = workspace.folder("review", "r") / "pulled.json"
    pulled.write_text('{"of": "backup"}')
    made = back_up(workspace)
    pulled.write_text('{"of": "what is there"}')
    assert restored_at(workspace) == ""
    before = datetime.now(UTC)
    assert restore(workspace, Path(made.file)).kept == ()
    assert not pulled.exists()
    assert before <= datetime.fromisoformat(restored_at(workspace)) <= datetime.now(UTC)


def test_where_nothing_was_left_to_move_aside_the_restore_is_known(tmp_path):
    """Else an answer of before, which the backup alone had, would be the last word."""
    workspace = small(tmp_path / "w")
    kept = shutil.copy(back_up(workspace).file, tmp_path)
    shutil.rmtree(server_folder(workspace))
    before = datetime.now(UTC)
    assert restore(workspace, Path(kept)).replaced == ""
    first = datetime.fromisoformat(restored_at(workspace))
    assert before <= first <= datetime.now(UTC)
    aside = restore(workspace, Path(kept)).replaced
    shutil.rmtree(aside)  # to make room
    assert first < datetime.fromisoformat(restored_at(workspace)) <= datetime.now(UTC)


def test_on_another_machine_the_newest_review_is_the_same(tmp_path):
    workspace = small(tmp_path / "here")
    names = ("r", "b", "a")  # by their age
    for when, name in enumerate(names, 1_700_000_000):
        path = workspace.folder("review", name) / "project.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
        os.utime(path, (when, when))
    there = Workspace(tmp_path / "there")
    restore(there, Path(back_up(workspace).file))
    dates = [there.dates.of(there.folder("review", n) / "project.json") for n in names]
    assert dates == [(1_700_000_000 + number) * 10**9 for number in range(3)]


def test_backups_are_private_few_and_made_when_due(tmp_path):
    workspace = Workspace(tmp_path)
    assert back_up_when_due(workspace) is None
    with pytest.raises(WorkspaceError, match="missing; Label Studio has not been started here"):
        back_up(workspace)
    workspace = small(tmp_path)
    assert back_up_when_due(workspace) is not None
    assert back_up_when_due(workspace) is None
    start = datetime.now(UTC)
    for hours in range(12, 0, -1):
        back_up(workspace, start - timedelta(hours=hours))
    kept = backups(workspace)
    assert len(kept) == 10 and kept[-1].name > kept[0].name
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
    database = server_folder(workspace) / "data" / "label_studio.sqlite3"
    database.write_bytes(b"not a database, but as long as one needs to be" * 40)
    with pytest.raises(WorkspaceError, match=r"damaged \(file is not a database\); run `sixrayd"):
        back_up(workspace)
    assert backups(workspace) == kept


def test_backups_of_a_clock_that_was_ahead_stand_in_no_ones_way(tmp_path):
    workspace = small(tmp_path)
    ahead = datetime.now(UTC) + timedelta(days=400)
    for hours in range(12):
        back_up(workspace, ahead + timedelta(hours=hours))
    for backup in backups(workspace):
        os.utime(backup, (ahead.timestamp(), ahead.timestamp()))
    made = back_up_when_due(workspace)
    assert made is not None and restore(workspace).file == made.file
    assert len(backups(workspace)) == 10
    for _ in range(9):
        back_up(workspace)
    assert all(path.name < f"{ahead:%Y%m%d}" for path in backups(workspace))


def test_what_has_no_room_is_kept_and_the_restore_ends(tmp_path):
    workspace = small(tmp_path / "w")
    made = back_up(workspace)
    names = ("review/r/file/x", "review/r/folder")
    archive = tmp_path / "b.tar.gz"
    repacked(made.file, archive, lambda m: listed(listed(m, names[0], b""), names[1], b""))
    folder = workspace.folder("review", "r")
    (folder / "file").touch()
    (folder / "folder").mkdir()

    assert restore(workspace, archive).kept == names

    assert not half_restored(server_folder(workspace))
    assert ((folder / "file").is_file(), (folder / "folder").is_dir()) == (True, True)


def test_a_file_that_changes_meanwhile_makes_no_backup(tmp_path):
    (project := tmp_path / "project.json").write_text("{}")

    class Out(io.BytesIO):
        def write(self, data):  # after all files are hashed
            project.write_text("[]")
            return super().write(data)

    with pytest.raises(WorkspaceError) as caught:
        _write(Out(), {"review/r/project.json": project}, {}, Dates(tmp_path))
    assert str(caught.value) == (
        f"{project}: has changed while it was backed up; run the same command again"
    )


def test_a_restore_beside_a_backup_leaves_no_backup_of_halves(tmp_path):
    """The database of before, with the keys of after."""
    workspace = small(tmp_path / "ws")
    database = server_folder(workspace) / "data/label_studio.sqlite3"
    review, swapped = workspace.folder("review", "r") / "project.json", []

    def swap(event, told):
        if event == "open" and str(told[0]) == str(review) and not swapped:
            swapped.append(True)
            shutil.copy(database, tmp_path / "other")
            database.rename(tmp_path / "old")
            (tmp_path / "other").rename(database)

    sys.addaudithook(swap)
    with pytest.raises(WorkspaceError, match="a restore has put other data there while they were"):
        back_up(workspace)
    assert swapped and backups(workspace) == []
    assert back_up(workspace).tasks == 1


def test_what_a_killed_backup_left_is_swept_away(tmp_path):
    workspace = small(tmp_path / "workspace")
    folder = server_folder(workspace) / "backups"
    folder.mkdir()
    with started(["true"]) as ended:
        ended.wait()
    name = ".20260102T030405.000006Z.tar.gz"
    left = [folder.parent / f".copy-{ended.pid}.sqlite3", folder / f"{name}.{ended.pid}.part"]
    kept = [folder / f"{name}.{os.getpid()}.part", folder / f".mine.{ended.pid}.part"]
    for path in (*left, *kept):
        path.write_bytes(b"half")
    made = back_up(workspace)
    assert sorted(map(str, folder.iterdir())) == sorted([*map(str, kept), made.file])
    assert [path.name for path in folder.parent.glob(".copy-*")] == []
