"""The one place that talks to Label Studio; its errors become `ServiceError` here."""

import itertools
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from sixrayd.core.answers import PLAIN, packed_as, unread_redirect
from sixrayd.core.documents import MOST_MEMORY, NONSENSE, parse_json
from sixrayd.core.errors import ServiceError, printable
from sixrayd.core.pace import Pace
from sixrayd.review.label_studio.connection import Connection
from sixrayd.review.label_studio.counted import Counted
from sixrayd.review.label_studio.exports import OpenTask, number_of, read_tasks
from sixrayd.review.label_studio.proof import is_up
from sixrayd.review.server import AwayError, ServerTask

try:
    from label_studio_sdk import LabelStudio as Sdk
    from label_studio_sdk.core.api_error import ApiError
except ImportError as error:
    raise ServiceError(
        "Label Studio's client is not installed; run `pip install 'sixrayd[review]'`"
    ) from error

T = TypeVar("T")
OLDEST = (1, 18, 0)  # earlier releases have known holes
TIMEOUT_S = 600.0
LEAST = 64 << 10  # bytes of an answer that come in twice that time
_PAGE, _MOST_PROJECTS = 100, 10_000
_BUSY_S = 60.0  # of a server on this machine that is up
_NAME = 254  # signs of an e-mail address
_PUT_OUT = "Deleted"  # all who are no longer in the team are called so
_ONCE: Any = {"max_retries": 0}  # a repeated import or submission would count twice
_WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0)  # between attempts at what may be repeated
_TO_REPEAT = (408, 429, 500, 502, 503, 504)
_STORAGE = (  # what SQLite and the system say where it cannot write
    *("database or disk is full", "readonly database", "disk I/O error"),
    *("unable to open database file", "No space left on device", "Read-only file system"),
)
# Of an answer, and of an export: bytes, and memory that its values may take.
_MOST, _MOST_OF_EXPORT = (64 << 20, 1 << 30), (1 << 30, MOST_MEMORY)
_EXPORT = "changed (sixrayd)"  # title of the views and exports that are made on the way
_MARGIN = timedelta(seconds=10)  # a slow change may be stamped before one that is seen already


class LabelStudio:
    """A client of one server, for use in a `with` statement.

    What may be repeated is, for a quarter of a minute, while the server does not answer.

    Raises:
        AwayError: at every call: the server is down or restarts.
        ServiceError: at every call: the server is down, too old, refuses the token, or answers
            with something else than Label Studio would.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        if connection.local and not is_up(connection.url, connection.token, _BUSY_S):
            raise AwayError(f"{connection.url}: Label Studio does not answer")
        self._sockets: list[socket.socket] = []
        self._pace = Pace(2 * TIMEOUT_S, LEAST, self._sockets)
        # A proxy named in the environment must not come between this machine and itself.
        self._http = httpx.Client(
            timeout=TIMEOUT_S,
            follow_redirects=True,
            trust_env=not connection.loopback,
            headers=PLAIN,
            event_hooks={
                "request": [lambda request: request.extensions.update(self._pace.extensions)],
                "response": [_refuse_other_host, unread_redirect, self._count],
            },
        )
        with self._translated():
            self._sdk: Any = Sdk(  # type: ignore[no-untyped-call]
                base_url=connection.url, api_key=connection.token, httpx_client=self._http
            )
            self._check_version()
            self.user = str(self._asked("api/current-user/whoami")["email"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def find_project(self, key: str) -> int | None:
        """The project that was made with this key."""

        def look() -> int | None:
            for project in self._projects():
                if str(project["description"] or "").endswith(f" {key}"):
                    return number_of(project["id"])
            return None

        return self._patiently(look)

    def _projects(self) -> Iterator[Any]:
        """All projects; only the last page may hold fewer than it was asked for."""
        seen = 0
        for page in itertools.count(1):
            told = self._asked("api/projects/", page=page, page_size=_PAGE)
            rows = told["results"]
            seen += len(rows)
            if seen > _MOST_PROJECTS:
                raise ServiceError(
                    f"{self.connection.url}: lists more than {_MOST_PROJECTS:,} projects, or pages "
                    "without end; delete projects that are done with, or name another server"
                )
            yield from rows
            if len(rows) < _PAGE or not told["next"]:
                return

    def make_project(self, title: str, key: str, labelling: str, instruction: str) -> int:
        """Make a project whose tasks come in order and show their predictions.

        Args:
            key: finds it again.
            labelling: XML.
            instruction: HTML.
        """
        with self._translated():
            project = self._sdk.projects.create(
                title=title[:50],
                description=f"Made by sixrayd; keep this line: {key}",
                label_config=labelling,
                expert_instruction=instruction,
                show_instruction=True,
                show_collab_predictions=True,
                sampling="Sequential sampling",
                request_options=_ONCE,
            )
            return number_of(project.id)

    def set_instruction(self, project: int, instruction: str) -> None:
        """Replace the HTML that a project's reviewers are told."""
        self._patiently(lambda: self._sdk.projects.update(project, expert_instruction=instruction))

    def shown_version(self, project: int) -> str:
        """The version of the predictions that a project shows; empty before it has any."""
        place = f"api/projects/{project}/"
        return self._patiently(lambda: str(self._asked(place)["model_version"] or ""))

    def serve_images(self, project: int, folder: Path) -> None:
        """Let a project's tasks show images of a folder on the server's disk."""
        path = str(folder.resolve())  # the same whichever way the workspace is reached

        def look() -> None:
            storages = self._asked("api/storages/localfiles/", project=project)
            if not any(storage["path"] == path for storage in storages):
                self._sdk.import_storage.local.create(
                    project=project, path=path, title="candidates", use_blob_urls=True
                )

        self._patiently(look)

    def uploaded(self, project: int) -> dict[str, str]:
        """Paths, for task data, of the images uploaded to a project, by the name given."""
        place = f"api/projects/{project}/file-uploads"
        files = self._patiently(lambda: [str(u["file"]) for u in self._asked(place, all=True)])
        # the server puts eight random digits before the name
        return {name.rpartition("/")[2].partition("-")[2]: f"/data/{name}" for name in files}

    def upload(self, project: int, images: Mapping[str, bytes]) -> None:
        """Upload images under plain file names, without making tasks of them."""
        files = [(name, (name, data)) for name, data in images.items()]
        self._request(
            "POST",
            f"api/projects/{project}/import",
            params={"commit_to_project": "false"},
            files=files,
        )

    def import_tasks(self, project: int, tasks: Sequence[Mapping[str, Any]]) -> list[int]:
        """Add tasks with their predictions, all of them or none.

        Returns:
            Their numbers, in the same order.
        """
        with self._translated():
            answer = self._sdk.projects.import_tasks(
                id=project,
                request=list(tasks),
                commit_to_project=True,
                return_task_ids=True,
                request_options=_ONCE,
            )
            numbers = [number_of(number) for number in answer.task_ids]
            if not len(set(numbers)) == len(numbers) == len(tasks):
                raise ValueError("another number of tasks, or two of one number")
            return numbers

    def delete_task(self, task: int) -> None:
        """Remove one task, unless somebody has begun to answer it."""

        def remove() -> None:
            found = self._asked(f"api/tasks/{task}/")
            if not (found["annotations"] or found["drafts"]):
                self._sdk.tasks.delete(str(task))

        self._patiently(remove)

    def all_tasks(self, project: int) -> tuple[ServerTask, ...]:
        """All of a project's tasks by number, in one request."""
        exports = self._sdk.projects.exports
        return self._patiently(
            lambda: read_tasks(
                exports.download_sync(project, export_type="JSON", download_all_tasks=True)
            )
        )

    def tasks_since(self, project: int, moment: str) -> tuple[ServerTask, ...]:
        """Tasks that changed since a moment of the server's clock, and those with drafts.

        Args:
            moment: `updated_at` of a task seen before, ISO 8601.
        """
        since = datetime.fromisoformat(moment).astimezone(UTC) - _MARGIN
        text = since.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        changed = _filter("updated_at", "greater_or_equal", "Datetime", text)
        return self._patiently(lambda: self._export_view(project, [changed, _WITH_DRAFT]))

    def answered_tasks(self, project: int) -> tuple[ServerTask, ...]:
        """Tasks with annotations, cancelled ones included, or drafts."""
        answered = [
            _filter(column, "greater", "Number", 0)
            for column in ("total_annotations", "cancelled_annotations")
        ]
        self._patiently(lambda: self._tidy(project))
        return self._patiently(lambda: self._export_view(project, [*answered, _WITH_DRAFT]))

    def _tidy(self, project: int) -> None:
        # What exports that were killed left behind.
        for view in self._asked("api/dm/views/", project=project):
            if (view["data"] or {}).get("title") == _EXPORT:
                self._sdk.views.delete(str(int(view["id"])))
        for export in self._asked(f"api/projects/{project}/exports/"):
            if export["title"] == _EXPORT:
                self._sdk.projects.exports.delete(project, int(export["id"]))

    def _export_view(
        self, project: int, items: Sequence[Mapping[str, Any]]
    ) -> tuple[ServerTask, ...]:
        filters = {"conjunction": "or", "items": list(items)}
        view = self._sdk.views.create(project=project, data={"title": _EXPORT, "filters": filters})
        exports = self._sdk.projects.exports
        try:
            made = exports.create(
                project, title=_EXPORT, task_filter_options={"view": int(view.id)}
            )
            try:
                return read_tasks(exports.download(project, made.id))
            finally:
                exports.delete(project, made.id)
        finally:
            self._sdk.views.delete(str(view.id))

    def counts(self, project: int) -> tuple[int, int]:
        """How many tasks a project has, and how many annotations, cancelled ones included."""

        def look() -> tuple[int, int]:
            found = self._asked(f"api/projects/{project}/")
            tasks, *answers = (
                int(found[f"{kind}_number"] or 0)
                for kind in ("task", "total_annotations", "skipped_annotations")
            )
            return tasks, sum(answers)

        return self._patiently(look)

    def reviewers(self) -> dict[int, str]:
        """E-mail addresses of the server's users, by number; of those who were put out of the team
        it tells none."""
        return self._patiently(
            lambda: {
                number_of(u["id"]): printable(u["email"], _NAME)
                for u in self._asked("api/users/")
                if u["email"] != _PUT_OUT
            }
        )

    def next_task(self, project: int) -> OpenTask | None:
        """The task that the server gives this user next; None when all is done."""
        response = self._request("GET", f"api/projects/{project}/next/", missing_ok=True)
        if response is None:
            return None
        with self._translated():
            answer = response.json()
            predictions = answer["predictions"]
            regions = predictions[0]["result"] if predictions else []
            return OpenTask(int(answer["id"]), dict(answer["data"]), tuple(map(dict, regions)))

    def submit(self, task: int, regions: Sequence[Mapping[str, Any]], lead_time_s: float) -> int:
        """Submit an annotation as this user.

        Returns:
            Its number.
        """
        with self._translated():
            made = self._sdk.annotations.create(
                id=task,
                result=[dict(region) for region in regions],
                lead_time=lead_time_s,
                request_options=_ONCE,
            )
            return int(made.id)

    def sign_up_page(self, *, renew: bool = False) -> str:
        """The server's invitation: whoever has this address can sign up.

        Args:
            renew: have all that were given so far end first.
        """
        if renew:
            invitation = self._request("POST", "api/invite/reset-token")
        else:
            invitation = self._request("GET", "api/invite")
        assert invitation is not None
        with self._translated():
            return self.connection.url + "/" + str(invitation.json()["invite_url"]).lstrip("/")

    def sign_up(self, email: str, password: str) -> Connection:
        """Join as a new reviewer through the server's invitation link.

        Returns:
            The new reviewer's own connection.
        """
        page = self.sign_up_page()
        with (
            self._translated(),
            httpx.Client(timeout=TIMEOUT_S, trust_env=not self.connection.loopback) as browser,
        ):
            browser.get(page).raise_for_status()
            form = {"email": email, "password": password}
            form["csrfmiddlewaretoken"] = browser.cookies.get("csrftoken") or ""
            answer = browser.post(page, data=form, headers={"Referer": page})
            if answer.status_code != httpx.codes.FOUND:
                raise ServiceError(
                    f"{self.connection.url}: {email} could not sign up; "
                    "is the address taken, or the password too short?"
                )
            token = browser.get(f"{self.connection.url}/api/current-user/token")
            token.raise_for_status()
            return Connection(self.connection.url, str(token.json()["token"]))

    def _check_version(self) -> None:
        release = str(self._asked("api/version/").get("release", ""))
        found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", release)
        if found is None:
            raise ServiceError(f"{self.connection.url}: does not answer like Label Studio")
        if tuple(int(part or 0) for part in found.groups()) < OLDEST:
            raise ServiceError(
                f"{self.connection.url}: Label Studio {release} has known security holes; "
                f"sixrayd needs {'.'.join(map(str, OLDEST))} or later"
            )

    def _request(
        self, method: str, path: str, *, missing_ok: bool = False, **sent: Any
    ) -> httpx.Response | None:
        # Calls that the SDK lacks.
        with self._translated():
            response = self._answer(method, path, **sent)
            if missing_ok and response.status_code == httpx.codes.NOT_FOUND:
                return None
            return _succeeded(response)

    def _answer(self, method: str, path: str, **sent: Any) -> httpx.Response:
        headers = self._sdk._client_wrapper.get_headers()  # which renews the token
        url = f"{self.connection.url}/{path}"
        return self._http.request(method, url, headers=headers, **sent)

    def _asked(self, path: str, **params: Any) -> Any:
        """What the server says, as plain JSON; within `_translated`, as the SDK's calls.

        The SDK makes a model of each object: of a million empty ones, in minutes and gigabytes.
        """
        return parse_json(_succeeded(self._answer("GET", path, params=params)).content)

    def _patiently(self, call: Callable[[], T]) -> T:
        # For what may be repeated without harm.
        for wait_s in _WAITS_S:
            try:
                with self._translated():
                    return call()
            except AwayError:
                time.sleep(wait_s)
        with self._translated():
            return call()

    def _count(self, answer: httpx.Response) -> None:
        url = self.connection.url
        if coding := packed_as(answer):
            raise ServiceError(f"{url}: encodes an answer as {coding}, which nobody asked for")
        export = answer.request.url.path.rstrip("/").endswith(("/export", "/download"))
        most = _MOST_OF_EXPORT if export else _MOST
        answer.stream = Counted(answer.stream, self._pace, url, *most)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        url, before = self.connection.url, self._pace
        try:
            with Pace(2 * TIMEOUT_S, LEAST, self._sockets) as self._pace:
                yield
        except ApiError as error:
            away = error.status_code in _TO_REPEAT and not _storage_fault(str(error.body))
            kind = AwayError if away else ServiceError
            raise kind(f"{url}: {_refusal(error, self.connection.token)}") from error
        except httpx.TimeoutException as error:
            raise AwayError(f"{url}: no answer within {TIMEOUT_S:.0f} s") from error
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            raise ServiceError(f"{url}: Label Studio answered {status}") from error
        except httpx.HTTPError as error:
            if self._pace.too_slow:
                raise AwayError(f"{url}: {self._pace.too_slow}") from error
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


def _filter(column: str, operator: str, kind: str, value: Any) -> dict[str, Any]:
    named = {"filter": f"filter:tasks:{column}", "operator": operator}
    return {**named, "type": kind, "value": value}


_WITH_DRAFT = _filter("draft_exists", "equal", "Boolean", "True")


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
    body = error.body.get("detail", error.body) if isinstance(error.body, dict) else error.body
    if fault := _storage_fault(str(body)):
        return fault
    said = " ".join(str(body).replace(token, "…").split())[:200]
    return f"Label Studio answered {error.status_code}: {said}"
