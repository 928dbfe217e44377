"""What reviewers are told goes by the classes in use and by the release."""

import io
import re

import pytest
from PIL import Image

from sixrayd.core.errors import SettingsError
from sixrayd.core.records import Split
from sixrayd.core.workspace import Workspace
from sixrayd.review.folder import ReviewFolder
from sixrayd.review.guidance import MOST_CHARACTERS, guidance, read_guidelines
from sixrayd.review.push import push
from sixrayd.review.settings import PushSettings
from tests.workspaces import Picture, build_shards


def told(tmp_path, *pictures, classes=()):
    """What a review of a release of these pictures and a negative tells."""
    workspace = Workspace(tmp_path / "workspace")
    build_shards(workspace, [*pictures, Picture("N0000001")], classes=classes)
    return guidance(workspace, workspace.folder("review", "first"))


def described(text):
    """Classes that have a row of what to look for."""
    return [name for name in re.findall(r"^\| (\w+) \|", text, re.M) if name[0].isupper()]


def test_classes_that_are_not_in_use_are_not_spoken_of(tmp_path):
    text = told(tmp_path, classes=("FoldingKnife", "Scissors")).guidelines
    assert "The classes are FoldingKnife, Scissors; their keys" in text
    assert described(text) == ["Scissors"]
    assert not re.search("Gun|Wrench|guidelines.html|Alt.X", text)


def test_classes_of_which_nothing_is_known_have_no_table(tmp_path):
    text = told(tmp_path, classes=("Bat", "C_4 [x]")).guidelines
    assert "The classes are Bat, C\\_4 \\[x\\]; their" in text
    assert described(text) == [] and "what fools" not in text


def test_the_default_classes_are_all_described(tmp_path):
    text = told(tmp_path).guidelines
    assert described(text) == ["Gun", "Knife", "Wrench", "Pliers", "Scissors"]
    assert "guidelines.html" in text and "what fools" in text


def positive(number, label, x1, split=Split.TRAIN, difficult=False):
    box = (label, x1, 10.0, x1 + 30, 40.0, difficult)
    return Picture(f"P{number:07d}", split, (label,), (box,))


def test_examples_are_crops_of_the_training_side_a_row_a_class(tmp_path):
    guns = [positive(n, "Gun", 10.0 + n) for n in range(1, 4)]
    others = [positive(4, "Knife", 10.0, Split.TEST), positive(5, "Wrench", 10.0, difficult=True)]
    shown = told(tmp_path, *guns, *others)
    assert "Alt+X" in shown.guidelines
    with Image.open(io.BytesIO(shown.examples)) as sheet:
        assert sheet.size == (624, 122)  # six places of 104, one row
        filled = [sheet.getpixel((104 * place + 50, 60)) for place in range(6)]
    assert [min(pixel) < 250 for pixel in filled[3:]] == [False] * 3
    assert told(tmp_path / "none", *others).examples == b""


def test_a_team_s_own_guidelines_are_told_in_projects_at_work_and_to_come(site, tmp_path):
    site.mined("guided", 2)
    ours = push(site.workspace, PushSettings("guided", limit=1))
    with site.client() as server:

        def said(number):
            return server.calls.sdk.projects.get(number).expert_instruction

        assert "Is something prohibited" in said(ours.project)
        path = tmp_path / "ours.md"
        path.write_text("# Look *twice*\n")
        both = push(site.workspace, PushSettings("guided", reviewers=2, guidelines=path))
        path.unlink()
        again = push(site.workspace, PushSettings("guided", reviewers=3))
        project = ReviewFolder(site.workspace, "guided").project()
        assert list(map(said, project.numbers())) == ["<h1>Look <em>twice</em></h1>\n<br>\n"] * 3
    assert (ours.tasks, both.tasks, again.tasks) == (1, 3, 2)


@pytest.mark.parametrize(
    "data, said",
    [(b"\xff\xfe", "not UTF-8; save it"), (b"x" * (MOST_CHARACTERS + 1), "100,001 characters")],
)
def test_guidelines_that_are_no_text_or_too_long_are_refused(tmp_path, data, said):
    path = tmp_path / "told.md"
    path.write_bytes(data)
    with pytest.raises(SettingsError, match=said):
        read_guidelines(path)


@pytest.mark.parametrize("secret", ["secret", "workspace/review/server/secret.json"])
def test_what_a_link_leads_to_is_told_to_nobody(tmp_path, secret):
    """Nor the password of the workspace's own server, which lies in the workspace."""
    told(tmp_path)
    folder = tmp_path / "workspace" / "review" / "first"
    for each in (folder, (tmp_path / secret).parent):
        each.mkdir(parents=True, exist_ok=True)
    (tmp_path / secret).write_text("mine")
    (folder / "guidelines.md").symlink_to(tmp_path / secret)
    with pytest.raises(SettingsError, match="a link leads elsewhere; put the file itself there"):
        told(tmp_path)
