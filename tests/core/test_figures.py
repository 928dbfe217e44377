"""Figures are the same whatever settings lie about."""

import subprocess
import sys

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


def test_settings_of_the_current_folder_are_not_read(tmp_path):
    (tmp_path / "matplotlibrc").write_text("\33[31mdpi: 3\nsavefig.dpi: 10\n")
    load = "from sixrayd.core.figures import load_matplotlib as l; l(); import matplotlib as m; "
    words = load + "print(m.rcParams['savefig.dpi'])"
    told = subprocess.run(
        [sys.executable, "-P", "-c", words], cwd=tmp_path, capture_output=True, check=True
    )
    assert (told.stdout, told.stderr) == (b"figure\n", b"")
