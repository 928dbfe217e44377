"""A stranger's code in the folder that a command is run in."""

import os
import subprocess
import sys

import pytest

from sixrayd.core.children import keep_to_safe_paths, module_command

_TRAP = "import pathlib; pathlib.Path('trapped').touch()"
_KEPT = """
import subprocess, sys
from sixrayd.core.children import keep_to_safe_paths
keep_to_safe_paths()
subprocess.run([sys.executable, "-c", "import json, sixrayd"], check=True)
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
