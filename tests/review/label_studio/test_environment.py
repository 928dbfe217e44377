"""The server's environment: where it is, when it is whole, and what it gets to see."""

import hashlib
import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from zipfile import ZipFile

import psutil
import pytest

import sixrayd
from sixrayd.core.errors import ServiceError, WorkspaceError
from sixrayd.core.locks import holder
from sixrayd.review.label_studio import environment
from sixrayd.review.label_studio.environment import (
    QUIET,
    VERSION,
    empty_database,
    environment_folder,
    server_program,
    server_variables,
)
from tests.limits import TOO_LARGE, largest_file
from tests.processes import started

PLACE = "SIXRAYD_LABEL_STUDIO_VENV"
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
FILES = [Path(environment.__file__).with_name(name) for name in ("builders.txt", "pins.txt")]
HASH = hashlib.sha256(b"".join(path.read_bytes() for path in FILES)).hexdigest()
NAME = f"label-studio-{VERSION}-python{PYTHON}-{HASH[:8]}"


def recipe():
    """The mark of an environment that is whole; those that people have are known by it."""
    return f"1: label-studio {VERSION}, python {PYTHON}, {HASH}"


def finished(folder, mark):
    program = folder / "bin" / "label-studio"
    program.parent.mkdir(parents=True)
    program.touch()
    (folder / "sixrayd-begun").touch()
    (folder / "sixrayd-finished").write_text(mark, "utf-8")
    return program


def never(text):
    raise AssertionError(f"nothing is to be said, got {text!r}")


def test_it_lies_in_the_cache_of_its_user_and_other_pythons_and_pins_have_their_own(
    monkeypatch, tmp_path
):
    monkeypatch.delenv(PLACE, raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert environment_folder() == tmp_path / ".cache" / "sixrayd" / NAME
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert environment_folder() == tmp_path / ".cache" / "sixrayd" / NAME
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert environment_folder() == tmp_path / "cache" / "sixrayd" / NAME


def test_another_place_may_be_named(monkeypatch, tmp_path):
    monkeypatch.setenv(PLACE, str(tmp_path / "venv"))
    assert environment_folder() == tmp_path / "venv"
    assert empty_database() == tmp_path / "venv" / "empty" / "label_studio.sqlite3"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(PLACE, "~/venv")
    assert environment_folder() == tmp_path / "venv"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(PLACE, "relative")
    assert environment_folder() == tmp_path / "relative"


@pytest.mark.parametrize("end", ["", "\n"])
def test_an_environment_that_is_whole_is_used_as_it_is(monkeypatch, tmp_path, end):
    monkeypatch.setenv(PLACE, str(tmp_path / "venv"))
    program = finished(tmp_path / "venv", recipe() + end)
    before = sorted(tmp_path.rglob("*"))
    assert server_program(never) == program
    assert sorted(tmp_path.rglob("*")) == before


def test_one_whose_program_was_removed_is_not_mended_in_silence(monkeypatch, tmp_path):
    folder = tmp_path / "venv"
    monkeypatch.setenv(PLACE, str(folder))
    program = finished(folder, recipe())
    program.unlink()
    with pytest.raises(ServiceError) as caught:
        server_program(never)
    assert str(caught.value) == (f"{program}: missing; remove {folder} and start the server again")


@pytest.mark.parametrize(
    "mark",
    [
        "",
        recipe().replace(VERSION, "1.0.0"),
        recipe().replace("python 3", "python 2"),
        recipe()[:-1],
    ],
)
def test_one_of_another_recipe_is_not_whole_and_a_strangers_is_not_touched(
    monkeypatch, tmp_path, mark
):
    folder = tmp_path / "venv"
    monkeypatch.setenv(PLACE, str(folder))
    finished(folder, mark)
    (folder / "sixrayd-begun").unlink()  # so that nothing says that sixrayd made it
    before = sorted(folder.rglob("*"))
    with pytest.raises(ServiceError) as caught:
        server_program(never)
    assert str(caught.value) == (
        f"{folder}: not an environment that sixrayd made; "
        "name an empty folder in SIXRAYD_LABEL_STUDIO_VENV"
    )
    assert sorted(folder.rglob("*")) == before


def test_the_server_sees_little_of_the_environment_and_no_secret(monkeypatch):
    secrets = {
        "SIXRAYD_LABEL_STUDIO_TOKEN": "a-token",
        "AWS_SECRET_ACCESS_KEY": "a-key",
        "LABEL_STUDIO_SENTRY_DSN": "https://crash.example.org",
        "DATABASE_URL": "postgres://elsewhere",
        "PYTHONPATH": "/elsewhere",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("LC_ALL", raising=False)
    seen = server_variables()
    assert (seen["PATH"], seen["TZ"]) == ("/usr/bin", "UTC")
    assert seen.keys() - QUIET.keys() <= {"PATH", "HOME", "LANG", "TMPDIR", "TZ", "PYTHONSAFEPATH"}
    assert not set(seen.values()) & set(secrets.values())


def test_the_server_calls_nobody():
    assert {key: server_variables()[key] for key in QUIET} == {
        "LABEL_STUDIO_LATEST_VERSION_CHECK": "false",
        "LABEL_STUDIO_COLLECT_ANALYTICS": "false",
        "LABEL_STUDIO_SENTRY_DSN": "",
        "LABEL_STUDIO_FRONTEND_SENTRY_DSN": "",
        "LABEL_STUDIO_FEATURE_FLAGS_OFFLINE": "true",
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="gives folders to another user")
@pytest.mark.parametrize("place", [".", NAME])
def test_an_environment_that_another_user_has_made_is_not_run(monkeypatch, tmp_path, place):
    monkeypatch.delenv(PLACE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    finished(environment_folder(), recipe())
    theirs = tmp_path / "sixrayd" / place
    os.chown(theirs, 65534, 65534)
    with pytest.raises(ServiceError) as caught:
        server_program(never)
    assert str(caught.value) == (
        f"{theirs}: belongs to user 65534, expected yours; have it removed, or name a folder that "
        f"you trust in {PLACE}"
    )


def test_others_may_write_nothing_into_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv(PLACE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = environment_folder()
    program = finished(folder, recipe())
    folder.parent.chmod(0o777)
    folder.chmod(0o775)
    assert server_program(never) == program
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder.parent, folder)] == [0o700] * 2


def test_a_cache_that_cannot_be_made_is_said(monkeypatch, tmp_path):
    monkeypatch.delenv(PLACE, raising=False)
    (tmp_path / "cache").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(ServiceError) as caught:
        server_program(never)
    assert str(caught.value) == (
        f"{tmp_path / 'cache' / 'sixrayd'}: cannot be made (Not a directory); name another folder "
        f"in {PLACE}"
    )


def test_a_full_disk_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv(PLACE, str(tmp_path / "venv"))
    with largest_file(20), pytest.raises(WorkspaceError) as caught:  # bytes: a lock, and no more
        server_program(print)
    assert str(caught.value) == f"{tmp_path / 'venv'}: {TOO_LARGE}"


def test_a_package_that_is_not_the_pinned_one_is_not_installed(monkeypatch, tmp_path):
    """Whoever serves an index, or comes between it and us, may put another in its place."""
    (version,) = re.findall(r"^setuptools==(\S+)", FILES[0].read_text("utf-8"), re.MULTILINE)
    about = f"setuptools-{version}.dist-info"
    with ZipFile(tmp_path / f"setuptools-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr("setuptools/__init__.py", "")
        wheel.writestr(f"{about}/METADATA", f"Name: setuptools\nVersion: {version}\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    monkeypatch.setenv(PLACE, str(tmp_path / "venv"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ServiceError, match=r"installed: ERROR: .* DO NOT MATCH THE HASHES"):
        server_program(str)
    assert not (tmp_path / "venv" / "sixrayd-finished").exists()


def _holding(lock, build):
    """What an installation has started, once that holds the lock."""
    assert build.poll() is None
    said = lock.read_text() if lock.exists() else ""
    return [each for each in psutil.Process(build.pid).children() if str(each.pid) == said]


@pytest.mark.long  # a second
def test_what_a_killed_installation_started_keeps_others_out_as_long_as_it_writes(tmp_path):
    lock = tmp_path / "venv.lock"
    program = "from sixrayd.review.label_studio.environment import server_program as p; p(print)"
    root = str(Path(sixrayd.__file__).parents[1])
    more = {
        PLACE: str(tmp_path / "venv"),
        "PYTHONPATH": root,
        "PIP_INDEX_URL": "http://127.0.0.1:9",
    }
    with started([sys.executable, "-c", program], env=more, stdout=subprocess.DEVNULL) as build:
        while not (children := _holding(lock, build)):
            time.sleep(0.01)
        children[0].suspend()
        build.send_signal(signal.SIGKILL)
        build.wait()
        assert str(holder(lock)) == f"process {children[0].pid}"
        children[0].kill()
        psutil.wait_procs(children)
        assert holder(lock) is None
