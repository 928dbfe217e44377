"""A person's own folder, `~`, where the shell leaves it as it is typed."""

import re
from pathlib import Path

# `~/x`, `--out=~/x`, `-w~/x`, `NAME=~/x`: a shell knows `~` at the beginning of a word alone.
_HOME = re.compile(r"(--[\w-]+=|-w|[\w.-]+=)?~(?=/|$)")


def with_home(word: str) -> str:
    """A word of a command with the person's own folder in place of its `~`; others as they are."""
    match = _HOME.match(word)
    try:
        return f"{match[1] or ''}{Path.home()}{word[match.end() :]}" if match else word
    except RuntimeError:  # nobody knows it
        return word
