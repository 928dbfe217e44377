"""The bound against the spot checks, as a picture."""

import pytest
from PIL import Image

from sixrayd.core.errors import WorkspaceError
from sixrayd.estimate.figure import InterimLook, draw_course
from sixrayd.statistics.settings import BoundSettings

LOOKS = [InterimLook(0, None, 36), InterimLook(5, 3.5, 12), InterimLook(9, 0.0, 0)]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    path = tmp_path_factory.mktemp("figure") / "deep" / "a.png"
    draw_course(path, LOOKS, BoundSettings())
    return path


def test_equal_looks_give_equal_bytes_and_none_an_empty_picture(drawn, tmp_path):
    again, other = tmp_path / "b.png", tmp_path / "none.png"
    draw_course(again, LOOKS, BoundSettings())
    draw_course(other, [], BoundSettings(confidence=0.9))

    assert again.read_bytes() == drawn.read_bytes()
    assert other.read_bytes() != drawn.read_bytes()
    for path in (drawn, other):
        with Image.open(path) as picture:
            assert (picture.format, picture.size) == ("PNG", (960, 540))
            assert "Software" not in picture.info


def test_a_picture_that_cannot_be_written(tmp_path):
    (tmp_path / "a.png").mkdir()

    with pytest.raises(WorkspaceError) as caught:
        draw_course(tmp_path / "a.png", LOOKS, BoundSettings())
    assert str(caught.value) == (
        f"{tmp_path / 'a.png'}: cannot be written (Is a directory); name another place, "
        "or move aside what is there"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
