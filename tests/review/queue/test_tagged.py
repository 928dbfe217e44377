"""What was tagged while somebody looked becomes a review of its own."""

import pytest

from sixrayd.core.errors import WorkspaceError
from sixrayd.core.records import Kind
from sixrayd.core.tags import tag_file, tagged_ids, write_tagged
from sixrayd.review.folder import ReviewFolder
from sixrayd.review.push import wanted
from sixrayd.review.settings import PushSettings
from tests.workspaces import Small

TAGS = PushSettings(origin="tags")


@pytest.fixture
def workspace(tmp_path):
    return Small().build(tmp_path / "workspace")


def asked(workspace, settings=TAGS):
    return wanted(ReviewFolder(workspace, "tags"), settings)


def test_tagged_images_are_sent_though_they_were_decided(workspace):
    write_tagged(tag_file(workspace, ""), ["P00002", "N0000001"])
    write_tagged(tag_file(workspace, "first"), ["N0000007", "N0000001"])

    found = asked(workspace)

    assert [(i.image_id, i.kind, len(i.drawn)) for i in found.queue] == [
        ("N0000001", Kind.TAGGED, 1),
        ("N0000007", Kind.TAGGED, 0),
        ("P00002", Kind.POSITIVE, 2),
    ]
    assert found.queue[0].drawn[0]["box_id"] == "N0000001/rfb/0"
    assert [row["model"] for row in found.queue[2].drawn] == ["release", "release"]
    assert (found.strewn, found.elsewhere) == ([], 0)
    assert list(found.inputs) == ["shards/run.json"]


def test_nothing_tagged_says_how_to_tag(workspace):
    with pytest.raises(WorkspaceError) as told:
        asked(workspace)
    assert str(told.value) == (
        f"{workspace.root}/browse: no image is tagged; tag some 'review' in `sixrayd browse -w "
        f"{workspace.root}`, then push again"
    )


def test_a_strangers_tags_are_checked(workspace):
    file = tag_file(workspace, "")
    write_tagged(file, ["N9999999"])
    with pytest.raises(
        WorkspaceError,
        match=r"tagged\.json: 'N9999999' is no image of the release; remove it from the file",
    ):
        asked(workspace)
    for broken, why in (('["N0000001", 1]', "not a list of image ids"), ("[", "broken")):
        file.write_text(broken)
        with pytest.raises(WorkspaceError, match=f"tagged.json: {why}"):
            tagged_ids(workspace)
