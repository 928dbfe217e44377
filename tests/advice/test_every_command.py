"""Every command ends with the one judgement of what comes next, but for those named here."""

import ast
import inspect
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import sixrayd
from sixrayd.cli import COMMANDS, cli
from sixrayd.review.folder import ReviewFolder
from tests.workspaces import Small

ROOT = Path(sixrayd.__file__).parent
WITHOUT = {
    "synth": "writes a release; there is no workspace yet",
    "plan": "forecasts and changes nothing",
    "validate": "checks one export, without a workspace",
    "verify": "reads one file, without a workspace",
    "diff": "compares two sets, without a workspace",
    "patch apply": "writes a set, without a workspace",
    "patch show": "reads one file, without a workspace",
    "browse": "shows what is there till it is closed",
    "report": "writes a page on what is there, and changes nothing else",
    "demo": "goes through a whole campaign itself, and ends it",
    "review agreement": "says what was answered, and changes nothing",
    "review backup": "copies what is there",
    "review rates": "says what was answered, and changes nothing",
}
# Where the words stand: the functions that all call, and one that tells it in a line of its own.
SPELT_IN = {"advice/next_step.py", "download/command.py"}


def every_command():
    """All commands by what is typed."""
    found = {}
    for name in COMMANDS:
        command = cli.get_command(None, name)
        inner = command.commands if isinstance(command, click.Group) else {}
        found |= {f"{name} {each}": of for each, of in inner.items()} or {name: command}
    return found


def functions_of(module):
    tree = ast.parse(Path(module.__file__).read_text("utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def spelt(node):
    """Texts in some code, docstrings apart, that say what is next."""
    texts = (n.value for n in ast.walk(node) if isinstance(n, ast.Constant))
    return [text for text in texts if isinstance(text, str) and text.endswith("next: ")]


def tells_what_is_next(callback):
    """Whether a command, by what it calls of its own file, prints the judgement."""
    callback = inspect.unwrap(callback)
    functions = functions_of(sys.modules[callback.__module__])
    left, seen = [callback.__name__], set()
    while left:
        name = left.pop()
        if name in ("echo_next", "next_lines"):
            return True
        if name in seen or name not in functions:
            continue
        seen.add(name)
        if spelt(functions[name]):
            return True
        left += [node.id for node in ast.walk(functions[name]) if isinstance(node, ast.Name)]
    return False


def test_every_command_tells_what_is_next_but_for_these():
    commands = every_command()
    silent = {n for n, of in commands.items() if not tells_what_is_next(of.callback)}
    assert len(commands) > 30
    assert silent == WITHOUT.keys()


def test_no_file_has_a_next_of_its_own():
    files = sorted(ROOT.rglob("*.py"))
    found = {f.relative_to(ROOT).as_posix() for f in files if spelt(ast.parse(f.read_text()))}
    assert found == SPELT_IN


@pytest.mark.parametrize(
    "words",
    [
        *("audit", "estimate", "estimate --sample 2", "export --voc", "review next"),
        "review withdraw N0000002 --reason again --by ann",
        "review stop",
    ],
)
def test_what_a_command_says_is_what_status_says(tmp_path, words):
    workspace = Small().build(tmp_path / "workspace")
    ReviewFolder(workspace, "first").new_project("local")
    root = workspace.root
    done = said(*words.split(), "-w", root)
    told = [line for line in done.output.splitlines() if line.startswith("next: ")]
    assert len(told) == 1 and told[0].startswith("next: sixrayd ")
    assert told == said("status", "-w", root).stdout.splitlines()[-1:]


def said(*words):
    return CliRunner().invoke(cli, list(map(str, words)), prog_name="sixrayd")
