"""A stage that lost its power goes on from what was synced, and ends in the same bytes."""

import json
import os
import re
import shutil
import sys
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sixrayd.audit.fix import apply_fix, undo_fix
from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.files import sync_folder, write_bytes
from sixrayd.core.workspace import Workspace
from sixrayd.datasets.patch_file import write_patch
from sixrayd.datasets.patches import make_patch
from sixrayd.datasets.recognising import open_place
from sixrayd.download.settings import DownloadSettings
from sixrayd.download.stage import download
from sixrayd.estimate.sample import draw_sample
from sixrayd.estimate.settings import SampleSettings
from sixrayd.export.settings import ExportSettings
from sixrayd.export.stage import export
from sixrayd.mine.settings import MineSettings
from sixrayd.mine.stage import mine
from sixrayd.patch.settings import PatchSettings
from sixrayd.patch.stage import patch
from sixrayd.review import server as servers
from sixrayd.review.folder import ReviewFolder
from sixrayd.review.label_studio.backup import back_up, backups
from sixrayd.review.label_studio.restore import restore
from sixrayd.review.label_studio.reviewing import LabelStudioReview
from sixrayd.review.pull import pull
from sixrayd.review.push import push
from sixrayd.review.settings import PullSettings, PushSettings, WithdrawSettings
from sixrayd.review.withdraw import withdraw
from sixrayd.train.stage import train
from tests.detectors.learnt import train_further
from tests.estimate.campaigns import Campaign
from tests.mirror import serving
from tests.power_cuts import results, survived
from tests.releases import CLASSES, TinyRelease, voc
from tests.review.label_studio.test_backup import small
from tests.squares import QUICK, ingest, squares
from tests.workspaces import FLAGGED, Small

CHANGES = Path(__file__).parents[1] / "docs" / "changes.md"
EVERY = pytest.param(0, marks=pytest.mark.long)
few = pytest.mark.parametrize("most", [2, EVERY])


@pytest.fixture
def place(tmp_path):
    """The disk that loses its power; the workspace is made on it."""
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Six negatives in three shards, and a detector."""
    workspace = ingest(tmp_path_factory.mktemp("trained"), squares(2, 6, 5), 2)
    train_further(workspace)
    return workspace


def without(document, *keys):
    """A JSON file's content, less what differs whenever it is written."""
    return {key: value for key, value in json.loads(document).items() if key not in keys}


def trusting(root, *, content, folder, parent):
    """A stage that takes what is there for whole; it syncs what it is told to.

    Its file holds what was asked for in the end, unless a cut left a part of it.
    """
    path = root / "made" / "data"
    if (root / "log" / "finished").exists():
        return
    path.parent.mkdir(exist_ok=True)
    if parent:
        sync_folder(root)
    if not path.exists():
        beside = path.with_suffix(".part")
        beside.write_bytes(b"data")
        if content:
            with beside.open("rb") as file:
                os.fsync(file.fileno())
        beside.rename(path)
        if folder:
            sync_folder(path.parent)
    write_bytes(root / "log" / "finished", b"")


@pytest.mark.parametrize(
    ("lacks", "faults"),
    [
        ("nothing", None),
        ("content", "not on disk at the end: made/data"),
        ("folder", "not on disk at the end: made/data"),
        ("parent", "not on disk at the end: made/data"),
    ],
)
def test_a_sync_that_is_left_out_is_found(place, lacks, faults):
    syncs = {name: name != lacks for name in ("content", "folder", "parent")}
    (place / "log").mkdir()

    def work():
        trusting(place, **syncs)

    if faults is None:
        assert survived(place, work) > 3
    else:
        with pytest.raises(AssertionError, match=faults):
            survived(place, work)


@few
def test_download(place, tmp_path, most):
    release = TinyRelease().write(tmp_path / "release")

    def work():
        settings = DownloadSettings(str(release), CLASSES, images_per_shard=3)
        download(Workspace(place / "w"), settings)

    assert survived(place, work, most=most) >= (most or 100)


@few
def test_download_from_elsewhere_in_place_of_another(place, tmp_path, most):
    other = TinyRelease()
    other.images["N0000001"] = other.images["P00001"]
    download(Workspace(place / "w"), DownloadSettings(str(other.write(tmp_path / "o")), CLASSES))
    with serving(TinyRelease().write(tmp_path / "release")) as state:

        def work():
            settings = DownloadSettings(state.url, CLASSES, images_per_shard=3, force=True)
            download(Workspace(place / "w"), settings)

        assert survived(place, work, most=most) >= (most or 100)


@pytest.mark.parametrize(("most", "epochs"), [(1, 1), pytest.param(0, 2, marks=pytest.mark.long)])
def test_train(place, tmp_path, most, epochs):
    workspace = ingest(tmp_path, squares(positives=4, negatives=2, hidden=0))
    shutil.copytree(workspace.root, place / "w")
    settings = replace(QUICK, input_size=96, epochs=epochs, batch=2)
    tried = survived(place, lambda: train(Workspace(place / "w"), settings), most=most)
    assert tried >= (most or 40)


@few
def test_mine(place, trained, most):
    shutil.copytree(trained.root, place / "w")
    settings = MineSettings(batch=2, mirror=False, threshold=0.02, backend="torch", threads=1)
    tried = survived(place, lambda: mine(Workspace(place / "w"), settings), most=most)
    assert tried >= (most or 40)


@few
@pytest.mark.parametrize("out", ["", "new/folder"])
def test_export_in_place_of_another(place, most, out):
    workspace = Small().build(place / "w")
    settings = ExportSettings(out=place / out if out else None)
    export(workspace, settings)

    def work():
        # As it is typed again: --force is for what is there, not for what was made meanwhile.
        export(workspace, replace(settings, with_negatives=True, force=True))

    assert survived(place, work, most=most) >= (most or 10)


@few
def test_patch(place, tmp_path, most):
    given = tmp_path / "given"
    export(Small().build(tmp_path / "w"), ExportSettings(out=given))
    one = open_place(given)
    boxed = next(image_id for image_id, said in one.images.items() if said.objects)
    other = replace(one, images={**one.images, boxed: replace(one.images[boxed], objects=())})
    write_patch(tmp_path / "a.patch", make_patch(one, other, one.classes))

    def work():
        if not (place / "new" / "out").exists():
            patch(tmp_path / "a.patch", given, PatchSettings(place / "new" / "out", images=True))

    assert survived(place, work, most=most) >= (most or 5)


def drawn(place):
    """A sample, less the moment of its draw."""
    found = results(place)
    for name in [name for name in found if name.endswith("draws.json")]:
        plan = json.loads(found[name])
        found[name] = [{**draw, "drawn_at": ""} for draw in plan.pop("draws")], plan
    return found


@few
def test_estimate_draws(place, most):
    workspace = Campaign.build(place / "w", [1, 1, 2, 1, 3, 1, 1, 1], [1, 2, 3]).workspace

    def work():
        for seed in ("dice", "more dice"):
            with suppress(SettingsError):  # that draw is there
                draw_sample(workspace, SampleSettings("", 2, seed))

    assert survived(place, work, most=most, said=drawn) >= (most or 20)


@few
@pytest.mark.parametrize("undone", [False, True])
def test_audit_fix(place, tmp_path, most, undone):
    release, gun = TinyRelease(), ("Gun", 1, 1, 20, 30)
    release.xml["P00001"] = voc("P00001", gun, gun)
    workspace = Workspace(place / "w")
    download(workspace, DownloadSettings(str(release.write(tmp_path / "release")), CLASSES))
    if undone:
        apply_fix(workspace, 0)

    def work():
        undo_fix(workspace) if undone else apply_fix(workspace, 0)

    assert survived(place, work, most=most) >= (most or 10)


@pytest.fixture(scope="module")
def files():
    """The review server that docs/changes.md makes, which keeps projects as files."""
    text = CHANGES.read_text("utf-8")
    source = re.search(r"^```python title=sixrayd/review/files/\S+\n(.*?)^```$", text, re.M | re.S)
    module = ModuleType("files")
    exec(source[1], module.__dict__)
    return module


@pytest.fixture
def reviewed(place, tmp_path, files, monkeypatch):
    """A workspace whose candidates can be sent; its own server shows their images."""

    class Own(files.FolderReview):
        local = True

        def __init__(self, workspace, folder):
            super().__init__(folder)
            self.workspace = workspace

        def serve_images(self, project, folder):
            assert folder.is_dir()

        show_images = LabelStudioReview.show_images
        lost_images = LabelStudioReview.lost_images

    monkeypatch.setattr(files, "open_own", lambda w, url, _: Own(w, Path(url)), raising=False)
    monkeypatch.setitem(sys.modules, "tests.files_server", files)
    for name in ("open_own", "open_folder"):
        monkeypatch.setitem(servers.SERVERS, name, f"tests.files_server:{name}")
    workspace = Small().build(place / "w")
    shutil.rmtree(workspace.folder("review"))
    (tmp_path / "server").mkdir()
    return workspace


def sent(place):
    """A review, less its key, which is drawn for each; images by what they hold."""
    found = results(place)
    for name in [name for name in found if "/images/" in name]:
        found[sha256(found.pop(name)).hexdigest()] = b""
    name = "w/review/first/project.json"
    found[name] = without(found.get(name, "{}"), "key")
    return found


@few
@pytest.mark.parametrize("server", ["open_own", "open_folder"])
def test_review_push(place, tmp_path, reviewed, most, server):
    beside = tmp_path / "server"

    def work():
        push(reviewed, PushSettings("first", url=str(beside), server=server))
        assert len(list(beside.glob("*/project.json"))) == 1
        keys = [json.loads(path.read_text())["key"] for path in beside.glob("*/tasks/*.json")]
        project = ReviewFolder(reviewed, "first").project()
        assert sorted(keys) == sorted(map(project.task_key, FLAGGED))

    tried = survived(place, work, beside=beside, most=most, said=sent)
    assert tried >= (most or 15)


def test_an_image_of_the_right_size_and_other_bytes_is_written_again(reviewed, tmp_path):
    own = servers.connect(reviewed, str(tmp_path / "server"), None, "open_own")
    own.show_images(1, "first", {"a.jpg": b"whole", "b.jpg": b"other"})
    images = reviewed.folder("review") / "server" / "images" / "first"
    (images / "a.jpg").write_bytes(bytes(5))  # as some storage leaves it that lost its power
    before = (images / "b.jpg").stat().st_ino
    own.show_images(1, "first", {"a.jpg": b"whole", "b.jpg": b"other"})
    assert {path.name: path.read_bytes() for path in images.iterdir()} == {
        "a.jpg": b"whole",
        "b.jpg": b"other",
    }
    assert (images / "b.jpg").stat().st_ino == before


@few
def test_review_pull(place, tmp_path, reviewed, most):
    beside = tmp_path / "server"
    push(reviewed, PushSettings("first", url=str(beside), server="open_folder"))
    for number, path in enumerate(sorted(beside.glob("*/tasks/*.json"))):
        answer = {"by": "ann", "at": f"2026-03-04T05:06:0{number}+00:00", "boxes": []}
        task = json.loads(path.read_text())
        path.write_text(json.dumps({**task, "answer": {**answer, "verdict": "nothing there"}}))

    def work():
        pull(reviewed, PullSettings("first", url=str(beside), server="open_folder"))

    assert survived(place, work, beside=beside, most=most) >= (most or 10)


def withdrawn(place):
    """Decisions, less the moment of their withdrawal."""
    found = results(place)
    for name in [name for name in found if "/decisions/" in name]:
        table = pq.read_table(pa.BufferReader(found[name]))
        found[name] = table.drop_columns("decided_at").to_pylist()
    found["w/review/first/run.json"] = without(found["w/review/first/run.json"], "outputs")
    return found


@few
def test_review_withdraw(place, most):
    workspace = Small().build(place / "w")
    folder = ReviewFolder(workspace, "first")
    folder.new_project("local")

    def work():
        with suppress(WorkspaceError):  # it is withdrawn already
            withdraw(workspace, WithdrawSettings(("N0000002",), "wrong bag", "ann"))
        assert [row["withdrawn"] for row in folder.decisions()].count(True) == 1

    assert survived(place, work, most=most, said=withdrawn) >= (most or 4)


def put_in_place(place):
    """A server's data and its reviews, less what was moved aside."""
    return {name: data for name, data in results(place).items() if "/replaced-" not in name}


@few
def test_review_restore(place, tmp_path, most):
    workspace = small(place / "w")
    archive = shutil.copy(back_up(workspace).file, tmp_path / "given.tar.gz")
    secret = workspace.folder("review") / "server" / "secret.json"
    secret.write_text("{}")

    def work():
        restore(workspace, archive)
        assert not secret.exists()
        assert list(secret.parent.glob("replaced-*/secret.json"))

    assert survived(place, work, most=most, said=put_in_place) >= (most or 10)


@few
def test_review_backup(place, most):
    workspace = small(place / "w")

    def work():
        if not backups(workspace):
            back_up(workspace)

    def kept(place):
        assert len(backups(workspace)) == 1
        return {n: d for n, d in results(place).items() if "/backups/" not in n}

    assert survived(place, work, most=most, said=kept) >= (most or 5)
