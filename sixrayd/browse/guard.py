"""Who may ask FiftyOne's app, which by itself asks nobody and serves any file."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

COOKIE = "sixrayd-browse"
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
        refusal = self._refusal(HTTPConnection(scope))
        if refusal is None:
            await self.app(scope, receive, send)
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
    """The files in some folders, asked for as FiftyOne's pages do."""

    folders: Sequence[Path]  # real ones

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = Request(scope).query_params.get("filepath", "")
        found = await run_in_threadpool(self._file, path)
        answer = FileResponse(found) if found else PlainTextResponse("Not found", 404)
        await answer(scope, receive, send)

    def _file(self, path: str) -> Path | None:
        """The file without links on its way, if it is in one of the folders."""
        try:
            real = Path(path).resolve(strict=True)
        except (OSError, ValueError):
            return None
        allowed = real.is_file() and any(real.is_relative_to(folder) for folder in self.folders)
        return real if allowed else None


def guarded(app: ASGIApp, token: str, hosts: Sequence[str], folders: Sequence[Path]) -> ASGIApp:
    """FiftyOne's app behind a guard, with files of these folders alone."""
    # Whatever path FiftyOne takes for its own `/media`, the same pattern finds here first.
    routes = [Route("/media", Media(folders)), Mount("/", app)]
    return Guard(Starlette(routes=routes), token, frozenset(hosts))


def _no(why: str) -> Response:
    return PlainTextResponse(why, 403)
