"""Outside words on a terminal: one clean line each, whatever they say."""

import io
import json
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.table import Table

import sixrayd
from sixrayd.core.command import print_json
from sixrayd.core.errors import MOST_PRINTED, printable
from sixrayd.core.printing import Terminal, echo

EVIL = "ann\x1b[2J\r\nerror: all is well\u202e\x9b[bold]x[/bold] :smile:"
CLEAN = "ann\\x1b[2J\\r\\nerror: all is well\\u202e\\x9b[bold]x[/bold] :smile:"


@given(st.text() | st.text(min_size=MOST_PRINTED - 2))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_a_clean_line_is_short_and_printable(text: str) -> None:
    line = printable(text)
    assert line.isprintable()
    assert len(line) <= MOST_PRINTED
    assert printable(line) == line


def test_what_is_cut_says_so() -> None:
    assert printable("abcdef", 6) == "abcdef"
    assert printable("abcdefg", 6) == "abcde…"
    assert printable("\x1b" * 80_000_000, 10) == "\\x1b\\x1b\\…"


def test_echo_prints_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    echo(EVIL)
    echo(EVIL, err=True)
    assert capsys.readouterr() == (f"{CLEAN}\n", f"{CLEAN}\n")


def test_strings_in_tables_and_titles_are_clean() -> None:
    terminal = Terminal(file=io.StringIO(), width=200)
    table = Table("a", box=None, title=EVIL)
    table.add_row(EVIL)
    terminal.print(table, EVIL, sep="\n")
    assert isinstance(terminal.file, io.StringIO)
    lines = [line.strip() for line in terminal.file.getvalue().splitlines()]
    assert lines == [CLEAN, "a", CLEAN, CLEAN]


def test_json_is_valid(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({EVIL: [EVIL, float("nan"), float("inf"), 1.5]})
    said = capsys.readouterr().out
    assert all(line.isprintable() for line in said.splitlines())
    assert json.loads(said, parse_constant=pytest.fail) == {EVIL: [EVIL, None, None, 1.5]}


def test_a_usage_error_is_clean(tmp_path: Path) -> None:
    from sixrayd.cli import cli

    done = CliRunner().invoke(
        cli, ["mine", "--threshold", "\x1b[2J\nerror: x", "-w", str(tmp_path)]
    )
    assert done.exit_code == 2
    assert done.output.splitlines()[-1] == (
        "Error: Invalid value for '--threshold': '\\x1b[2J\\nerror: x' is not a valid float."
    )


def test_nothing_prints_elsewhere() -> None:
    """Nothing but `core/printing.py`, and `print_json`, writes to a terminal by itself."""
    root = Path(sixrayd.__file__).parent
    direct = re.compile(r"click\.(s?echo|secho)\(|(?<![\w.])print\(|(?<!\w)Console\(")
    found = {
        path.relative_to(root).as_posix(): len(calls)
        for path in root.rglob("*.py")
        if (calls := direct.findall(path.read_text("utf-8")))
    }
    there = {"review/label_studio/inside/sixrayd_rows.py": 1}  # in the server's environment
    assert found == {"core/command.py": 1, "core/printing.py": 1} | there
    assert click.echo is not echo
