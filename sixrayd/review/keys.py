"""Keys of reviews: what a workspace keeps to itself, and what a server is told of it."""

import secrets
from hashlib import sha256

_OPEN = 16  # signs of the keys of earlier versions, which servers know as they are


def new_key() -> str:
    """A key that nobody guesses."""
    return secrets.token_hex(16)


def shown_key(key: str) -> str:
    """What a project is found by on a server, and its tasks begin with.

    Whoever signs in there reads it, and cannot go back from it: with the key he would know each
    image by what it is called, who looks twice, and could pass a workspace off as the review's own.

    Args:
        key: with what tells its projects apart after a point, where it has several.
    """
    if len(key.partition(".")[0]) <= _OPEN:
        return key
    return sha256(f"shown/{key}".encode()).hexdigest()[: 2 * _OPEN]
