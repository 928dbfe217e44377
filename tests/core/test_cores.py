import os
import sys

from sixrayd.core.cores import available_cores
from tests.processes import ran


def test_openmp_is_told_before_torch_is_loaded(tmp_path):
    command = ["env", "-u", "GOMP_SPINCOUNT", "-u", "OMP_WAIT_POLICY", sys.executable]
    command += ["-m", "sixrayd", "train", "-w", str(tmp_path / "none")]

    told = ran(command, env={"OMP_DISPLAY_ENV": "verbose"}).stderr

    assert "GOMP_SPINCOUNT = '3000'" in told


def test_only_cores_that_may_be_used_are_counted():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert available_cores() == len(before)
