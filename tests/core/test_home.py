"""`~` in words that a shell leaves as they are."""

import pytest
from click.testing import CliRunner

from sixrayd.cli import cli
from sixrayd.core.home import with_home


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("--out=~/D", "--out=/home/me/D"),
        ("-w~/ws", "-w/home/me/ws"),
        ("paper=~/splits.json", "paper=/home/me/splits.json"),
        ("~/D", "/home/me/D"),
        ("~", "/home/me"),
        ("./~/D", "./~/D"),
        ("~other/D", "~other/D"),
        ("a~/b", "a~/b"),
        ("--by=A ~/", "--by=A ~/"),
    ],
)
def test_where_the_home_is_meant(monkeypatch, word, expected):
    monkeypatch.setenv("HOME", "/home/me")
    assert with_home(word) == expected


def test_no_folder_is_called_by_the_sign_for_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    done = CliRunner().invoke(cli, ["synth", "~/rel", "--images", "2"])

    assert (done.exit_code, sorted(path.name for path in tmp_path.iterdir())) == (0, ["home"])
