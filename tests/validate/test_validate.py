"""A sound export is called sound in every form; each thing that is wrong with one is told."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sixrayd.cli import cli
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.files import sha256_file
from sixrayd.datasets.export_files import DATASET
from sixrayd.export.forms import FORMS
from sixrayd.export.settings import ExportSettings
from sixrayd.export.stage import export
from sixrayd.validate import tables
from sixrayd.validate.settings import ValidateSettings
from sixrayd.validate.stage import validate
from tests.limits import raised_in_little_memory, within
from tests.releases import repacked
from tests.workspaces import Small, build_splits

SETS = ("confusing", "audited_empty")
AGAIN = "copy the export anew, or write it again with `sixrayd export --force`"
XML = "VOC2007/Annotations/P00001.xml"
COCO = "coco/annotations/instances_train.json"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    settings = {"forms": tuple(FORMS), "sets": SETS, "version": "1.2.0"}
    export(Small().build(folder / "ws"), ExportSettings(out=folder / "out", **settings))
    shutil.rmtree(folder / "ws")
    return folder / "out"


@pytest.fixture
def tree(sound, tmp_path):
    return Path(shutil.copytree(sound, tmp_path / "tree", symlinks=True))


def listed_anew(tree):
    """The manifest as it were if what lies there had been written so."""
    paths = sorted(
        path.relative_to(tree).as_posix()
        for path in tree.rglob("*")
        if path.is_file() and path.name not in ("run.json", "manifest.sha256")
    )
    lines = (f"{sha256_file(tree / path)}  {path}\n" for path in sorted(paths))
    (tree / "manifest.sha256").write_text("".join(lines))
    run = json.loads((tree / "run.json").read_text())
    run["outputs"] = {"manifest.sha256": sha256_file(tree / "manifest.sha256")}
    (tree / "run.json").write_text(json.dumps(run))


def faults_of(tree, **settings):
    return [str(fault) for fault in validate(tree, ValidateSettings(**settings)).first]


def replaced(tree, path, old, new):
    text = (tree / path).read_text("utf-8")
    assert text.count(old) >= 1
    (tree / path).write_text(text.replace(old, new, 1), "utf-8")


def with_column(tree, path, name, changed):
    """Rewrite a table with one column as a function of its values."""
    table = pq.read_table(tree / path)
    place = table.schema.get_field_index(name)
    field = table.schema.field(place)
    column = pa.array(changed(table[name].to_pylist()), field.type)
    pq.write_table(table.set_column(place, field, column), tree / path)


def test_a_sound_export_needs_no_workspace(sound):
    before = {path: path.lstat().st_mtime_ns for path in sound.rglob("*")}
    result = validate(sound)

    assert (result.version, result.forms) == ("1.2.0", tuple(FORMS))
    assert (result.faults, result.first, result.notes) == (0, (), ())
    assert (result.images, result.boxes) == (7, 7)
    assert result.files == sum(path.is_file() for path in sound.rglob("*")) - 2  # not listed
    assert {path: path.lstat().st_mtime_ns for path in sound.rglob("*")} == before


@pytest.mark.parametrize(
    "settings",
    [
        {"split": "paper", "forms": tuple(FORMS)},
        pytest.param(
            {"with_negatives": True, "looks": True, "trainval": False}, marks=pytest.mark.long
        ),
        pytest.param({"images": "none", "forms": tuple(FORMS)}, marks=pytest.mark.long),
        {"images": "symlink", "forms": ("voc", "coco"), "pseudonyms": True},
    ],
)
def test_exports_of_other_settings_are_sound(tmp_path, settings):
    workspace = Small().build(tmp_path / "ws")
    build_splits(workspace, paper={"P00001": "test", "N0000012": "train", "N0000002": "train"})
    tree = Path(export(workspace, ExportSettings(sets=("confusing",), **settings)).tree)
    tree.rename(tmp_path / "moved")

    assert faults_of(tmp_path / "moved") == []


def test_files_that_are_gone_strange_changed_or_odd(tree, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (tree / XML).unlink()
    (tree / "README.md").write_text("other")
    (tree / "VOC2007/extra.txt").write_text("x")
    (tree / "negatives.txt").unlink()
    (tree / "negatives.txt").symlink_to(secret)
    (tree / "undecided.txt").unlink()
    os.mkfifo(tree / "undecided.txt")
    listed = dict(
        reversed(line.split("  ")) for line in (tree / "manifest.sha256").read_text().splitlines()
    )

    assert faults_of(tree) == [
        f"README.md: found SHA-256 {hashlib.sha256(b'other').hexdigest()}, expected "
        f"{listed['README.md']}; {AGAIN}",
        f"{XML}: found nothing, expected a file that manifest.sha256 lists; {AGAIN}",
        "VOC2007/extra.txt: found a plain file, expected no file that manifest.sha256 does not "
        "list; move it elsewhere, or remove it",
        "negatives.txt: found a link that leads out, expected a plain file; pass --follow to read "
        "it, or export again with --images copy",
        f"undecided.txt: found no plain file, expected a plain file; {AGAIN}",
        f"voc form: found no labels of P00001, expected labels of each exported image; {AGAIN}",
    ]
    told = faults_of(tree, follow=True)
    assert told[3].startswith("negatives.txt: found SHA-256 ")


def test_images_through_links_that_lead_out_are_read_when_asked_for(tmp_path):
    workspace = Small().build(tmp_path / "ws")
    first = Path(export(workspace, ExportSettings(out=tmp_path / "first")).tree)
    away = {"images": "symlink", "images_from": first / "VOC2007/JPEGImages"}
    tree = Path(export(workspace, ExportSettings(out=tmp_path / "second", **away)).tree)

    assert len(faults_of(tree)) == 10  # and five images that were not read
    assert faults_of(tree, follow=True) == []


def _xml(old, new):
    return lambda tree: replaced(tree, XML, old, new)


def _coco(old, new):
    return lambda tree: replaced(tree, COCO, old, new)


def _yolo(tree):
    path = tree / "yolo/labels/train/P00001.txt"
    path.write_text(path.read_text().replace("0 ", "4 ", 1))


def _moved_label(tree):
    for kind, suffix in (("labels", "txt"), ("images", "jpg")):
        old = tree / f"yolo/{kind}/train/P00001.{suffix}"
        old.rename(tree / f"yolo/{kind}/test/P00001.{suffix}")


def _moved(old, new):
    return lambda tree: (tree / old).rename(tree / new)


def _elsewhere(old, new):
    """An image in another folder, which the tables know."""

    def changed(tree):
        (tree / new).parent.mkdir(exist_ok=True)
        _moved(old, new)(tree)
        with_column(
            tree,
            "manifests/images.parquet",
            "files",
            lambda rows: [[new if file == old else file for file in row] for row in rows],
        )

    return changed


def _parquet(tree):
    def other(rows):
        rows[0]["bbox"][0][0] += 1
        return rows

    with_column(tree, "parquet/data/train-00000.parquet", "objects", other)


def _parquet_from_the_end(tree):
    def other(rows):
        return [row | {"category": [n - 5 for n in row["category"]]} for row in rows]

    with_column(tree, "parquet/data/train-00000.parquet", "objects", other)


def _parquet_names(tree):
    path = tree / "parquet/data/train-00000.parquet"
    table = pq.read_table(path)
    text = table.schema.metadata[b"huggingface"].replace(b'"Gun", "Knife"', b'"Knife", "Gun"')
    pq.write_table(table.replace_schema_metadata({b"huggingface": text}), path)


def _parquet_image(tree):
    def other(rows):
        return [{"bytes": rows[1]["bytes"], "path": rows[0]["path"]}, *rows[1:]]

    with_column(tree, "parquet/data/train-00000.parquet", "image", other)


def test_a_table_is_not_called_broken_for_want_of_memory(sound, tree):
    def large(rows):
        return [{"bytes": os.urandom(48 << 20), "path": rows[0]["path"]}, *rows[1:]]

    with_column(tree, "parquet/data/train-00000.parquet", "image", large)
    before = (
        "from pathlib import Path\n"
        "from sixrayd.validate.settings import ValidateSettings\n"
        "from sixrayd.validate.stage import validate\n"
        f"tree = Path({str(tree)!r})\n"
        f"validate(Path({str(sound)!r}), ValidateSettings())"  # all that it imports is there
    )
    call = "validate(tree, ValidateSettings())"
    assert raised_in_little_memory(before, call, 64) == "MemoryError"


def _images(name, image_id, value):
    def change(tree):
        ids = pq.read_table(tree / "manifests/images.parquet")["image_id"].to_pylist()
        row = ids.index(image_id)
        with_column(
            tree,
            "manifests/images.parquet",
            name,
            lambda rows: [*rows[:row], value, *rows[row + 1 :]],
        )

    return change


def _boxes(name, value):
    return lambda tree: with_column(
        tree, "provenance.parquet", name, lambda rows: [value, *rows[1:]]
    )


def _document(change):
    def changed(tree):
        path = tree / "manifests/dataset.json"
        said = json.loads(path.read_text())
        change(said)
        path.write_text(json.dumps(said))

    return changed


def _list(path, text):
    return lambda tree: (tree / path).write_text(text)


def _gone(path):
    return lambda tree: (tree / path).unlink()


def _hidden_labels(tree):
    """Where a reader of the tree looks as well."""
    (tree / "VOC2007/Annotations/more").mkdir()
    text = (tree / XML).read_text().replace("P00001", "N0000005")
    (tree / "VOC2007/Annotations/more/N0000005.xml").write_text(text)


def _difficult(members):
    old, new = b'"difficult": false', b'"difficult": true'
    return [
        (name, data.replace(old, new) if name == "P00001.json" else data) for name, data in members
    ]


def _form_unsaid(tree):
    _document(lambda said: said["forms"].remove("coco"))(tree)
    (tree / COCO).unlink()


def _members(change):
    """Rewrite a shard by the names and bytes of its files."""

    def changed(tree):
        path = tree / "webdataset/train-000000.tar"
        repacked(path, path, change, "w")

    return changed


def _listed_twice(tree):
    said = json.loads((tree / COCO).read_text())
    said["images"].append(said["images"][0] | {"id": 999})
    said["annotations"] += [
        box | {"id": 10**6 + box["id"], "image_id": 999}
        for box in said["annotations"]
        if box["image_id"] == said["images"][0]["id"]
    ]
    (tree / COCO).write_text(json.dumps(said))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_xml("<xmax>30", "<xmax>31"), f"{XML}: found a box Gun (5, 6, 31, 40) that"),
        (_xml("<xmax>30", "<xmax>97"), f"{XML}: object 1: found box past the image's edge: "),
        (_xml("<width>96", "<width>95"), f"{XML}: found annotation of another size: "),
        (_xml("</annotation>", ""), f"{XML}: found what cannot be read ("),
        (_coco('"iscrowd": 0', '"iscrowd": 1'), f"{COCO}: N0000001: found a box Knife (10, 20,"),
        (_yolo, "yolo/labels/train/P00001.txt: found a box Scissors (5, 6, 30, 40) that"),
        (_moved_label, "yolo/labels/test/P00001.txt: found P00001 in test, expected train; "),
        (
            _parquet,
            "parquet/data/train-00000.parquet: N0000001: found a box Knife (11, 20, 41, 50)",
        ),
        (_parquet_image, "parquet/data/train-00000.parquet: N0000001: found SHA-256 "),
        (
            _members(_difficult),
            "webdataset/train-000000.tar: P00001: found a box Gun (5, 6, 30, 40) difficult",
        ),
        (
            _images("width", "P00001", 97),
            "VOC2007/JPEGImages/P00001.jpg: found 96 x 64 pixels, exp",
        ),
        (
            _images("group", "P00001", "P00002"),
            "manifests/images.parquet: group P00002: found test and train, expected one side",
        ),
        (
            _images("state", "N0000007", "undecided"),
            "manifests/dataset.json: states.undecided: found 3, expected 4; ",
        ),
        (
            _images("boxes", "P00001", 4),
            "manifests/images.parquet: P00001: found 4 boxes, expected",
        ),
        (
            _boxes("x2", 97.0),
            "provenance.parquet: N0000001: object 1: found box (10.0, 20.0, 97.0,",
        ),
        (
            _document(lambda said: said["counts"]["boxes"]["Gun"].update(train_boxes=9)),
            "manifests/dataset.json: boxes.Gun.train_boxes: found 9, expected 2; ",
        ),
        (
            _list("splits.json", '{"train": 3}'),
            "splits.json: train: 1: found no more, expected N00",
        ),
        (_hidden_labels, "VOC2007/Annotations/more/N0000005.xml: found a file, expected none here"),
        (_list("VOC2007/more.json", "{}"), "VOC2007/more.json: found a file, expected none here"),
        (_form_unsaid, "coco form: found no labels of N0000001, expected labels of each"),
        (
            _moved("yolo/labels/train/P00001.txt", "yolo/labels/P00001.txt"),
            "yolo/labels/P00001.txt: found a file, expected none here",
        ),
        (
            _elsewhere("yolo/images/train/P00001.jpg", "yolo/images/test/P00001.jpg"),
            "yolo/images/test/P00001.jpg: found P00001 in test, expected train; ",
        ),
        (
            _elsewhere(
                "yolo/images/confusing/train/N0000002.jpg",
                "yolo/images/confusing_train/N0000002.jpg",
            ),
            "yolo/images/confusing_train/N0000002.jpg: found N0000002 in confusing_train, expecte",
        ),
        (_moved(COCO, "coco/annotations/all.json"), "coco/annotations/all.json: found a file, ex"),
        (
            _moved("parquet/data/train-00000.parquet", "parquet/data/all.parquet"),
            "parquet/data/all.parquet: found a file, expected none here",
        ),
        (
            _moved("webdataset/train-000000.tar", "webdataset/all.tar"),
            "webdataset/all.tar: found a file, expected none here",
        ),
        (
            _list("VOC2007/ImageSets/Main/val.txt", "P00001\n"),
            "VOC2007/ImageSets/Main/val.txt: found a file, expected none here",
        ),
        (_parquet_from_the_end, "parquet/data/train-00000.parquet: found what cannot be read (an"),
        (_parquet_names, "parquet/data/train-00000.parquet: names: found ['Knife', 'Gun', "),
        (_gone("negatives.txt"), "negatives.txt: line 1: found no more, expected N0000007; "),
        (_gone("states.parquet"), "states.parquet: found nothing, expected a table of states; "),
        (
            _members(lambda members: [members[1], ("N0000001.jpg", b"x"), *members[2:]]),
            "webdataset/train-000000.tar: found what cannot be read ('N0000001': an image without",
        ),
        (
            _members(lambda members: members[1:]),
            "webdataset/train-000000.tar: N0000001: found no image, expected that of VOC",
        ),
        (
            _coco("N0000001.jpg", "../../N0000001.jpg"),
            f"{COCO}: N0000001: found file_name ../../N0000001.jpg, expected N0000001.jpg; ",
        ),
        (
            _listed_twice,
            f"{COCO}: N0000001: found file_name N0000001.jpg, N0000001.jpg, expected N0000001.jpg",
        ),
        (
            _document(lambda said: said.update(version="0.0.0+0123456789AB")),
            "manifests/dataset.json: version: found 0.0.0+0123456789AB, expected 0.0.0+",
        ),
    ],
)
def test_what_does_not_agree_is_told_though_the_hashes_are_right(tree, change, said):
    change(tree)
    listed_anew(tree)

    assert [fault for fault in faults_of(tree, most=100) if fault.startswith(said)]


def test_of_many_rows_at_fault_all_are_counted(tree):
    """Few are looked at one by one: ten million took minutes."""
    images = pq.read_table(tree / "manifests/images.parquet")
    first = images.slice(0, 1).to_pylist()[0] | {"state": "odd", "boxes": 1}
    rows = [first | {"image_id": f"Q{n:05d}", "files": [f"{n}"]} for n in range(12_000)]
    pq.write_table(pa.Table.from_pylist(rows, images.schema), tree / "manifests/images.parquet")
    listed_anew(tree)

    found = validate(tree)

    assert found.kinds["manifests"] >= 12_000 * 3  # states, boxes, files
    assert found.kinds["coco form"] == 12_000


@pytest.mark.long
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_xml("<xmax>30", "<xmax>31"), f"{XML}: found no such box, expected a box Gun (5, 6, 30,"),
        (_xml("<name>Gun", "<name>Bomb"), f"{XML}: object 1: found class that is not known: "),
        (_coco("P00001.jpg", "P00009.jpg"), f"{COCO}: P00009: found labels of P00009, expected an"),
        (_coco("{", "["), f"{COCO}: found annotation that cannot be read: not JSON"),
        (_moved_label, "yolo/images/test/P00001.jpg: found an image, expected one that images."),
        (_images("size", "P00001", 7), "coco/images/P00001.jpg: found 2094 bytes, expected 7, as"),
        (_images("sha256", "P00001", "0" * 64), "VOC2007/JPEGImages/P00001.jpg: found SHA-256 58"),
        (_images("state", "N0000007", "undecided"), "run.json: states.undecided: found 3, expec"),
        (
            _images("state", "N0000007", "undecided"),
            "states.parquet: row 7: state: found unflagged",
        ),
        (_images("state", "N0000007", "undecided"), "negatives.txt: line 1: found N0000007, expe"),
        (_images("state", "N0000007", "gone"), "manifests/images.parquet: N0000007: found state"),
        (_images("exported", "P00001", False), f"{XML}: found labels of P00001, expected an image"),
        (_images("files", "P00001", []), "VOC2007/JPEGImages/P00001.jpg: found an image, expected"),
        (
            _images("files", "P00003", ["VOC2007/JPEGImages/P00003.jpg"]),
            "manifests/images.parquet: P00003: found 0 files of it, of VOC2007/JPEGImages/P00003",
        ),
        (_images("image_id", "P00001", "A1"), "manifests/images.parquet: image_id: found ids out"),
        (_boxes("x2", float("nan")), "provenance.parquet: N0000001: object 1: found box (10.0, 20"),
        (_boxes("label", "Bomb"), "provenance.parquet: N0000001: object 1: found class 'Bomb', ex"),
        (_boxes("image_id", "X"), "provenance.parquet: X: object 1: found a box of an image that"),
        (_boxes("split", "test"), "provenance.parquet: N0000001: object 1: found split 'test', ex"),
        (_boxes("object", 3), "provenance.parquet: N0000001: object 3: found 3, expected 1; "),
        (
            _boxes("image_id", "N0000002"),
            "provenance.parquet: N0000002: object 1: found a box of an image that is confusing neg",
        ),
        (
            _document(lambda said: said.update(classes=["Gun", "gun"])),
            "manifests/dataset.json: classes: found no usable names (",
        ),
        (_list("manifests/dataset.json", "[" * 2000), "manifests/dataset.json: found what cannot"),
        (
            _list("VOC2007/ImageSets/Main/train.txt", "N0000001\n"),
            "VOC2007/ImageSets/Main/train.txt: line 2: found no more, expected N0000012; ",
        ),
        (_list("audited_empty.txt", ""), "audited_empty.txt: line 1: found no more, expected N00"),
        (_list("provenance.parquet", "x"), "provenance.parquet: found what cannot be read ("),
        (_list("manifests/images.parquet", "x"), "manifests/images.parquet: found what cannot be"),
    ],
)
def test_more_of_what_does_not_agree(tree, change, said):
    test_what_does_not_agree_is_told_though_the_hashes_are_right(tree, change, said)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (b"0" * 64 + b"  ../secret\n", "manifest.sha256: line 1: found a line that is none, or l"),
        (b"0" * 64 + b"  /etc/passwd\n", "manifest.sha256: line 1: found a line that is none, or"),
        (b"x\n", "manifest.sha256: line 1: found a line that is none, or leads out of the folder"),
        (b"0" * 100_000, "manifest.sha256: line 1: found a line that is none, or leads out of"),
        (b"0" * 64 + b"  b\n" + b"0" * 64 + b"  a\n", "manifest.sha256: line 2: found a, expected"),
    ],
)
def test_a_hostile_manifest_leads_nowhere(tree, lines, said):
    (tree / "manifest.sha256").write_bytes(lines)

    told = faults_of(tree, most=1000)
    assert [fault for fault in told if fault.startswith(said)]
    assert not [fault for fault in told if "secret" in fault or "passwd" in fault]


@pytest.mark.parametrize("bad", ["x\n", "0" * 64 + "  a\n"], ids=["none", "out of order"])
def test_a_manifest_that_is_none_is_not_read_to_its_end(tmp_path, bad):
    (tmp_path / "manifest.sha256").write_text("0" * 64 + "  b\n" + bad * 3000)
    with pytest.raises(WorkspaceError) as caught:
        validate(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/manifest.sha256: line 1,002: expected at most 10,000,000 lines, and at most "
        f"1,000 that are none or out of order; {AGAIN}"
    )


def test_faults_of_countless_folders_are_counted_together(tmp_path):
    lines = (f"{'0' * 64}  {number:04}/file\n" for number in range(3000))
    (tmp_path / "manifest.sha256").write_text("".join(lines))
    found = validate(tmp_path)
    assert (found.faults, len(found.kinds), found.kinds["others"]) == (3000, 1001, 2000)


def test_an_xml_of_no_end_is_not_read(tree):
    with (tree / XML).open("wb") as file:
        file.truncate(5 << 20)
    listed_anew(tree)

    assert faults_of(tree) == [
        f"voc form: found no labels of P00001, expected labels of each exported image; {AGAIN}"
    ]


def test_what_sixrayd_patch_or_an_earlier_version_wrote_has_hashes_alone(tree):
    shutil.rmtree(tree / "manifests")
    listed_anew(tree)
    result = validate(tree)

    assert (result.faults, result.forms, result.images) == (0, (), 0)
    assert result.notes == (
        "no manifests/dataset.json: the export is of an earlier version, or none; files were "
        "compared with the manifest alone",
    )


def test_a_version_that_other_files_made_is_a_fault(tmp_path):
    tree = tmp_path / "out"
    workspace = Small().build(tmp_path / "ws")
    export(workspace, ExportSettings(out=tree))
    export(workspace, ExportSettings(out=tree, looks=True, force=True))  # with a changelog
    said = validate(tree)
    assert (said.faults, said.version[:6]) == (0, "0.0.0+")
    (tree / "VOC2007" / "labelmap.txt").write_text("Gun\n")
    listed_anew(tree)

    (fault,) = validate(tree).first
    assert (fault.file, fault.element, fault.found) == (DATASET, "version", said.version)
    assert fault.expected.startswith("0.0.0+") and fault.expected.endswith(", as the files make it")
    assert fault.expected[:18] != said.version


def test_an_export_that_is_written_anew_meanwhile_is_not_called_faulty(tree, tmp_path):
    def swap(what, done, total):
        if not (aside := tmp_path / "aside").exists():
            shutil.copytree(tree, tmp_path / "new")
            tree.rename(aside)
            (tmp_path / "new").rename(tree)

    with pytest.raises(WorkspaceError) as caught:
        validate(tree, report=swap)

    assert str(caught.value) == (
        f"{tree}/manifest.sha256: was written anew while the export was checked; check it again"
    )
    assert validate(tree).faults == 0


def test_no_manifest(tmp_path):
    with pytest.raises(WorkspaceError) as caught:
        validate(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/manifest.sha256: cannot be read (No such file or directory); name a folder "
        "that `sixrayd export` wrote"
    )
    os.mkfifo(tmp_path / "manifest.sha256")
    with pytest.raises(WorkspaceError, match=r"a pipe, expected a plain file"):
        validate(tmp_path)


def test_a_file_of_holes_is_not_read_by_each_link_to_it(tmp_path):
    with (tmp_path / "a").open("wb") as file:
        file.truncate(520 << 20)
    names = [f"b{number}" for number in range(100)]
    for name in names:
        (tmp_path / name).symlink_to("a")
    lines = (f"{'0' * 64}  {name}\n" for name in sorted(("a", *names)))
    (tmp_path / "manifest.sha256").write_text("".join(lines))

    with within(10, "links"):
        found = validate(tmp_path, ValidateSettings(most=200))

    assert found.faults == 101
    text = "what is not read: links and holes give over 100 times the bytes that are written"
    assert [fault.found for fault in found.first].count(text) == 100


def test_a_folder_around_an_export_or_in_it_is_answered_with_the_export(tmp_path):
    export = tmp_path / "workspace" / "export" / "first"
    inside = export / "VOCdevkit" / "VOC2007"
    inside.mkdir(parents=True)
    (export / "manifest.sha256").touch()
    for place in (tmp_path / "workspace", tmp_path / "workspace" / "export", inside):
        with pytest.raises(WorkspaceError) as caught:
            validate(place)
        assert str(caught.value).endswith(f"that `sixrayd export` wrote, such as {export}")


def test_the_command_prints_faults_and_ends_in_three(runner, tree):
    done = runner.invoke(cli, ["validate", str(tree)])
    assert (done.exit_code, done.stdout) == (
        0,
        f"{validate(tree).files} files, 7 images, 7 boxes: 0 faults\n"
        f"sound: {tree}, version 1.2.0 in voc, coco, yolo, parquet, webdataset\n",
    )
    (tree / "README.md").unlink()
    (tree / "undecided.txt").unlink()
    done = runner.invoke(cli, ["validate", str(tree), "--most", "1"])
    assert (done.exit_code, done.stdout.splitlines()[:4]) == (
        3,
        [
            f"fault: README.md: found nothing, expected a file that manifest.sha256 lists; {AGAIN}",
            "and 1 more; --most tells them",
            "        1  README.md",
            "        1  undecided.txt",
        ],
    )
    done = runner.invoke(cli, ["validate", str(tree), "--json"])
    said = json.loads(done.stdout)
    assert (done.exit_code, said["faults"], said["kinds"]) == (
        3,
        2,
        {"README.md": 1, "undecided.txt": 1},
    )
    assert said["first"][0] == {
        "file": "README.md",
        "element": "",
        "found": "nothing",
        "expected": "a file that manifest.sha256 lists",
        "advice": AGAIN,
    }


def test_an_image_of_countless_files_is_not_looked_up(tree):
    """Each box and file of it would have the whole list made again."""
    path = tree / "manifests/images.parquet"
    table = pq.read_table(path)
    files = [[""] * 101, *table["files"].to_pylist()[1:]]
    place = table.schema.get_field_index("files")
    field = table.schema.field(place)
    pq.write_table(table.set_column(place, field, pa.array(files, field.type)), path)
    listed_anew(tree)
    assert faults_of(tree) == [
        "manifests/images.parquet: files: found more than 100 of an image, expected one in each "
        f"form; {AGAIN}"
    ]


def test_progress_is_told_while_boxes_are_read(tree, monkeypatch):
    monkeypatch.setattr(tables, "_ROWS", 2)
    told = []

    boxes = validate(tree, report=lambda *said: told.append(said)).boxes

    assert boxes > 2
    read = [("boxes in the tables", done, 0) for done in range(0, boxes, 2)]
    assert told[: len(read)] == read
    assert told[-1][0] == "files"
