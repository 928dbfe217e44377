"""What memory a command may take."""

import resource
import subprocess
import sys

import pytest

from sixrayd.core.memory import usual_limit

_LIMIT = """
import resource, sys
from sixrayd.cli import main
sys.argv = ["sixrayd", *sys.argv[1:]]
try:
    main()
finally:
    print(resource.getrlimit(resource.RLIMIT_DATA)[0], file=sys.stderr)
"""


def sixrayd(*words, **more):
    command = [sys.executable, "-m", "sixrayd", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def limit_of(*words, **more):
    command = [sys.executable, "-c", _LIMIT, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, **more)
    return int(done.stderr.splitlines()[-1])


def test_what_no_limit_on_files_foresaw_ends_in_one_line(tmp_path):
    """Millions of objects that say nothing: each is a finding."""
    nothing = "{}," * 3_000_000
    (tmp_path / "a.json").write_text(
        f'{{"images": [], "categories": [], "annotations": [{nothing}{{}}]}}'
    )
    done = sixrayd("--memory", "256MB", "diff", "a.json", "a.json", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == (
        "error: more is needed than the 256 MB of memory that it may take; look at what it was "
        "given, or allow more before the command: SIXRAYD_MEMORY=16GB, or none"
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("size", ["8XB", "0", "-1GB", "255MB", "1e9"])
def test_sizes_that_are_none_are_refused(size):
    done = sixrayd("status", "--help", env={"SIXRAYD_MEMORY": size})
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f"Error: Invalid value for '--memory': {size!r}: here or in SIXRAYD_MEMORY, expected a "
        "size such as 8GB, 256MB at least, or none"
    )


def test_each_command_has_its_limit():
    none = resource.getrlimit(resource.RLIMIT_DATA)[1]
    for command in ("status", "export", "train"):
        assert limit_of(command, "--help") == (usual_limit(command) or none)
    assert limit_of("--memory", "2gib", "train", "--help") == 2 << 30
    assert usual_limit("mine") == 0 or usual_limit("mine") >= usual_limit("status")
    assert limit_of("--memory", "none", "status", "--help") == none
    assert usual_limit("status") < usual_limit("export")


def test_a_lower_limit_of_the_user_stays():
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)

    def lowered():
        resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, hard))

    assert limit_of("status", "--help", preexec_fn=lowered) == 1 << 30


_COMPUTED = """
import resource
resource.setrlimit(resource.RLIMIT_DATA, (2 << 30, resource.getrlimit(resource.RLIMIT_DATA)[1]))
import torch
from sixrayd import cli
def command(**given):
    {computes}
cli.cli = command
cli.main()
"""


@pytest.mark.parametrize(
    "computes",
    [
        "torch.zeros(1 << 40)",
        "torch.nn.functional.conv2d(torch.zeros(9, 1, 999, 999), torch.zeros(99, 1, 3, 3))",
        # As exporters do.
        "\n    try: bytearray(4 << 30)\n    except MemoryError: raise RuntimeError('no module')",
    ],
)
def test_a_network_that_gets_no_memory_says_so_in_one_line(computes):
    """A step of a million images, as settings may ask for."""
    words = [sys.executable, "-c", _COMPUTED.format(computes=computes)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: more is needed than the 2,048 MB of memory that it may")
    assert len(done.stderr.splitlines()) == 1


_STARTED = """
import resource, sys
from pathlib import Path
from sixrayd.browse import lifeline
from sixrayd.core.memory import keep_within, set_free
own, command = map(int, sys.argv[1:])
if own:
    resource.setrlimit(resource.RLIMIT_DATA, (own, resource.getrlimit(resource.RLIMIT_DATA)[1]))
if command:
    keep_within(command)
child = lifeline.start("sixrayd.browse.lifeline", ["sleep", "60"], Path("log"))
print(resource.prlimit(child.pid, resource.RLIMIT_DATA)[0])
lifeline.end(child)
set_free()  # as whoever joins Ray does
print(resource.getrlimit(resource.RLIMIT_DATA)[0])
"""


@pytest.mark.parametrize(("own", "command"), [(0, 1 << 40), (1 << 41, 1 << 40), (1 << 41, 0)])
def test_what_is_started_has_no_limit_of_a_command_but_that_of_its_caller(tmp_path, own, command):
    words = [sys.executable, "-c", _STARTED, str(own), str(command)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    limit = own or resource.getrlimit(resource.RLIMIT_DATA)[0]
    assert done.stdout.split() == [str(limit)] * 2
