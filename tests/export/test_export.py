"""The exported tree, file by file, from a workspace in which every state occurs."""

import io
import json
import subprocess
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sixrayd.cli import cli
from sixrayd.core.boxes import Box
from sixrayd.core.classes import ClassList
from sixrayd.core.errors import ShardError, WorkspaceError
from sixrayd.core.files import sha256_file
from sixrayd.core.records import ADJUDICATION, CANDIDATE_SCHEMA
from sixrayd.core.staging import MANIFEST
from sixrayd.core.tables import read_table, write_table
from sixrayd.core.voc import Provenance, VocObject, read_voc
from sixrayd.export.settings import ExportSettings
from sixrayd.export.stage import export
from tests.workspaces import (
    BOB,
    FLAGGED,
    MISSED,
    NOTHING,
    Picture,
    Says,
    Small,
    build_mine,
    build_review,
    build_shards,
    build_splits,
    finish,
)

STATES = {
    "P00001": "source positive",
    "P00002": "source positive",
    "P00003": "source positive",
    "P00004": "unreadable",
    "N0000001": "found positive",
    "N0000002": "confusing negative",
    "N0000003": "audited empty",
    "N0000004": "undecided",
    "N0000005": "undecided",
    "N0000006": "flagged but unreviewed",
    "N0000007": "unflagged",
    "N0000008": "unflagged",
    "N0000009": "unreadable",
    "N0000010": "found positive",
    "N0000011": "undecided",
    "N0000012": "found positive",
}


def small_release():
    """The usual one; where ann and bob box different things, bob is the adjudicator."""
    small = Small()
    (other,) = (s for s in small.rounds[1] if s.image_id == "N0000010")
    other.lane = ADJUDICATION
    return small


@pytest.fixture
def workspace(tmp_path):
    return small_release().build(tmp_path / "workspace")


def files(folder):
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {name: found[name].read_bytes() for name in sorted(found)}


def lines(tree, name):
    return (tree / name).read_text().splitlines()


def objects(tree, image_id):
    path = tree / f"VOC2007/Annotations/{image_id}.xml"
    return read_voc(path.read_bytes(), path.name, ClassList()).objects


def test_result_and_tree(workspace):
    result = export(workspace, ExportSettings())
    tree = workspace.folder("export", "first")
    assert (result.name, result.tree, result.written) == ("first", str(tree), True)
    assert result.states == {
        "source positive": 3,
        "found positive": 3,
        "confusing negative": 1,
        "audited empty": 1,
        "undecided": 3,
        "flagged but unreviewed": 1,
        "unflagged": 2,
        "unreadable": 2,
    }
    assert result.images == {"train": 3, "test": 2}
    assert result.origins == {"confirmed": 1, "drawn": 2, "relabelled": 1, "source": 3}
    assert result.boxes["Gun"] == {
        "train_images": 2,
        "train_boxes": 2,
        "test_images": 1,
        "test_boxes": 1,
    }
    assert result.notes == (
        "1 flagged images are not reviewed and in none of the lists",
        "1 positive without a box: positives_without_boxes.txt",
    )
    exported = ["N0000001", "N0000010", "N0000012", "P00001", "P00002"]
    sets = [f"{c}_" for c in ClassList().names] + [""]
    assert sorted(files(tree)) == sorted(
        [
            "README.md",
            "VOC2007/labelmap.txt",
            "absence.parquet",
            "audited_empty.txt",
            "confusing_negatives.txt",
            "croissant.json",
            "found_positives.txt",
            "manifest.sha256",
            "manifests/dataset.json",
            "manifests/images.parquet",
            "negatives.txt",
            "positives_without_boxes.txt",
            "provenance.parquet",
            "run.json",
            "splits.json",
            "states.parquet",
            "undecided.txt",
            "unreadable.txt",
            *(f"VOC2007/JPEGImages/{name}.jpg" for name in exported),
            *(f"VOC2007/Annotations/{name}.xml" for name in exported),
            *(
                f"VOC2007/ImageSets/Main/{prefix}{name}.txt"
                for prefix in sets
                for name in ("train", "trainval", "test")
            ),
        ]
    )


def test_images_are_the_release_s_bytes(workspace):
    tree = Path(export(workspace, ExportSettings()).tree)
    pictures = {picture.image_id: picture.data for picture in small_release().pictures}
    paths = sorted((tree / "VOC2007/JPEGImages").iterdir())
    assert len(paths) == 5
    for path in paths:
        assert path.read_bytes() == pictures[path.stem]


def test_states_and_lists(workspace):
    tree = Path(export(workspace, ExportSettings()).tree)
    rows = pq.read_table(tree / "states.parquet").to_pylist()
    assert {row["image_id"]: row["state"] for row in rows} == STATES
    assert {row["image_id"]: row["reason"] for row in rows if row["reason"]} == {
        "N0000004": "unsure: ann@example.org",
        "N0000005": "reviewers disagree: ann@example.org: contraband missed; "
        "bob@example.org: nothing there",
        "N0000009": "not an image",
        "N0000010": "adjudicated; before: ann@example.org: contraband missed",
        "N0000011": "ann@example.org: contraband missed, but no box",
        "P00004": "truncated",
    }
    assert {row["image_id"] for row in rows if row["split"] == "test"} == {"N0000010", "P00002"}
    assert lines(tree, "negatives.txt") == ["N0000007", "N0000008"]
    assert lines(tree, "confusing_negatives.txt") == ["N0000002"]
    assert lines(tree, "audited_empty.txt") == ["N0000003"]
    assert lines(tree, "undecided.txt") == ["N0000004", "N0000005", "N0000011"]
    assert lines(tree, "unreadable.txt") == ["N0000009", "P00004"]
    assert lines(tree, "found_positives.txt") == ["N0000001", "N0000010", "N0000012"]
    assert lines(tree, "positives_without_boxes.txt") == ["P00003"]
    assert json.loads((tree / "splits.json").read_text()) == {
        "train": ["N0000001", "N0000012", "P00001"],
        "test": ["N0000010", "P00002"],
    }
    text = {name: data for name, data in files(tree).items() if not name.endswith("parquet")}
    assert [name for name in text if b"N0000006" in text[name] or "N0000006" in name] == []


def test_image_sets(workspace):
    tree = Path(export(workspace, ExportSettings()).tree) / "VOC2007/ImageSets/Main"
    assert lines(tree, "train.txt") == ["N0000001", "N0000012", "P00001"]
    assert lines(tree, "trainval.txt") == lines(tree, "train.txt")
    assert lines(tree, "test.txt") == ["N0000010", "P00002"]
    assert lines(tree, "Gun_train.txt") == ["N0000001  1", "N0000012 -1", "P00001  1"]
    assert lines(tree, "Gun_test.txt") == ["N0000010 -1", "P00002  0"]
    assert lines(tree, "Pliers_trainval.txt") == ["N0000001 -1", "N0000012  1", "P00001 -1"]
    assert lines(tree, "Scissors_test.txt") == ["N0000010  1", "P00002 -1"]


def test_a_class_that_is_named_but_not_boxed_counts_neither_way(tmp_path):
    small = small_release()
    small.pictures[0].labels = ("Gun", "Wrench")
    tree = Path(export(small.build(tmp_path), ExportSettings()).tree)
    main = tree / "VOC2007/ImageSets/Main"
    assert lines(main, "Wrench_train.txt") == ["N0000001 -1", "N0000012 -1", "P00001  0"]


def test_every_box_carries_its_origin(workspace):
    tree = Path(export(workspace, ExportSettings()).tree)
    assert objects(tree, "P00002") == (
        VocObject(Box("Knife", 0, 0, 96, 64), provenance=Provenance("source")),
        VocObject(Box("Gun", 1, 2, 9, 9), difficult=True, provenance=Provenance("source")),
    )
    ann = {
        "reviewer": "ann@example.org",
        "verdict": MISSED,
        "decided_at": "2026-01-02T11:00:00+00:00",
        "version": 2,
    }
    assert objects(tree, "N0000001") == (
        VocObject(
            Box("Knife", 10, 20, 40, 50),
            provenance=Provenance("confirmed", "N0000001/rfb/0", "rfb", 0.9, **ann),
        ),
        VocObject(Box("Gun", 50, 10, 70, 30), provenance=Provenance("drawn", **ann)),
    )
    assert objects(tree, "N0000010") == (
        VocObject(
            Box("Scissors", 11, 20, 40, 50),
            provenance=Provenance(
                "relabelled",
                "N0000010/rfb/0",
                "rfb",
                0.65,
                BOB,
                MISSED,
                "2026-01-03T10:00:00+00:00",
                1,
            ),
        ),
    )
    (drawn,) = objects(tree, "N0000012")
    assert (drawn.box, drawn.truncated) == (Box("Pliers", 0, 3, 20, 64), True)


def test_depth_is_the_image_s_own(workspace):
    tree = Path(export(workspace, ExportSettings()).tree)
    depths = [
        read_voc((tree / f"VOC2007/Annotations/{n}.xml").read_bytes(), n, ClassList()).depth
        for n in ("P00001", "P00002")
    ]
    assert depths == [3, 1]


def test_the_manifest_covers_every_file(workspace):
    tree = Path(export(workspace, ExportSettings()).tree)
    done = subprocess.run(
        ["sha256sum", "--strict", "-c", "manifest.sha256"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    listed = {line.split("  ", 1)[1] for line in lines(tree, "manifest.sha256")}
    assert set(files(tree)) - listed == {"manifest.sha256", "run.json"}
    assert len(done.stdout.splitlines()) == len(listed) == 44


def test_the_card_has_the_counts(workspace):
    text = (Path(export(workspace, ExportSettings()).tree) / "README.md").read_text()
    assert "# first: a corrected SIXray in PASCAL VOC 2007 form" in text
    assert "| flagged but unreviewed | 1 | the detector fired" in text
    assert "| all | 16 | |" in text
    assert "| Gun | 2 | 2 | 1 | 1 |" in text
    assert "Origin of the boxes: 1 confirmed, 2 drawn, 1 relabelled, 3 source." in text
    assert "False finds: NOT MEASURED, 2 of 3 found images were seen by one reader alone; " in text
    assert "academic purposes only" in text


def test_the_same_work_is_not_done_twice_and_gives_the_same_bytes(workspace, tmp_path):
    first = export(workspace, ExportSettings())
    tree = Path(first.tree)
    before = {name: (tree / name).stat().st_mtime_ns for name in files(tree)}
    second = export(workspace, ExportSettings())
    assert not second.written
    assert (second.states, second.boxes, second.notes) == (first.states, first.boxes, first.notes)
    assert {name: (tree / name).stat().st_mtime_ns for name in files(tree)} == before
    other = small_release().build(tmp_path / "other")
    assert files(Path(export(other, ExportSettings()).tree)) == files(tree)


def test_new_decisions_need_force(workspace):
    tree = Path(export(workspace, ExportSettings()).tree)
    rounds = [*small_release().rounds, [Says("N0000006", NOTHING)]]
    build_review(workspace, "first", FLAGGED, rounds)
    with pytest.raises(WorkspaceError) as caught:
        export(workspace, ExportSettings())
    assert str(caught.value) == (
        f"{tree}: holds an export of other inputs or settings, or changed since; "
        "replace it with --force, or name a new folder with --out"
    )
    result = export(workspace, ExportSettings(force=True))
    assert result.states["confusing negative"] == 2
    assert sorted(p.name for p in tree.parent.iterdir()) == ["first"]


def test_a_pull_in_the_round_before_changes_no_name(workspace):
    build_mine(workspace, "second", FLAGGED)
    build_review(workspace, "second", FLAGGED, [])
    tree = export(workspace, ExportSettings()).tree
    rounds = [*small_release().rounds, [Says("N0000006", NOTHING)]]
    build_review(workspace, "first", FLAGGED, rounds)
    assert workspace.newest("review") == "first"
    result = export(workspace, ExportSettings(force=True))
    assert tree == result.tree == str(workspace.folder("export", "second"))


def test_out_elsewhere(workspace, tmp_path):
    out = tmp_path / "SIXray-D"
    result = export(workspace, ExportSettings(out=out))
    assert result.tree == str(out)
    assert workspace.newest("export") == "first"
    assert workspace.run("export", "first").settings["out"] == str(out)
    assert sorted(p.name for p in workspace.folder("export", "first").iterdir()) == ["run.json"]
    assert not export(workspace, ExportSettings(out=out)).written
    inside = export(workspace, ExportSettings())
    assert inside.tree == str(workspace.folder("export", "first"))


def test_an_export_elsewhere_that_was_changed_is_not_taken_for_what_was_written(
    workspace, tmp_path
):
    """By somebody who made its manifest and `run.json` fit what he put there."""
    out, note = tmp_path / "SIXray-D", workspace.folder("export", "first") / "run.json"
    export(workspace, ExportSettings(out=out))
    before, noted = files(out), note.read_bytes()
    manifest, run = out / MANIFEST, json.loads((out / "run.json").read_bytes())
    xml = out / "VOC2007/Annotations/P00001.xml"
    old = sha256_file(xml)
    xml.write_bytes(xml.read_bytes().replace(b"Gun", b"Pen"))
    manifest.write_text(manifest.read_text().replace(old, sha256_file(xml)))
    run["outputs"][MANIFEST] = sha256_file(manifest)
    (out / "run.json").write_text(json.dumps(run))

    with pytest.raises(WorkspaceError, match="or changed since; replace it with --force"):
        export(workspace, ExportSettings(out=out))
    assert note.read_bytes() == noted
    assert export(workspace, ExportSettings(out=out, force=True)).written
    assert files(out)["VOC2007/Annotations/P00001.xml"] == before["VOC2007/Annotations/P00001.xml"]


def test_a_folder_that_is_no_export_is_never_replaced(workspace, tmp_path):
    out = tmp_path / "holiday"
    out.mkdir()
    export(workspace, ExportSettings(out=out))  # empty is free
    other = tmp_path / "photos"
    other.mkdir()
    (other / "beach.jpg").write_bytes(b"sand")
    with pytest.raises(WorkspaceError) as caught:
        export(workspace, ExportSettings(out=other, force=True))
    assert str(caught.value) == (f"{other}: exists and is no export; name a new folder with --out")
    assert files(other) == {"beach.jpg": b"sand"}


def test_with_negatives(workspace):
    tree = Path(export(workspace, ExportSettings(with_negatives=True)).tree)
    images = sorted(p.stem for p in (tree / "VOC2007/JPEGImages").iterdir())
    assert images == [
        *("N0000001", "N0000002", "N0000003", "N0000007", "N0000008"),
        *("N0000010", "N0000012", "P00001", "P00002"),
    ]
    # Seen by people to be empty: an annotation without objects. Not looked at: none.
    annotated = sorted(p.stem for p in (tree / "VOC2007/Annotations").iterdir())
    assert sorted(set(images) - set(annotated)) == ["N0000007", "N0000008"]
    assert objects(tree, "N0000002") == ()
    assert lines(tree, "VOC2007/ImageSets/Main/train.txt") == ["N0000001", "N0000012", "P00001"]


def test_decisions_of_all_rounds_count(workspace):
    build_mine(workspace, "second", ["N0000006", "N0000007"], model="rfb2")
    confirmed = ("Knife", 10, 20, 40, 50, "confirmed", "N0000007/rfb2/0")
    answers = [Says("N0000007", MISSED, (confirmed,), decided_at="2026-02-01T00:00:00+00:00")]
    build_review(workspace, "second", ["N0000006", "N0000007"], [answers])
    result = export(workspace, ExportSettings())
    assert result.name == "second"
    assert result.states["found positive"] == 4
    (item,) = objects(Path(result.tree), "N0000007")
    assert item.provenance.model == "rfb2"
    assert len(objects(Path(result.tree), "N0000001")) == 2
    only = export(workspace, ExportSettings(review=("first",)))
    assert (only.name, only.states["found positive"]) == ("first", 3)
    with pytest.raises(WorkspaceError, match=r"^no review 'third'; there is first, second$"):
        export(workspace, ExportSettings(review=("third",)))


def test_what_a_later_mining_flags_does_not_pass_for_unflagged(workspace):
    build_mine(workspace, "second", ["N0000007", "N0000003"], model="rfb2")
    result = export(workspace, ExportSettings())
    assert result.name == "first"
    tree = Path(result.tree)
    assert result.states["flagged but unreviewed"] == 2
    assert lines(tree, "audited_empty.txt") == []
    assert result.states["unflagged"] == 1


def test_a_reviewer_s_later_answer_stands(tmp_path):
    small = small_release()
    small.rounds.append([Says("N0000005", NOTHING, decided_at="2026-01-04T10:00:00+00:00")])
    result = export(small.build(tmp_path), ExportSettings())
    assert result.states["undecided"] == 2
    assert lines(Path(result.tree), "confusing_negatives.txt") == ["N0000002", "N0000005"]


def test_an_unknown_label_and_a_box_outside_leave_an_image_undecided(tmp_path):
    small = small_release()
    small.rounds[0][0] = Says("N0000007", MISSED, (("Hammer", 1, 1, 9, 9, "drawn", ""),))
    small.rounds[0][1] = Says("N0000008", MISSED, (("Gun", 96, 1, 99, 9, "drawn", ""),))
    tree = Path(export(small.build(tmp_path), ExportSettings()).tree)
    rows = {r["image_id"]: r for r in pq.read_table(tree / "states.parquet").to_pylist()}
    assert rows["N0000007"]["reason"] == (
        "ann@example.org: contraband missed, but 'Hammer' is none of "
        "Gun, Knife, Wrench, Pliers, Scissors"
    )
    assert rows["N0000008"]["reason"] == (
        "ann@example.org: contraband missed, but (96.0, 1.0, 99.0, 9.0) lies outside the image"
    )


def test_a_negative_with_boxes_of_the_release_is_undecided(tmp_path):
    small = small_release()
    small.pictures[10].boxes = (("Gun", 1, 1, 9, 9, False),)
    assert small.pictures[10].image_id == "N0000007"
    tree = Path(export(small.build(tmp_path), ExportSettings()).tree)
    assert "N0000007" in lines(tree, "undecided.txt")
    assert lines(tree, "negatives.txt") == ["N0000008"]


def test_decisions_on_other_images_are_reported(tmp_path):
    small = small_release()
    small.rounds[1].append(Says("Z0000001", MISSED))
    result = export(small.build(tmp_path), ExportSettings())
    assert result.notes[-1] == (
        "1 image with decisions, but not readable or not in the release: the decisions were not "
        "used, first Z0000001"
    )
    assert sum(result.states.values()) == 16


def test_what_was_sent_as_flagged_stays_flagged(workspace):
    build_mine(workspace, "first", ["N0000001"])  # mined again with other weights
    build_review(workspace, "first", FLAGGED, small_release().rounds)
    result = export(workspace, ExportSettings())
    assert result.states["flagged but unreviewed"] == 1
    (item,) = objects(Path(result.tree), "N0000010")
    assert (item.provenance.model, item.provenance.score) == ("rfb", 0.65)


def test_what_was_sent_without_boxes_stays_flagged_when_mined_again(workspace):
    folder = workspace.folder("review", "first")
    sent = read_table(folder / "candidates.parquet", CANDIDATE_SCHEMA)
    drawn = sent.filter(pc.not_equal(sent["image_id"], "N0000002"))  # as of few likely boxes
    write_table(folder / "candidates.parquet", drawn, CANDIDATE_SCHEMA)
    build_mine(workspace, "first", ["N0000001"])
    build_review(workspace, "first", FLAGGED, small_release().rounds)
    tree = Path(export(workspace, ExportSettings()).tree)
    assert lines(tree, "confusing_negatives.txt") == ["N0000002"]
    assert lines(tree, "audited_empty.txt") == ["N0000003"]


def test_nothing_reviewed_yet(tmp_path):
    small = Small(rounds=[])
    result = export(small.build(tmp_path), ExportSettings())
    assert (result.states["flagged but unreviewed"], result.states["found positive"]) == (7, 0)


def test_missing_stages_name_the_next_command(workspace, tmp_path):
    empty = small_release().build(tmp_path / "other")
    (empty.folder("review", "first") / "run.json").unlink()
    with pytest.raises(WorkspaceError, match=r"first: has decisions and no run\.json: "):
        export(empty, ExportSettings())
    finish(workspace, "shards", images=99)
    with pytest.raises(WorkspaceError, match=r"16 images, the ingest counted 99"):
        export(workspace, ExportSettings())
    build_mine(workspace, "first", ["X1"])
    finish(workspace, "shards", images=16)
    with pytest.raises(WorkspaceError, match=r"^mine/first: candidates for 1 image .* first X1;"):
        export(workspace, ExportSettings())


def test_a_changed_shard_leaves_no_tree(workspace):
    path = workspace.shards / "positives-00000.tar"
    data = bytearray(path.read_bytes())
    data[700] ^= 255
    path.write_bytes(bytes(data))
    with pytest.raises(ShardError, match="P00001 has changed since it was indexed"):
        export(workspace, ExportSettings())
    assert list((workspace.root / "export").iterdir()) == []


def test_killed_between_the_renames(workspace):
    tree = Path(export(workspace, ExportSettings()).tree)
    before = files(tree)
    tree.rename(tree.with_name(".first.sixrayd-old"))
    (tree.parent / ".first.sixrayd-part" / "VOC2007").mkdir(parents=True)
    (tree.parent / ".first.sixrayd-part" / "run.json").write_text("{}")
    assert workspace.names("export") == []
    result = export(workspace, ExportSettings())
    assert not result.written  # the one before is whole, and of the same work
    assert files(tree) == before
    assert sorted(p.name for p in tree.parent.iterdir()) == ["first"]


def test_a_png_keeps_its_bytes_and_its_name(tmp_path, monkeypatch):
    file = io.BytesIO()
    Image.new("RGB", (96, 64), "white").save(file, "PNG")
    monkeypatch.setattr(
        Picture, "data", property(lambda self: file.getvalue() if not self.error else b"x")
    )
    tree = Path(export(small_release().build(tmp_path), ExportSettings()).tree)
    assert (tree / "VOC2007/JPEGImages/P00001.png").read_bytes() == file.getvalue()
    assert (
        b"<filename>P00001.png</filename>" in (tree / "VOC2007/Annotations/P00001.xml").read_bytes()
    )


def test_five_thousand_negatives_are_counted(tmp_path):
    small = small_release()
    workspace = small.build(tmp_path)
    small.pictures += [Picture(f"N1{n:06d}", error="unreadable") for n in range(5000)]
    build_shards(workspace, small.pictures, 2000)
    result = export(workspace, ExportSettings())
    assert sum(result.states.values()) == 5016


def test_command(workspace, runner, tmp_path):
    def run(*words):
        return runner.invoke(cli, ["export", *map(str, words)])

    done = run("--voc", "-w", workspace.root, "--out", tmp_path / "D")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[0] == f"wrote {tmp_path / 'D'}"
    assert done.stdout.splitlines()[-2:] == [
        "VOC tree: 3 train, 2 test images, 7 boxes",
        f"next: sixrayd estimate -w {workspace.root}",
    ]
    assert "note: 1 flagged images are not reviewed" in done.stderr
    again = run("-w", workspace.root, "--out", tmp_path / "D", "--json")
    assert json.loads(again.stdout)["written"] is False
    (tmp_path / "D2").mkdir()
    (tmp_path / "D2" / "file").touch()
    bad = run("-w", workspace.root, "--out", tmp_path / "D2")
    assert (bad.exit_code, bad.stdout) == (1, "")
    assert str(bad.exception) == (
        f"{tmp_path / 'D2'}: exists and is no export; name a new folder with --out"
    )


def test_lists_by_a_given_split(workspace):
    plain = export(workspace, ExportSettings())
    own = files(Path(plain.tree))
    sides = {"P00001": "test", "P00002": "train", "N0000001": "train", "N0000002": "test"}
    build_splits(workspace, sixray_d=sides)

    result = export(workspace, ExportSettings(split="sixray-d", force=True))

    tree = Path(result.tree)
    assert lines(tree, "VOC2007/ImageSets/Main/train.txt") == ["N0000001", "P00002"]
    assert lines(tree, "VOC2007/ImageSets/Main/trainval.txt") == ["N0000001", "P00002"]
    assert lines(tree, "VOC2007/ImageSets/Main/test.txt") == ["P00001"]
    assert json.loads((tree / "splits.json").read_text()) == {
        "train": ["N0000001", "P00002"],
        "test": ["P00001"],
    }
    assert result.images == {"train": 2, "test": 1}
    note = (
        "2 of 5 positives are on no side of split sixray-d: they are in the tree, and in none of "
        "its lists"
    )
    assert result.notes == (*plain.notes, note)
    states = pq.read_table(tree / "states.parquet").to_pylist()
    assert {r["image_id"]: r["split"] for r in states if r["split"]} == sides
    now = files(tree)
    unlisted = [n for n in own if "/Annotations/" in n or "/JPEGImages/" in n]
    assert len(unlisted) == 10
    assert {n: now[n] for n in unlisted} == {n: own[n] for n in unlisted}
    assert json.loads(now["run.json"])["settings"]["split"] == "sixray-d"
    assert "They are those of the split\n`sixray-d`, as it was given" in now["README.md"].decode()


def test_the_own_split_by_its_name_is_the_same_export(workspace):
    export(workspace, ExportSettings())
    assert not export(workspace, ExportSettings(split="leak-free")).written


def test_a_split_that_is_not_there_replaces_nothing(workspace):
    tree = Path(export(workspace, ExportSettings()).tree)
    before = files(tree)
    with pytest.raises(WorkspaceError, match=r"no split 'sixray-d'; there is leak-free$"):
        export(workspace, ExportSettings(split="sixray-d", force=True))
    assert files(tree) == before
