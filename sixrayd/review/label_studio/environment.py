"""The virtual environment of the Label Studio server, made on first use."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sixrayd.core.children import SAFE_PATH, module_command
from sixrayd.core.errors import ServiceError
from sixrayd.core.files import make_folder, write_bytes
from sixrayd.core.locks import HeldError, Hold, held
from sixrayd.core.storage import check_known, refusals_told

VERSION = "1.23.2"
_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
_PLACE = "SIXRAYD_LABEL_STUDIO_VENV"
# Each package by one version and its hashes; what builds some of them comes first.
BUILDERS, PINS = (Path(__file__).with_name(name) for name in ("builders.txt", "pins.txt"))
_BEGUN, _FINISHED = "sixrayd-begun", "sixrayd-finished"
# What keeps Label Studio to itself: no telemetry, no crash reports, no look-up of versions.
QUIET = {
    "LABEL_STUDIO_LATEST_VERSION_CHECK": "false",
    "LABEL_STUDIO_COLLECT_ANALYTICS": "false",
    "LABEL_STUDIO_SENTRY_DSN": "",
    "LABEL_STUDIO_FRONTEND_SENTRY_DSN": "",
    "LABEL_STUDIO_FEATURE_FLAGS_OFFLINE": "true",
}
# All that the server gets to see of the caller's environment.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ")


def environment_folder() -> Path:
    """Where the server's environment is or will be; `SIXRAYD_LABEL_STUDIO_VENV` says otherwise.

    Each Python has one of its own, and each set of pins: else one would replace the other's, under
    a server that runs.
    """
    if named := os.environ.get(_PLACE):
        return Path(named).expanduser().absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "sixrayd" / f"label-studio-{VERSION}-python{_PYTHON}-{_pins()[:8]}"


def server_program(say: Callable[[str], None]) -> Path:
    """The `label-studio` program; its environment is built where it is missing or unfinished.

    Two processes never build at once: the second waits and takes what the first has built.

    Args:
        say: told what takes long.

    Raises:
        ServiceError: pip failed, or the folder holds something else or is another user's.
        WorkspaceError: the storage refuses.
    """
    folder = environment_folder()
    if not os.environ.get(_PLACE):  # which the user has chosen
        _keep_to_user(folder)
    program = folder / "bin" / "label-studio"
    if not _is_finished(folder):
        with refusals_told(folder), _only_builder(folder, say) as hold:
            if not _is_finished(folder):
                _build(folder, say, hold)
    if not program.exists():
        raise ServiceError(f"{program}: missing; remove {folder} and start the server again")
    return program


def empty_database() -> Path:
    """A database with all tables and nobody in it, made once because that is slow."""
    return environment_folder() / "empty" / "label_studio.sqlite3"


def server_variables() -> dict[str, str]:
    """The environment variables that every run of Label Studio gets, and no others."""
    return {key: os.environ[key] for key in _INHERITED if key in os.environ} | QUIET | SAFE_PATH


def _is_finished(folder: Path) -> bool:
    try:
        return (folder / _FINISHED).read_text("utf-8").strip() == _recipe()
    except OSError as error:
        check_known(error, folder)
        return False


def _recipe() -> str:
    return f"1: label-studio {VERSION}, python {_PYTHON}, {_pins()}"


def _pins() -> str:
    return hashlib.sha256(BUILDERS.read_bytes() + PINS.read_bytes()).hexdigest()


def _keep_to_user(folder: Path) -> None:
    """Refuse what another user has made in a cache that others write to: its program would run."""
    try:
        make_folder(folder.parent, 0o700)
    except OSError as error:
        raise ServiceError(
            f"{folder.parent}: cannot be made ({error.strerror}); name another folder in {_PLACE}"
        ) from error
    for path in (folder.parent, folder):
        if not path.exists():
            continue
        found = path.stat()
        if found.st_uid != os.geteuid():
            raise ServiceError(
                f"{path}: belongs to user {found.st_uid}, expected yours; have it removed, or name "
                f"a folder that you trust in {_PLACE}"
            )
        if found.st_mode & 0o022:
            path.chmod(0o700)


@contextmanager
def _only_builder(folder: Path, say: Callable[[str], None]) -> Iterator[Hold]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    waits = False
    lock = folder.with_name(f"{folder.name}.lock")
    with ExitStack() as stack:
        while True:
            try:
                hold = stack.enter_context(held(lock))
                break
            except HeldError as error:
                if not waits:
                    say(f"Waiting for {error.holder}, which installs Label Studio in {folder}")
                waits = True
                time.sleep(0.2)
        yield hold


def _build(folder: Path, say: Callable[[str], None], hold: Hold) -> None:
    # An environment cannot be moved, so it is built in place; the mark that ends it comes last.
    if folder.exists() and any(folder.iterdir()) and not (folder / _BEGUN).exists():
        raise ServiceError(
            f"{folder}: not an environment that sixrayd made; name an empty folder in {_PLACE}"
        )
    say(f"Installing Label Studio {VERSION} in {folder} (once; about 1 GB, two to eight minutes)")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_bytes(folder / _BEGUN, b"")
    _run(hold, folder, *module_command("venv", str(folder)))
    words = ["install", "--disable-pip-version-check", "--quiet", "--no-build-isolation"]
    words += ["--no-deps", "--require-hashes", "--requirement"]
    for pins in (BUILDERS, PINS):
        python = str(folder / "bin" / "python")
        _run(hold, folder, *module_command("pip", *words, str(pins), python=python))
    say("Preparing its database")
    data = ("--data-dir", str(empty_database().parent))
    program = str(folder / "bin" / "label-studio")
    _run(hold, folder, program, "version", *data, env=server_variables())
    write_bytes(folder / _FINISHED, _recipe().encode())


def _run(hold: Hold, folder: Path, *command: str, env: dict[str, str] | None = None) -> None:
    # Were we killed, it would go on writing: it holds the lock as long as it lives.
    with subprocess.Popen(  # noqa: S603 - our own words, no shell
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
        pass_fds=(hold.handle,),
    ) as child:
        hold.pass_to(child.pid)
        try:
            out, err = child.communicate()
        except BaseException:
            child.kill()
            raise
    (folder / "install.log").write_text(out + err, "utf-8")
    if child.returncode:
        said = [line for line in err.splitlines() if line.strip()] or ["no message"]
        said = [line for line in said if line.startswith("ERROR: ")] or said  # as pip begins
        raise ServiceError(
            f"Label Studio cannot be installed: {said[-1].strip()}; "
            f"see {folder / 'install.log'}, and pip's index settings"
        )
