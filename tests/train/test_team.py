"""Processes that train together: who else reaches them."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from sixrayd.cli import cli
from sixrayd.core.errors import SettingsError
from sixrayd.train.team import ALONE, join

CPU = torch.device("cpu")
REFUSAL = (
    "torchrun without --master-port, or with --standalone: whoever reaches this machine by the "
    "network could run code as you; start it with --master-port 29500, where no other machine "
    "reaches that port"
)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_meeting_where_anybody_runs_code_is_refused(
    monkeypatch: pytest.MonkeyPatch, processes: str
) -> None:
    monkeypatch.setenv("WORLD_SIZE", processes)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "3d40fc74-f655-4501-a40d-ecd0d326320a")
    with pytest.raises(SettingsError) as caught, join(CPU):
        pass
    assert str(caught.value) == REFUSAL


def test_run_without_an_id_of_chance_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    with join(CPU) as team:
        assert team == ALONE


@pytest.mark.long  # seconds each, to start
def test_torchrun_as_help_has_it_is_taken_and_by_itself_refused(tmp_path: Path) -> None:
    script = tmp_path / "place.py"
    script.write_text(
        "import torch\nfrom sixrayd.train.team import join\n"
        "with join(torch.device('cpu')) as team:\n    print('place', team.rank, team.size)\n"
    )

    def told(*more: str) -> str:
        words = ["torch.distributed.run", "--nproc-per-node", "1", *more, str(script)]
        done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True)
        return done.stdout + done.stderr

    line = re.search(
        r"torchrun (.+) -m sixrayd", CliRunner().invoke(cli, ["train", "--help"]).output
    )
    assert line and line[1] == "--nproc-per-node 4 --master-port 29500"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    assert "place 0 1" in told("--master-port", port)
    for more in ((), ("--standalone",)):
        assert REFUSAL in told(*more)
