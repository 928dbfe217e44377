"""A real FiftyOne with its real database, and its app in a real browser."""

import importlib.util
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

from sixrayd.browse.database import running_database
from sixrayd.browse.fiftyone_adapter import load_fiftyone
from sixrayd.browse.media import ShardImages
from sixrayd.browse.samples import collect_samples
from sixrayd.browse.settings import BrowseSettings
from sixrayd.browse.stage import browse, dataset_name, open_browser_session
from sixrayd.browse.standing import known_of, newest_export
from sixrayd.core.boxes import Box
from sixrayd.core.errors import ServiceError, SettingsError, WorkspaceError
from sixrayd.core.made_here import claim_folder
from sixrayd.core.records import INDEX_SCHEMA, TASK_SCHEMA
from sixrayd.core.tables import read_table, write_table
from sixrayd.core.tags import read_tagged, tag_file, tagged_ids
from sixrayd.core.workspace import Workspace
from sixrayd.export.settings import ExportSettings
from sixrayd.export.stage import export
from sixrayd.imaging.decode import decode_rgb
from tests.processes import started
from tests.workspaces import (
    FLAGGED,
    NOTHING,
    Says,
    Small,
    build_mine,
    build_review,
    build_shards,
    build_splits,
)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PATIENCE_MS = 300_000  # ends what hangs, not what is slow
ADDRESS = r"http://sixrayd-[0-9a-f]{{16}}\.localhost:\d+/datasets/{}\?token=[\w-]{{43}}"
SHOWN = "texts => texts.every(text => document.body.innerText.includes(text))"
POSITIVES = ["N0000001", "N0000010", "N0000012", "P00001", "P00002"]
OTHERS = ["N0000002", "N0000003", "N0000004", "N0000005", "N0000011", "N0000006"]


@pytest.fixture
def workspace(tmp_path):
    made = Small().build(tmp_path / "workspace")
    export(made, ExportSettings())
    return made


def samples_of(workspace, export="first", most=100, tagged=()):
    known = known_of(workspace, export)
    return list(collect_samples(known, ShardImages(known.index).path, most, tagged))


@pytest.fixture(scope="module")
def fiftyone(tmp_path_factory):
    if importlib.util.find_spec("fiftyone") is None:
        pytest.skip("FiftyOne is not installed")
    made = load_fiftyone(tmp_path_factory.mktemp("fiftyone"))
    yield made
    for name in made.list_datasets("sixrayd-workspace-*"):
        made.delete_dataset(name)


def test_samples_are_positives_then_decided_then_flagged(workspace):
    samples = samples_of(workspace, most=100)
    assert [sample.image_id for sample in samples] == POSITIVES + OTHERS
    by_id = {sample.image_id: sample for sample in samples}
    found = by_id["N0000001"]
    assert (found.state, found.split, found.rank) == ("found positive", "train", 1)
    assert found.verdicts == ("ann@example.org: contraband missed",)
    assert [shown.box for shown in found.candidates] == [Box("Knife", 10, 20, 40, 50)]
    assert [(shown.box.label, shown.origin) for shown in found.decisions] == [
        ("Knife", "confirmed"),
        ("Gun", "drawn"),
    ]
    assert found.source == ()
    assert [shown.box.label for shown in by_id["P00002"].source] == ["Knife", "Gun"]
    assert by_id["N0000005"].verdicts == (
        "ann@example.org: contraband missed",
        "bob@example.org: nothing there",
    )
    assert by_id["N0000006"].state == "flagged but unreviewed"


def test_images_are_read_from_their_shards(workspace):
    known = known_of(workspace, "first")
    images = ShardImages(known.index)
    pictures = {picture.image_id: picture.data for picture in Small().pictures}
    samples = samples_of(workspace)
    assert len(samples) == 11
    for sample in samples:
        assert images.read(sample.path) == (pictures[sample.image_id], "image/jpeg")
    assert samples[0].path == f"{workspace.shards}/negatives-00000.tar/N0000001.jpg"
    assert not (workspace.root / "browse").exists()


def test_an_image_that_a_browser_would_turn_is_shown_as_it_is_stored(tmp_path):
    release = Small()
    turned = {p.image_id: p for p in release.pictures if p.image_id in ("P00001", "N0000002")}
    for picture in turned.values():
        picture.orientation = 6
    made = release.build(tmp_path / "workspace")
    images = ShardImages.of(made.root)

    samples = {s.image_id: s for s in samples_of(made, "")}

    assert len(turned) == 2
    for image_id, picture in turned.items():
        data, _ = images.read(samples[image_id].path)
        with Image.open(io.BytesIO(data)) as shown:
            assert ImageOps.exif_transpose(shown).size == samples[image_id].size_wh == (96, 64)
        assert np.array_equal(decode_rgb(data, "shown"), decode_rgb(picture.data, "stored"))


def test_fewer_negatives(workspace):
    chosen = [sample.image_id for sample in samples_of(workspace, most=2)]
    assert chosen == [*POSITIVES, "N0000002", "N0000003"]
    assert len(samples_of(workspace, most=0)) == 5


def test_an_export_elsewhere(workspace, tmp_path):
    out = tmp_path / "D"
    export(workspace, ExportSettings(out=out))
    assert [sample.image_id for sample in samples_of(workspace, "D", most=0)] == POSITIVES
    shutil.rmtree(out)
    with pytest.raises(WorkspaceError) as caught:
        samples_of(workspace, "D", most=0)
    assert str(caught.value) == (
        f"{out / 'states.parquet'}: missing; run `sixrayd export --voc` again"
    )


def test_an_export_of_other_images_is_told_in_one_line(workspace):
    tree = workspace.folder("export", "first")
    table = pq.read_table(tree / "states.parquet")
    ids = ["X1", *table["image_id"].to_pylist()[1:]]
    pq.write_table(table.set_column(0, table.schema.field(0), [ids]), tree / "states.parquet")
    with pytest.raises(WorkspaceError) as caught:
        samples_of(workspace)
    assert str(caught.value) == (
        f"{tree / 'states.parquet'}: X1, expected images of the release; run `sixrayd export "
        "--voc` again"
    )
    pq.write_table(table.slice(1), tree / "states.parquet")  # of before an image was there
    left = table["image_id"][0].as_py()
    assert left not in [sample.image_id for sample in samples_of(workspace, tagged=[left])]
    (tree / "positives_without_boxes.txt").unlink()
    with pytest.raises(WorkspaceError, match=r"positives_without_boxes\.txt: missing; run `six"):
        samples_of(workspace)


def test_after_download_all_images_are_shown_with_their_labels(tmp_path):
    made = Workspace(tmp_path / "workspace")
    build_shards(made, Small().pictures)
    build_splits(made, own={"P00001": "train", "N0000001": "test", "N0000002": "train"})
    samples = {sample.image_id: sample for sample in samples_of(made, "")}
    readable = sorted(p.image_id for p in Small().pictures if not p.error)
    assert [*samples] == [*readable[-3:], *readable[:-3]]
    assert [shown.box.label for shown in samples["P00002"].source] == ["Knife", "Gun"]
    assert (samples["N0000001"].state, samples["N0000001"].rank) == ("unflagged", None)
    assert {i: s.doubts for i, s in samples.items() if s.doubts} == {
        "P00003": ("its XML names no object",)
    }
    assert len(samples_of(made, "", 2)) == 5


def test_after_mining_flagged_images_come_first(tmp_path):
    made = Workspace(tmp_path / "workspace")
    build_shards(made, Small().pictures)
    build_mine(made, "first", FLAGGED)
    samples = samples_of(made, "", len(FLAGGED))
    assert [sample.image_id for sample in samples] == ["P00001", "P00002", "P00003", *FLAGGED]
    assert {sample.state for sample in samples[3:]} == {"flagged but unreviewed"}
    assert [shown.score for shown in samples[3].candidates] == [pytest.approx(0.9)]


def test_after_a_review_decisions_are_shown_without_an_export(tmp_path):
    made = Small().build(tmp_path / "workspace")
    samples = {sample.image_id: sample for sample in samples_of(made, "")}
    assert samples["N0000001"].state == "found positive"
    assert {i: s.disagreement for i, s in samples.items() if s.disagreement} == {
        "N0000005": "reviewers disagree: ann@example.org: contraband missed; "
        "bob@example.org: nothing there",
        "N0000010": "adjudicated; before: ann@example.org: contraband missed",
    }


def test_near_duplicates_on_both_sides_of_a_given_split_are_told(tmp_path):
    made = Workspace(tmp_path / "workspace")
    build_shards(made, Small().pictures)
    path = made.shards / "index.parquet"
    rows = read_table(path, INDEX_SCHEMA).to_pylist()
    for row in rows:
        row["group"] = "N0000001" if row["image_id"] in ("P00001", "N0000001") else row["group"]
    write_table(path, rows, INDEX_SCHEMA)
    build_splits(
        made,
        own={"P00001": "train", "N0000001": "test"},
        other={"P00001": "train", "N0000001": "train", "N0000002": "test"},
    )
    leaks = {sample.image_id: sample.leaks for sample in samples_of(made, "", 1)}
    assert leaks == {"P00001": ("own",), "P00002": (), "P00003": (), "N0000001": ("own",)}


def test_positives_that_a_detector_disputes_are_told(tmp_path):
    made = Small().build(tmp_path / "workspace")
    build_mine(made, "positives", ["P00001"])
    build_review(made, "positives", ["P00001"], [])
    path = made.folder("review", "positives") / "tasks.parquet"
    rows = [row | {"kind": "positive"} for row in read_table(path, TASK_SCHEMA).to_pylist()]
    write_table(path, rows, TASK_SCHEMA)
    shown = next(sample for sample in samples_of(made, "") if sample.image_id == "P00001")
    assert shown.doubts == ("rfb sees Knife",)
    assert [each.model for each in shown.candidates] == ["rfb"]


def test_an_export_is_shown_until_something_came_after_it(workspace):
    assert newest_export(workspace) == "first"
    build_review(workspace, "first", FLAGGED, [*Small().rounds, [Says("N0000006", NOTHING)]])
    assert newest_export(workspace) == ""
    export(workspace, ExportSettings(force=True))
    assert newest_export(workspace) == "first"
    build_mine(workspace, "second", FLAGGED)
    assert newest_export(workspace) == ""


def test_tagged_images_are_always_shown(workspace):
    chosen = samples_of(workspace, most=0, tagged=["N0000008", "N9999999"])
    assert [sample.image_id for sample in chosen] == [*POSITIVES, "N0000008"]
    assert [sample.tagged for sample in chosen] == [False] * 5 + [True]


def test_settings_are_checked():
    with pytest.raises(SettingsError, match=r"^port: need 0 to 65535, got 70000$"):
        BrowseSettings(port=70000)
    with pytest.raises(SettingsError, match=r"^max-negatives and timeout-s: need 0 or more$"):
        BrowseSettings(timeout_s=-1)


def test_without_fiftyone_the_message_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "fiftyone", None)
    monkeypatch.setenv("FIFTYONE_DATABASE_DIR", str(tmp_path))  # so that it is undone
    with pytest.raises(ServiceError) as caught:
        load_fiftyone(tmp_path)
    assert str(caught.value) == (
        "FiftyOne cannot be imported (import of fiftyone halted; None in sys.modules); "
        "install it with `pip install 'sixrayd[browse]'`"
    )


def test_a_database_that_everybody_reads_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "fiftyone", sys.modules[__name__])
    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
    with pytest.raises(ServiceError) as caught:
        load_fiftyone(tmp_path)
    assert str(caught.value) == (
        "FiftyOne is loaded already, with a database that every user of this machine can read; "
        "let sixrayd load it first, or name a MongoDB in FIFTYONE_DATABASE_URI"
    )


@pytest.mark.parametrize("unpacked_into", [False, True])
def test_a_database_from_elsewhere_is_refused(workspace, tmp_path, monkeypatch, unpacked_into):
    """WiredTiger, in MongoDB, loads the libraries that a file of the database's folder names."""
    if importlib.util.find_spec("fiftyone") is None:
        pytest.skip("FiftyOne is not installed")
    folder = workspace.root / "browse" / "database"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    if unpacked_into:
        assert claim_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    before = [path.name for path in folder.iterdir()]
    (folder / "WiredTiger.config").write_text('extensions=["./a-strangers.so"]')
    unset = {"FIFTYONE_DATABASE_URI": "", "FIFTYONE_DATABASE_DIR": ""}
    command = [sys.executable, "-m", "sixrayd", "browse", "--no-wait", "-w", str(workspace.root)]
    said = subprocess.run(
        command,
        env=os.environ | unset,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr == (
        f"error: {folder}: not made by you alone at this place, and a stranger's database can run "
        "code; remove the folder to have it built again, or, where it is your own, set "
        f"FIFTYONE_DATABASE_DIR={folder}\n"
    )
    assert {path.name for path in folder.iterdir()} == {*before, "WiredTiger.config"}


def test_a_database_that_ends_says_where_to_look(tmp_path):
    program = tmp_path / "mongod"
    program.write_text("#!/bin/sh\necho no room\nexit 14\n")
    program.chmod(0o755)
    folder = tmp_path / ("long" * 40) / "database"
    with pytest.raises(ServiceError) as caught, running_database(program, folder):
        pass
    log = folder / "mongod.log"
    assert str(caught.value) == f"{folder}: MongoDB ended with code 14; see {log}"
    assert log.read_text() == "no room\n"


@pytest.mark.browser
@pytest.mark.long
def test_dataset_fields_and_counts(workspace, fiftyone):
    with open_browser_session(workspace, BrowseSettings(port=0)) as session:
        assert (session.samples, session.rebuilt) == (11, True)
        assert session.dataset == dataset_name(workspace, "first")
        dataset = fiftyone.load_dataset(session.dataset)
        assert dataset.persistent
        assert dataset.count_values("state") == {
            "source positive": 2,
            "found positive": 3,
            "confusing negative": 1,
            "audited empty": 1,
            "undecided": 3,
            "flagged but unreviewed": 1,
        }
        assert dataset.count_values("split") == {"train": 9, "test": 2}
        assert dataset.count_sample_tags()["found positive"] == 3
        assert dataset.count("source.detections") == 3
        assert dataset.count("candidates.detections") == 7
        assert dataset.count_values("decisions.detections.origin") == {
            "confirmed": 1,
            "drawn": 4,
            "relabelled": 1,
        }
        sample = dataset.one(fiftyone.ViewField("image_id") == "N0000001")
        detection = sample.candidates.detections[0]
        assert detection.bounding_box == [10 / 96, 20 / 64, 30 / 96, 30 / 64]
        assert detection.confidence == pytest.approx(0.9)
        assert sample.decisions.detections[1].reviewer == "ann@example.org"
        views = {name: dataset.load_saved_view(name) for name in dataset.list_saved_views()}
        assert {name: view.values("image_id") for name, view in views.items()} == {
            "found by mining": ["N0000001", "N0000010"],
            "confusing negatives": ["N0000002"],
            "reviewers disagree": ["N0000010", "N0000005"],
        }


@pytest.mark.browser
@pytest.mark.long
def test_tags_are_written_down_and_kept(workspace, fiftyone):
    settings = BrowseSettings(port=0)
    file = tag_file(workspace, "first")
    with open_browser_session(workspace, settings) as session:
        dataset = fiftyone.load_dataset(session.dataset)
        dataset.match(fiftyone.ViewField("image_id") == "N0000006").tag_samples("review")
        while read_tagged(file) != ["N0000006"]:
            time.sleep(0.05)
    dataset.match(fiftyone.ViewField("image_id") == "P00001").tag_samples("review")
    # What was tagged when a killed one could not note it, in a dataset that is built anew.
    with open_browser_session(workspace, BrowseSettings(port=0, max_negatives=0)) as session:
        assert (session.rebuilt, session.samples) == (True, 6)
        assert [*tagged_ids(workspace)] == ["N0000006", "P00001"]
        dataset = fiftyone.load_dataset(session.dataset)
        assert dataset.match_tags("review").values("image_id") == ["P00001", "N0000006"]
        dataset.untag_samples("review")
    assert tagged_ids(workspace) == {}


@pytest.mark.browser
@pytest.mark.long
def test_a_tagged_id_that_another_wrote_breaks_no_file_of_tags(workspace, fiftyone):
    settings, file = BrowseSettings(port=0, wait=False), tag_file(workspace, "first")
    dataset = fiftyone.load_dataset(browse(workspace, settings).dataset)
    rows = dataset._sample_collection  # past FiftyOne, which would refuse some of them
    wrong = [None, 7, ["a"], {"a": 1}, "../../evil\n"]
    for row, value in zip(rows.find({"image_id": {"$ne": "P00001"}}), wrong, strict=False):
        rows.update_one({"_id": row["_id"]}, {"$set": {"image_id": value}})
    rows.update_many({}, {"$set": {"tags": ["review"]}})

    browse(workspace, settings)

    kept = read_tagged(file)
    assert len(kept) == 11 - len(wrong) and "P00001" in kept
    assert set(kept) <= set(POSITIVES + OTHERS)


@pytest.mark.browser
@pytest.mark.long
def test_a_dataset_is_kept_until_its_export_changes(workspace, fiftyone):
    settings = BrowseSettings(port=0, wait=False)
    assert browse(workspace, settings).rebuilt
    opened = []
    again = browse(workspace, settings, opened.append)
    assert not again.rebuilt
    assert opened == [again]
    build_review(workspace, "first", FLAGGED, [*Small().rounds, [Says("N0000006", NOTHING)]])
    export(workspace, ExportSettings(force=True))
    assert browse(workspace, settings).rebuilt
    dataset = fiftyone.load_dataset(again.dataset)
    assert dataset.count_values("state")["confusing negative"] == 2


def test_where_nothing_was_ingested_the_way_on_is_said(tmp_path):
    without = Workspace(tmp_path / "none")
    shown = open_browser_session(without, BrowseSettings())
    with pytest.raises(WorkspaceError, match="run `sixrayd download --release FOLDER"), shown:
        pass
    assert not without.root.exists()


def test_while_a_reviewed_mining_is_made_anew_what_lacks_is_said(tmp_path):
    made = Small().build(tmp_path / "workspace")
    lacking = made.folder("mine", "first") / "run.json"
    lacking.unlink()
    shown = open_browser_session(made, BrowseSettings())
    with pytest.raises(WorkspaceError) as said, shown:
        pass
    status = f"sixrayd status -w {made.root}"
    assert str(said.value) == f"{lacking}: missing; `{status}` names the next command"


@pytest.mark.long
@pytest.mark.browser
def test_a_port_in_use_is_said(workspace, fiftyone):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(ServiceError) as caught,
            open_browser_session(workspace, BrowseSettings(port=port)),
        ):
            pass
    assert str(caught.value) == (
        f"port {port}: Address already in use; pass another --port, or 0 for a free one"
    )


@pytest.mark.browser
@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGHUP])
def test_command_stays_until_interrupted_or_its_terminal_ends(workspace, fiftyone, how):
    command = [sys.executable, "-m", "sixrayd", "browse", "-w", str(workspace.root)]
    command += ["--port", "0", "--timeout-s", "120", "--json"]
    pipe = subprocess.PIPE
    with started(command, stdout=pipe, stderr=pipe, text=True) as running:
        text = ""
        while not text.endswith("}\n"):
            line = running.stdout.readline()
            assert line, running.stderr.read()
            text += line
        session = json.loads(text)
        assert session["samples"] == 11
        assert re.fullmatch(ADDRESS.format(session["dataset"]), session["url"])
        time.sleep(0.5)
        assert running.poll() is None
        running.send_signal(how)
        rest, errors = running.communicate()
    assert (running.returncode, rest) == (0, ""), errors


@pytest.mark.browser
@pytest.mark.long
def test_the_timeout_ends_it(workspace, fiftyone):
    session = browse(workspace, BrowseSettings(port=0, timeout_s=0.1))
    assert session.samples == 11


@pytest.mark.long
@pytest.mark.browser
def test_the_app_shows_the_samples(workspace, fiftyone, tmp_path):
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with (
        open_browser_session(workspace, BrowseSettings(port=0)) as session,
        playwright.sync_playwright() as driver,
    ):
        browser = driver.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
            timeout=PATIENCE_MS,
        )
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        served = []
        asked, refused = [], {}
        page.on("request", lambda one: asked.append(one.url))
        page.on("requestfailed", lambda one: refused.update({one.url: one.failure}))
        page.on("response", lambda one: served.append(one.status) if "/media?" in one.url else None)
        page.goto(session.url)
        assert page.url == session.url.partition("?")[0]  # the token stays in no history
        advert = page.get_by_text("Dismiss").first
        page.add_locator_handler(advert, lambda found: found.click())
        page.wait_for_function("document.querySelectorAll('[data-cy=looker]').length === 11")
        fields = ["source", "candidates", "decisions", "state", "split", "reason", "rank"]
        page.wait_for_function(SHOWN, arg=["11 samples", *fields])
        details = [
            "N0000001\nimage_id\nfound positive\nstate\ntrain\nsplit",
            "source\n0\ncandidates\n1\ndecisions\n2",
        ]
        # A page that is still being drawn may lose a click.
        for patience_ms in (PATIENCE_MS / 10, PATIENCE_MS / 10, PATIENCE_MS):
            page.locator("[data-cy=looker]").first.click()
            with suppress(playwright.TimeoutError):
                page.wait_for_function(SHOWN, arg=details, timeout=patience_ms)
                break
        else:
            raise AssertionError(page.inner_text("body"))
        assert len(served) >= 11 and set(served) == {200}  # images, from their shards
        own = session.url.partition("/datasets")[0]
        others = [url for url in asked if not url.startswith((own, "data:", "blob:"))]
        assert {url: refused.get(url) for url in others} == dict.fromkeys(others, "csp")
        page.screenshot(path=tmp_path / "app.png")
        browser.close()
    assert (tmp_path / "app.png").stat().st_size > 10_000
