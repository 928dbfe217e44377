"""Storage that refuses to be read or written: what people are told, in one place."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sixrayd.core.errors import UnknownStateError, WorkspaceError
from sixrayd.core.memory import is_near_limit, limit_reached

_ROOM = "make room there, then run the same command again; what is finished is kept"
_RIGHTS = "use an account that may, or name another place"
_OTHER = "name another place, or move aside what is there"
_DISK = "see to the disk or its connection, then run the same command again"
_FILES = "raise `ulimit -n`, then run the same command again"
_PROCESSES = "end other programs, or raise `ulimit -u`, then run the same command again"
# What no file of ours can be at fault for; other failures are not of the storage.
_ADVICE = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "raise `ulimit -f`, or name a place for larger files, then run the same command "
    "again; what is finished is kept",
    errno.EROFS: "name a place that can be written",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EEXIST: _OTHER,
    errno.EISDIR: _OTHER,
    errno.ENOTDIR: _OTHER,
    errno.ELOOP: "mend the links on the way to it",
    errno.EIO: _DISK,
    errno.ESTALE: _DISK,
    errno.ENOLCK: _DISK,
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.EAGAIN: _PROCESSES,  # of a process that cannot be started
}
_NO_TEMPORARY = "No usable temporary directory found"  # of `tempfile`, which names no storage
_NO_THREAD = "can't start new thread"  # of `threading`, which has no error of its own for it
_AROUND = 500  # signs of a text that are shown before and behind what is no UTF-8
# Of a file that may well be whole.
_UNKNOWN = (errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EPERM)


def is_refusal(error: BaseException | None) -> bool:
    """Whether storage refused; otherwise a file is missing, broken, or it is a fault of ours."""
    if not isinstance(error, OSError):
        return False
    return error.errno in _ADVICE or _lacks_temporary(error)


def _lacks_temporary(error: OSError) -> bool:
    return error.errno == errno.ENOENT and str(error.strerror).startswith(_NO_TEMPORARY)


def refusal(error: OSError, place: object = None, what: str = "written") -> str:
    """What to tell people of an error that `is_refusal`: where, what, what to do.

    Args:
        place: that could not be written; without it the error's own is named, if it has one.
        what: was to be done there.
    """
    if _lacks_temporary(error):
        folders = str(error.strerror).removeprefix(_NO_TEMPORARY).removeprefix(" in ")
        return f"{folders}: no temporary file can be written there; {_ROOM}; or set TMPDIR"
    said, advice = os.strerror(error.errno or 0), _ADVICE[error.errno or 0]
    if place is not None:
        return f"{place}: cannot be {what} ({said}); {advice}"
    if error.filename is None:
        return f"{said}; {advice}"
    named = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
    return f"{named}: {said}; {advice}"


def without_threads(error: RuntimeError) -> str:
    """What to tell people where the system starts no more threads; empty for other errors."""
    said = str(error)  # a library's own words end with the system's
    if _NO_THREAD not in said and os.strerror(errno.EAGAIN) not in said:
        return ""
    advice = limit_reached() if is_near_limit() else f"{_PROCESSES}; what is finished is kept"
    return f"no more threads can be started; {advice}"


def unfit_path(error: UnicodeEncodeError) -> str:
    """What to tell people of a path that tables cannot be read or written by."""
    text = error.object[max(0, error.start - _AROUND) : error.end + _AROUND]
    path = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return f"{path}: its name is no UTF-8; rename what is odd in it, or name another place"


def check_known(error: BaseException, place: object) -> None:
    """Before what cannot be read is taken for missing or broken: nothing is known of it where the
    storage, or a limit, kept it from being read.

    Raises:
        UnknownStateError: that is so.
        MemoryError: it is that, pyarrow's own as well.
    """
    if isinstance(error, MemoryError):
        raise error
    if isinstance(error, OSError) and error.errno in _UNKNOWN:
        raise UnknownStateError(refusal(error, place, "read")) from error


@contextmanager
def refusals_told(place: Path) -> Iterator[None]:
    """Storage that refuses within the block becomes an error with advice.

    Args:
        place: named where the storage does not say which file it refused.

    Raises:
        WorkspaceError: storage refused.
    """
    try:
        yield
    except OSError as error:
        if not is_refusal(error):
            raise
        where = place if error.filename is None else None
        what = "read or written" if error.errno in _UNKNOWN else "written"
        raise WorkspaceError(refusal(error, where, what)) from error
