"""An export's version, its parent, and what changed since."""

import json
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sixrayd.cli import cli
from sixrayd.core.errors import AnnotationError, SettingsError, WorkspaceError
from sixrayd.core.files import sha256_file
from sixrayd.datasets.export_files import BOXES
from sixrayd.datasets.export_set import set_of_tables
from sixrayd.export.changelog import changelog, descent_of, parent_at
from sixrayd.export.settings import ExportSettings
from sixrayd.export.stage import export
from sixrayd.validate.stage import validate
from tests.workspaces import FLAGGED, MISSED, NOTHING, Says, Small, build_review

GUN = (("Gun", 1, 1, 9, 9, "drawn", ""),)


@pytest.fixture
def workspace(tmp_path):
    return Small().build(tmp_path / "ws")


def exported(workspace, **settings):
    return Path(export(workspace, ExportSettings(**settings)).tree)


def decided(workspace, *says):
    build_review(workspace, "first", FLAGGED, [*Small().rounds, list(says)])


def document(tree):
    return json.loads((tree / "manifests/dataset.json").read_text("utf-8"))


def files(tree):
    return {p.relative_to(tree): p.read_bytes() for p in tree.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("file", "named"),
    [
        ("CHANGELOG.md", False),
        *((name, True) for name in ("CHANGELOG.md", "audited_empty.txt", "manifest.sha256")),
    ],
)
def test_a_parent_publishes_no_file_that_it_links_to(workspace, tmp_path, file, named):
    tree, secret = exported(workspace), tmp_path / "token"
    secret.write_text("ghp_of-the-user")
    (tree / "manifests/images.parquet").unlink()  # so that lists are read
    (tree / file).unlink(missing_ok=True)
    (tree / file).symlink_to(secret)
    if not named:  # the stranger's manifest has it
        line = f"{sha256_file(secret)}  {file}\n"
        (tree / "manifest.sha256").write_text((tree / "manifest.sha256").read_text() + line)
    decided(workspace, Says("N0000006", MISSED, GUN))
    where = {"out": tmp_path / "new", "parent": tree} if named else {"force": True}

    with pytest.raises(WorkspaceError) as caught:
        exported(workspace, version="2", **where)

    assert str(caught.value) == (
        f"{tree / file}: a link leads out of {tree}, of which the new export's changelog tells; "
        "put the file itself there, or remove it"
    )


def test_a_parent_of_folders_without_end(workspace, tmp_path):
    tree = exported(workspace)
    deep = tree.joinpath(*101 * ["d"])
    deep.mkdir(parents=True)
    for typed in ({"out": tmp_path / "new", "parent": tree}, {"force": True}):
        with pytest.raises(AnnotationError) as caught:
            exported(workspace, version="2", **typed)
        assert str(caught.value) == f"{deep.parent}: folders 100 deep in others; flatten them"


def test_more_classes_of_a_parent_than_are_told_apart(workspace, tmp_path):
    tree = exported(workspace)
    table = pq.read_table(tree / BOXES)
    row = table.slice(0, 1).to_pylist()[0]
    rows = [row | {"label": f"C{number}"} for number in range(1001)]
    pq.write_table(pa.Table.from_pylist(rows, table.schema), tree / BOXES)
    with pytest.raises(AnnotationError) as caught:
        set_of_tables(tree)
    assert str(caught.value) == f"{tree / BOXES}: 1001 classes, at most 1000 are told apart"


def test_a_parents_file_that_is_listed_often_is_read_once(workspace, tmp_path):
    """As 60,000 lines of one of 5 MB, which took minutes."""
    tree = exported(workspace)
    lines = (tree / "manifest.sha256").read_text().splitlines(keepends=True)
    lines += 90 * [line for line in lines if "dataset.json" in line]
    (tree / "manifest.sha256").write_text("".join(lines))
    read = []

    def look(frame, event, _):
        if event == "call" and frame.f_code is sha256_file.__code__:
            read.append(frame.f_locals["path"].name)

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        exported(workspace, out=tmp_path / "new", parent=tree, version="2")
    finally:
        sys.setprofile(before)
    assert 0 < read.count("dataset.json") < 10


@pytest.mark.parametrize("form", ["voc", "parquet"])
def test_the_export_that_is_replaced_is_the_parent(workspace, form):
    tree = exported(workspace, forms=(form,), version="1.0.0")
    manifest = sha256_file(tree / "manifest.sha256")
    assert document(tree)["parent"] is None
    assert not (tree / "CHANGELOG.md").exists()
    decided(workspace, Says("N0000006", MISSED, GUN))

    exported(workspace, forms=(form,), version="1.1.0", force=True)

    said = document(tree)
    assert said["version"] == "1.1.0"
    assert said["parent"] == {"name": "first", "version": "1.0.0", "manifest": manifest}
    text = (tree / "CHANGELOG.md").read_text("utf-8")
    head, *lines = text.splitlines()
    assert (head, lines[:3]) == ("# Changes", ["", "## 1.1.0, from 1.0.0", "~~~~"])
    assert lines[3].startswith("A  version 1.0.0: 9 images with labels, 5 positive, 7 boxes, ")
    assert lines[4].startswith("B  version 1.1.0: 10 images with labels, 6 positive, 8 boxes, ")
    assert "        1  labelled in B alone:  N0000006" in lines
    assert "N0000006: added: Gun 1,1,9,9" in text
    card = (tree / "README.md").read_text("utf-8")
    assert "version `1.1.0`, made from\n`1.0.0`; `CHANGELOG.md` says what changed.\n" in card


def test_two_contents_are_not_called_by_one_version(workspace):
    tree = exported(workspace, version="1.0.0")
    exported(workspace, forms=("voc", "yolo"), version="1.0.0", force=True)  # of the same boxes
    before = files(tree)
    decided(workspace, Says("N0000006", MISSED, GUN))

    with pytest.raises(SettingsError) as caught:
        exported(workspace, version="1.0.0", force=True)

    assert str(caught.value) == (
        f"--version 1.0.0: is that of {tree}, which it comes from, and they differ; name the "
        "version that follows"
    )
    assert files(tree) == before


def test_a_parent_elsewhere_and_what_it_says_itself(workspace, tmp_path):
    first = exported(workspace, out=tmp_path / "first", version="1")
    decided(workspace, Says("N0000006", NOTHING))
    second = exported(workspace, out=tmp_path / "second", parent=first, version="2")
    third = exported(workspace, out=tmp_path / "third", parent=second, version="3", forms=("yolo",))

    text = (third / "CHANGELOG.md").read_text("utf-8")
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        *("# Changes", "## 3, from 2", "## 2, from 1")
    ]
    assert text.endswith((second / "CHANGELOG.md").read_text("utf-8").removeprefix("# Changes\n"))
    assert str(tmp_path) not in text + json.dumps(document(third))
    again = exported(workspace, out=tmp_path / "again", parent=second, version="3", forms=("yolo",))
    one, other = files(third), files(again)
    for each in (one, other):
        del each[Path("run.json")]  # which names the folder
    assert one == other


def test_one_that_lost_a_file_comes_back_in_the_same_bytes(workspace):
    exported(workspace, version="1")
    tree = exported(workspace, version="2", force=True)
    before = files(tree)
    assert Path("CHANGELOG.md") in before
    (tree / "negatives.txt").unlink()

    exported(workspace, version="2", force=True)

    assert files(tree) == before


def test_a_parent_of_an_earlier_version_is_read_by_its_xml(workspace, tmp_path):
    old = exported(workspace, out=tmp_path / "old")
    shutil.rmtree(old / "manifests")
    (old / "provenance.parquet").unlink()
    new = exported(workspace, out=tmp_path / "new", parent=old, version="2")

    manifest = sha256_file(old / "manifest.sha256")
    assert document(new)["parent"] == {"name": "first", "version": "", "manifest": manifest}
    lines = (new / "CHANGELOG.md").read_text("utf-8").splitlines()
    assert lines[2] == f"## 2, from first ({manifest[:12]})"
    assert lines[6] == "no difference"


def test_what_is_no_export_is_no_parent(workspace, tmp_path):
    with pytest.raises(WorkspaceError) as caught:
        exported(workspace, parent=tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: no export that can be a parent ([Errno 2] No such file or directory: "
        f"'{tmp_path}/manifest.sha256'); name a folder that `sixrayd export` wrote"
    )
    assert not (workspace.root / "export").exists()


def test_exports_without_voc_can_be_compared(workspace, tmp_path, runner):
    one = exported(workspace, out=tmp_path / "one", forms=("webdataset",))
    decided(workspace, Says("N0000006", MISSED, GUN))
    other = exported(workspace, out=tmp_path / "other", forms=("parquet",))
    done = runner.invoke(cli, ["diff", str(one), str(other), "--check"])

    assert done.exit_code == 3
    assert "N0000006: added: Gun 1,1,9,9" in done.stdout


def test_version_and_parent_are_typed(workspace, tmp_path, runner):
    first = exported(workspace, out=tmp_path / "first")
    words = ("--version", "2.0.0", "--parent", first, "--out", tmp_path / "second")
    done = runner.invoke(cli, ["export", "-w", str(workspace.root), *map(str, words)])

    assert done.exit_code == 0, done.output
    assert document(tmp_path / "second")["version"] == "2.0.0"
    assert (tmp_path / "second/CHANGELOG.md").exists()


def test_a_parent_that_cannot_be_read_can_be_replaced(workspace):
    tree = exported(workspace, forms=("parquet",), version="1")
    (tree / "provenance.parquet").write_bytes(b"<no table>")
    exported(workspace, forms=("parquet",), version="2", force=True)

    lines = (tree / "CHANGELOG.md").read_text("utf-8").splitlines()
    assert lines[2:4] == ["## 2, from 1", "~~~~"]
    assert lines[4].startswith("not compared: provenance.parquet: not a readable Parquet table")
    assert (tree / "provenance.parquet").read_bytes()[:4] == b"PAR1"


def test_a_parent_whose_table_is_another_is_not_compared(workspace, tmp_path):
    one, other = (exported(workspace, out=tmp_path / name, version="1") for name in ("a", "b"))
    table = pq.read_table(other / "provenance.parquet")
    pq.write_table(table.slice(1), one / "provenance.parquet")
    new = exported(workspace, out=tmp_path / "new", parent=one, version="2")

    lines = (new / "CHANGELOG.md").read_text("utf-8").splitlines()
    assert lines[4] == "not compared: provenance.parquet: is not what manifest.sha256 lists"


def test_a_parent_that_is_replaced_meanwhile_is_refused(workspace, tmp_path):
    old = exported(workspace, out=tmp_path / "old", version="1")
    descent = descent_of(old, None, False)
    decided(workspace, Says("N0000006", MISSED, GUN))
    new = exported(workspace, out=tmp_path / "new", version="2")
    exported(workspace, out=old, version="1.5", force=True)

    with pytest.raises(WorkspaceError) as caught:
        changelog(descent, new, "2")
    assert str(caught.value) == f"{old}: was replaced while it was read; run the command again"
    shutil.rmtree(old)
    with pytest.raises(WorkspaceError, match="was replaced while it was read"):
        changelog(descent, new, "2")


def test_a_small_parent_takes_little_memory(workspace):
    tree = exported(workspace)
    run = json.loads((tree / "run.json").read_text())
    lists = ",".join(["[]"] * 600_000)
    (tree / "run.json").write_text(json.dumps(run)[:-1] + f', "more": [{lists}]}}')

    with pytest.raises(WorkspaceError, match=r"no export that can be a parent \(\d+ bytes of val"):
        parent_at(tree)
    assert set_of_tables(tree).form == "export"  # not "voc", as that file has it
    assert "run.json: found what cannot be read (" in str(validate(tree).first[0])


def test_changes_that_are_too_long_to_keep_are_told(workspace, tmp_path):
    old = exported(workspace, out=tmp_path / "old", version="1")
    (old / "CHANGELOG.md").write_text("# Changes\n" + "x" * (1 << 20))
    new = exported(workspace, out=tmp_path / "new", parent=old, version="2")
    assert (new / "CHANGELOG.md").read_text("utf-8").splitlines()[-1] == (
        "What changed before is left out: CHANGELOG.md: more than 1048576 bytes"
    )
