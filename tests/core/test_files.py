"""Files are there whole or not at all."""

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sixrayd.core.documents import parse_json
from sixrayd.core.errors import UnfitFileError, WorkspaceError
from sixrayd.core.files import (
    open_plain,
    plain_lines,
    plain_text,
    remove,
    replacing,
    sha256_file,
    sweep,
    write_bytes,
    write_json,
    write_many,
)
from tests.limits import within


def test_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a/b.txt"
    write_bytes(path, b"old")
    with pytest.raises(RuntimeError), replacing(path) as beside:
        beside.write_bytes(b"half")
        raise RuntimeError
    assert [p.read_bytes() for p in path.parent.iterdir()] == [b"old"]


def test_many_files_are_written_beside_what_is_there(tmp_path: Path) -> None:
    write_many(tmp_path / "a/b", {"x": b"1", "y": b""})
    write_many(tmp_path / "a/b", {"x": b"2"})
    write_many(tmp_path / "none", {})
    found = {p.name: p.read_bytes() for p in (tmp_path / "a/b").iterdir()}
    assert found == {"x": b"2", "y": b""}
    assert list((tmp_path / "none").iterdir()) == []


def test_json_has_one_form(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"b": 1, "a": "é"})
    assert path.read_bytes() == '{\n  "a": "é",\n  "b": 1\n}\n'.encode()


def test_half_a_letter_in_json_is_written_as_it_was_read(tmp_path: Path) -> None:
    path = tmp_path / "half.json"
    write_json(path, parse_json('{"a": "\\ud800\\u00e9"}'))
    assert path.read_bytes() == '{\n  "a": "\\ud800é"\n}\n'.encode()
    assert parse_json(plain_text(path)) == {"a": "\ud800é"}


def test_only_plain_files_are_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    with open_plain(tmp_path / "link") as file:
        assert file.read() == b"x"
    with pytest.raises(IsADirectoryError):
        open_plain(tmp_path)

    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "s"))
    for name, kind in {"pipe": "a pipe", "zero": "a device", "s": "a socket"}.items():
        for read in (open_plain, sha256_file):
            with pytest.raises(OSError, match=f"{kind}, expected a plain file"):
                read(tmp_path / name)


@pytest.mark.skipif(not Path("/proc/self/pagemap").exists(), reason="no file without end is here")
def test_what_says_that_it_is_empty_and_never_ends_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "endless"
    path.symlink_to("/proc/self/pagemap")
    reads: list[Callable[[], object]] = [
        *(lambda: sha256_file(path), lambda: plain_text(path), lambda: open_plain(path).read()),
        *(lambda: open_plain(path).readline(), lambda: open_plain(path).read(4096)),
    ]
    for number, read in enumerate(reads):
        with within(10, str(number)), pytest.raises(UnfitFileError) as caught:
            read()
        assert str(caught.value) == (
            f"{path}: gives more than the 0 bytes that it has; expected a plain file"
        )


@pytest.mark.parametrize("place", ["/proc/kmsg", "/sys/kernel/tracing/trace_pipe"])
def test_what_is_plain_and_waits_for_more_is_refused(place: str, tmp_path: Path) -> None:
    try:
        os.close(os.open(place, os.O_RDONLY | os.O_NONBLOCK))
    except OSError:
        pytest.skip(f"{place} cannot be read here")
    path = tmp_path / "waits"
    path.symlink_to(place)
    reads: list[Callable[[], object]] = [
        *(lambda: sha256_file(path), lambda: plain_text(path)),
        *(lambda: open_plain(path).read(1), lambda: open_plain(path).readline()),
    ]
    for number, read in enumerate(reads):
        with within(10, str(number)), pytest.raises(UnfitFileError, match="expected a plain file"):
            read()


def test_a_file_that_grows_is_read_to_its_new_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a" * 10_000)
    with open_plain(path) as file, path.open("ab") as other:
        assert file.read(10_000) == b"a" * 10_000
        other.write(b"b" * 20_000)
        other.flush()
        assert file.read() == b"b" * 20_000
        assert file.read() == b""


def test_text_that_is_none_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("é".encode("latin-1"))
    with pytest.raises(UnfitFileError) as caught:
        plain_text(path)
    assert str(caught.value).startswith(f"{path}: no text in UTF-8; ")


def test_a_link_in_a_temporary_files_place_leads_nowhere(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("theirs")
    folder = tmp_path / "w"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f".{name}.{os.getpid()}.part").symlink_to(precious)
    write_bytes(folder / "a", b"ours")
    write_many(folder, {"b": b"ours"})

    assert {p.name: (p.read_bytes(), p.is_symlink()) for p in folder.iterdir()} == {
        "a": (b"ours", False),
        "b": (b"ours", False),
    }
    assert precious.read_text() == "theirs"


def test_what_is_removed_is_the_link_alone(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far/file").write_text("theirs")
    (tmp_path / "near").mkdir()
    (tmp_path / "near/link").symlink_to(tmp_path / "far")
    (tmp_path / "link").symlink_to(tmp_path / "far")
    remove(tmp_path / "link")
    remove(tmp_path / "near")
    assert [p.name for p in tmp_path.iterdir()] == ["far"]
    assert (tmp_path / "far/file").read_text() == "theirs"


def test_a_temporary_file_is_as_private_as_is_asked(tmp_path: Path) -> None:
    with replacing(tmp_path / "key", 0o600) as beside:
        assert beside.stat().st_mode & 0o777 == 0o600
        beside.write_bytes(b"secret")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_lines_end_as_on_any_system(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes("é\na\rb\r\n\n\x85c\x0b\u2028d".encode())
    assert list(plain_lines(path)) == ["é", "a", "b", "", "\x85c\x0b\u2028d"]
    path.write_bytes(b"a\n\xff")
    with pytest.raises(UnfitFileError, match=r"a: no text in UTF-8; put a good copy"):
        list(plain_lines(path))


@pytest.mark.parametrize("end", [b"\n", b"\r"])
def test_lines_without_end_are_refused_unread(tmp_path: Path, end: bytes) -> None:
    """Each takes fifty bytes of memory and more, be it of one."""
    path = tmp_path / "a"
    path.write_bytes(end * 4_000_001)
    with pytest.raises(UnfitFileError) as caught:
        next(plain_lines(path))
    assert str(caught.value) == (
        f"{path}: 4000001 lines, at most 4000000 are read; put a good copy in its place"
    )


@pytest.mark.parametrize("data", [b"", b"x" * 8192])
def test_a_file_of_holes_is_refused_unread(tmp_path: Path, data: bytes) -> None:
    """An archive of some bytes can make one of years of zeros."""
    path = tmp_path / "a"
    path.write_bytes(data)
    os.truncate(path, 1 << 40)
    with pytest.raises(WorkspaceError) as caught:
        sha256_file(path)
    assert str(caught.value) == (
        f"{path}: 1099511627776 bytes, nearly all of them holes; expected a file that is written"
    )
    os.truncate(path, 1 << 20)
    assert len(sha256_file(path)) == 64


def test_folders_too_deep_to_be_removed_are_one_line(tmp_path: Path) -> None:
    deep = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1100):
        os.mkdir("a", dir_fd=deep)
        above, deep = deep, os.open("a", os.O_RDONLY, dir_fd=deep)
        os.close(above)
    os.close(deep)
    try:
        sweep(tmp_path / "a")  # as far as it can be
        with pytest.raises(WorkspaceError, match="a: folders too deep in others to be removed"):
            remove(tmp_path / "a")
    finally:  # nor could pytest
        subprocess.run(["rm", "-r", "a"], check=True, cwd=tmp_path)
