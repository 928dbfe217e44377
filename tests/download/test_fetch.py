"""A release by URL, over a real server: resumed, checked, whole or not at all."""

import hashlib
import json
import socketserver
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Thread

import fsspec
import pytest

from sixrayd.core.errors import ReleaseError, WorkspaceError
from sixrayd.core.store import Store
from sixrayd.core.workspace import Workspace
from sixrayd.download.faults import Faults
from sixrayd.download.fetch import WantedFile, _side_by_side, _survey, fetch_release
from sixrayd.download.place import ReleasePlace, find_place
from sixrayd.download.settings import DownloadResult, DownloadSettings
from sixrayd.download.sources import ListedArchive
from sixrayd.download.stage import download
from sixrayd.download.transfer import Patience, Report, StorageMirror, Traffic
from tests.mirror import FileServer, Odd, serving
from tests.releases import TinyRelease, write_sums

CLASSES = ("Gun", "Knife")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileServer]:
    with serving(TinyRelease().write(tmp_path / "served")) as state:
        yield state


def take(tmp_path: Path, url: str, on_error: str = "stop") -> DownloadResult:
    settings = DownloadSettings(url, CLASSES, on_error=on_error)  # type: ignore[arg-type]
    return download(Workspace(tmp_path / "ws"), settings)


def test_release_by_url_and_again_without_a_transfer(tmp_path: Path, server: FileServer) -> None:
    result = take(tmp_path, server.url)
    assert (result.images, result.boxes) == (8, 6)
    stored = sorted(path.name for path in (tmp_path / "ws/release").iterdir())
    assert stored == sorted([*(p.name for p in server.folder.iterdir()), "source.json"])
    server.asked.clear()
    assert take(tmp_path, server.url) == result
    assert server.asked == []


def test_broken_transfers_are_resumed(tmp_path: Path, server: FileServer) -> None:
    server.odd = {path.name: [Odd(cut=300)] for path in server.folder.iterdir()}
    assert take(tmp_path, server.url).images == 8
    assert ("JPEGImage.tar.gz00", "bytes=300-") in server.asked
    for path in server.folder.iterdir():
        assert (tmp_path / "ws/release" / path.name).read_bytes() == path.read_bytes()


def test_server_without_ranges_starts_again(tmp_path: Path, server: FileServer) -> None:
    server.odd = {path.name: [Odd(cut=300)] for path in server.folder.iterdir()}
    server.ranges = False
    assert take(tmp_path, server.url).images == 8


def test_complete_part_of_a_killed_transfer_is_kept(tmp_path: Path, server: FileServer) -> None:
    folder = tmp_path / "ws/release"
    folder.mkdir(parents=True)
    data = (server.folder / "Annotation.zip").read_bytes()
    (folder / ".Annotation.zip.part").write_bytes(data)
    tag = '"' + hashlib.sha256(data).hexdigest()[:16] + '"'
    (folder / ".Annotation.zip.validator").write_text(tag)
    take(tmp_path, server.url)
    asked = [how for name, how in server.asked if name == "Annotation.zip"]
    assert asked == [f"bytes={len(data)}-"]


def test_changed_file_is_not_glued_to_its_old_part(tmp_path: Path, server: FileServer) -> None:
    folder = tmp_path / "ws/release"
    folder.mkdir(parents=True)
    (folder / ".Annotation.zip.part").write_bytes(b"old")
    (folder / ".Annotation.zip.validator").write_text('"old"')
    take(tmp_path, server.url)
    served = (server.folder / "Annotation.zip").read_bytes()
    assert (folder / "Annotation.zip").read_bytes() == served


def test_wrong_sum_is_not_stored(tmp_path: Path, server: FileServer) -> None:
    (server.folder / "Annotation.zip").write_bytes(b"another")
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, server.url)
    message = str(caught.value)
    assert message.startswith(f"{server.url}Annotation.zip: SHA-256 is ")
    assert message.endswith("; run it again")
    assert not (tmp_path / "ws/release/Annotation.zip").exists()


def test_without_sums_the_known_files_are_asked_for(tmp_path: Path, server: FileServer) -> None:
    (server.folder / "SHA256SUMS").unlink()
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, server.url)
    assert str(caught.value) == (
        f"{server.url}JPEGImage.tar.gz03: not there; mend it or pass --on-error skip"
    )
    result = take(tmp_path, server.url, "skip")
    assert (result.images, result.absent, result.skipped) == (8, 0, 16)


def test_error_page_in_place_of_the_sums_does_not_stay(tmp_path: Path, server: FileServer) -> None:
    (server.folder / "SHA256SUMS").write_text("<html>not found</html>\n")
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, server.url)
    assert str(caught.value) == (
        "SHA256SUMS: line 1: expected HASH  NAME, got '<html>not found</html>'"
    )
    write_sums(server.folder)
    assert take(tmp_path, server.url).images == 8


def test_nothing_there(tmp_path: Path, server: FileServer) -> None:
    for path in server.folder.iterdir():
        path.unlink()
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, server.url, "skip")
    assert str(caught.value) == (
        f"{server.url}: none of Annotation.zip, ImageSet.zip, JPEGImage.tar.gz00 … is there"
    )


def test_a_mirror_that_tells_no_size_is_not_waited_for_with_each_file(
    tmp_path: Path, server: FileServer
) -> None:
    files = [f"{number}.xml" for number in range(20)]
    for file in files:
        (server.folder / file).write_text("<annotation/>")
    (server.folder / "SHA256SUMS").unlink()
    server.mute = True
    told = []

    fetched(
        tmp_path, at(server.url, files=files), report=lambda *said: told.append(said), timeout_s=0.2
    )

    assert len(server.heads) <= DownloadSettings("").connections  # that had not heard of it
    asked = [said for said in told if said[0] == "files asked for"]
    assert asked == [("files asked for", number, 20) for number in range(1, 21)]
    assert all((tmp_path / "here/release" / file).exists() for file in files)


def test_two_places_do_not_mix(tmp_path: Path, server: FileServer) -> None:
    take(tmp_path, server.url)
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, server.url + "other/")
    assert str(caught.value) == (
        f"{tmp_path}/ws/release: holds files of {server.url}; remove it, or name another "
        "workspace with -w"
    )


def test_password_and_query_are_not_written_down(tmp_path: Path, server: FileServer) -> None:
    url = server.url.replace("http://", "http://user:hush@") + "?token=hush"
    take(tmp_path, url)
    written = [p for p in (tmp_path / "ws").rglob("*") if p.is_file() and p.suffix == ".json"]
    assert len(written) >= 3
    assert not any("hush" in path.read_text() for path in written)
    (server.folder / "Annotation.zip").unlink()
    (tmp_path / "ws/release/Annotation.zip").unlink()
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, url)
    assert str(caught.value) == (
        f"{server.url}Annotation.zip: not there; mend it or pass --on-error skip"
    )


def test_any_fsspec_storage(tmp_path: Path, server: FileServer) -> None:
    folder = fetched(tmp_path, ReleasePlace(mirrors=(f"local://{server.folder}",)))
    names = sorted(path.name for path in server.folder.iterdir())
    assert sorted(p.name for p in folder.iterdir()) == sorted([*names, "source.json"])


def test_what_a_release_may_be_called(tmp_path: Path) -> None:
    assert find_place(str(tmp_path)) == ReleasePlace(path=tmp_path)
    assert find_place(f"file://{tmp_path}") == ReleasePlace(path=tmp_path)
    known = find_place("sixray")
    assert known.name == "http://aivc.ks3-cn-beijing.ksyun.com/data/public_data/SIXray/"
    assert sum(len(archive.files) for archive in known.archives) == 22


def fetched(
    tmp_path: Path,
    place: ReleasePlace,
    faults: Faults | None = None,
    report: Report = lambda *_: None,
    **patience: float,
) -> Path:
    """What is fetched into `tmp_path/here`, without a wait."""
    workspace, settings = Workspace(tmp_path / "here"), DownloadSettings("by URL")
    waits = Patience(**{"pause_s": 0.0, "timeout_s": 30.0, **patience})  # type: ignore[arg-type]
    return fetch_release(place, workspace, settings, faults or Faults(), report, waits)


def at(*urls: str, files: Sequence[str] = ("Annotation.zip", "JPEGImage.tar.gz00")) -> ReleasePlace:
    """Mirrors that are expected to have these files."""
    return ReleasePlace(mirrors=urls, archives=tuple(ListedArchive((file,)) for file in files))


def stored(tmp_path: Path, served: Path, faults: Faults | None = None) -> Path:
    return fetched(tmp_path, at(f"local://{served}"), faults)


def begun(tmp_path: Path, served: Path, data: bytes) -> None:
    """A part of Annotation.zip as a killed transfer from a storage leaves it."""
    part = tmp_path / "here/release/.Annotation.zip.part"
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(data)
    mark = fsspec.filesystem("local").ukey(str(served / "Annotation.zip"))
    part.with_suffix(".validator").write_text(f"{mark}\n{at(f'local://{served}').name}")


def test_a_storage_s_transfer_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    served = TinyRelease().write(tmp_path / "served")
    whole = (served / "Annotation.zip").read_bytes()
    for kept in (whole[:100], whole, whole + b"longer"):
        (tmp_path / "here/release/Annotation.zip").unlink(missing_ok=True)
        begun(tmp_path, served, kept)
        folder = stored(tmp_path, served)
        assert (folder / "Annotation.zip").read_bytes() == whole
    assert [path.name for path in folder.glob(".*")] == []


def test_a_storage_s_wrong_sum_is_not_stored(tmp_path: Path) -> None:
    served = TinyRelease().write(tmp_path / "served")
    whole = (served / "Annotation.zip").read_bytes()
    begun(tmp_path, served, b"of another release")

    with pytest.raises(ReleaseError) as caught:
        stored(tmp_path, served)

    glued = hashlib.sha256(b"of another release" + whole[18:]).hexdigest()
    where = at(f"local://{served}").name
    assert str(caught.value) == (
        f"{where}/Annotation.zip: SHA-256 is {glued[:12]}…, SHA256SUMS says "
        f"{hashlib.sha256(whole).hexdigest()[:12]}…; run it again"
    )
    assert (stored(tmp_path, served) / "Annotation.zip").read_bytes() == whole


def test_what_a_storage_lacks_is_told_file_by_file(tmp_path: Path) -> None:
    served = tmp_path / "served"
    served.mkdir()
    (served / "Annotation.zip").write_bytes(b"PK")
    with pytest.raises(ReleaseError) as caught:
        stored(tmp_path, served)
    where = at(f"local://{served}").name
    assert str(caught.value) == (
        f"{where}/JPEGImage.tar.gz00: not there; mend it or pass --on-error skip"
    )
    faults = Faults("skip")
    assert sorted(path.name for path in stored(tmp_path, served, faults).iterdir()) == [
        "Annotation.zip",
        "source.json",
    ]
    assert faults.found == [(f"{where}/JPEGImage.tar.gz00", "not there")]
    (served / "Annotation.zip").unlink()
    (tmp_path / "here/release/Annotation.zip").unlink()
    with pytest.raises(ReleaseError) as caught:
        stored(tmp_path, served, Faults("skip"))
    assert str(caught.value) == (f"{where}: none of Annotation.zip, JPEGImage.tar.gz00 … is there")


def test_files_in_folders_that_the_sums_name_are_fetched_into_folders(tmp_path: Path) -> None:
    served = tmp_path / "served"
    (served / "deep").mkdir(parents=True)
    (served / "deep/a.zip").write_bytes(b"PK")
    digest = hashlib.sha256(b"PK").hexdigest()
    (served / "SHA256SUMS").write_text(f"{digest}  ./deep/a.zip\n")

    assert (stored(tmp_path, served) / "deep/a.zip").read_bytes() == b"PK"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://ann:secret@example.org:8443/data/?key=1#top", "https://example.org:8443/data/"),
        ("s3://key:secret@bucket/folder", "s3://bucket/folder"),
        ("http://Example.org/a%20b/", "http://example.org/a%20b/"),
    ],
)
def test_a_place_s_name_tells_no_secret(url: str, name: str) -> None:
    place = find_place(url)

    assert place.name == name
    assert [archive.files[0] for archive in place.archives][:2] == [
        "Annotation.zip",
        "ImageSet.zip",
    ]


def test_a_storage_that_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError) as caught:
        take(tmp_path, "nosuch://ann:secret@host/folder")
    assert str(caught.value) == (
        "nosuch://host/folder: cannot be opened (Protocol not known: nosuch)"
    )


class _NoFtp(socketserver.StreamRequestHandler):
    """Lets nobody in, and repeats the password that it was told."""

    def handle(self) -> None:
        self.wfile.write(b"220 hello\r\n")
        for line in self.rfile:
            said = b"530 not by " + line if line.startswith(b"PASS") else b"331 who?\r\n"
            self.wfile.write(said)


def test_a_storage_that_refuses_its_own_way_is_one_line_without_keys(tmp_path: Path) -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _NoFtp) as ftp:
        ftp.daemon_threads = True
        Thread(target=ftp.serve_forever, daemon=True).start()
        place = f"127.0.0.1:{ftp.server_address[1]}/scans"
        for password in ("hush hush", "hush%20hush"):
            with pytest.raises(ReleaseError) as caught:
                take(tmp_path, f"ftp://ann:{password}@{place}")
            assert str(caught.value) == f"ftp://{place}: cannot be opened (error_perm)"
            with pytest.raises(WorkspaceError) as refused:
                Store(f"ftp://ann:{password}@{place}").names()
            assert str(refused.value) == f"ftp://{place}: 530 not by PASS …"
        ftp.shutdown()
    with pytest.raises(WorkspaceError) as refused:
        Store("ftp://ann:hu/sh@host/scans").names()
    assert "'…'" in str(refused.value) and "hu" not in str(refused.value)


def test_an_address_that_nothing_came_from_can_be_put_right(
    tmp_path: Path, server: FileServer
) -> None:
    with pytest.raises(ReleaseError, match=r"Annotation\.zip: not there"):
        take(tmp_path, "memory://tpyo")
    take(tmp_path, server.url)
    source = json.loads((tmp_path / "ws/release/source.json").read_text())
    assert source["url"] == server.url


def test_a_server_that_gives_a_byte_each_time_is_left(tmp_path: Path) -> None:
    with serving(TinyRelease().write(tmp_path / "served")) as server:
        server.odd["Annotation.zip"] = [Odd(cut=1)] * 100
        with pytest.raises(ReleaseError, match="run it again to go on"):
            fetched(tmp_path, at(server.url), attempts=3, pause_s=0.05, timeout_s=0.2)
        assert server.odd["Annotation.zip"]


def test_list_of_many_files_takes_little_memory_beside_itself(tmp_path: Path) -> None:
    """A server may list a million: what is asked and fetched for each waits its turn."""
    memory = fsspec.filesystem("memory")
    memory.pipe("/many/a.zip", b"PK")
    traffic = Traffic(lambda what, done, total: None)
    mirrors = (StorageMirror("memory://many", traffic),)
    files = [WantedFile("a.zip", tmp_path / "a.zip", mirrors) for _ in range(400)]

    def peak(call: Callable[[], Sequence[object]]) -> float:
        tracemalloc.start()
        try:
            assert len(call()) == len(files)
            return tracemalloc.get_traced_memory()[1] / len(files)
        finally:
            tracemalloc.stop()

    assert peak(lambda: _survey(files, Faults(), 4, traffic.report)) < 800  # bytes of each
    assert peak(lambda: _side_by_side(lambda file: file, files, 4, traffic)) < 800
