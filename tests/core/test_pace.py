"""What has no limit of its own is left: a store, and a storage of a release, that drip."""

import os
import re
import subprocess
import sys
import threading

import pytest

from sixrayd.core import pace
from sixrayd.core.errors import ReleaseError
from sixrayd.core.pace import LateError, begun, in_time, within
from sixrayd.download.transfer import StorageMirror, Traffic
from tests.mirror import Odd, serving

LATE = "no whole answer within 0.5 s"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"


@pytest.fixture
def hurry(monkeypatch):
    monkeypatch.setattr(pace, "LONGEST_S", 0.5)


def test_a_call_gives_what_it_gives():
    def fails() -> None:
        raise TimeoutError("its own")

    assert within(lambda: 7, "s3://b") == 7
    with pytest.raises(TimeoutError, match=r"^its own$"):
        within(fails, "s3://b")
    with pytest.raises(ZeroDivisionError):
        in_time(begun(lambda: 1 // 0), "s3://b")


def test_who_is_waited_for_is_told(monkeypatch, capsys):
    monkeypatch.setattr(pace, "LINE_S", 0.1)
    monkeypatch.setattr(pace, "LONGEST_S", 0.35)
    ended = threading.Event()
    with pytest.raises(LateError):
        within(ended.wait, "s3://b/a.tar")
    ended.set()
    line = r"s3://b/a.tar: no whole answer after \d s; waits for it, 0\.35 s at most\n"
    assert re.fullmatch(rf"({line})+", capsys.readouterr().err)


def test_a_late_call_is_left_to_a_thread_that_keeps_nobody(hurry):
    ended, threads = threading.Event(), list[threading.Thread]()

    def late() -> None:
        threads.append(threading.current_thread())
        ended.wait()

    with pytest.raises(LateError, match=f"^{LATE}$"):
        within(late, "s3://b")
    assert [thread.daemon for thread in threads] == [True]
    ended.set()
    threads[0].join()


READS = """
import sys
from sixrayd.core import pace
from sixrayd.core.store import Store
store = Store(sys.argv[1])
assert store.exists("a.tar")
pace.LONGEST_S = float(sys.argv[2])
for read in (store.read_bytes, lambda name: store.open(name).read()):
    try:
        print(len(read("a.tar")))
    except Exception as error:
        print(type(error).__name__, error)
pace.leave(3)
"""


@pytest.mark.parametrize("drips", [True, False])
def test_an_object_that_drips_is_left_and_the_program_ends(tmp_path, drips):
    (tmp_path / "a.tar").write_bytes(b"x" * 9999)
    keys = {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_EC2_METADATA_DISABLED": "1",
    }
    with serving(tmp_path) as server:
        server.odd["a.tar"] = [Odd(drip=HEAD)] * 2 * drips
        address = f"endpoint_override={server.url.split('/')[2]}&scheme=http&region=us-east-1"
        command = [sys.executable, "-c", READS, f"s3://data?{address}", "0.5" if drips else "60"]
        done = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | keys, timeout=200
        )
    late = f"WorkspaceError s3://data/a.tar: {LATE}\n" * 2
    assert (done.stdout, done.returncode) == (late if drips else "9999\n9999\n", 3)


def test_a_storage_of_a_release_that_drips_is_left(tmp_path, hurry):
    traffic = Traffic(lambda *_: None)
    with serving(tmp_path) as server:
        host = server.url.split("/")[2]
        mirror = StorageMirror(f"webhdfs://{host}/data", traffic)
        server.odd["a.zip"] = [Odd(drip=HEAD)] * 2
        for ask in (lambda: mirror.size("a.zip"), lambda: mirror.bring("a.zip", tmp_path / "part")):
            with pytest.raises(ReleaseError) as caught:
                ask()
            assert str(caught.value) == f"{LATE}; run it again to go on"
