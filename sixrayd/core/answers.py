"""Answers of web servers that may be anybody's, before a byte of them is kept."""

import httpx

from sixrayd.core.errors import printable

PLAIN = {"Accept-Encoding": "identity"}  # to be asked with


def unread_redirect(answer: httpx.Response) -> None:
    """Of an answer that sends elsewhere, leave the body: httpx would read and unpack all of it.

    A hook of `httpx.Client`.
    """
    if answer.has_redirect_location:
        assert isinstance(answer.stream, httpx.SyncByteStream)
        answer.stream.close()
        answer.stream = httpx.ByteStream(b"")


def packed_as(answer: httpx.Response) -> str:
    """How an answer is packed though nobody asked for it; empty where it is not.

    A few bytes could become any number.
    """
    coding = str(answer.headers.get("content-encoding", "identity"))
    return "" if coding == "identity" else printable(coding, 20)
