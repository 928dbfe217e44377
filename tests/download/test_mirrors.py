"""Several mirrors: the next is tried, then it is said what is missing and who was asked."""

import hashlib
import json
from dataclasses import replace

import pytest

from sixrayd.core.errors import ReleaseError, WorkspaceError
from sixrayd.core.workspace import Workspace
from sixrayd.download.faults import Faults
from sixrayd.download.fetch import fetch_release
from sixrayd.download.settings import DownloadSettings
from sixrayd.download.sources import ReleaseEntry
from sixrayd.download.stage import download
from sixrayd.download.transfer import Patience
from tests.download.test_fetch import at, fetched
from tests.mirror import Odd, serving
from tests.releases import CLASSES, WHOLE, TinyRelease, write_sums

ZIP = b"PK and so on"


@pytest.fixture
def two(tmp_path):
    """Two servers; the second has b.zip alone."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "one/a.zip").write_bytes(ZIP)
    (tmp_path / "other/b.zip").write_bytes(ZIP)
    with serving(tmp_path / "one") as one, serving(tmp_path / "other") as other:
        yield one, other


def test_each_file_comes_from_a_mirror_that_has_it(tmp_path, two):
    one, other = two

    folder = fetched(tmp_path, at(one.url, other.url, files=("a.zip", "b.zip")))

    assert sorted(path.name for path in folder.glob("*.zip")) == ["a.zip", "b.zip"]
    assert one.asked == [("SHA256SUMS", ""), ("a.zip", "")]
    assert other.asked == [("SHA256SUMS", ""), ("b.zip", "")]
    receipts = json.loads((folder / "source.json").read_text())
    assert receipts == {
        "url": one.url,
        "sums": False,
        "files": {
            name: {"bytes": len(ZIP), "sha256": hashlib.sha256(ZIP).hexdigest(), "from": url}
            for name, url in (("a.zip", one.url), ("b.zip", other.url))
        },
    }


def test_a_name_that_no_url_can_hold(tmp_path, two):
    with pytest.raises(ReleaseError) as caught:
        fetched(tmp_path, at(two[0].url, files=("a\n.zip",)))
    assert str(caught.value).startswith(f"{two[0].url}a\n.zip: not a URL (")


def test_a_mirror_that_fails_is_followed_by_the_next(tmp_path, two):
    one, other = two
    (other.folder / "a.zip").write_bytes(b"PK of another")
    one.odd["a.zip"] = [Odd(cut=5), Odd(503), Odd(503), Odd(503)]

    folder = fetched(tmp_path, at(one.url, other.url, files=("a.zip",)), attempts=3)

    assert (folder / "a.zip").read_bytes() == b"PK of another"  # whole, not glued
    assert other.asked[-1] == ("a.zip", "")


def test_a_mirror_that_was_given_up_is_asked_once_for_each_other_file(tmp_path, two):
    one, other = two
    names = ("a.zip", "b.zip", "c.zip")
    for name in names:
        (one.folder / name).write_bytes(ZIP)
        (other.folder / name).write_bytes(ZIP)
        one.odd[name] = [Odd(503)] * 9
    settings = DownloadSettings("by URL", connections=1)
    workspace, waits = Workspace(tmp_path / "here"), Patience(attempts=3, pause_s=0)

    place = at(one.url, other.url, files=names)
    fetch_release(place, workspace, settings, Faults(), lambda *_: None, waits)

    asked = [name for name, _ in one.asked]
    assert asked == ["SHA256SUMS", "a.zip", "a.zip", "a.zip", "b.zip", "c.zip"]


def test_a_mirror_that_is_no_storage_or_serves_pages(tmp_path, two):
    one, other = two
    (other.folder / "a.zip").write_bytes(ZIP)
    one.odd["a.zip"] = [Odd(200, body=b"<html>sign in</html>")]
    place = at(one.url, "nosuch://bucket/x", other.url, files=("a.zip",))

    assert (fetched(tmp_path, place) / "a.zip").read_bytes() == ZIP


def test_what_no_mirror_has_is_said_with_all_that_were_asked(tmp_path, two):
    one, other = two

    with pytest.raises(ReleaseError) as caught:
        fetched(tmp_path, at(one.url, other.url, files=("a.zip", "c.zip")))

    assert str(caught.value) == (
        f"c.zip: not there, asked {one.url}c.zip (404), {other.url}c.zip (404); mend it or pass "
        "--on-error skip"
    )
    assert one.asked == [("SHA256SUMS", "")]  # before anything came
    faults = Faults("skip")
    fetched(tmp_path, at(one.url, other.url, files=("a.zip", "c.zip")), faults)
    assert [where for where, _ in faults.found] == ["c.zip"]


def test_what_one_mirror_lacks_and_another_fails_to_give(tmp_path, two):
    one, other = two
    other.odd["b.zip"] = [Odd(500)] * 2

    with pytest.raises(ReleaseError) as caught:
        fetched(tmp_path, at(one.url, other.url, files=("b.zip",)), attempts=2)

    assert str(caught.value) == (
        f"{one.url}b.zip (404); {other.url}b.zip: the server answered 500; run it again to go on"
    )


def test_the_notes_of_a_manifest_say_where_else_it_may_be_had(tmp_path, two):
    entry = ReleaseEntry("own", "Own", "none", True, "here", notes="the third shelf has a copy")
    place = replace(at(two[0].url, files=("a.zip", "c.zip")), entry=entry)
    with pytest.raises(ReleaseError) as caught:
        fetched(tmp_path, place)
    assert str(caught.value) == (
        f"{two[0].url}c.zip: not there; the third shelf has a copy; mend it or pass --on-error skip"
    )
    two[0].odd["a.zip"] = [Odd(401)]
    with pytest.raises(ReleaseError) as caught:
        fetched(tmp_path, replace(place, archives=place.archives[:1]))
    assert str(caught.value) == (
        f"{two[0].url}a.zip: the server answered 401; the third shelf has a copy"
    )


def test_a_file_that_changed_since_it_was_fetched(tmp_path, two):
    place = at(two[0].url, files=("a.zip",))
    folder = fetched(tmp_path, place)
    (folder / "a.zip").write_bytes(b"PK another")
    first, found = (hashlib.sha256(data).hexdigest()[:12] for data in (ZIP, b"PK another"))

    with pytest.raises(ReleaseError) as caught:
        fetched(tmp_path, place)
    assert str(caught.value) == (
        f"a.zip: SHA-256 is {found}…, was {first}… when it was fetched; remove it to fetch it "
        "again; mend it or pass --on-error skip"
    )

    (folder / "a.zip").unlink()
    (two[0].folder / "a.zip").write_bytes(b"PK another")
    with pytest.raises(ReleaseError) as caught:
        fetched(tmp_path, place)
    assert str(caught.value) == (
        f"{two[0].url}a.zip: SHA-256 is {found}…, the first one fetched had {first}…; run it again"
    )


def test_files_of_earlier_versions_are_recorded_when_seen(tmp_path, two):
    place = at(two[0].url, files=("a.zip",))
    folder = tmp_path / "here/release"
    folder.mkdir(parents=True)
    (folder / "a.zip").write_bytes(b"PK older")
    (folder / "source.json").write_text(json.dumps({"url": two[0].url}))

    fetched(tmp_path, place)

    recorded = json.loads((folder / "source.json").read_text())["files"]["a.zip"]
    assert recorded == {
        "bytes": 8,
        "sha256": hashlib.sha256(b"PK older").hexdigest(),
        "from": "",
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value: line 1 column 1 (char 0)"),
        ("[]", "expected an object with url and files"),
        ("{}", "expected an object with url and files"),
        ('{"url": 7}', "expected an object with url and files"),
        ('{"url": "http://x/", "files": {"a.zip": 1}}', "expected an object with url and files"),
    ],
)
def test_a_broken_source_json(tmp_path, two, text, reason):
    folder = tmp_path / "here/release"
    folder.mkdir(parents=True)
    (folder / "source.json").write_text(text)

    with pytest.raises(ReleaseError) as caught:
        fetched(tmp_path, at(two[0].url))

    assert str(caught.value) == (
        f"{folder}/source.json: cannot be read ({reason}); remove {folder} to fetch anew, or name "
        "another workspace with -w"
    )


@pytest.mark.parametrize("planted", [False, True])
def test_the_hash_of_a_manifest_stands_above_what_a_mirror_or_a_workspace_says(
    tmp_path, served, planted
):
    """A mirror has sums of its own for what it serves, a stranger's workspace has the file."""
    good, folder = (served.folder / "ImageSet.zip").read_bytes(), served.folder
    wanted, bad = hashlib.sha256(good).hexdigest(), good + b"more"
    (folder / "ImageSet.zip").write_bytes(bad)
    write_sums(folder)
    if planted:
        release = tmp_path / "ws/release"
        release.mkdir(parents=True)
        (release / "ImageSet.zip").write_bytes(bad)
        (release / "source.json").write_text(json.dumps({"url": served.url, "sums": False}))
        (folder / "ImageSet.zip").write_bytes(good)
        (folder / "SHA256SUMS").unlink()
    manifest = tmp_path / "tiny.toml"
    manifest.write_text(
        f'[tiny]\ntitle = "Tiny"\nterms = "none"\nmirrors = ["{served.url}"]\n'
        '[[tiny.archives]]\nfiles = ["ImageSet.zip"]\n[[tiny.archives]]\nfiles = ["Annotation.zip"]'
        f'\n[tiny.sha256]\n"ImageSet.zip" = "{wanted}"\n'
    )
    found = hashlib.sha256(bad).hexdigest()

    with pytest.raises(ReleaseError) as caught:
        download(Workspace(tmp_path / "ws"), DownloadSettings(str(manifest), CLASSES))

    said = f"SHA-256 is {found[:12]}…, the manifest says {wanted[:12]}…"
    assert f"ImageSet.zip: {said}" in str(caught.value)


@pytest.fixture
def served(tmp_path):
    with serving(TinyRelease().write(tmp_path / "served")) as server:
        yield server


def taken(tmp_path, served, **more):
    workspace = Workspace(tmp_path / "ws")
    return download(workspace, DownloadSettings(served.url, CLASSES, **more))


def test_archives_that_were_fetched_can_go_and_the_work_stays_done(tmp_path, served):
    release, shards = tmp_path / "ws/release", tmp_path / "ws/shards"

    assert taken(tmp_path, served, keep_archives=False) == WHOLE

    assert sorted(path.name for path in release.iterdir()) == [
        "SHA256SUMS",
        "removed.json",
        "source.json",
    ]
    assert Workspace(tmp_path / "ws").stale("shards") == []
    before = {path.name: path.stat().st_mtime_ns for path in shards.iterdir()}
    served.asked.clear()
    for keep in (True, False):
        assert taken(tmp_path, served, keep_archives=keep) == WHOLE
    assert served.asked == []
    assert {path.name: path.stat().st_mtime_ns for path in shards.iterdir()} == before


def test_other_settings_without_archives_are_refused_before_anything_is_fetched(tmp_path, served):
    taken(tmp_path, served, keep_archives=False)
    served.asked.clear()

    with pytest.raises(WorkspaceError, match="pass --force to replace it"):
        taken(tmp_path, served, seed=1)
    assert served.asked == []

    assert taken(tmp_path, served, seed=1, force=True).images == 8
    assert len(served.asked) == 5
    assert (tmp_path / "ws/release/Annotation.zip").exists()
    assert Workspace(tmp_path / "ws").stale("shards") == []
    (served.folder / "SHA256SUMS").unlink()
    served.asked.clear()
    assert taken(tmp_path, served, seed=1).images == 8  # what was removed once is here again
    assert served.asked == []


def test_archives_go_later_and_are_compared_when_they_come_again(tmp_path, served):
    taken(tmp_path, served)
    run = (tmp_path / "ws/shards/run.json").read_bytes()
    assert taken(tmp_path, served, keep_archives=False) == WHOLE
    assert not (tmp_path / "ws/release/Annotation.zip").exists()
    assert (tmp_path / "ws/shards/run.json").read_bytes() == run

    (tmp_path / "ws/release/SHA256SUMS").unlink()
    (served.folder / "Annotation.zip").write_bytes(b"PK")
    (served.folder / "SHA256SUMS").unlink()
    with pytest.raises(ReleaseError, match=r"the first one fetched had .*; run it again$"):
        taken(tmp_path, served, seed=1, force=True, on_error="skip")


def test_what_a_killed_removal_left_goes_next_time(tmp_path, served):
    taken(tmp_path, served, keep_archives=False)
    left = tmp_path / "ws/release/Annotation.zip"
    left.write_bytes((served.folder / "Annotation.zip").read_bytes())

    assert taken(tmp_path, served) == WHOLE
    assert left.exists()
    assert taken(tmp_path, served, keep_archives=False) == WHOLE
    assert not left.exists()


def test_the_users_own_archives_are_never_removed(tmp_path):
    release = TinyRelease().write(tmp_path / "release")
    before = sorted(path.name for path in release.iterdir())
    settings = DownloadSettings(str(release), CLASSES, keep_archives=False)

    assert download(Workspace(tmp_path / "ws"), settings) == WHOLE
    assert sorted(path.name for path in release.iterdir()) == before


def test_a_broken_list_of_removed_files(tmp_path, served):
    taken(tmp_path, served, keep_archives=False)
    (tmp_path / "ws/release/removed.json").write_text("[]")

    with pytest.raises(WorkspaceError) as caught:
        taken(tmp_path, served)
    assert str(caught.value).startswith(
        f"{tmp_path}/ws/release/removed.json: not a list of removed files ("
    )
