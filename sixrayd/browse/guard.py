"""Who may ask FiftyOne's app, which by itself asks nobody and serves any file."""

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Read = Callable[[str], tuple[bytes, str] | None]  # path → bytes and media type
COOKIE = "sixrayd-browse"
# FiftyOne's pages ask Google for a font, which tells it who looks; they may ask here alone.
_HERE_ALONE = b"default-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:"
_TOKEN = "token"  # noqa: S105 - the name of the address's parameter


@dataclass(frozen=True)
class Guard:
    """An app for those who come with the token, to one of the hosts, from the app's own pages."""

    app: ASGIApp
    token: str
    hosts: frozenset[str]  # names, without a port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", _HERE_ALONE)
                message = {**message, "headers": [*message.get("headers", ()), policy]}
            await send(message)

        refusal = self._refusal(HTTPConnection(scope))
        if refusal is None:
            await self.app(scope, receive, marked)
        elif scope["type"] == "http":
            await refusal(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _refusal(self, asked: HTTPConnection) -> Response | None:
        """What to answer instead of the app."""
        host = asked.headers.get("host", "")
        if re.sub(r":\d+\Z", "", host) not in self.hosts:
            return _no("Host: not a name of this app")
        given = asked.query_params.get(_TOKEN)
        if given is not None and asked.scope.get("method") == "GET":
            return self._let_in(asked) if self._is_token(given) else _no("token: not this app's")
        if asked.headers.get("origin", f"http://{host}") != f"http://{host}":
            return _no("Origin: not this app's")
        # Pages on other ports of this machine are the same site to a browser, not the same origin.
        if asked.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return _no("Sec-Fetch-Site: not from this app's pages")
        if not self._is_token(asked.cookies.get(COOKIE, "")):
            return _no("open the address that `sixrayd browse` has printed")
        return None

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self.token.encode())

    def _let_in(self, asked: HTTPConnection) -> Response:
        # Relative: a path of two slashes would lead elsewhere.
        answer = RedirectResponse(f"./{asked.url.path.rpartition('/')[2]}", status_code=303)
        answer.set_cookie(COOKIE, self.token, httponly=True, samesite="lax")
        answer.headers["cache-control"] = "no-store"
        return answer


@dataclass(frozen=True)
class Media:
    """What a function knows, asked for as FiftyOne's pages do; no file is opened by its path."""

    read: Read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = Request(scope).query_params.get("filepath", "")
        found = await run_in_threadpool(self.read, path)
        answer: Response = PlainTextResponse("Not found", 404)
        if found:
            keep = {"cache-control": "private, max-age=3600"}  # the host is another each time
            answer = Response(found[0], headers=keep, media_type=found[1])
        await answer(scope, receive, send)


def guarded(app: ASGIApp, token: str, hosts: Sequence[str], read: Read) -> ASGIApp:
    """FiftyOne's app behind a guard.

    Args:
        read: gives the images, which are all that is served by a path.
    """
    # Whatever path FiftyOne takes for its own `/media`, the same pattern finds here first.
    routes = [Route("/media", Media(read)), Mount("/", app)]
    return Guard(Starlette(routes=routes), token, frozenset(hosts))


def _no(why: str) -> Response:
    return PlainTextResponse(why, 403)
