"""Figures that look the same wherever they are drawn."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def plain_style() -> Iterator[None]:
    """Within, matplotlib's own defaults hold; also a decorator.

    By itself it takes settings from a `matplotlibrc` of the folder that a command is run in, which
    may be a stranger's: of any size, or set by a LaTeX that is run.
    """
    from matplotlib import style

    with style.context("default"):
        yield
