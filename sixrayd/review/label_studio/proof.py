"""Whether the one that answers at an address is the server that was started with a token."""

import hmac
import secrets
from urllib.parse import urlsplit

import httpx

from sixrayd.core.errors import ServiceError
from sixrayd.core.pace import Pace, Peer

_SOON_S = 5.0  # of a server on this machine that is starting


def is_up(url: str, token: str, within_s: float = _SOON_S) -> bool:
    """Whether the server that was started with a token answers.

    Its port is in the proof. Label Studio takes the next one where its own is taken, and who took
    it could have it proved there.

    Raises:
        ServiceError: somebody else does, who may have read the port in the list of processes, or
            is where a server of another machine is there.
    """
    asked = secrets.token_hex(16)
    said = f"{urlsplit(url).port} {asked}"
    proof = hmac.digest(token.encode(), said.encode(), "sha256").hex().encode()
    address = f"{url}/sixrayd-proof?of={asked}"
    try:
        with (
            Pace(within_s, len(proof), Peer(url)) as pace,
            httpx.Client(trust_env=False) as client,
            client.stream("GET", address, extensions=dict(pace.extensions)) as answer,
        ):
            given = next(answer.iter_raw(len(proof)), b"")
    except httpx.HTTPError:
        return False
    if not hmac.compare_digest(given, proof):
        raise ServiceError(
            f"{url}: another program answers there, or a server that an earlier sixrayd started; "
            "run `sixrayd review stop` for its workspace, then start it again"
        )
    return True
