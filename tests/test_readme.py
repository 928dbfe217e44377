"""The commands of the README and of the first page, as a reader would type them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import contained

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = """
[train]
input-size = 96

[mine]
backend = "torch"
mirror = false

[benchmark]
timing = 3
resamples = 50
"""


@pytest.mark.long
@pytest.mark.parametrize(("page", "count"), [("README.md", 16), ("docs/index.md", 11)])
def test_the_transcript_runs(tmp_path, page, count):
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / page).read_text("utf-8"), re.S)
    commands = [line[2:] for block in blocks for line in block.splitlines()]
    assert len(commands) == count
    assert all(command.startswith("sixrayd ") for command in commands)
    (tmp_path / "workspace").mkdir()
    (tmp_path / "workspace" / "sixrayd.toml").write_text(SETTINGS)  # the same commands, but quick
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    with contained() as environment:
        environment["PATH"] = programs
        for command in commands:
            fewer = command.replace("--images 400", "--images 40")
            answer = subprocess.run(
                fewer.split(), cwd=tmp_path, env=environment, capture_output=True, text=True
            )
            assert answer.returncode == 0, f"{command}: {answer.stderr}"

    assert (tmp_path / "workspace" / "export" / "rfb-lite0" / "VOC2007" / "Annotations").is_dir()


def test_the_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text("utf-8"))

    assert len(links) >= 8
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []
