"""Folders at a path or URL; S3 has its own tests, with a server."""

import errno
import io
import os
import pickle
import signal
import sys
import tarfile
import threading
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixrayd.core import store as store_module
from sixrayd.core.errors import ShardError, WorkspaceError
from sixrayd.core.shards import ShardWriter, iter_shard
from sixrayd.core.store import Store
from tests.processes import started


@pytest.fixture(params=["path", "file", "memory"])
def store(request, tmp_path):
    urls = {
        "path": tmp_path / "new folder",
        "file": (tmp_path / "new folder").as_uri(),
        "memory": f"memory://{uuid.uuid4().hex}/new folder",
    }
    return Store(urls[request.param])


def test_a_file_is_written_read_replaced_and_deleted(store):
    assert (store.names(), store.exists("a.tar")) == (set(), False)

    store.write_bytes("a.tar", b"old")
    store.write_bytes("a.tar", b"new bytes")
    store.write_bytes("b.tar", b"")

    assert (store.names(), store.exists("a.tar")) == ({"a.tar", "b.tar"}, True)
    assert (store.read_bytes("a.tar"), store.read_bytes("b.tar")) == (b"new bytes", b"")
    with store.open("a.tar") as file:
        assert file.read() == b"new bytes"
    store.delete("a.tar")
    store.delete("a.tar")
    assert store.names() == {"b.tar"}


def test_what_is_missing_is_named(store):
    for method, kind in ((store.read_bytes, WorkspaceError), (store.open, ShardError)):
        with pytest.raises(kind) as caught:
            method("a.tar")
        assert str(caught.value) == f"{store.place}/a.tar: missing"


def test_a_file_that_is_said_to_be_large_is_not_read_whole(store):
    store.write_bytes("x", b"12345678901")
    assert store.read_bytes("x", 11) == b"12345678901"
    with pytest.raises(WorkspaceError) as caught:
        store.read_bytes("x", 10)
    assert str(caught.value) == f"{store.place}/x: more than 10 bytes"


@pytest.mark.parametrize("name", ["", ".", "..", "../a", "a/b", ".hidden", "/etc/passwd"])
def test_names_are_plain(store, name):
    for method in (store.exists, store.open, store.read_bytes, store.delete, store.local):
        with pytest.raises(WorkspaceError) as caught:
            method(name)
        assert str(caught.value) == f"{store.place}: name {name!r}: needs to be a plain file name"
    with pytest.raises(WorkspaceError, match="needs to be a plain file name"):
        store.write_bytes(name, b"x")


def test_a_store_travels(store):
    store.write_bytes("a", b"1")

    again = pickle.loads(pickle.dumps(store))

    assert again.read_bytes("a") == b"1"
    assert repr(again) == f"Store({store.place!r})"


def test_only_files_on_this_machine_have_a_path(tmp_path):
    assert Store(tmp_path).local("a") == tmp_path / "a"
    assert Store(tmp_path.as_uri()).local("a") == tmp_path / "a"
    assert Store("memory://x").local("a") is None


def test_unfinished_files_stay_out_of_the_names(tmp_path):
    (tmp_path / ".a.123.part").write_bytes(b"half")
    (tmp_path / "folder").mkdir()
    (tmp_path / "a").write_bytes(b"whole")

    assert Store(tmp_path).names() == {"a"}


def test_killed_while_writing_the_file_is_the_old_or_the_new(tmp_path):
    script = (
        "import sys; from sixrayd.core.store import Store; store = Store(sys.argv[1])\n"
        "while True:\n"
        "    for letter in (b'a', b'b'): store.write_bytes('x', letter * 3_000_000)"
    )
    store, found = Store(tmp_path), set()
    for _ in range(4):
        with started([sys.executable, "-c", script, str(tmp_path)]) as running:
            time.sleep(0.2)
            while not store.exists("x"):
                assert running.poll() is None
                time.sleep(0.01)
            running.send_signal(signal.SIGKILL)
            running.wait()
        data = store.read_bytes("x")
        found.add((len(data), data[:1] in (b"a", b"b"), len(set(data))))
        assert store.names() == {"x"}

    assert found == {(3_000_000, True, 1)}


def test_a_disk_that_fails_is_one_line(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WorkspaceError) as caught:
        Store(tmp_path / "file").write_bytes("x", b"1")
    assert str(caught.value) == (
        f"{tmp_path}/file/x: cannot be written ({os.strerror(errno.EEXIST)}); name another place, "
        "or move aside what is there"
    )
    (tmp_path / "folder").mkdir()
    with pytest.raises(WorkspaceError) as caught:
        Store(tmp_path).read_bytes("folder")
    assert str(caught.value) == f"{tmp_path}/folder: {os.strerror(errno.EISDIR)}"


def test_a_storage_that_nobody_knows():
    with pytest.raises(WorkspaceError) as caught:
        Store("nowhere://me:hush@host/folder?token=hush").names()
    assert str(caught.value) == "nowhere://host/folder: Protocol not known: nowhere"


@pytest.mark.parametrize(
    "url",
    [
        "s3://key:hu/sh@bucket/folder?what=is",
        "s3://key:hu sh@bucket/folder",
        "s3://key:hu?sh@bucket/folder",
        "s3://key:hu#sh@bucket/folder",
    ],
)
def test_keys_never_show(url):
    store = Store(url)
    assert store.place == "s3://bucket/folder"
    with pytest.raises(WorkspaceError) as caught:
        store.names()
    text = f"{caught.value} {caught.value.__cause__} {store!r}"
    assert [word for word in ("hu/sh", "hu sh", "hu?sh", "hu#sh", "key:") if word in text] == []


def test_every_message_has_a_reason():
    with pytest.raises(WorkspaceError) as caught:
        Store("s3://bucket/folder?what=is").names()
    assert str(caught.value) == "s3://bucket/folder: Unexpected query parameter in S3 URI: 'what'"


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(store_module, "_PIECE", 700)


@pytest.mark.usefixtures("small_pieces")
def test_a_shard_is_read_in_pieces(tmp_path):
    with ShardWriter(tmp_path, "negatives", 100) as writer:
        for number in range(9):
            writer.add(f"N{number}", bytes([number]) * (number * 333))
    data = (tmp_path / "negatives-00000.tar").read_bytes()
    store = Store(f"memory://{uuid.uuid4().hex}")
    store.write_bytes("negatives-00000.tar", data)

    with store.open("negatives-00000.tar") as file:
        images = list(iter_shard(tmp_path / "elsewhere.tar", file))

    assert [(i.image_id, len(i.data)) for i in images] == [(f"N{n}", n * 333) for n in range(9)]
    assert [data[i.offset : i.offset + len(i.data)] for i in images] == [i.data for i in images]
    store.write_bytes("negatives-00000.tar", data[:2000])
    with (
        pytest.raises(ShardError, match="truncated or not a shard"),
        store.open("negatives-00000.tar") as file,
    ):
        list(iter_shard(tmp_path / "elsewhere.tar", file))


class _Shrinking(io.BytesIO):
    """A remote file of which less comes than was promised."""

    def read_at(self, size, offset):
        return self.getvalue()[offset : offset + size]


@pytest.mark.usefixtures("small_pieces")
def test_a_file_that_changes_while_it_is_read():
    ahead = store_module._Ahead(_Shrinking(b"x" * 1000), 1100, "s3://b/x.tar")
    assert ahead.read(700) == b"x" * 700
    with pytest.raises(WorkspaceError) as caught:
        ahead.read(1)
    assert str(caught.value) == "s3://b/x.tar: has become shorter while it was read"


@pytest.mark.usefixtures("small_pieces")
def test_a_connection_that_breaks_is_no_broken_shard(tmp_path):
    class Breaking(_Shrinking):
        def read_at(self, size, offset):
            if offset >= 1400:
                raise OSError("AWS Error NETWORK_CONNECTION during GetObject operation: curlCode")
            return super().read_at(size, offset)

    sink = io.BytesIO()
    with tarfile.TarFile(fileobj=sink, mode="w") as tar:
        tar.addfile(header := tarfile.TarInfo("N1.jpg"))
        header.size = 5000
        tar.addfile(header, io.BytesIO(b"x" * 5000))
    ahead = store_module._Ahead(Breaking(sink.getvalue()), len(sink.getvalue()), "s3://b/x.tar")
    with pytest.raises(WorkspaceError) as caught:
        list(iter_shard(tmp_path / "x.tar", io.BufferedReader(ahead)))
    assert str(caught.value) == (
        "s3://b/x.tar: AWS Error NETWORK_CONNECTION during GetObject operation: curlCode"
    )


@pytest.mark.usefixtures("small_pieces")
def test_closing_waits_for_no_read_under_way():
    reading, answer = threading.Event(), threading.Event()

    class Slow(_Shrinking):
        def read_at(self, size, offset):
            if offset:
                reading.set()
                answer.wait()
            return super().read_at(size, offset)

    ahead = store_module._Ahead(Slow(b"x" * 2000), 2000, "x")
    assert ahead.read(700) == b"x" * 700
    reading.wait()
    closing = threading.Thread(target=ahead.close, daemon=True)
    closing.start()
    closing.join(120)
    closed = not closing.is_alive()
    answer.set()

    assert closed and ahead.closed


@pytest.mark.usefixtures("small_pieces")
def test_reading_goes_forwards_only():
    ahead = store_module._Ahead(_Shrinking(bytes(range(250)) * 8), 2000, "x")
    assert (ahead.seek(10), ahead.read(2), ahead.tell()) == (10, b"\x0a\x0b", 12)
    assert (ahead.seek(1000, io.SEEK_CUR), ahead.read(1)) == (1012, b"\x0c")
    assert (ahead.seek(-1, io.SEEK_END), ahead.read(9), ahead.read(9)) == (1999, b"\xf9", b"")
    assert ahead.seek(5000) == 2000
    with pytest.raises(io.UnsupportedOperation, match="x: is read forwards only"):
        ahead.seek(3)


@given(st.binary(max_size=5000), st.lists(st.integers(1, 1500), max_size=20))
def test_any_reads_give_the_file(data, sizes):
    store = Store("memory://any")
    store.write_bytes("x", data)
    with store.open("x") as file:
        pieces = [file.read(size) for size in sizes]
        pieces.append(file.read())
    assert b"".join(pieces) == data
