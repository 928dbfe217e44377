"""Options from four places, and one JSON document."""

import json
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from sixrayd.core.command import json_option, print_json, workspace_option
from sixrayd.core.errors import SettingsError
from sixrayd.core.workspace import Workspace


@dataclass
class Told:
    root: Path
    test_share: float


@click.group(context_settings={"auto_envvar_prefix": "SIXRAYD"})
def cli() -> None:
    pass


@cli.command()
@workspace_option
@click.option("--test-share", default=0.1)
@json_option
def take(workspace: Workspace, test_share: float, as_json: bool) -> None:
    assert as_json
    print_json(Told(workspace.root, test_share))


def told(*words: str, **env: str) -> dict[str, object]:
    result = CliRunner().invoke(cli, ["take", "--json", *words], env=env, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    document: dict[str, object] = json.loads(result.stdout)
    return document


def test_option_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    place = ("-w", str(tmp_path))
    assert told(*place)["test_share"] == 0.1
    (tmp_path / "sixrayd.toml").write_text("[take]\ntest-share = 0.2\n")
    assert told(*place)["test_share"] == 0.2
    assert told(*place, SIXRAYD_TAKE_TEST_SHARE="0.3")["test_share"] == 0.3
    assert told(*place, "--test-share", "0.4", SIXRAYD_TAKE_TEST_SHARE="0.3")["test_share"] == 0.4


def test_workspace_from_the_environment(tmp_path: Path) -> None:
    assert told(SIXRAYD_WORKSPACE=str(tmp_path))["root"] == str(tmp_path)
    assert told()["root"] == "workspace"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[other]\nx = 1\n", "[other] is no command; known are take"),
        ("[take]\nshare = 1\n", "'share' is no setting of `cli take`"),
        ("[take\n", "not TOML: "),
    ],
)
def test_file_with_faults(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "sixrayd.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        told("-w", str(tmp_path))
    assert str(caught.value).startswith(f"{tmp_path}/sixrayd.toml: {message}")
