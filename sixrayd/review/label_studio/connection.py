"""Address and token of a Label Studio server, with what makes them unsafe refused."""

import os
import re
import stat
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from sixrayd.core.errors import SettingsError
from sixrayd.core.files import plain_text

TOKEN_VARIABLE = "SIXRAYD_LABEL_STUDIO_TOKEN"  # noqa: S105 - its name, not a token
LOCALHOST = "127.0.0.1"  # what alone `localhost` means here


@dataclass(frozen=True, slots=True)
class Connection:
    """Address and token of a server.

    Raises:
        SettingsError: the address is no http(s) address, is plain http beyond this machine, or
            carries a password.
    """

    url: str
    token: str = field(repr=False)
    local: bool = False  # the workspace's own server, which reads images from disk

    def __post_init__(self) -> None:
        check_address(self.url)
        if not (self.token.isascii() and self.token.isprintable()):
            raise SettingsError(
                f"{self.url}: the token holds what no token does; copy it anew from Label Studio"
            )

    @property
    def loopback(self) -> bool:
        """Whether the server is on this machine."""
        return is_loopback(urlsplit(self.url).hostname or "")

    @property
    def transport(self) -> httpx.HTTPTransport | None:
        """Of a client that asks it: `localhost` is also ::1, where another user could listen."""
        named = urlsplit(self.url).hostname == "localhost"
        return httpx.HTTPTransport(local_address=LOCALHOST, trust_env=False) if named else None


def check_address(url: str) -> None:
    """Refuse what is no server's address, or unsafe; what may hold a password is not shown.

    Raises:
        SettingsError: see `Connection`.
    """
    if "@" in url:
        raise SettingsError(
            "--url: must not carry a user name or password; "
            f"set {TOKEN_VARIABLE} or pass --token-file"
        )
    shown = re.split("[?#]", url)[0]  # what follows may be a token
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError as error:
        raise SettingsError(f"--url {shown!r}: not an address ({error})") from error
    odd = shown != url or not url.isprintable()
    if parts.scheme not in ("http", "https") or not host or odd:
        raise SettingsError(f"--url {shown!r}: expected https://HOST[:PORT]")
    if parts.scheme == "http" and not is_loopback(host):
        raise SettingsError(
            f"--url {url}: plain http would show the token to the network; use https"
        )


def project_address(connection: Connection, project: int) -> str:
    """Where people open a project in their browser."""
    parts = urlsplit(connection.url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}/projects/{project}/data"


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_token(url: str, token_file: Path | None) -> str:
    """The token for a server, from a file or else from the environment.

    Raises:
        SettingsError: there is none, or the file is no token file that only its owner can read.
    """
    token = os.environ.get(TOKEN_VARIABLE, "") if token_file is None else _read(token_file)
    if not token.strip():
        raise SettingsError(
            f"{url}: no token; set {TOKEN_VARIABLE} or pass --token-file with a token "
            "from Label Studio's page Account & Settings"
        )
    return token.strip()


def _read(path: Path) -> str:
    try:
        mode, text = path.stat().st_mode, plain_text(path)
    except OSError as error:
        why = str(error.strerror).partition(";")[0]
        raise SettingsError(
            f"{path}: no token file ({why}); save the token to a plain file, or set "
            f"{TOKEN_VARIABLE}"
        ) from error
    if stat.S_IMODE(mode) & 0o077:
        raise SettingsError(f"{path}: others can read this token; run `chmod 600 {path}`")
    if len(text.split()) != 1:
        raise SettingsError(f"{path}: expected one token and nothing else")
    return text
