"""The one way by which Label Studio is called; its errors become `ServiceError` here."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

from sixrayd.core.answers import PLAIN, no_cookies, packed_as, unread_redirect
from sixrayd.core.documents import MOST_MEMORY, NONSENSE, parse_json
from sixrayd.core.errors import ServiceError
from sixrayd.core.pace import Pace, Peer
from sixrayd.review.label_studio.connection import Connection
from sixrayd.review.label_studio.counted import Counted
from sixrayd.review.server import AwayError

try:
    from label_studio_sdk import LabelStudio as Sdk
    from label_studio_sdk.core.api_error import ApiError as ApiError
except ImportError as error:
    raise ServiceError(
        "Label Studio's client is not installed; run `pip install 'sixrayd[review]'`"
    ) from error

T = TypeVar("T")
TIMEOUT_S = 600.0
SOON_S = 60.0  # of what a server that is up tells in seconds
LEAST = 64 << 10  # bytes of an answer that come in twice that time
_WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0)  # between attempts at what may be repeated
_TO_REPEAT = (408, 429, 500, 502, 503, 504)
_STORAGE = (  # what SQLite and the system say where it cannot write
    *("database or disk is full", "readonly database", "disk I/O error"),
    *("unable to open database file", "No space left on device", "Read-only file system"),
)
# Of an answer, and of an export: bytes, and memory that its values may take.
_MOST, _MOST_OF_EXPORT = (64 << 20, 1 << 30), (1 << 30, MOST_MEMORY)


class _LateError(AwayError):
    """The server was waited for in vain."""


class Calls:
    """Calls to one server, each within the limits of time and size that SECURITY.md names.

    Args:
        sdk: Label Studio's own client, to be called within `translated`.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._peer = Peer(connection.url)
        self._pace = Pace(TIMEOUT_S, LEAST, self._peer)
        # A proxy named in the environment must not come between this machine and itself.
        self._http = httpx.Client(
            follow_redirects=True,
            trust_env=not connection.loopback,
            transport=connection.transport,
            headers=PLAIN,
            cookies=no_cookies(),
            event_hooks={
                "request": [lambda request: request.extensions.update(self._pace.extensions)],
                "response": [_refuse_other_host, unread_redirect, self._count],
            },
        )
        with self.translated():
            self.sdk: Any = Sdk(  # type: ignore[no-untyped-call]
                # With the slash, or the token is renewed beside a path, which may be another's.
                base_url=f"{connection.url}/",
                api_key=connection.token,
                httpx_client=self._http,
                max_retries=0,  # `patiently` repeats what may be: two imports would count twice
            )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def request(
        self, method: str, path: str, *, missing_ok: bool = False, **sent: Any
    ) -> httpx.Response | None:
        """A call that the SDK lacks; None where what it names is not there and may be missing."""
        with self.translated():
            response = self._answer(method, path, **sent)
            if missing_ok and response.status_code == httpx.codes.NOT_FOUND:
                return None
            return _succeeded(response)

    def _answer(self, method: str, path: str, **sent: Any) -> httpx.Response:
        headers = self.sdk._client_wrapper.get_headers()  # which renews the token
        url = f"{self.connection.url}/{path}"
        return self._http.request(method, url, headers=headers, **sent)

    def asked(self, path: str, method: str = "GET", said: Any = None, **params: Any) -> Any:
        """What the server says, as plain JSON; within `translated`, as the SDK's calls are.

        The SDK makes a model of each object: of a million empty ones, in minutes and gigabytes.

        Args:
            said: what is sent, as plain JSON.
        """
        sent = {} if said is None else {"json": said}
        return parse_json(_succeeded(self._answer(method, path, params=params, **sent)).content)

    def patiently(self, call: Callable[[], T], within_s: float = 0.0) -> T:
        """What a call gives that may be repeated without harm; see `translated`."""
        for wait_s in _WAITS_S:
            try:
                with self.translated(within_s):
                    return call()
            except _LateError:  # who let us wait in vain would do so again
                raise
            except AwayError:
                time.sleep(wait_s)
        with self.translated(within_s):
            return call()

    def _count(self, answer: httpx.Response) -> None:
        url = self.connection.url
        if coding := packed_as(answer):
            raise ServiceError(f"{url}: encodes an answer as {coding}, which nobody asked for")
        export = answer.request.url.path.rstrip("/").endswith(("/export", "/download"))
        most = _MOST_OF_EXPORT if export else _MOST
        answer.stream = Counted(answer.stream, self._pace, url, *most)

    @contextmanager
    def translated(self, within_s: float = 0.0) -> Iterator[None]:
        """What the SDK, httpx or an odd answer raises within becomes a `ServiceError`.

        Args:
            within_s: seconds that the server may be silent; 0 is `TIMEOUT_S`.

        Raises:
            AwayError: the server is down, restarts, or is too slow.
            ServiceError: it refuses, or answers with something else than Label Studio would.
        """
        url, before, within_s = self.connection.url, self._pace, within_s or TIMEOUT_S
        try:
            with Pace(within_s, LEAST, self._peer) as self._pace:
                yield
        except ApiError as error:
            away = error.status_code in _TO_REPEAT and not _storage_fault(str(error.body))
            kind = AwayError if away else ServiceError
            raise kind(f"{url}: {_refusal(error, self.connection.token)}") from error
        except httpx.TimeoutException as error:
            raise _LateError(f"{url}: no answer within {within_s:g} s") from error
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            raise ServiceError(f"{url}: Label Studio answered {status}") from error
        except httpx.HTTPError as error:
            if self._pace.too_slow:
                raise _LateError(f"{url}: {self._pace.too_slow}") from error
            raise AwayError(
                f"{url}: Label Studio does not answer; is it running, and the address right?"
            ) from error
        except (*NONSENSE, httpx.InvalidURL) as error:
            raise ServiceError(f"{url}: does not answer like Label Studio") from error
        finally:
            self._pace = before


def _succeeded(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    try:
        body = parse_json(answer.content)
    except ValueError:
        body = answer.text
    raise ApiError(status_code=answer.status_code, body=body)


def _storage_fault(text: str) -> str:
    """What to tell people where Label Studio says that its storage refuses; else empty."""
    said = next((words for words in _STORAGE if words in text), "")
    return said and (
        f"Label Studio cannot write its database ({said}); make room there, and see that it can "
        "be written, then run the same command again; what reviewers submitted is kept"
    )


def _refuse_other_host(response: httpx.Response) -> None:
    if not response.has_redirect_location:
        return
    source = response.request.url
    target = source.join(response.headers["location"])
    same_place = (source.scheme, source.host, source.port) == (
        target.scheme,
        target.host,
        target.port,
    )
    upgrade = source.host == target.host and (source.scheme, target.scheme) == ("http", "https")
    if not same_place and not upgrade:
        raise ServiceError(
            f"{source.scheme}://{source.netloc.decode()}: redirects to "
            f"{target.scheme}://{target.netloc.decode()}; if that is right, name it with --url"
        )


def _refusal(error: ApiError, token: str) -> str:
    if error.status_code in (401, 403):
        return "the token was refused; get a fresh one from Label Studio's page Account & Settings"
    if error.status_code is None or error.status_code < 400:
        return "does not answer like Label Studio"
    body = error.body
    if isinstance(body, dict):  # its `detail` is "Validation error" whatever does not fit
        body = body.get("validation_errors") or body.get("detail", body)
    if fault := _storage_fault(str(body)):
        return fault
    if str(body).lstrip().startswith("<"):  # of HTML the first words say nothing
        return f"Label Studio answered {error.status_code} with a page of its own; its log says why"
    said = " ".join(str(body).replace(token, "…").split())[:200]
    return f"Label Studio answered {error.status_code}: {said}"
