"""The one place that talks to Label Studio; its errors become `ServiceError` here."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from sixrayd.core.errors import ServiceError
from sixrayd.review.connection import Connection

try:
    from label_studio_sdk import LabelStudio as Sdk
    from label_studio_sdk.core.api_error import ApiError
except ImportError as error:
    raise ServiceError(
        "Label Studio's client is not installed; run `pip install 'sixrayd[review]'`"
    ) from error

OLDEST = (1, 18, 0)  # earlier releases have known holes
TIMEOUT_S = 600.0
_ONCE: Any = {"max_retries": 0}  # a repeated import or submission would count twice


@dataclass(frozen=True, slots=True)
class ServerAnnotation:
    """What somebody submitted, as the server tells it; the regions are unchecked."""

    annotation: int
    reviewer: int
    updated_at: str
    lead_time_s: float
    cancelled: bool
    regions: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class ServerTask:
    """A task and its annotations; `key` is empty for a task that we did not make."""

    task: int
    key: str
    annotations: tuple[ServerAnnotation, ...]
    untouched: bool  # neither an annotation nor a draft hangs on it


@dataclass(frozen=True, slots=True)
class OpenTask:
    """The task that a reviewer is given next: its data, and the regions drawn in advance."""

    task: int
    data: Mapping[str, Any]
    regions: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class ProjectPlan:
    """What a new project is made with; `key` finds it again."""

    title: str
    key: str
    labelling: str  # XML
    instruction: str  # HTML


class LabelStudio:
    """A client of one server, for use in a `with` statement.

    Raises:
        ServiceError: at every call: the server is down, too old, refuses the token, or answers
            with something else than Label Studio would.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        # A proxy named in the environment must not come between this machine and itself.
        self._http = httpx.Client(
            timeout=TIMEOUT_S,
            follow_redirects=True,
            trust_env=not connection.loopback,
            event_hooks={"response": [_refuse_other_host]},
        )
        with self._translated():
            self._sdk: Any = Sdk(  # type: ignore[no-untyped-call]
                base_url=connection.url, api_key=connection.token, httpx_client=self._http
            )
            self._check_version()
            self.user = str(self._sdk.users.whoami().email)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def find_project(self, key: str) -> int | None:
        """The project that was made with this key."""
        with self._translated():
            for project in self._sdk.projects.list(page_size=100):
                if str(project.description or "").endswith(key):
                    return int(project.id)
        return None

    def create_project(self, plan: ProjectPlan) -> int:
        """Make a project whose tasks come in order and show their predictions."""
        with self._translated():
            project = self._sdk.projects.create(
                title=plan.title[:50],
                description=f"Made by sixrayd; keep this line: {plan.key}",
                label_config=plan.labelling,
                expert_instruction=plan.instruction,
                show_instruction=True,
                show_collab_predictions=True,
                sampling="Sequential sampling",
                request_options=_ONCE,
            )
            return int(project.id)

    def serve_images(self, project: int, folder: Path) -> None:
        """Let a project's tasks show images of a folder on the server's disk."""
        path = str(folder.absolute())
        with self._translated():
            storages = self._sdk.import_storage.local.list(project=project)
            if not any(storage.path == path for storage in storages):
                self._sdk.import_storage.local.create(
                    project=project, path=path, title="candidates", use_blob_urls=True
                )

    def uploaded(self, project: int) -> dict[str, str]:
        """Paths, for task data, of the images uploaded to a project, by the name given."""
        with self._translated():
            files = [str(upload.file) for upload in self._sdk.files.list(project, all_=True)]
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

    def import_tasks(self, project: int, tasks: Sequence[Mapping[str, Any]]) -> None:
        """Add tasks with their predictions, all of them or none."""
        with self._translated():
            self._sdk.projects.import_tasks(
                id=project,
                request=list(tasks),
                commit_to_project=True,
                request_options=_ONCE,
            )

    def delete_task(self, task: int) -> None:
        """Remove one task and whatever hangs on it."""
        with self._translated():
            self._sdk.tasks.delete(str(task))

    def export(self, project: int, *, annotated_only: bool) -> tuple[ServerTask, ...]:
        """A project's tasks by number, in one request."""
        with self._translated():
            chunks: Iterable[bytes] = self._sdk.projects.exports.download_sync(
                project, export_type="JSON", download_all_tasks=not annotated_only
            )
            document = json.loads(b"".join(chunks))
            return tuple(sorted(map(_server_task, document), key=lambda task: task.task))

    def task_count(self, project: int) -> int:
        """How many tasks a project has."""
        with self._translated():
            return int(self._sdk.projects.get(project).task_number or 0)

    def reviewers(self) -> dict[int, str]:
        """E-mail addresses of the server's users, by number."""
        with self._translated():
            return {int(user.id): str(user.email) for user in self._sdk.users.list()}

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

    def sign_up(self, email: str, password: str) -> Connection:
        """Join as a new reviewer through the server's invitation link.

        Returns:
            The new reviewer's own connection.
        """
        invitation = self._request("GET", "api/invite")
        assert invitation is not None
        with (
            self._translated(),
            httpx.Client(timeout=TIMEOUT_S, trust_env=not self.connection.loopback) as browser,
        ):
            page = self.connection.url + "/" + str(invitation.json()["invite_url"]).lstrip("/")
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
        release = str(self._sdk.versions.get().dict().get("release", ""))
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
        # Calls that the SDK lacks; its own wrapper renews the token.
        with self._translated():
            headers = self._sdk._client_wrapper.get_headers()
            url = f"{self.connection.url}/{path}"
            response = self._http.request(method, url, headers=headers, **sent)
            if missing_ok and response.status_code == httpx.codes.NOT_FOUND:
                return None
            if not response.is_success:
                raise ApiError(status_code=response.status_code, body=response.text)
            return response

    @contextmanager
    def _translated(self) -> Iterator[None]:
        url = self.connection.url
        try:
            yield
        except ApiError as error:
            raise ServiceError(f"{url}: {_refusal(error, self.connection.token)}") from error
        except httpx.TimeoutException as error:
            raise ServiceError(f"{url}: no answer within {TIMEOUT_S:.0f} s") from error
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            raise ServiceError(f"{url}: Label Studio answered {status}") from error
        except httpx.HTTPError as error:
            raise ServiceError(
                f"{url}: Label Studio does not answer; is it running, and the address right?"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ServiceError(f"{url}: does not answer like Label Studio") from error


def is_healthy(url: str) -> bool:
    """Whether a server on this machine is up."""
    try:
        return httpx.get(f"{url}/health", trust_env=False, timeout=5).is_success
    except httpx.HTTPError:
        return False


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
    said = " ".join(str(body).replace(token, "…").split())[:200]
    return f"Label Studio answered {error.status_code}: {said}"


def _server_task(row: Any) -> ServerTask:
    annotations = sorted(map(_server_annotation, row["annotations"]), key=lambda a: a.annotation)
    key = row["data"].get("sixrayd", "")
    untouched = not annotations and not row.get("drafts")
    return ServerTask(
        int(row["id"]), key if isinstance(key, str) else "", tuple(annotations), untouched
    )


def _server_annotation(row: Any) -> ServerAnnotation:
    by = row["completed_by"]
    reviewer = by["id"] if isinstance(by, dict) else by
    if not isinstance(row["result"], list):
        raise TypeError("result is no list")
    return ServerAnnotation(
        annotation=int(row["id"]),
        reviewer=int(reviewer or 0),
        updated_at=str(row["updated_at"]),
        lead_time_s=float(row["lead_time"] or 0.0),
        cancelled=bool(row["was_cancelled"]),
        regions=tuple(dict(region) for region in row["result"]),
    )


def project_address(connection: Connection, project: int) -> str:
    """Where people open a project in their browser."""
    parts = urlsplit(connection.url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}/projects/{project}/data"
