"""Figures are the same whatever settings lie about."""

import matplotlib

from sixrayd.estimate.figure import InterimLook, draw_course
from sixrayd.statistics.settings import BoundSettings


def test_settings_of_another_change_no_figure(tmp_path):
    """As from a `matplotlibrc` of a stranger's folder, in which a command is run."""
    looks = [InterimLook(1, None, 9), InterimLook(2, 1.5, 4)]
    draw_course(tmp_path / "own.png", looks, BoundSettings())
    hostile = {"savefig.dpi": 10, "font.size": 3, "lines.linewidth": 40, "text.usetex": True}
    with matplotlib.rc_context(hostile):
        draw_course(tmp_path / "beside.png", looks, BoundSettings())
        assert matplotlib.rcParams["text.usetex"]
    assert (tmp_path / "own.png").read_bytes() == (tmp_path / "beside.png").read_bytes()
