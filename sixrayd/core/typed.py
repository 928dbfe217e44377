"""The command that began a result, kept beside it: `command.txt` of a stage's folder."""

import os
import re
import shlex
from pathlib import Path

from sixrayd.core.files import plain_text, write_bytes

TYPED = "command.txt"
_SECRET = re.compile(r"://[^\s/]*@|://\S*\?")  # of a URL, which no file keeps
_WORKSPACE = re.compile(r"-w|--w(o|or|ork|orks\w*)?(=|$)")  # the option, however shortened
_LONGEST = 4000  # bytes


def write_typed(folder: Path, line: str) -> None:
    """Keep a command, unless it is empty or has a secret in it."""
    if line and not _SECRET.search(line):
        write_bytes(folder / TYPED, os.fsencode(line))


def read_typed(folder: Path, verb: str) -> list[str]:
    """The words of the command that was kept; none where it is no plain one.

    Args:
        verb: what it has to begin with, such as `sixrayd train`; it may name no workspace.
    """
    try:
        words = shlex.split(plain_text(folder / TYPED, _LONGEST))
    except (OSError, ValueError):
        return []
    known = verb.split()
    ours = words[: len(known)] == known and not any(map(_WORKSPACE.match, words))
    return words if ours else []


def from_here(words: list[str], release: str) -> list[str]:
    """The words of a download, with the whole path of a release that was named from elsewhere."""
    whole = Path(release)
    if "--release" in words[:-1] and whole.is_absolute() and whole.exists():
        at = words.index("--release") + 1
        if Path(words[at]).resolve() != whole.resolve():
            return [*words[:at], release, *words[at + 1 :]]
    return words
