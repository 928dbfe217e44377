"""How images come into an export: copied, linked, from elsewhere, or not at all."""

import json
import shutil
from pathlib import Path

import pytest

from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.index import Index
from sixrayd.core.records import State
from sixrayd.core.staging import Staging
from sixrayd.core.voc import VocAnnotation
from sixrayd.core.workspace import Workspace
from sixrayd.export.content import exported_image
from sixrayd.export.image_files import ImageFiles, ImagesBy
from sixrayd.export.settings import ExportSettings
from sixrayd.export.stage import export
from tests.workspaces import Small

FORMS = ("voc", "coco")
VOC, COCO = "VOC2007/JPEGImages", "coco/images"


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    return Small().build(tmp_path_factory.mktemp("untouched") / "ws")


@pytest.fixture
def workspace(untouched, tmp_path):
    shutil.copytree(untouched.root, tmp_path / "ws")
    return Workspace(tmp_path / "ws")


@pytest.fixture
def release(untouched, tmp_path):
    """Some of the release's images: one as it was, one in small letters, one changed, a link."""
    pictures = {picture.image_id: picture.data for picture in Small().pictures}
    folder = tmp_path / "release" / "JPEGImage"
    folder.mkdir(parents=True)
    (folder / "P00001.jpg").write_bytes(pictures["P00001"])
    (folder / "p00002.JPG").write_bytes(pictures["P00002"])
    changed = pictures["N0000001"][:-3] + b"xyz"
    (folder / "N0000001.jpg").write_bytes(changed)
    (folder / "N0000010.jpg").symlink_to(folder / "P00001.jpg")
    return folder.parent


def tree(workspace, tmp_path, **settings):
    result = export(workspace, ExportSettings(out=tmp_path / "out", **settings))
    return Path(result.tree), result


def names(folder):
    return sorted(path.name for path in folder.iterdir())


ALL = ["N0000001.jpg", "N0000010.jpg", "N0000012.jpg", "P00001.jpg", "P00002.jpg"]


def test_copies_are_files_of_their_own(workspace, tmp_path):
    out, _ = tree(workspace, tmp_path, forms=FORMS)

    assert names(out / VOC) == names(out / COCO) == ALL
    assert {path.stat().st_nlink for path in (out / COCO).iterdir()} == {1}


def test_hard_links_join_the_forms(workspace, tmp_path):
    out, result = tree(workspace, tmp_path, forms=FORMS, images=ImagesBy.HARDLINK)

    assert names(out / COCO) == ALL
    for name in ALL:
        assert (out / VOC / name).samefile(out / COCO / name)
    assert not [note for note in result.notes if "copied" in note]


def test_symbolic_links_lead_within_the_export_wherever_it_goes(workspace, tmp_path):
    out, _ = tree(workspace, tmp_path, forms=FORMS, images=ImagesBy.SYMLINK)
    moved = out.rename(tmp_path / "moved")

    links = {path.name: str(path.readlink()) for path in (moved / COCO).iterdir()}
    assert links == {name: f"../../VOC2007/JPEGImages/{name}" for name in ALL}
    assert (moved / COCO / "P00001.jpg").read_bytes() == Small().pictures[0].data


@pytest.mark.parametrize("images", [ImagesBy.HARDLINK, ImagesBy.SYMLINK])
def test_links_lead_to_the_releases_own_files_where_these_are_the_same(
    workspace, release, tmp_path, images
):
    out, result = tree(workspace, tmp_path, images=images, images_from=release)

    same = [name for name in ALL if (out / VOC / name).resolve().is_relative_to(release)]
    if images == ImagesBy.HARDLINK:
        same = [name for name in ALL if (out / VOC / name).stat().st_nlink == 2]
    assert same == ["P00001.jpg", "P00002.jpg"]
    assert (out / VOC / "P00002.jpg").read_bytes() == (
        release / "JPEGImage/p00002.JPG"
    ).read_bytes()
    pictures = {picture.image_id: picture.data for picture in Small().pictures}
    for name in ("P00002", "N0000001"):
        assert (out / VOC / f"{name}.jpg").read_bytes() == pictures[name]
    assert result.notes[-1] == f"3 images copied: not below {release} as the release has it"
    listed = json.loads((out / "run.json").read_text())["settings"]
    assert (listed["images"], listed["images_from"]) == (str(images), str(release))


def test_one_form_alone_has_nothing_to_link(workspace, tmp_path):
    _, result = tree(workspace, tmp_path, images=ImagesBy.HARDLINK)

    assert result.notes[-1] == (
        "images were copied, once: other forms, or --images-from, give them something to link"
    )


def test_no_images(workspace, tmp_path):
    forms = ("voc", "coco", "yolo", "parquet", "webdataset")
    out, _ = tree(workspace, tmp_path, forms=forms, images=ImagesBy.NONE)

    kinds = {path.suffix for path in out.rglob("*") if path.is_file()}
    assert kinds == {".md", ".txt", ".xml", ".json", ".yaml", ".parquet", ".tar", ".sha256"}
    assert len(names(out / "VOC2007/Annotations")) == 5


def test_links_that_cannot_be_made_stop_with_advice(workspace, tmp_path):
    """Two images of one name, on a file system that tells no large letters from small."""
    staging = Staging(tmp_path / "part")
    files = ImageFiles(staging, ImagesBy.HARDLINK)
    index = Index.load(workspace)
    record = index.record("P00001")
    annotation = VocAnnotation("P00001", 96, 64, ())
    image = exported_image(index, record, State.SOURCE_POSITIVE, annotation)

    with pytest.raises(WorkspaceError) as caught:
        files.put(image, ["a/P00001.jpg", "a/P00001.jpg"])

    there = tmp_path / "part/a/P00001.jpg"
    assert str(caught.value) == (
        f"{there}: no hardlink to {there} can be made (File exists); pass --images copy"
    )


def test_symbolic_links_to_what_is_replaced_are_refused(workspace, tmp_path):
    out, _ = tree(workspace, tmp_path)
    before = names(out / VOC)

    with pytest.raises(SettingsError) as caught:
        tree(workspace, tmp_path, images=ImagesBy.SYMLINK, images_from=out / VOC, force=True)
    assert str(caught.value) == (
        f"--images-from {out / VOC}: lies in {out}, which is replaced; links to it would lead "
        "nowhere: name another folder"
    )
    assert names(out / VOC) == before
    again = tree(workspace, tmp_path, images=ImagesBy.HARDLINK, images_from=out / VOC, force=True)
    assert again[1].written
    assert (out / VOC / "P00001.jpg").read_bytes() == Small().pictures[0].data


def test_a_linked_file_that_changes_is_found_by_force(workspace, release, tmp_path):
    settings = {"images": ImagesBy.HARDLINK, "images_from": release, "force": True}
    tree(workspace, tmp_path, **settings)
    assert not tree(workspace, tmp_path, **settings)[1].written
    (release / "JPEGImage/P00001.jpg").write_bytes(b"another")

    out, result = tree(workspace, tmp_path, **settings)

    assert result.written
    assert (out / VOC / "P00001.jpg").read_bytes() == Small().pictures[0].data
