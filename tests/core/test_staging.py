"""A folder that appears whole or not at all."""

import hashlib
import os
import re
import subprocess
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sixrayd.core.errors import UnfitFileError, WorkspaceError
from sixrayd.core.staging import (
    MANIFEST,
    Staging,
    listed_files,
    remove_all_leftovers,
    sole_writer,
    staged,
)
from tests.limits import within

FILES = {"a.txt": b"one", "deep/er/b.bin": bytes(range(256)), "c c.txt": b""}


def contents(folder):
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def write_all(staging, files=FILES):
    for name, data in files.items():
        staging.write(name, data)


def test_the_manifest_lists_every_file_by_name(tmp_path):
    staging = Staging(tmp_path)
    write_all(staging)

    digest = staging.write_manifest()

    text = (tmp_path / "manifest.sha256").read_text()
    assert text == (
        f"{hashlib.sha256(b'one').hexdigest()}  a.txt\n"
        f"{hashlib.sha256(b'').hexdigest()}  c c.txt\n"
        f"{hashlib.sha256(bytes(range(256))).hexdigest()}  deep/er/b.bin\n"
    )
    assert digest == hashlib.sha256(text.encode()).hexdigest()
    done = subprocess.run(
        ["sha256sum", "--strict", "--quiet", "-c", "manifest.sha256"], cwd=tmp_path
    )
    assert done.returncode == 0


def test_a_file_written_twice_is_listed_once_as_it_is(tmp_path):
    staging = Staging(tmp_path)
    staging.write("a.txt", b"first")
    staging.write("a.txt", b"second")
    staging.write_manifest()

    assert (tmp_path / "manifest.sha256").read_text() == (
        f"{hashlib.sha256(b'second').hexdigest()}  a.txt\n"
    )


def test_tables_and_lines(tmp_path):
    staging = Staging(tmp_path)
    schema = pa.schema([pa.field("id", pa.string(), nullable=False)])
    staging.write_table("t/states.parquet", pa.table([["a"]], schema=schema), schema)
    staging.write_lines("none.txt", [])
    staging.write_lines("two.txt", iter(["Ünal", "b"]))

    written = contents(tmp_path)
    assert sorted(written) == ["none.txt", "t/states.parquet", "two.txt"]
    assert (written["none.txt"], written["two.txt"]) == (b"", "Ünal\nb\n".encode())
    assert staging.sha256 == {
        name: hashlib.sha256(data).hexdigest() for name, data in written.items()
    }


@settings(max_examples=8)  # each one waits for the disk
@given(st.dictionaries(st.from_regex(r"[a-z]{1,3}\.txt", fullmatch=True), st.binary(max_size=9)))
def test_a_folder_holds_what_was_written_and_nothing_of_what_it_replaces(tmp_path_factory, files):
    target = tmp_path_factory.mktemp("replaced") / "out"
    for round_ in (FILES, files):
        with staged(target) as staging:
            write_all(staging, round_)

    assert contents(target) == files
    assert [path.name for path in target.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("after", range(4))
def test_an_error_at_any_write_changes_nothing(tmp_path, after, there):
    target = tmp_path / "out"
    if there:
        with staged(target) as staging:
            staging.write("old.txt", b"old")

    class Killed(BaseException):
        pass

    with pytest.raises(Killed), staged(target) as staging:
        write_all(staging, dict(list(FILES.items())[:after]))
        raise Killed

    assert contents(tmp_path) == ({"out/old.txt": b"old"} if there else {})
    assert [path.name for path in tmp_path.iterdir()] == (["out"] if there else [])


def test_what_a_kill_left_is_swept_away_or_put_back(tmp_path):
    part, old = tmp_path / ".out.sixrayd-part", tmp_path / ".out.sixrayd-old"
    for folder in (part, old):
        folder.mkdir()
        (folder / "left.txt").write_text(folder.name)

    # Killed between the two renames: only the old one is whole.
    with pytest.raises(KeyError), staged(tmp_path / "out"):
        raise KeyError

    assert contents(tmp_path) == {"out/left.txt": b".out.sixrayd-old"}
    old.mkdir()  # killed after both renames: the new one is whole
    (old / "left.txt").write_text("older")
    with pytest.raises(KeyError), staged(tmp_path / "out"):
        raise KeyError
    assert contents(tmp_path) == {"out/left.txt": b".out.sixrayd-old"}


@pytest.mark.parametrize("end", ["part", "old"])
@pytest.mark.parametrize("made", ["a pipe", "a link", "a file"])
def test_what_is_no_leftover_of_ours_goes_and_nothing_waits_for_it(tmp_path, end, made):
    theirs, left = tmp_path / "theirs", tmp_path / f".out.sixrayd-{end}"
    (theirs / "kept").mkdir(parents=True)
    if made == "a pipe":
        os.mkfifo(left)
    else:
        left.symlink_to(theirs) if made == "a link" else left.touch()
    with within(20, made), sole_writer(tmp_path / "out"), staged(tmp_path / "out") as staging:
        write_all(staging)

    assert contents(tmp_path / "out") == FILES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "theirs"]
    assert (theirs / "kept").is_dir()


def test_folders_above_the_target_are_made(tmp_path):
    with staged(tmp_path / "a/b/out") as staging:
        write_all(staging)

    assert contents(tmp_path / "a/b/out") == FILES


def test_a_folder_that_takes_no_files_is_told_in_one_line():
    told = r"^/proc: takes no new files; name another place$"
    with pytest.raises(WorkspaceError, match=told), sole_writer(Path("/proc/out")):
        pass


def test_the_root_of_a_disk_is_not_replaced():
    with pytest.raises(WorkspaceError) as caught, staged(Path("/")):
        raise KeyError
    assert str(caught.value) == "/: no folder that can be replaced; name a new one in it"


@pytest.mark.parametrize("path", ["../a", "a/../../b", "/tmp/a", "a//b", "a/\0"])
def test_nothing_is_written_outside(tmp_path: Path, path: str) -> None:
    refused = pytest.raises(WorkspaceError, match="leads out of the folder being written")
    with refused, staged(tmp_path / "in/out") as staging:
        staging.write(path, b"x")
    assert list(tmp_path.rglob("*")) == [tmp_path / "in"]


def test_two_who_write_at_one_place_do_not_meet(tmp_path):
    """Whoever comes second must not take the first one's files for those of a dead one."""
    target = tmp_path / "out"
    busy = rf"^{re.escape(str(target))}: process {os.getpid()} writes there; wait for it, or name "

    with sole_writer(target), staged(target) as staging:
        write_all(staging)
        remove_all_leftovers(tmp_path)
        with pytest.raises(WorkspaceError, match=busy), sole_writer(target):
            pytest.fail("both write")

    assert contents(target) == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_lock_that_a_kill_left_keeps_nobody_out(tmp_path):
    (lock := tmp_path / ".out.sixrayd-lock").write_text("1 writing")
    with sole_writer(tmp_path / "out"):
        assert lock.exists()
    assert not lock.exists()
    lock.touch()
    remove_all_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_parts_of_files_that_a_kill_left_go_and_no_others(tmp_path):
    folder, elsewhere = tmp_path / "review", tmp_path / "elsewhere"
    left = [".run.json.7.part", "r/.a.parquet.12.part", "r/decisions/.00001.parquet.8.plain.part"]
    left += ["r/planted/.planted.parquet.7.part", "r/planted/decisions/.00001.parquet.7.part"]
    kept = ["server/.state.json.7.part", "r/.a.tar.part", "r/a.7.part", "r/deeper/x/.a.7.part"]
    for path in (*(folder / name for name in (*left, *kept)), elsewhere / ".theirs.7.part"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (folder / "link").symlink_to(elsewhere)
    remove_all_leftovers(folder)
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == set(kept)
    assert (elsewhere / ".theirs.7.part").exists()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("cafe  a.txt", "cafe  a.txt"),
        (f"{'0' * 64}  ../a.txt", f"{'0' * 64}  ../a.txt"),
        ("<html>\x1b" * 50, "<html>\x1b" * 14 + "<h"),
    ],
)
def test_a_line_that_is_none_of_a_manifest_is_quoted(tmp_path, line, found):
    (tmp_path / MANIFEST).write_text(f"{'0' * 64}  b.txt\n{line}\n")
    with pytest.raises(UnfitFileError) as caught:
        list(listed_files(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path / MANIFEST}: line 2: found {found!r}, expected a SHA-256, two blanks and a "
        "path below the folder; put a good copy in its place"
    )
