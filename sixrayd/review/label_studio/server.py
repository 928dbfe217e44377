"""A Label Studio server of the workspace's own: on this machine only, its data in the workspace."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from sixrayd.core.documents import NONSENSE, parse_json
from sixrayd.core.errors import ServiceError, SettingsError
from sixrayd.core.files import (
    open_plain,
    open_to_append,
    plain_bytes,
    plain_text,
    remove,
    write_bytes,
    write_json,
)
from sixrayd.core.locks import HeldError, Hold, held, holder
from sixrayd.core.memory import set_free
from sixrayd.core.printing import echo
from sixrayd.core.private import is_own, write_private
from sixrayd.core.restored import half_restored
from sixrayd.core.workspace import Workspace
from sixrayd.review.label_studio.account import account_of, private_folder
from sixrayd.review.label_studio.connection import Connection, check_address, read_token
from sixrayd.review.label_studio.database import refuse_programs
from sixrayd.review.label_studio.environment import empty_database, server_program, server_variables
from sixrayd.review.label_studio.invitations import end_again
from sixrayd.review.label_studio.postgres import (
    NOTE,
    Postgres,
    check_owner,
    check_place,
    make_tables,
    noted,
)
from sixrayd.review.label_studio.proof import is_up
from sixrayd.review.label_studio.taking_place import finish_restore
from sixrayd.review.label_studio.unpacking import DATABASE

START_TIMEOUT_S = 600.0
_STOP_TIMEOUT_S = 10.0
_HOST = "127.0.0.1"
_KEY = re.compile(rb"^SECRET_KEY=([a-z0-9!@#$%^&*(_=+)-]{50})$", re.MULTILINE)  # as Django makes it
_MOST_SETTINGS = 1 << 16  # bytes
_TEMPORARY = (
    "tmp"  # its folder, emptied at each start: it leaves what people export, images and all
)
_ROOM = 1 << 20  # bytes; with less it does not start, nor say why


@dataclass(frozen=True, slots=True)
class Server:
    """A running server and how to sign in."""

    url: str
    pid: int
    user: str
    token: str = field(repr=False)
    secret_file: Path  # holds the password as well; only its owner can read it
    database: Postgres | None = None  # else it has a file of its own


def server_folder(workspace: Workspace) -> Path:
    """Where the server keeps its database, log and secrets."""
    return workspace.folder("review") / "server"


def image_root(workspace: Workspace) -> Path:
    """The only folder that the server reads images from."""
    return server_folder(workspace) / "images"


def image_folder(workspace: Workspace, review: str) -> Path:
    """Where the server reads the images of a review, or of what is beside one, from.

    Raises:
        WorkspaceError: it is called what no folder in there could be.
    """
    return image_root(workspace) / workspace.folder("review", review).name


def running(workspace: Workspace) -> Server | None:
    """The workspace's server, if one is up; a stale file of a killed one does not count.

    Nor does another user's, who could name any process to end and any database to sign in to.
    """
    folder = server_folder(workspace)
    if not (_is_up(folder) and is_own(folder)):
        return None
    try:
        state = parse_json(plain_text(folder / "state.json"))
        secret = parse_json(plain_text(folder / "secret.json"))
        told = (state["url"], state["pid"], secret["user"], secret["token"])
        database = Postgres.of(state["database"]) if state.get("database") else None
        return Server(*told, folder / "secret.json", database)
    except (FileNotFoundError, SettingsError, *NONSENSE):
        return None


@contextmanager
def server_mark(workspace: Workspace, doing: str = "") -> Iterator[Hold]:
    """Be the only one to touch the server's data; a server that is up has the mark as well.

    Args:
        doing: what is done meanwhile, for others; empty for a server.

    Raises:
        ServiceError: a server of the workspace is up or starting, or another has the mark.
    """
    folder = server_folder(workspace)
    private_folder(folder)
    with ExitStack() as stack:
        try:
            hold = stack.enter_context(held(folder / "running", doing))
        except HeldError as error:
            server = running(workspace)
            at = f" at {server.url}" if server else ""  # who starts it again looks for this
            raise ServiceError(
                f"{folder}: {error.holder.doing} by {error.holder}; wait for it"
                if error.holder.doing
                else f"{folder}: its Label Studio is already running{at}; stop it with "
                f"`{workspace.command('sixrayd review stop')}`"
            ) from error
        yield hold


def find_server(workspace: Workspace, url: str, token_file: Path | None) -> Connection:
    """The server that a command is to use.

    Args:
        url: empty for the workspace's own server.
        token_file: holds one token; without it the environment is asked.

    Raises:
        ServiceError: the workspace's own server is not running.
        SettingsError: the address is unfit, or there is no token for it.
    """
    if url:
        address = url.rstrip("/")
        check_address(address)  # before a message may name it
        return Connection(address, read_token(address, token_file))
    server = running(workspace)
    if server is None:
        raise ServiceError(
            f"{workspace.root}: its Label Studio is not running; start it with "
            f"`{workspace.command('sixrayd review serve --background')}`, or name another server "
            "with --url"
        )
    return Connection(server.url, server.token, local=True)


def start(
    workspace: Workspace,
    port: int = 0,
    say: Callable[[str], None] = echo,
    database: Postgres | None = None,
) -> Server:
    """Start the server and wait till it answers; it goes on when this process ends.

    Args:
        port: 0 takes a free one.
        say: told what takes long.
        database: that holds its data; a file in the workspace does without one.

    Raises:
        ServiceError: a server is up already, the port is taken, Label Studio does not start, or
            its data are in another place.
        WorkspaceError: its storage refuses.
    """
    program = server_program(say)
    folder = server_folder(workspace)
    with server_mark(workspace, "Label Studio is started") as hold:
        end_restore(workspace, database)
        if os.path.lexists(folder / _TEMPORARY):
            remove(folder / _TEMPORARY)
        for path in (folder / "data", folder / _TEMPORARY, image_root(workspace)):
            private_folder(path)
        file = folder / DATABASE
        check_place(folder, file, database)
        secret = account_of(folder, folder / NOTE if database else file, say)
        write_bytes(folder / ".room", bytes(_ROOM))
        (folder / ".room").unlink()
        port = port or _last_port(folder) or _free_port()
        (folder / "state.json").unlink(missing_ok=True)
        _check_free(port)
        if database:
            check_owner(database, secret["user"], secret["token"], new=not noted(folder))
            make_tables(database, folder / "data" / "made", say)
        else:
            _ready_file(file, workspace)
        _keep_key_alone(folder / "data" / ".env")
        say("Starting Label Studio")
        more = database.variables() if database else {}
        child = _spawn(program, workspace, port, _environment(folder, secret) | more, hold)
        hold.pass_to(child.pid)
        url = f"http://{_HOST}:{port}"
        try:
            _wait_until_up(child, url, secret["token"], folder / "server.log")
            if end_again(Connection(url, secret["token"], local=True), folder):
                say("Links to join that `sixrayd review invite --new` had ended are ended again")
        except BaseException:
            _end_group(child.pid)
            raise
        if database:
            write_json(folder / NOTE, {"url": database.url})
        write_json(folder / "port.json", port)
        state = {"pid": child.pid, "url": url} | ({"database": database.url} if database else {})
        write_json(folder / "state.json", state)
        child.returncode = 0  # it lives on without this object, which would warn of that
    told = (url, child.pid, secret["user"], secret["token"])
    return Server(*told, folder / "secret.json", database)


def _ready_file(file: Path, workspace: Workspace) -> None:
    """A database that is a file: what is there is checked, an empty one made."""
    if file.exists():
        _check(file, workspace)
    else:
        write_bytes(file, plain_bytes(empty_database()))


def end_restore(workspace: Workspace, database: Postgres | None) -> None:
    """End a restore that was killed, if one was; call with the server's mark.

    Nobody writes reviews meanwhile: of two tables of one number, one would be lost.

    Raises:
        WorkspaceError: somebody does.
    """
    folder = server_folder(workspace)
    with workspace.lock("review") if half_restored(folder) else nullcontext():
        finish_restore(folder, database)


def stop(workspace: Workspace) -> bool:
    """End the workspace's server; True when one was up, or had begun to be."""
    folder = server_folder(workspace)
    by = holder(folder / "running")
    if by is None or by.doing or not (by.process.isdecimal() and is_own(folder)):
        return False
    _end_group(int(by.process), lambda: not _is_up(folder))
    (folder / "state.json").unlink(missing_ok=True)
    return True


def wait(workspace: Workspace) -> None:
    """Return when the workspace's server has ended."""
    while _is_up(server_folder(workspace)):
        time.sleep(0.5)


@contextmanager
def running_server(
    workspace: Workspace,
    port: int = 0,
    say: Callable[[str], None] = echo,
    database: Postgres | None = None,
) -> Iterator[Server]:
    """A server for the length of a `with` block; one that is up already is used and left up."""
    already = running(workspace)
    if already is not None:
        end = workspace.command("sixrayd review stop")
        say(f"Label Studio is up already and stays so; `{end}` ends it")
    server = already or start(workspace, port, say, database)
    try:
        yield server
    finally:
        if already is None:
            stop(workspace)


def _spawn(
    program: Path, workspace: Workspace, port: int, environment: dict[str, str], hold: Hold
) -> subprocess.Popen[bytes]:
    folder = server_folder(workspace).resolve()
    command = [str(program), "start", "--no-browser", "--internal-host", _HOST, "--port", str(port)]
    command += ["--data-dir", str(folder / "data"), "--enable-legacy-api-token"]
    with open_to_append(folder / "server.log") as log:
        process = subprocess.Popen(  # noqa: S603 - our own words, no shell
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            umask=0o077,
            pass_fds=(hold.handle,),  # the lock lives exactly as long as the server
        )
    set_free(process.pid)
    return process


def _environment(folder: Path, secret: dict[str, str]) -> dict[str, str]:
    return server_variables() | {
        # Whoever signs in may add a storage, whose client looks for keys in a person's own folder,
        # and asks the cloud that the machine is in.
        "HOME": os.devnull,
        "SIXRAYD_TEMPORARY": str(folder.resolve() / _TEMPORARY),
        "XDG_DATA_HOME": str(folder.resolve() / "data"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_GCE_CHECK": "true",
        "PYTHONPATH": str(Path(__file__).parent / "inside"),
        "DJANGO_SETTINGS_MODULE": "sixrayd_settings",
        "ALLOWED_HOSTS": f"{_HOST},localhost",
        "CORS_ALLOW_ALL_ORIGINS": "false",
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(folder.resolve() / "images"),
        "LABEL_STUDIO_USERNAME": secret["user"],
        "LABEL_STUDIO_PASSWORD": secret["password"],
        "LABEL_STUDIO_USER_TOKEN": secret["token"],
    }


def _check(database: Path, workspace: Workspace) -> None:
    try:
        refuse_programs(database)
    except sqlite3.Error as error:
        raise ServiceError(
            f"{database}: refused ({error}); put a backup of yours back with "
            f"`{workspace.command('sixrayd review restore')}`"
        ) from error


def _keep_key_alone(path: Path) -> None:
    """Leave a server's key in its file of settings: all others there would become the server's."""
    try:
        with open_plain(path) as file:
            keys = _KEY.findall(file.read(_MOST_SETTINGS))
    except FileNotFoundError:
        return
    if keys:
        write_private(path, b"SECRET_KEY=" + keys[-1] + b"\n")
    else:
        path.unlink()


def _is_up(folder: Path) -> bool:
    by = holder(folder / "running")
    return by is not None and not by.doing


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _last_port(folder: Path) -> int:
    # Links that people were sent should go on leading somewhere.
    try:
        port = int(parse_json(plain_text(folder / "port.json")))
        _check_free(port)
    except (OSError, ServiceError, *NONSENSE):
        return 0
    return port


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise ServiceError(
                f"port {port}: cannot be used ({error.strerror}); leave out --port for a free one"
            ) from error


def _wait_until_up(child: subprocess.Popen[bytes], url: str, token: str, log: Path) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end:
        if child.poll() is not None:
            raise ServiceError(f"Label Studio ended with code {child.returncode}; see {log}")
        if is_up(url, token):
            return
        time.sleep(0.2)
    raise ServiceError(f"Label Studio did not answer within {START_TIMEOUT_S:.0f} s; see {log}")


def _end_group(pid: int, ended: Callable[[], bool] | None = None) -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(pid, how)
        except ProcessLookupError:
            return
        end = time.monotonic() + _STOP_TIMEOUT_S
        while time.monotonic() < end:
            if _reaped(pid) or (ended is not None and ended()):
                return
            time.sleep(0.05)


def _reaped(pid: int) -> bool:
    # True when the server was this process's child and has ended.
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return False
