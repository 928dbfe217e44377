"""Joining a Ray cluster, or starting one on this machine: the same for whatever runs there."""

import importlib
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, chdir, contextmanager
from typing import Any

import sixrayd
from sixrayd.core.errors import ServiceError
from sixrayd.core.extras import import_extra
from sixrayd.core.memory import set_free

ATTEMPTS = 3  # of a shard, or of starting a worker, before it is given up
_FIRST_WITH_TOKENS = (2, 52)
_LONGEST_FOLDER = 25  # characters; Ray puts sockets into it, whose paths may have 107
PLACE_S = 180.0  # for the cluster to take a first worker


@contextmanager
def joined(address: str) -> Iterator[Any]:
    """Ray's module, connected.

    Args:
        address: "auto", "HOST:PORT" or "ray://HOST:PORT" joins a cluster, which stays up
            afterwards; empty starts one on this machine for as long as this takes.

    Raises:
        ServiceError: Ray is not installed, or the cluster cannot be joined.
    """
    ray = import_extra("ray", "scale")
    if tuple(int(part) for part in ray.__version__.split(".")[:2]) < _FIRST_WITH_TOKENS:
        raise ServiceError(f"ray {ray.__version__}: obeys whoever connects; install 2.52 or later")
    if ray.is_initialized():  # the caller's, to go on with
        yield ray
        return
    set_free()  # what Ray starts takes this process's limits, and shares memory with it
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "2")  # else it tries for minutes
    try:
        with ExitStack() as ends:
            # Workers take modules from where Ray is joined, before all others.
            empty = ends.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            options = {} if address else ends.enter_context(_alone())
            ends.callback(ray.shutdown)  # leaves a cluster it has joined; ends one it has started
            _knock(address)
            with chdir(empty):
                ray.init(address or "local", log_to_driver=False, logging_level="ERROR", **options)
            opened = ends.pop_all()
    except Exception as error:  # of many kinds, one for each way not to reach a cluster
        raise ServiceError(
            f"ray {address or 'on this machine'}: {first_line(error)}; a cluster of other machines "
            "is joined by ray://HOST:10001"
        ) from error
    with opened:
        yield ray


@contextmanager
def _alone() -> Iterator[dict[str, Any]]:
    """Options of a cluster of this process's own, for the length of a `with` block.

    By itself Ray listens on every address, obeys whoever connects, and lets everybody write to its
    folder. Here its ports are the loopback's, take a token that dies with it, and its folder is
    closed to others.
    """
    constants: Any = importlib.import_module("ray._private.ray_constants")
    short = None if len(tempfile.gettempdir()) <= _LONGEST_FOLDER else "/tmp"  # noqa: S108
    before = {key: os.environ.get(key) for key in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
    clusters = constants.ENABLE_RAY_CLUSTER
    with tempfile.TemporaryDirectory("", "ray-", short, ignore_cleanup_errors=True) as folder:
        try:
            constants.ENABLE_RAY_CLUSTER = False  # of several machines; alone, it takes 127.0.0.1
            os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
            _read_token_again()
            yield {"include_dashboard": False, "_temp_dir": f"{folder}/r"}  # which it opens to all
        finally:
            constants.ENABLE_RAY_CLUSTER = clusters
            for key, value in before.items():
                os.environ.pop(key, None) if value is None else os.environ.update({key: value})
            _read_token_again()


def _read_token_again() -> None:
    """Ray reads its mode when it is imported, and its token once."""
    raylet = importlib.import_module("ray._raylet")
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


def check_version(there: str) -> None:
    """Refuse a node with other code.

    Raises:
        ServiceError: it has another version.
    """
    if there != sixrayd.__version__:
        raise ServiceError(
            f"ray: a node has sixrayd {there}, here it is {sixrayd.__version__}; parts "
            "would differ: install the same everywhere"
        )


def nodes_of(ray: Any) -> list[dict[str, float]]:
    """Resources of every node."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def no_place(ray: Any, needs: dict[str, float], place_s: float, advice: str) -> ServiceError:
    """What to say when no worker was taken.

    Args:
        needs: of a worker, by resource.
        advice: what else to do than to wait or add nodes.
    """
    there, free = ray.cluster_resources(), ray.available_resources()
    asked = {key: need for key, need in needs.items() if need}
    wants = " and ".join(f"{need:g} {key}" for key, need in asked.items())
    has = " and ".join(f"{free.get(key, 0):g} of {there.get(key, 0):g} {key}" for key in asked)
    return ServiceError(
        f"ray: no worker found a place within {place_s:.0f} s: each asks for {wants}, "
        f"the cluster has {has} free on {len(nodes_of(ray))} nodes; {advice}end what else runs "
        "there, or add nodes"
    )


def given_up(what: str, error: BaseException) -> ServiceError:
    """What to say of work that has lost several workers."""
    return ServiceError(
        f"ray: {what}: given up after {ATTEMPTS} workers ({first_line(error)}); "
        "all other parts stay"
    )


def first_line(error: BaseException) -> str:
    """The first line of what Ray says, which may be many."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _knock(address: str) -> None:
    """Raise OSError if nobody listens: Ray itself would try for minutes, without a word."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), timeout=10).close()
