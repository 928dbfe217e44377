"""Options from four places, and one JSON document."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click
import pytest
from click.testing import CliRunner

from sixrayd.core.command import (
    as_typed,
    json_option,
    options_of,
    print_json,
    reported,
    workspace_option,
)
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


def test_a_file_with_a_mark_is_read_and_one_in_another_encoding_named(tmp_path: Path) -> None:
    file = tmp_path / "sixrayd.toml"
    file.write_bytes(b"\xef\xbb\xbf[take]\ntest-share = 0.2\n")
    assert told("-w", str(tmp_path))["test_share"] == 0.2
    file.write_bytes(b"[take]\n# f\xfcr\n")
    with pytest.raises(SettingsError) as caught:
        told("-w", str(tmp_path))
    assert str(caught.value) == f"{file}: byte 10 is no UTF-8; save it as UTF-8"


def test_workspace_from_the_environment(tmp_path: Path) -> None:
    assert told(SIXRAYD_WORKSPACE=str(tmp_path))["root"] == str(tmp_path)
    assert told()["root"] == "workspace"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[other]\nx = 1\n", "[other] is no command; known are "),
        ("take = 3\n", "take = 3: expected settings below [take]"),
        ("[take]\nshare = 1\n", "'share' is no setting of `cli take`"),
        ("[take\n", "not TOML: "),
    ],
)
def test_file_with_faults(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "sixrayd.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        told("-w", str(tmp_path))
    assert str(caught.value).startswith(f"{tmp_path}/sixrayd.toml: {message}")


@dataclass(frozen=True)
class Wishes:
    learning_rate: float | None = None
    seed: int = 0
    kind: Literal["one", "two"] = "one"
    names: tuple[str, ...] = ("a", "b")
    origin: str = "here"
    force: bool = False
    mirror: bool = True


wish = options_of(Wishes)


@cli.command()
@workspace_option
@wish("--learning-rate", "--rate", envvar="SIXRAYD_ASK_RATE", help="Peak.")
@wish("--seed", help="Seed.")
@wish("--kind", help="Kind.")
@wish("--names", help="Names.")
@wish("--from", "origin", help="Whence.  [default: here]")
@wish("--force", help="Replace.")
@wish("--mirror/--no-mirror", help="Mirror.")
def ask(workspace: Workspace, **options: object) -> None:
    print_json(Wishes(**options))  # type: ignore[arg-type]


def asked(*words: str, **env: str) -> Wishes:
    result = CliRunner().invoke(cli, ["ask", *words], env=env, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    return Wishes(**{**document, "names": tuple(document["names"])})


def test_options_have_the_defaults_of_their_settings() -> None:
    assert asked() == Wishes()
    words = ("--seed", "3", "--kind", "two", "--names", "c, d", "--from", "there", "--force")
    assert asked(*words, "--no-mirror") == Wishes(None, 3, "two", ("c", "d"), "there", True, False)


def test_older_names_of_an_option_keep_working(tmp_path: Path) -> None:
    assert asked("--rate", "0.1") == asked("--learning-rate", "0.1") == Wishes(0.1)
    assert asked(SIXRAYD_ASK_RATE="0.2") == asked(SIXRAYD_ASK_LEARNING_RATE="0.2") == Wishes(0.2)
    for name in ("rate", "learning-rate", "learning_rate"):
        (tmp_path / "sixrayd.toml").write_text(f"[ask]\n{name} = 0.3\nfrom = 'there'\n")
        assert asked("-w", str(tmp_path)) == Wishes(0.3, origin="there")


def test_help_shows_defaults_that_say_something() -> None:
    text = " ".join(CliRunner().invoke(cli, ["ask", "--help"]).stdout.split())
    shown = re.findall(r"\[default: ([^]]*)\]", text)
    assert shown == ["workspace", "0", "one", "a,b", "here", "mirror"]


@click.command("go")
@workspace_option
@click.option("--epochs", default=3)
@click.option("--name", "--called", default="")
@click.option("--mirror/--no-mirror", default=True)
@click.option("--split", multiple=True)
@click.option("--force", is_flag=True)
def go(workspace: Workspace, epochs: int, **_: object) -> None:
    click.echo(as_typed(epochs=2 * epochs, force=True))


@pytest.mark.parametrize(
    ("words", "typed"),
    [
        ([], "go --epochs 6 --force"),
        (["-w", "here", "--called", "a b"], "go --epochs 6 --name 'a b' --force"),
        (["--no-mirror", "--epochs", "5"], "go --epochs 10 --no-mirror --force"),
        (["--split", "a", "--split", "b"], "go --epochs 6 --split a --split b --force"),
    ],
)
def test_a_command_as_it_was_typed(words: list[str], typed: str) -> None:
    result = CliRunner().invoke(go, words, catch_exceptions=False)
    assert result.output == f"{typed}\n"


def test_work_that_is_first_told_when_it_is_done_has_no_rate() -> None:
    @click.command()
    def look() -> None:
        with reported() as report:
            report("headers", 1805, 1805)

    assert CliRunner().invoke(look).stderr == "headers 1,805 of 1,805, 0 left\n"
