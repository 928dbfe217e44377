"""FiftyOne's database: a MongoDB on a socket that its owner alone can reach, and on no port."""

import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

from sixrayd.browse import lifeline
from sixrayd.core.errors import ServiceError
from sixrayd.core.locks import HeldError, Hold, held
from sixrayd.core.made_here import in_use

_DOOR = "mongodb.sock"
_LONGEST = 100  # bytes of a socket's path; systems end it at 104 or 108


@contextmanager
def running_database(mongod: Path, folder: Path) -> Iterator[str]:
    """A database for the length of a `with` block; gives its address once it answers.

    Args:
        folder: its files, and the socket where that can be there, for its owner alone.

    Raises:
        ServiceError: it does not start, or the folder's is up already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    with ExitStack() as ends:
        door = folder / _DOOR
        if not _may_be_made(door):
            short = tempfile.TemporaryDirectory(prefix="sixrayd-", ignore_cleanup_errors=True)
            door = Path(ends.enter_context(short)) / _DOOR
        hold = ends.enter_context(_alone(folder))
        ends.enter_context(in_use(folder))  # till it has ended
        log = folder / "mongod.log"
        words = [str(mongod), "--dbpath", str(folder), "--bind_ip", str(door), "--port", "0"]
        words += ["--nounixsocket", "--filePermissions", "0600"]  # no other socket than this one
        # What keeps it alive holds the folder for as long, were this process killed.
        process = lifeline.start("sixrayd.browse.lifeline", words, log, pass_fds=(hold.handle,))
        hold.pass_to(process.pid)
        ends.callback(lifeline.end, process)
        while not _answers(door):
            if (code := process.poll()) is not None:
                raise ServiceError(f"{folder}: MongoDB ended with code {code}; see {log}")
            time.sleep(0.05)
        yield f"mongodb://{quote(str(door), safe='')}"


def _may_be_made(door: Path) -> bool:
    """Whether a socket can be there, which other users cannot reach; not on every file system."""
    if len(os.fsencode(door)) > _LONGEST or door.parent.stat().st_mode & 0o077:
        return False
    trial = door.with_name(f".{os.getpid()}.sock")
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(trial))
    except OSError:
        return False
    finally:
        trial.unlink(missing_ok=True)
    return True


@contextmanager
def _alone(folder: Path) -> Iterator[Hold]:
    try:
        with held(folder / ".lock", "browse") as hold:
            yield hold
    except HeldError as error:
        raise ServiceError(
            f"{folder}: its database is in use; end the `sixrayd browse` that uses it"
        ) from error


def _answers(door: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(door)) == 0
