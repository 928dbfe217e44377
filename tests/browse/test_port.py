"""The port of the app, and its namesake of IPv6, which browsers ask first for a `.localhost`."""

import socket
import subprocess
import sys
from contextlib import ExitStack, suppress

import pytest

from sixrayd.browse.fiftyone_adapter import _listening
from sixrayd.core.errors import ServiceError


def _other_user(port):
    """What somebody else does to have a port of IPv6's loopback."""
    door = socket.socket(socket.AF_INET6)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind(("::1", port))
    except OSError:
        door.close()
        raise
    door.listen()
    return door


@pytest.fixture
def taken():
    """A port of ::1 that somebody listens on."""
    try:
        with _other_user(0) as door:
            yield door.getsockname()[1]
    except OSError:
        pytest.skip("this machine has no IPv6")


def test_nobody_listens_on_the_same_port_of_ipv6(taken):
    with ExitStack() as ends:
        with _listening(0, ends) as door:
            port = door.getsockname()[1]
        with pytest.raises(OSError, match="in use"):  # the app has the door by now
            _other_user(port)
        with suppress(ConnectionRefusedError):  # so that browsers go on
            socket.create_connection(("::1", port))
            pytest.fail("somebody listens")
    _other_user(port).close()


def test_a_port_that_somebody_has_of_ipv6_is_not_taken(taken):
    with (
        ExitStack() as ends,
        pytest.raises(ServiceError, match=f"port {taken}: Address already in use; pass another"),
        _listening(taken, ends),
    ):
        pass


# A network of its own with four ports to give, of which ::1 has all taken but one, or all.
_FOUR_PORTS = """
import fcntl, socket, struct, sys
from contextlib import ExitStack
from pathlib import Path
from sixrayd.browse.fiftyone_adapter import _listening
from sixrayd.core.errors import ServiceError
ports = range(40000, 40004)
with socket.socket() as up:
    try:
        fcntl.ioctl(up, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
        Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("40000 40003")
        socket.socket(socket.AF_INET6).bind(("::1", ports[0]))
    except OSError as error:
        sys.exit(f"not here: {error}")
for free in (*ports, None):
    with ExitStack() as ends:
        for port in set(ports) - {free}:
            ends.enter_context(socket.socket(socket.AF_INET6)).bind(("::1", port))
        try:
            with _listening(0, ends) as door:
                print(door.getsockname()[1])
        except ServiceError as error:
            print(error)
"""


def test_of_any_ports_others_are_tried_where_ipv6_has_the_first_one_taken():
    words = ["unshare", "--map-root-user", "--net", sys.executable, "-c", _FOUR_PORTS]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if done.returncode and done.stderr.startswith(("unshare:", "not here: ")):
        pytest.skip(f"no network of its own: {done.stderr.strip()}")
    none = "port 0: Address already in use; pass another --port, or 0 for a free one"
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["40000", "40001", "40002", "40003", none]
