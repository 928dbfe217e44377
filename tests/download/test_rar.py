"""Rars of a release: read through bsdtar where it is, told in one line where it is not."""

import io
import os
import shutil

import pytest

from sixrayd.core.errors import ReleaseError, WorkspaceError
from sixrayd.download.rar import copied_within, rar_tool
from tests.download.test_fetch import at, fetched
from tests.limits import within
from tests.mirror import serving
from tests.rars import rar
from tests.releases import WHOLE, TinyRelease, jpeg, plain_tar, skipped, take

needs_bsdtar = pytest.mark.skipif(shutil.which("bsdtar") is None, reason="bsdtar is not installed")
HOW_TO = (
    "a rar is read with bsdtar, which is not on PATH; install it (Debian and Ubuntu: "
    "libarchive-tools, conda: libarchive)"
)


def positives_in_a_rar(folder, links=None, **more):
    """A release whose positives came in a rar, as is reported of SIXray's."""
    tiny = TinyRelease()
    positives = {s: tiny.images.pop(s) for s in ("P00001", "P00002", "P00003")}
    release = tiny.write(folder, sums=False)
    files = {f"dataset/{stem}.jpg": data for stem, data in positives.items()}
    (release / "dataset.part10.rar").write_bytes(rar({**files, **more}, links))
    return release


@needs_bsdtar
def test_a_rar_is_taken_in_beside_the_other_archives(tmp_path):
    release = positives_in_a_rar(tmp_path / "release")

    assert take(tmp_path, release) == WHOLE
    assert take(tmp_path, release) == WHOLE

    (tar,) = (tmp_path / "ws/release/.unpacked").glob("*.tar")
    assert tar.name.startswith("dataset.part10.rar.")
    assert not list(release.glob("dataset/*"))


@needs_bsdtar
def test_a_changed_rar_is_read_anew(tmp_path):
    release = positives_in_a_rar(tmp_path / "release")
    take(tmp_path, release)

    positives_in_a_rar(tmp_path / "release", **{"N0000009.jpg": jpeg(9)})

    assert take(tmp_path, release, force=True).images == 9
    assert len(list((tmp_path / "ws/release/.unpacked").iterdir())) == 2  # tar, and what was said


@needs_bsdtar
@pytest.mark.parametrize("names", [("train/a.rar", "val/a.rar"), ("train/ba.rar", "val/a.rar")])
def test_rars_of_like_names_in_several_folders_are_all_read(tmp_path, names):
    release = TinyRelease().write(tmp_path / "release", sums=False)
    for number, name in enumerate(names, 7):
        (release / name).parent.mkdir()
        (release / name).write_bytes(rar({f"N000000{number}.jpg": jpeg(number)}))

    assert take(tmp_path, release).images == WHOLE.images + 2
    assert take(tmp_path, release, force=True).images == WHOLE.images + 2


@needs_bsdtar
def test_a_rar_beside_a_tar_of_its_name_is_read_and_so_is_the_tar(tmp_path):
    release = TinyRelease().write(tmp_path / "release", sums=False)
    (release / "a.rar").write_bytes(rar({"N0000007.jpg": jpeg(7)}))
    (release / "a.rar.tar").write_bytes(plain_tar({"N0000008.jpg": jpeg(8)}))

    assert take(tmp_path, release).images == WHOLE.images + 2


@needs_bsdtar
def test_links_and_paths_that_leave_it_are_refused(tmp_path):
    odd = {"../../N0000007.jpg": jpeg(7), "/tmp/N0000008.jpg": jpeg(8)}
    release = positives_in_a_rar(tmp_path / "release", {"N0000006.jpg": "/etc/passwd"}, **odd)

    result = take(tmp_path, release, "skip")

    name = "dataset.part10.rar"
    assert (result.images, result.skipped) == (8, 3)
    assert skipped(tmp_path) == [
        {
            "where": f"{name}/../../N0000007.jpg",
            "error": "a path that leaves the archive; refused",
        },
        {"where": f"{name}//tmp/N0000008.jpg", "error": "a path that leaves the archive; refused"},
        {"where": f"{name}/N0000006.jpg", "error": "a link, device or sparse file; refused"},
    ]


@needs_bsdtar
def test_what_a_stranger_left_of_a_rar_is_no_pipe(tmp_path):
    release = positives_in_a_rar(tmp_path / "release")
    take(tmp_path, release)
    (said,) = (tmp_path / "ws/release/.unpacked").glob("*.said")
    said.unlink()
    os.mkfifo(said)
    with within(10, "a pipe"), pytest.raises(WorkspaceError) as caught:
        take(tmp_path, release, force=True)
    assert str(caught.value) == f"{said}: a pipe, expected a plain file"
    said.unlink()
    assert take(tmp_path, release, force=True) == WHOLE


@needs_bsdtar
def test_a_cut_rar_is_a_fault_each_time(tmp_path):
    release = positives_in_a_rar(tmp_path / "release")
    path = release / "dataset.part10.rar"
    path.write_bytes(path.read_bytes()[:200])

    for _ in range(2):
        with pytest.raises(ReleaseError) as caught:
            take(tmp_path, release)
        assert str(caught.value).startswith(
            "dataset.part10.rar: broken, or of a kind that bsdtar does not read (bsdtar: "
        )


@pytest.mark.parametrize(("limit", "whole"), [(9, False), (10, True), (11, True)])
def test_what_grows_beyond_reason_is_cut(limit, whole):
    out = io.BytesIO()

    assert copied_within(io.BytesIO(b"x" * 10), out, limit) is whole
    assert len(out.getvalue()) <= limit


@needs_bsdtar
def test_volumes_are_not_read(tmp_path):
    release = positives_in_a_rar(tmp_path / "release")
    shutil.copy(release / "dataset.part10.rar", release / "dataset.part09.rar")

    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, release)
    assert str(caught.value) == (
        "dataset.part09.rar: one of several volumes; unpack them here and move them away; mend it "
        "or pass --on-error skip"
    )


def test_without_bsdtar_it_is_said_what_to_install(tmp_path, monkeypatch):
    release = positives_in_a_rar(tmp_path / "release")
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, release)
    assert str(caught.value) == (
        f"dataset.part10.rar: {HOW_TO}, or unpack it here and move it away; mend it or pass "
        "--on-error skip"
    )


@pytest.mark.parametrize("path", ["", ":", ".", "bin:", ".:{0}"])
def test_a_program_of_the_folder_is_not_run(tmp_path, monkeypatch, path):
    for folder in (tmp_path, tmp_path / "bin"):
        folder.mkdir(exist_ok=True)
        (folder / "bsdtar").write_text("#!/bin/sh\n")
        (folder / "bsdtar").chmod(0o755)
    (tmp_path / "safe").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", path.format(tmp_path / "safe"))
    assert rar_tool() is None

    monkeypatch.setenv("PATH", f"{path.format('.')}:{tmp_path / 'bin'}")
    assert rar_tool() == str(tmp_path / "bin" / "bsdtar")


def test_without_bsdtar_nothing_is_fetched(tmp_path, monkeypatch):
    release = positives_in_a_rar(tmp_path / "release")
    monkeypatch.setenv("PATH", str(tmp_path))

    with serving(release) as server:
        files = ("Annotation.zip", "dataset.part10.rar")
        with pytest.raises(ReleaseError) as caught:
            fetched(tmp_path, at(server.url, files=files))

    assert str(caught.value) == (
        f"dataset.part10.rar: {HOW_TO}; nothing of it was fetched; mend it or pass --on-error skip"
    )
    assert server.asked == []


def test_what_is_no_rar(tmp_path):
    release = positives_in_a_rar(tmp_path / "release")
    (release / "dataset.part10.rar").write_bytes(b"<html><p>Sign\n in</p>")

    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, release)
    assert str(caught.value) == (
        "dataset.part10.rar: begins with '<html><p>Sign in</p>': an error page under the archive's "
        "name; fetch it again; mend it or pass --on-error skip"
    )
