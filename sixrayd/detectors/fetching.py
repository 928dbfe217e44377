"""Published ImageNet and COCO weights, fetched once and checked."""

import hashlib
from pathlib import Path

import httpx

from sixrayd.core.answers import PLAIN, no_cookies, packed_as, unread_redirect
from sixrayd.core.errors import CheckpointError
from sixrayd.core.files import replacing, sha256_file
from sixrayd.core.pace import Pace, Peer
from sixrayd.detectors.pretrained import WEIGHTS, WeightsFile

_TIMEOUT_S = 60.0
_LEAST = 64 << 10  # bytes that come in twice that time
_MOST = 1 << 30  # bytes of a file


def fetch_weights(name: str, folder: Path) -> Path:
    """The file of this name of `WEIGHTS` in `folder`, fetched where it is not there yet.

    Raises:
        CheckpointError: no such name, no connection, or not the bytes that were published.
    """
    if name not in WEIGHTS:
        raise CheckpointError(f"weights {name!r}: none of {', '.join(WEIGHTS)}")
    with weights_client() as client:
        return fetch_file(WEIGHTS[name], folder, client)


def weights_client() -> httpx.Client:
    """A client that follows redirects."""
    hooks = {"response": [unread_redirect]}
    return httpx.Client(cookies=no_cookies(), follow_redirects=True, event_hooks=hooks)


def fetch_file(weights: WeightsFile, folder: Path, client: httpx.Client) -> Path:
    """As `fetch_weights`, for any file; HTTPS only, redirects included."""
    path = folder / weights.name
    if path.exists() and sha256_file(path).startswith(weights.sha256):
        return path
    try:
        with replacing(path) as beside:
            found = _download(weights.url, beside, client)
            if not found.startswith(weights.sha256):
                raise CheckpointError(f"{weights.url}: SHA-256 {found}, expected {weights.sha256}…")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise CheckpointError(f"{weights.url}: not fetched ({error})") from error
    except OSError as error:
        raise CheckpointError(f"{path}: not written ({error})") from error
    return path


def _download(url: str, path: Path, client: httpx.Client) -> str:
    """Write what the address gives; its SHA-256 in hex."""
    digest = hashlib.sha256()
    with (
        Pace(_TIMEOUT_S, _LEAST, Peer(url)) as pace,
        client.stream("GET", url, headers=PLAIN, extensions=dict(pace.extensions)) as answer,
        path.open("wb") as file,
    ):
        for step in (*answer.history, answer):
            if step.url.scheme != "https":
                raise CheckpointError(f"{step.url}: need https")
        answer.raise_for_status()
        if coding := packed_as(answer):
            raise CheckpointError(f"{url}: encoded as {coding}, which nobody asked for")
        for part in answer.iter_raw():
            digest.update(part)
            file.write(part)
            pace.came(len(part))
            if file.tell() > _MOST:
                raise CheckpointError(f"{url}: more than {_MOST >> 20} MiB came")
    return digest.hexdigest()
