"""What another user of this machine sees."""

import json
import os
from collections.abc import Callable

import pytest

_NOBODY = 65534


def as_another_user(look: Callable[[], object]) -> object:
    """What a function gives that another user runs; only root can become one."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)
            said = look()
        except BaseException as error:
            said = f"failed: {error!r}"
        os.write(writer, json.dumps(said).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        found = json.load(told)
    os.waitpid(child, 0)
    return found
