"""The database on its socket, by the real MongoDB."""

import importlib.util
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sixrayd.browse.database import _may_be_made, running_database
from sixrayd.core.errors import ServiceError


def test_of_two_that_start_at_once_one_is_told_of_the_other(tmp_path: Path) -> None:
    package = importlib.util.find_spec("fiftyone")
    if package is None or package.origin is None:
        pytest.skip("FiftyOne is not installed")
    mongod = Path(package.origin).parent / "db" / "bin" / "mongod"
    folder, both, refused = tmp_path / "db", threading.Barrier(2), threading.Event()

    def start(_: int) -> str:
        both.wait()
        try:
            with running_database(mongod, folder):
                refused.wait(60)
                return "up"
        except ServiceError as error:
            refused.set()
            return str(error)

    with ThreadPoolExecutor(2) as threads:
        said = sorted(threads.map(start, range(2)))
    assert said == [
        f"{folder}: its database is in use; end the `sixrayd browse` that uses it",
        "up",
    ]


def test_the_socket_is_elsewhere_where_others_could_reach_it_or_none_can_be(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    deep = tmp_path / ("d" * 100)
    deep.mkdir(mode=0o700)
    assert _may_be_made(tmp_path / "mongodb.sock")
    assert not _may_be_made(deep / "mongodb.sock")
    tmp_path.chmod(0o755)  # as on exFAT, which keeps no modes
    assert not _may_be_made(tmp_path / "mongodb.sock")
    assert list(tmp_path.glob("*.sock")) == []
