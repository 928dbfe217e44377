"""What all tests share: the data folder's variable, a command-line runner."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
if _DATA.is_dir():
    os.environ.setdefault("SIXRAYD_DATA", str(_DATA))


@pytest.fixture
def runner():
    """Runs commands in this process."""
    return CliRunner()
