"""The port of the app, and its namesake of IPv6, which browsers ask first for a `.localhost`."""

import socket
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
