"""Answers of web servers that may be anybody's, before a byte of them is kept."""

from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from sixrayd.core.errors import printable

PLAIN = {"Accept-Encoding": "identity"}  # to be asked with


def no_cookies() -> CookieJar:
    """For `httpx.Client`: keeps none of what servers set, which it would send back each time.

    A server can set a thousand with each answer, and each takes 3 kB of memory.
    """
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


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
