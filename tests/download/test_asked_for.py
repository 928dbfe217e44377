"""Classes that reviewers were not asked for: their answers clear no image of these."""

import json
from pathlib import Path

import pytest

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.workspace import Workspace
from sixrayd.download.settings import DownloadSettings
from sixrayd.download.stage import download
from sixrayd.review.folder import Book, Project, ReviewFolder
from tests.releases import CLASSES, TinyRelease

FEWER = CLASSES[:1]


def take(root: Path, release: Path, classes: tuple[str, ...]) -> None:
    settings = DownloadSettings(str(release), classes, chosen=classes != CLASSES, force=True)
    download(Workspace(root / "ws"), settings)


@pytest.mark.parametrize("noted", [FEWER, ()])  # and by an earlier version
def test_no_class_comes_in_that_reviewers_were_not_asked_for(
    tmp_path: Path, noted: tuple[str, ...]
) -> None:
    release = TinyRelease().write(tmp_path / "release")
    take(tmp_path, release, FEWER)
    folder = ReviewFolder(Workspace(tmp_path / "ws"), "first")
    folder.keep(Project("0123456789abcdef", "local", (Book("1", 0, 5, 1, noted),)))
    before = (tmp_path / "ws/shards/run.json").read_bytes()

    with pytest.raises(WorkspaceError) as caught:
        take(tmp_path, release, CLASSES)

    assert str(caught.value) == (
        f"{folder.path}: reviewers were not asked for {CLASSES[1]}, so that what they "
        "cleared would count as cleared of it, too; take these classes in into another workspace "
        f"with -w, or here with --classes {FEWER[0]}"
    )
    assert (tmp_path / "ws/shards/run.json").read_bytes() == before


def test_who_was_asked_for_all_may_be_asked_for_fewer_and_for_all_again(tmp_path: Path) -> None:
    release = TinyRelease().write(tmp_path / "release")
    take(tmp_path, release, CLASSES)
    folder = ReviewFolder(Workspace(tmp_path / "ws"), "first")
    folder.keep(Project("0123456789abcdef", "local", (Book("1", 0, 5, 1, CLASSES),)))
    assert folder.project() is not None
    broken = ReviewFolder(Workspace(tmp_path / "ws"), "broken").path
    broken.mkdir()
    (broken / "project.json").write_text(json.dumps({"books": [3]}))

    take(tmp_path, release, FEWER)
    take(tmp_path, release, CLASSES)

    assert Workspace(tmp_path / "ws").classes().names == CLASSES
