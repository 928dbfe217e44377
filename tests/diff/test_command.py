"""`sixrayd diff` and `sixrayd patch` as they are typed, on a workspace, its export and others."""

import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest

from sixrayd.cli import cli
from sixrayd.core.errors import SixraydError, WorkspaceError
from sixrayd.core.staging import sole_writer
from sixrayd.core.workspace import Workspace
from sixrayd.datasets.recognising import open_place
from sixrayd.datasets.workspace_set import read_workspace
from sixrayd.diff.settings import DiffSettings
from sixrayd.diff.stage import compare_places
from sixrayd.export.settings import ExportSettings
from sixrayd.export.stage import export
from tests.releases import jpeg, voc, write_zip
from tests.workspaces import Small, build_splits

BEFORE = "c8b78fcba225f009083d375d1986637b927195820379dd465221c12afdcefa90"
AFTER = "568af3cad739f71930a2dae8ed896cd81d51da91019a2cb88aa51438030e73c4"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    workspace = Small().build(tmp_path_factory.mktemp("small") / "ws")
    export(workspace, ExportSettings())
    return workspace.root


@pytest.fixture(scope="module")
def exported(workspace):
    return workspace / "export" / "first"


@pytest.fixture
def run(runner):
    def typed(*words, code=0):
        done = runner.invoke(cli, [str(word) for word in words])
        assert done.exit_code == code, done.output
        return done.stdout.splitlines()

    return typed


@pytest.fixture
def refused(runner):
    def typed(*words):
        found = runner.invoke(cli, [str(word) for word in words]).exception
        assert isinstance(found, SixraydError)
        return str(found)

    return typed


LINES = [
    "A  workspace: 13 images with labels, 2 positive, 3 boxes, label hash c8b78fcba225f009",
    "B  voc: 9 images with labels, 5 positive, 7 boxes, label hash 568af3cad739f719",
    "       16  images in both",
    "        3  negative → positive:  N0000001  N0000010  N0000012",
    "        4  labelled in A alone:  N0000004  N0000005  N0000006  …",
    "class      unchanged       added     removed       moved  relabelled other flags",
    "Gun                2           1           0           0           0           0",
    "Knife              1           1           0           0           0           0",
    "Pliers             0           1           0           0           0           0",
    "Scissors           0           1           0           0           0           0",
    "N0000001: added: Gun 50,10,70,30",
    "N0000001: added: Knife 10,20,40,50",
    "N0000010: added: Scissors 11,20,40,50",
]


def test_a_workspace_and_its_export(run, workspace, exported):
    assert run("diff", workspace, exported) == LINES
    assert run("diff", workspace, exported, "--check", code=3) == LINES
    assert run("diff", exported, exported, "--check")[2:] == ["no difference"]
    assert run("diff", workspace, workspace, "--check")[2:] == ["no difference"]


def test_what_is_being_read_is_told(tmp_path):
    """Of two exports of a million images, 400 s went by without a word."""
    for name in ("a", "b"):
        for number in range(150):
            path = tmp_path / name / f"P{number:05d}.xml"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(voc(path.stem, ("Gun", 1, 1, 9, 9)))
    told = {}
    compare_places(
        tmp_path / "a",
        tmp_path / "b",
        DiffSettings(),
        report=lambda what, done, total: told.update({what: done}),
    )
    read = ("files looked for labels", "files looked for images", "images' labels")
    each = {f"{name}: {what}" for name in "AB" for what in read} | {"images compared"}
    assert told == dict.fromkeys(each, 150)


def test_the_json_is_one_document_with_all_of_it(run, workspace, exported):
    said = json.loads("\n".join(run("diff", workspace, exported, "--json")))

    assert list(said) == ["differs", "a", "b", "images", "boxes", "changes", "splits"]
    assert (said["a"]["labels"], said["b"]["labels"]) == (BEFORE, AFTER)
    assert said["images"]["no_longer_labelled"] == [f"N{n:07d}" for n in (4, 5, 6, 11)]
    assert said["changes"][0] == {
        "image": "N0000001",
        "kind": "added",
        "before": None,
        "after": {
            **{"label": "Gun", "x1": 50.0, "y1": 10.0, "x2": 70.0, "y2": 30.0},
            **{"difficult": False, "truncated": False},
        },
        "iou": None,
    }
    assert len(said["changes"]) == 4


def test_there_and_back_with_a_patch(run, workspace, exported, tmp_path):
    patch, there, back = (tmp_path / name for name in ("a.patch", "there", "back"))
    assert run("diff", workspace, exported, "--patch", patch)[-1] == f"wrote {patch}: 7 images"

    assert run("patch", "apply", patch, workspace, "--out", there) == [
        f"wrote {there}: 7 images changed",
        f"5 images with 7 boxes, label hash {AFTER}",
    ]
    run("patch", "apply", patch, exported, "--reverse", "--out", back)

    stems = ["N0000001", "N0000010", "N0000012", "P00001", "P00002"]
    written = sorted((there / "VOC2007" / "Annotations").iterdir())
    assert [path.stem for path in written] == stems
    found = (there / "VOC2007/Annotations/N0000001.xml").read_text()
    assert "<origin>confirmed</origin>" in found
    sides = "VOC2007/ImageSets/Main/test.txt"
    assert (there / sides).read_text() == (exported / sides).read_text()
    assert run("diff", there, exported, "--check")[2:] == ["no difference"]
    assert run("diff", back, workspace, "--check")[2:] == ["no difference"]


def test_the_same_work_leaves_the_same_bytes(run, workspace, exported, tmp_path):
    for name in "ab":
        run("diff", workspace, exported, "--patch", tmp_path / f"{name}.patch")
        run("patch", "apply", tmp_path / f"{name}.patch", workspace, "--out", tmp_path / name)

    assert (tmp_path / "a.patch").read_bytes() == (tmp_path / "b.patch").read_bytes()
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert len(contents(tmp_path / "a")) == 12


def contents(folder):
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_zip_of_xml_and_a_tree_of_other_names(run, exported, tmp_path):
    write_zip(
        tmp_path / "d.zip",
        {
            "SIXray-D/train/P00001.xml": voc("P00001", ("gun", 6, 7, 30, 40)),
            "SIXray-D/test/P00002.xml": voc("P00002", ("knife", 1, 1, 96, 60)),
        },
    )

    found = run("diff", exported, tmp_path / "d.zip")

    assert found[2:5] == [
        "        2  images in both",
        "       14  only in A:  N0000001  N0000002  N0000003  …",
        "class      unchanged       added     removed       moved  relabelled other flags",
    ]
    assert found[-1] == "P00002: moved: Knife 0,0,96,64 → Knife 0,0,96,60, IoU 0.94"


def test_what_a_patch_holds(run, workspace, exported, tmp_path):
    run("diff", workspace, exported, "--patch", tmp_path / "a.patch")

    lines = run("patch", "show", tmp_path / "a.patch", "--limit", 2)
    said = json.loads("\n".join(run("patch", "show", tmp_path / "a.patch", "--json")))

    assert lines == [
        "classes Gun, Knife, Wrench, Pliers, Scissors",
        f"before  13 images, 2 positive, 3 boxes, label hash {BEFORE}",
        f"after   9 images, 5 positive, 7 boxes, label hash {AFTER}",
        "N0000001",
        "  + Gun 50,10,70,30",
        "  + Knife 10,20,40,50",
        "N0000004",
        "  no longer labelled",
        "and 5 more images; --limit 0 shows all",
    ]
    assert said["changes"] == len(said["images"]) == 7


def test_the_page_shows_what_is_there(run, workspace, exported, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "diff.md").read_text("utf-8").splitlines()

    shown = run("diff", workspace, exported, "--patch", tmp_path / "a.patch")[:-1]
    lines = (tmp_path / "a.patch").read_text("utf-8").splitlines()

    start = page.index(shown[0])
    assert page[start : start + len(shown)] == shown
    quoted = [line for line in page if line.startswith('{"')]
    assert quoted == [line for line in lines if line in page]
    assert len(quoted) == 3


def test_refusals_leave_nothing(run, refused, workspace, exported, tmp_path):
    patch = tmp_path / "a.patch"
    run("diff", workspace, exported, "--patch", patch)

    assert refused("diff", workspace, exported, "--patch", patch) == (
        f"{patch}: exists; replace it with --force, or name another file"
    )
    assert run("diff", workspace, exported, "--patch", patch, "--force")
    (holiday := tmp_path / "holiday.jpg").write_bytes(b"sand")
    assert refused("diff", workspace, exported, "--patch", holiday, "--force") == (
        f"{holiday}: no patch of sixrayd; name another place"
    )
    assert holiday.read_bytes() == b"sand"
    holiday.write_bytes(b"")
    assert run("diff", workspace, exported, "--patch", holiday, "--force")
    holiday.unlink()
    assert refused("patch", "apply", patch, workspace, "--out", tmp_path) == (
        f"{tmp_path}: exists; name a new folder with --out"
    )
    assert refused("patch", "apply", patch, exported, "--out", tmp_path / "out") == (
        f"{exported}: N0000001: found Gun 50,10,70,30; Knife 10,20,40,50, expected no box; apply "
        "the patch to the set that it was made from"
    )
    assert refused("patch", "apply", workspace / "shards/run.json", workspace, "--out", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["a.patch"]


def test_no_two_write_one_patch_at_once(workspace, exported, tmp_path):
    patch = tmp_path / "a.patch"
    with sole_writer(patch), pytest.raises(WorkspaceError) as caught:
        compare_places(workspace, exported, DiffSettings(force=True), patch)
    assert str(caught.value) == (
        f"{patch}: process {os.getpid()} writes there; wait for it, or name another place"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_patch_that_brings_a_split(run, tmp_path):
    things = {f"P{n}.xml": voc(f"P{n}", ("Gun", 1, 1, 20, 30)) for n in (1, 2)}
    write_zip(tmp_path / "a.zip", {f"Annotations/{name}": xml for name, xml in things.items()})
    lists = {"VOC/ImageSets/Main/train.txt": b"P1\n", "VOC/ImageSets/Main/test.txt": b"P2\n"}
    inner = {f"VOC/Annotations/{name}": xml for name, xml in things.items()}
    write_zip(tmp_path / "b.zip", inner | lists)
    run("diff", tmp_path / "a.zip", tmp_path / "b.zip", "--patch", tmp_path / "a.patch")

    run("patch", "apply", tmp_path / "a.patch", tmp_path / "a.zip", "--out", tmp_path / "out")

    main = tmp_path / "out" / "VOC2007" / "ImageSets" / "Main"
    assert {p.name: p.read_text() for p in main.iterdir()} == {
        "train.txt": "P1\n",
        "trainval.txt": "P1\n",
        "test.txt": "P2\n",
    }
    assert run("diff", tmp_path / "out", tmp_path / "b.zip", "--check")[2:] == ["no difference"]


def test_a_name_that_is_no_set(refused, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.md", "none")

    assert refused("diff", tmp_path / "a.zip", tmp_path / "a.zip").startswith(f"{tmp_path}/a.zip: ")


REHEARSAL = [
    "A  voc: 2,169 images with labels, 2,169 positive, 2,169 boxes, label hash 01ec473c51cd370d",
    "B  voc: 6,181 images with labels, 2,711 positive, 2,711 boxes, label hash b4f990c5f686cd58",
    "    2,169  images in both",
    "    4,012  only in B:  …",
    "class       unchanged       added     removed       moved  relabelled other flags",
    "Scissors        1,028         256           0           0           0           0",
    "Multitool       1,141         286           0           0           0           0",
]


@pytest.mark.long
def test_rehearsal_labels_and_their_truth(run, tmp_path):
    data = Path(os.environ.get("SIXRAYD_DATA", "/nowhere"))
    given, truth = data / "rehearsal/Annotation.zip", data / "rehearsal-truth/all-classes.zip"
    if not truth.exists():
        pytest.skip("needs the rehearsal data")
    patch, out = tmp_path / "truth.patch", tmp_path / "out"
    classes = ("--classes", "Scissors,Multitool")

    lines = run("diff", given, truth, *classes, "--examples", 0, "--patch", patch)

    assert lines == [*REHEARSAL, f"wrote {patch}: 4,012 images"]
    assert run("patch", "apply", patch, given, "--out", out)[1].endswith(
        "b4f990c5f686cd5834b1373658a6e52eb414162dd34a34a547dc3fb16a575e3a"
    )


@pytest.mark.parametrize("place", ["workspace", "exported"])
def test_images_are_copied_where_asked(run, workspace, exported, tmp_path, place):
    patch, out = tmp_path / "a.patch", tmp_path / "out"
    run("diff", workspace, exported, "--patch", patch)
    there = place == "workspace"
    given = (workspace,) if there else (exported, "--reverse")

    lines = run("patch", "apply", patch, *given, "--images", "--out", out)

    count = 5 if there else 2
    assert lines[0] == f"wrote {out}: 7 images changed, {count} copied"
    copied = sorted((out / "VOC2007" / "JPEGImages").iterdir())
    assert len(copied) == count
    for path in copied:
        assert path.read_bytes() == (exported / "VOC2007" / "JPEGImages" / path.name).read_bytes()


def test_an_image_that_was_changed_is_not_copied(refused, run, workspace, exported, tmp_path):
    patch, tree = tmp_path / "a.patch", tmp_path / "tree"
    shutil.copytree(exported, tree)
    run("diff", workspace, exported, "--patch", patch)
    (tree / "VOC2007" / "JPEGImages" / "P00001.jpg").write_bytes(b"\xff\xd8\xff other")

    typed = ("patch", "apply", patch, tree, "--reverse", "--images", "--out", tmp_path / "out")

    assert refused(*typed) == f"{tree}: P00001: another image than the patch names"
    assert not (tmp_path / "out").exists()


def test_a_patch_of_some_classes_applies_to_what_it_was_made_from(run, tmp_path):
    gun, knife = ("Gun", 1, 1, 20, 30), ("Knife", 5, 5, 40, 50)
    a = {"P1": [gun], "P2": [knife], "A3": []}
    b = {"P1": [gun, knife], "P2": [gun], "A3": []}
    for name, things in (("a", a), ("b", b)):
        files = {f"Annotations/{stem}.xml": voc(stem, *boxes) for stem, boxes in things.items()}
        write_zip(tmp_path / f"{name}.zip", files)
    patch, out = tmp_path / "a.patch", tmp_path / "out"

    run("diff", tmp_path / "a.zip", tmp_path / "b.zip", "--classes", "Knife", "--patch", patch)

    assert json.loads(patch.read_text().splitlines()[0])["classes"] == ["Knife"]
    lines = run("patch", "apply", patch, tmp_path / "a.zip", "--out", out)
    assert sorted(path.stem for path in (out / "VOC2007/Annotations").iterdir()) == ["P1"]
    assert (out / "negatives.txt").read_text() == "A3\n"  # P2 may hold what is no knife: a gun
    assert (out / "other_classes.txt").read_text() == "P1\nP2\n"
    assert run("diff", out, out, "--classes", "Knife")[0].endswith(lines[1][-64:][:16])


def test_a_workspace_s_other_boxes_are_no_negatives(run, workspace, exported, tmp_path):
    patch, out = tmp_path / "a.patch", tmp_path / "out"
    run("diff", workspace, exported, "--classes", "Gun", "--patch", patch)

    run("patch", "apply", patch, workspace, "--out", out)

    found = (out / "negatives.txt").read_text().split()
    assert ("P00002" in found, "N0000010" in found) == (False, True)  # P00002 holds a knife


def test_a_patch_of_some_classes_goes_back_from_the_tree_it_wrote(run, tmp_path):
    gun, knife = ("Gun", 1, 1, 20, 30), ("Knife", 5, 5, 40, 50)
    a = {"P1": [gun], "P2": [knife], "P3": [gun, knife], "P4": []}
    b = {"P1": [gun, knife], "P2": [], "P3": [gun], "N5": [knife]}
    for name, things in (("a", a), ("b", b)):
        files = {f"Annotations/{stem}.xml": voc(stem, *boxes) for stem, boxes in things.items()}
        write_zip(tmp_path / f"{name}.zip", files)
    patch, there, back = (tmp_path / name for name in ("a.patch", "there", "back"))
    knives = ("--classes", "Knife")

    run("diff", tmp_path / "a.zip", tmp_path / "b.zip", *knives, "--patch", patch)
    run("patch", "apply", patch, tmp_path / "a.zip", "--out", there)
    run("patch", "apply", patch, there, "--reverse", "--out", back)

    for tree, zipped in ((there, "b.zip"), (back, "a.zip")):
        labels = run("diff", tree, tmp_path / zipped, *knives, "--no-images", "--check")
        assert labels[2:] == ["no difference"]
    assert (back / "negatives.txt").read_text() == ""  # P4 is a positive by its name
    assert (back / "other_classes.txt").read_text() == "P1\nP3\n"
    # Who does not ask for some classes is told nothing of P1, which holds a gun.
    assert "        2  only in B:  P1  P4" in run("diff", back, tmp_path / "a.zip")


def test_a_workspace_goes_back_from_a_tree_of_some_classes(run, workspace, exported, tmp_path):
    patch, there, back = (tmp_path / name for name in ("a.patch", "there", "back"))
    run("diff", workspace, exported, "--classes", "Gun", "--patch", patch)

    run("patch", "apply", patch, workspace, "--out", there)
    run("patch", "apply", patch, there, "--reverse", "--out", back)

    for tree, given in ((there, exported), (back, workspace)):
        found = run("diff", tree, given, "--classes", "Gun", "--check")
        assert found[2:] == ["no difference"]


def test_sides_of_images_without_boxes_are_kept(run, workspace, exported, tmp_path):
    patch, out = tmp_path / "a.patch", tmp_path / "out"
    run("diff", workspace, exported, "--patch", patch)

    run("patch", "apply", patch, workspace, "--out", out)

    sides = read_workspace(Workspace(workspace)).splits["leak-free"]
    assert len(sides) == 16
    assert json.loads((out / "splits.json").read_text()) == {
        side: sorted(i for i in sides if sides[i] == side) for side in ("train", "test")
    }
    assert open_place(out).splits["leak-free"] == sides


def test_no_images_compares_what_the_labels_say(run, tmp_path):
    labels = {"Annotations/P1.xml": voc("P1", ("Gun", 1, 1, 20, 30))}
    write_zip(tmp_path / "labels.zip", labels)
    images = {f"JPEGImages/{stem}.jpg": jpeg(n) for n, stem in enumerate(("P1", "A2"))}
    write_zip(tmp_path / "both.zip", labels | images)
    typed = ("diff", tmp_path / "labels.zip", tmp_path / "both.zip", "--check")

    assert run(*typed, code=3)[2:] == [
        "the labels are the same; images or splits differ",
        "        1  images in both",
        "        1  only in B:  A2",
        "class   unchanged       added     removed       moved  relabelled other flags",
        "Gun             1           0           0           0           0           0",
    ]
    assert run(*typed, "--no-images")[2:] == ["no difference"]


def test_an_exports_classes_that_are_no_names(run, workspace, exported, tmp_path):
    tree = shutil.copytree(exported, tmp_path / "tree")
    shutil.rmtree(tree / "manifests")
    said = json.loads((tree / "run.json").read_text())
    said["settings"]["classes"] = [["Gun"], {}]
    (tree / "run.json").write_text(json.dumps(said))
    assert run("diff", tree, exported, "--classes", "Gun", "--no-images")


def test_no_device_and_no_pipe_is_replaced(refused, workspace, exported, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    typed = ("diff", workspace, exported, "--patch", tmp_path / "pipe", "--force")

    assert refused(*typed) == f"{tmp_path}/pipe: no plain file; name another one"


def test_what_leaves_something_out_is_told_first(runner, tmp_path):
    over, beyond = ("Gun", 1, 1, 97, 30), ("Gun", 200, 5, 240, 50)
    files = {"P1": [over], "P2": [over, over], "P3": [beyond, ("Knife", 1, 1, 20, 20)]}
    write_zip(tmp_path / "a.zip", {f"{s}.xml": voc(s, *things) for s, things in files.items()})
    place = str(tmp_path / "a.zip")
    outside = "200,5,240,50 lies outside the image of 96 x 64; left out"

    done = runner.invoke(cli, ["diff", place, place, "--examples", "1"])

    told = [line.split(",")[0] for line in done.stderr.splitlines()]
    assert told[:3] == [
        "A: images' labels 3 of 3",
        "B: images' labels 3 of 3",
        "images compared 3 of 3",
    ]
    assert done.stderr.splitlines()[3:6] == [
        f"note: {place}: 5 findings, something is left out by 1",
        f"note: {place}: P3.xml: object 1: {outside}",
        f"note: {place}: and 4 more; --json lists up to 1,000",
    ]
    said = json.loads(runner.invoke(cli, ["diff", place, place, "--json"]).stdout)["a"]
    assert (said["findings"], len(said["first_findings"])) == (5, 5)
    assert said["first_findings"][0] == {
        "flaw": "box outside the image",
        "where": "P3.xml: object 1",
        "text": outside,
    }


def test_a_class_that_neither_side_has_is_no_agreement(refused, workspace, exported):
    words = ("diff", workspace, exported, "--classes", "Knif", "--check")
    assert refused(*words) == (
        f"--classes Knif: neither {workspace} nor {exported} has a box of it"
    )


def test_exports_that_differ_in_their_splits_alone(run, tmp_path):
    workspace = Small().build(tmp_path / "ws")
    stems = [f"N{n:07d}" for n in range(1, 13)] + [f"P{n:05d}" for n in range(1, 5)]
    build_splits(workspace, own={stem: ("train", "test")[n % 2] for n, stem in enumerate(stems)})
    export(workspace, ExportSettings(out=tmp_path / "a", forms=("voc", "yolo")))
    export(workspace, ExportSettings(out=tmp_path / "b", forms=("coco", "yolo"), split="own"))

    one, other, *said = run("diff", tmp_path / "a", tmp_path / "b", "--check", code=3)
    assert (one.split(":")[0], other.split(":")[0]) == ("A  voc+yolo", "B  coco+yolo")
    assert said == [
        "the labels are the same; images or splits differ",
        "       16  images in both",
        "        6  on another side:  N0000002 leak-free → own train → test,  N0000004 leak-free → "
        "own train → test,  N0000006 leak-free → own train → test  …",
        *said[3:],
    ]
