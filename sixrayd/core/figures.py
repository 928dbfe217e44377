"""Figures that look the same wherever they are drawn."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextmanager
def plain_style() -> Iterator[None]:
    """Within, matplotlib's own defaults hold; also a decorator.

    By itself it takes those of the user: of any size, or set by a LaTeX that is run.
    """
    load_matplotlib()
    from matplotlib import style

    with style.context("default"):
        yield


def load_matplotlib() -> None:
    """Import it without the `matplotlibrc` of the folder that a command is run in.

    That may be a stranger's, of any length and content, and is what it looks for first.
    """
    exists = os.path.exists
    os.path.exists = lambda path: path != "matplotlibrc" and exists(path)
    try:
        import matplotlib  # noqa: F401
    finally:
        os.path.exists = exists


def png_of(figure: "Figure") -> bytes:
    """The figure as PNG; equal figures give equal bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    data = io.BytesIO()
    # `savefig` draws a first time for the layout alone, which drawing sees to in any case.
    canvas = FigureCanvasAgg(figure)
    canvas.print_png(data, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return data.getvalue()
