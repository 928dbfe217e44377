"""`sixrayd audit --set`: sets that no workspace holds yet."""

import json

import pytest

from sixrayd.cli import cli
from sixrayd.core.errors import ReleaseError, SixraydError, WorkspaceError
from sixrayd.core.workspace import Workspace
from sixrayd.download.settings import DownloadSettings
from sixrayd.download.stage import download
from tests.datasets.sets import NAMES, as_coco, as_voc, as_yolo, coco, write, yolo_row
from tests.releases import jpeg, voc, write_zip


@pytest.fixture
def said(runner, tmp_path, monkeypatch):
    """The exit code and the JSON document of an audit that is run in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*words):
        done = runner.invoke(cli, ["audit", "--json", *words])
        if isinstance(done.exception, SixraydError):
            raise done.exception
        return done.exit_code, json.loads(done.stdout) if done.exit_code != 2 else done.stderr

    return run


@pytest.mark.parametrize("form", [as_voc, as_coco, as_yolo])
def test_a_set_of_any_form_is_audited_in_a_workspace_of_its_own(said, tmp_path, form):
    form(tmp_path / "scans")

    code, document = said("--set", str(tmp_path / "scans"))

    assert (code, document["images"], document["boxes"]) == (0, 4, 6)
    assert document["page"] == "scans-audit/audit/report.html"
    assert (tmp_path / "here/scans-audit/audit/report.html").exists()
    found = {kind["flaw"]: kind["count"] for kind in document["kinds"]}
    assert found == {"box of few pixels": 2}


def test_a_set_that_has_changed_is_taken_in_again(said, tmp_path):
    tree = tmp_path / "scans"
    as_voc(tree)
    said("--set", str(tree))
    twice = ("Saw", 3, 3, 40, 50)
    write(tree / "train/Annotations/x1.xml", voc("x1", twice, twice))
    write(tree / "train/JPEGImages/x1.jpg", jpeg(7))

    code, document = said("--set", str(tree))

    assert (code, document["images"]) == (3, 5)
    (fault,) = [kind for kind in document["kinds"] if kind["severity"] == "fault"]
    assert (fault["flaw"], fault["count"]) == ("box that repeats another", 1)
    code, document = said("--set", str(tree), "--classes", "Gun,Knife,Wrench")
    assert [kind["flaw"] for kind in document["kinds"] if kind["severity"] == "fault"] == []
    assert {kind["flaw"]: kind["count"] for kind in document["kinds"]}[
        "class that is known and left out"
    ] == 2
    code, document = said("--set", str(tree), "--classes", "Gun,Knife,Wrong")
    assert [kind["flaw"] for kind in document["kinds"] if kind["severity"] == "fault"] == [
        "positive without an annotation",
        "class that is not known",
    ]


def test_a_release_is_never_replaced(said, tmp_path):
    as_voc(tmp_path / "scans")
    as_coco(tmp_path / "others")
    ours = str(tmp_path / "ours")
    assert said("--set", str(tmp_path / "scans"), "-w", ours)[0] == 0

    with pytest.raises(WorkspaceError) as raised:
        said("--set", str(tmp_path / "others"), "-w", ours)

    text = f"holds {tmp_path / 'scans'}; name another workspace with -w"
    assert str(raised.value) == f"{ours}/shards: {text}"
    assert said("-w", ours)[1]["images"] == 4


def test_classes_of_nothing(said):
    code, line = said("--classes", "Gun")
    assert (code, line.splitlines()[-1]) == (2, "Error: --classes: goes with --set")


def refused(said, *words):
    with pytest.raises(WorkspaceError) as raised:
        said(*words)
    return str(raised.value)


def bytes_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_an_ingest_of_download_is_never_replaced(said, tmp_path):
    as_voc(tmp_path / "scans")
    ours, place = tmp_path / "ours", str(tmp_path / "scans")
    classes = ("Gun", "Knife", "Wrench")
    download(Workspace(ours), DownloadSettings(place, classes, on_error="skip", seed=7))
    before = bytes_of(ours / "shards")

    text = "holds an ingest of the set with other files or settings, which `audit --set` did not"
    end = f"make; name another workspace with -w; `sixrayd audit -w {ours}` audits what is there"
    assert refused(said, "--set", place, "-w", str(ours)) == f"{ours}/shards: {text} {end}"
    (ours / "shards/run.json").rename(ours / "shards/plan.json")  # as if it had been killed
    assert refused(said, "--set", place, "-w", str(ours)) == f"{ours}/shards: {text} {end}"
    (ours / "shards/plan.json").rename(ours / "shards/run.json")
    assert bytes_of(ours / "shards") == before

    download(Workspace(ours), DownloadSettings(place, on_error="skip", force=True))
    assert said("--set", place, "-w", str(ours))[1]["images"] == 4  # the same: nothing to replace


def test_an_ingest_that_a_stage_has_used_is_not_replaced(said, tmp_path):
    tree = tmp_path / "scans"
    as_voc(tree)
    said("--set", str(tree))
    (tmp_path / "here/scans-audit/models/first").mkdir(parents=True)
    assert said("--set", str(tree))[1]["images"] == 4
    write(tree / "train/Annotations/x1.xml", voc("x1", ("Saw", 3, 3, 40, 50)))
    write(tree / "train/JPEGImages/x1.jpg", jpeg(7))

    assert refused(said, "--set", str(tree)) == (
        "scans-audit: holds models beside an ingest; name another workspace with -w; "
        "`sixrayd audit -w scans-audit` audits what is there"
    )


def test_a_fix_is_not_dropped_when_the_set_changes(said, tmp_path):
    tree, twice = tmp_path / "scans", ("Gun", 3, 3, 40, 50)
    as_voc(tree)
    write(tree / "train/Annotations/x1.xml", voc("x1", twice, twice))
    write(tree / "train/JPEGImages/x1.jpg", jpeg(7))
    assert said("--set", str(tree), "--fix")[1]["boxes"] == 5
    assert said("--set", str(tree))[1]["boxes"] == 5
    write(tree / "train/Annotations/x2.xml", voc("x2", twice))
    write(tree / "train/JPEGImages/x2.jpg", jpeg(8))

    assert refused(said, "--set", str(tree)) == (
        "scans-audit/shards: the set or its classes have changed and a fix stands; run "
        "`sixrayd audit --undo -w scans-audit` first"
    )
    assert said("--set", str(tree), "--undo")[1]["boxes"] == 9


@pytest.mark.parametrize("form", ["voc", "coco", "yolo"])
def test_each_fault_is_told_once_in_any_form(said, tmp_path, form):
    tree, size = tmp_path / "scans", (96, 64)
    beyond, gun = ("Gun", 200, 10, 220, 30), ("Gun", 10, 10, 30, 40)
    objects = {"bag0": [gun], "bag1": [beyond, gun]}
    for stem, things in objects.items():
        write(tree / f"images/{stem}.jpg", jpeg(int(stem[-1])))
        xml = voc(stem, *((name, x1 + 1, y1 + 1, x2, y2) for name, x1, y1, x2, y2 in things))
        rows = "".join(yolo_row(thing, size) for thing in things)
        text = {"voc": ("Annotations", "xml", xml), "yolo": ("labels", "txt", rows)}.get(form)
        if text:
            write(tree / f"{text[0]}/{stem}.{text[1]}", text[2])
    if form == "yolo":
        write(tree / "data.yaml", f"names: {list(NAMES)}\n")
    if form == "coco":
        document = coco({stem: (size, things) for stem, things in objects.items()}, NAMES)
        write(tree / "instances.json", json.dumps(document))

    code, document = said("--set", str(tree))

    assert (code, document["faults"]) == (3, 1)
    (kind,) = [kind for kind in document["kinds"] if kind["severity"] == "fault"]
    assert (kind["flaw"], kind["count"]) == ("box outside the image", 1)
    assert kind["examples"][0]["image_id"] == "bag1"


def test_an_image_without_label_is_a_fault(said, tmp_path):
    for number in range(3):
        write(tmp_path / f"scans/images/a{number}.jpg", jpeg(number))
    write(tmp_path / "scans/labels/a0.xml", voc("a0", ("Gun", 10, 10, 30, 40)))

    code, document = said("--set", str(tmp_path / "scans"))

    assert (code, document["images"], document["faults"]) == (3, 1, 2)
    assert [(kind["flaw"], kind["severity"], kind["count"]) for kind in document["kinds"]] == [
        ("image that nothing is said of", "fault", 2)
    ]


@pytest.mark.parametrize("left", ["plan.json", ""])
def test_a_killed_one_of_its_own_goes_on(said, tmp_path, left):
    tree, run = tmp_path / "scans", tmp_path / "here/scans-audit/shards/run.json"
    as_voc(tree)
    said("--set", str(tree))
    document = json.loads(run.read_text())
    assert document["settings"]["made_by"] == "audit --set"
    run.unlink()
    if left:
        run.with_name(left).write_text(json.dumps({**document, "outputs": {}, "summary": {}}))
    write(tree / "train/Annotations/x1.xml", voc("x1", ("Saw", 3, 3, 40, 50)))
    write(tree / "train/JPEGImages/x1.jpg", jpeg(7))

    assert said("--set", str(tree))[1]["images"] == 5
    assert json.loads(run.read_text())["settings"]["made_by"] == "audit --set"


def test_an_image_that_a_voc_list_names_and_nobody_has_is_a_fault(said, tmp_path):
    as_voc(tmp_path / "scans")
    lists = tmp_path / "scans/ImageSets/Main"
    write(lists / "train.txt", "P00001\nP00002\nP00077\n")
    write(lists / "trainval.txt", "P00001\nP00002\nP00077\n")
    write(lists / "test.txt", "N0000003\nN0000004\n")

    code, document = said("--set", str(tmp_path / "scans"))

    (fault,) = [kind for kind in document["kinds"] if kind["severity"] == "fault"]
    assert (code, fault["flaw"], fault["count"]) == (3, "image that is listed and missing", 1)
    (one,) = fault["examples"]
    assert (one["image_id"], one["text"]) == ("P00077", "P00077 is listed, not in the release")
    assert one["where"] == "ImageSets/Main/train.txt"


def test_images_that_no_list_of_voc_names_are_told(said, tmp_path):
    as_voc(tmp_path / "scans")
    lists = tmp_path / "scans/ImageSets/Main"
    write(lists / "train.txt", "P00001\nP00002\n")
    write(lists / "test.txt", "N0000003\n")

    code, document = said("--set", str(tmp_path / "scans"))

    (kind,) = [k for k in document["kinds"] if k["flaw"] == "image that no image set lists"]
    assert (code, kind["severity"], kind["count"]) == (0, "remark", 1)
    assert (kind["examples"][0]["image_id"], kind["examples"][0]["text"]) == (
        "N0000004",
        "listed by none",
    )


def test_what_cannot_be_taken_in_leaves_nothing(said, tmp_path):
    write_zip(tmp_path / "labels.zip", {"P1.xml": voc("P1", ("Gun", 1, 1, 20, 30))})

    with pytest.raises(ReleaseError, match="no image found"):
        said("--set", str(tmp_path / "labels.zip"))

    assert list((tmp_path / "here").iterdir()) == []
    (tmp_path / "here/mine").mkdir()  # a folder that was there stays
    with pytest.raises(ReleaseError, match="no image found"):
        said("--set", str(tmp_path / "labels.zip"), "-w", "mine")
    assert (tmp_path / "here/mine").is_dir()


def test_a_workspace_within_the_set_is_refused(said, tmp_path):
    as_voc(tmp_path / "scans")

    with pytest.raises(ReleaseError) as raised:
        said("--set", str(tmp_path / "scans"), "-w", str(tmp_path / "scans/ws"))

    text = "holds the workspace; name a workspace elsewhere with -w"
    assert str(raised.value) == f"{tmp_path / 'scans'}: {text}"
    assert not (tmp_path / "scans/ws").exists()
