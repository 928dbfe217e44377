"""A stranger's code in the folder that a command is run in."""

import os
import subprocess
import sys

import pytest

from sixrayd.core.children import keep_to_safe_paths, module_command
from tests.processes import started

_TRAP = "import pathlib; pathlib.Path('trapped').touch()"
_KEPT = """
import subprocess, sys
from sixrayd.core.children import keep_to_safe_paths
keep_to_safe_paths()
subprocess.run([sys.executable, "-c", "import json, sixrayd"], check=True)
"""
_POOL = """
import os, sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from sixrayd.core.children import end_with_parent

if __name__ == "__main__":
    with ProcessPoolExecutor(2, get_context("spawn"), initializer=end_with_parent) as pool:
        print(*sorted(pool.map(abs, range(2))), flush=True)
        sys.stdin.read()
"""


def test_no_child_takes_a_module_from_the_current_folder(tmp_path):
    (tmp_path / "sixrayd").mkdir()
    for module in ("sixrayd/__init__.py", "json.py", "multiprocessing.py"):
        (tmp_path / module).write_text(_TRAP)
    for command in (module_command("sixrayd.core.words"), [sys.executable, "-P", "-c", _KEPT]):
        subprocess.run(command, cwd=tmp_path, check=True)
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize(
    ("before", "kept"), [(None, os.devnull), ("", os.devnull), (":/a::lib:/b:", "/a:/b")]
)
def test_no_child_takes_a_library_from_the_current_folder(monkeypatch, before, kept):
    """An empty name in LD_LIBRARY_PATH is that folder; OpenCV puts its own before what is there."""
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    if before is not None:
        monkeypatch.setenv("LD_LIBRARY_PATH", before)
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    look = "import os, cv2; print(os.environ['LD_LIBRARY_PATH'])"
    keep_to_safe_paths()
    told = subprocess.check_output([sys.executable, "-c", look], text=True)
    assert told.endswith(f":{kept}\n") and all(told.strip().split(":"))


def test_a_pool_ends_with_what_made_it_though_that_is_killed(tmp_path):
    (tmp_path / "pool.py").write_text(_POOL)
    pipe = subprocess.PIPE
    with started([sys.executable, str(tmp_path / "pool.py")], stdin=pipe, stdout=pipe) as process:
        assert process.stdout.readline() == b"0 1\n"
        process.kill()
        assert process.communicate(timeout=30) == (b"", None)  # all that could write have ended
