"""Who made a folder: its mark, and the key in its maker's home."""

import shutil

import pytest

from sixrayd.core.made_here import claim_folder, in_use


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "sixrayd" / "made-here.key"


def test_a_folder_stays_its_makers_where_it_is_moved(tmp_path, home):
    assert claim_folder(tmp_path / "a")
    (tmp_path / "a" / "content").write_text("mine")
    assert claim_folder(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    assert claim_folder(tmp_path / "b")
    modes = [path.stat().st_mode & 0o777 for path in (tmp_path / "b", home)]
    assert modes == [0o700, 0o600]


def test_another_s_folder_is_not_taken(tmp_path, home):
    assert claim_folder(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    assert not claim_folder(tmp_path / "copy")
    home.unlink()
    assert not claim_folder(tmp_path / "a")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "evil").write_text("")
    assert not claim_folder(tmp_path / "theirs")
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["evil"]


def test_a_copy_that_got_the_number_of_the_first_is_not_taken(tmp_path):
    assert claim_folder(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    for path in (tmp_path / "a").iterdir():  # as where all was removed and unpacked in its place
        path.unlink()
    shutil.copytree(tmp_path / "copy", tmp_path / "a", dirs_exist_ok=True)
    assert not claim_folder(tmp_path / "a")


def test_a_folder_that_a_kill_left_without_its_mark_is_taken(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".made-here.1.part").write_text("")
    assert claim_folder(tmp_path / "a")


def test_a_link_is_not_taken(tmp_path):
    (tmp_path / "users").mkdir(mode=0o755)
    (tmp_path / "a").symlink_to("users")
    assert not claim_folder(tmp_path / "a")
    assert not [*(tmp_path / "users").iterdir()]


def test_a_folder_that_something_was_put_into_since_it_was_left_is_not_taken(tmp_path):
    """As by an archive that is unpacked over it, and leaves the marks out."""
    folder = tmp_path / "a"
    assert claim_folder(folder)
    with in_use(folder):
        (folder / "data.wt").write_text("mine")
        (folder / "journal").mkdir()
    for path in (folder / "data.wt", folder / "more.wt", folder / "journal" / "log"):
        assert claim_folder(folder)
        with in_use(folder):
            pass
        path.write_text("theirs")
        assert not claim_folder(folder)
        path.unlink()
        with in_use(folder):
            pass
    assert claim_folder(folder)
    with in_use(folder):  # killed now, it would have no seal
        assert claim_folder(folder)
