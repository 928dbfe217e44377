"""A stranger's code in the folder that a command is run in."""

import subprocess
import sys

from sixrayd.core.children import module_command

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
