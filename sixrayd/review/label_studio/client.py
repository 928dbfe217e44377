"""What pushes, pulls and invitations ask of a Label Studio."""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import httpx

from sixrayd.core.documents import parse_json
from sixrayd.core.errors import ServiceError, printable
from sixrayd.core.moments import read_utc
from sixrayd.review.label_studio.calls import SOON_S, TIMEOUT_S, ApiError, Calls
from sixrayd.review.label_studio.connection import Connection
from sixrayd.review.label_studio.exports import OpenTask, number_of, read_tasks
from sixrayd.review.label_studio.proof import is_up
from sixrayd.review.server import AwayError, ServerTask

OLDEST = (1, 18, 0)  # earlier releases have known holes
_PAGE, _MOST_PROJECTS = 100, 10_000
_BUSY_S = 60.0  # of a server on this machine that is up
_PARTING_S = 1.0  # that a call which failed waits for what it removes
_NAME = 254  # signs of an e-mail address
_INVITATION = 1000  # signs of its address, which goes into the link of each lane
_VERSION = 1000  # signs of what predictions are called, which goes into each task
_KEPT = "keep this line:"  # in a project's description, before its key
_PUT_OUT = "Deleted"  # all who are no longer in the team are called so
_EXPORT = "changed (sixrayd)"  # begins the titles of views and exports that are made on the way
_LEFT = timedelta(hours=1)  # after which none is of a call that goes on
_TIDIED = 100  # views and exports that one call removes of these; the next removes more
_MARGIN = timedelta(seconds=10)  # a slow change may be stamped before one that is seen already


class LabelStudio:
    """A client of one server, for use in a `with` statement.

    What may be repeated is, for a quarter of a minute, while the server does not answer; `calls`
    makes what has no method here.

    Raises:
        AwayError: at every call: the server is down or restarts.
        ServiceError: at every call: the server is down, too old, refuses the token, or answers
            with something else than Label Studio would.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        if connection.local and not is_up(connection.url, connection.token, _BUSY_S):
            raise AwayError(f"{connection.url}: Label Studio does not answer")
        self.calls = Calls(connection)
        with self.calls.translated(SOON_S):
            self._check_version()
            self.user = str(self.calls.asked("api/current-user/whoami")["email"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *said: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.calls.close()

    def find_project(self, key: str) -> int | None:
        """The project that was made with this key, whatever people wrote beside it since; a
        stranger's workspace may name a word of theirs for one.

        Raises:
            ServiceError: a copy of it says the same, so that its answers may lie in either.
        """
        line = rf"{_KEPT}\s+{re.escape(key)}(?!\S)"

        def look() -> int | None:
            found = {
                number_of(project["id"])
                for project in self._projects()
                if re.search(line, str(project["description"] or ""))
            }
            if len(found) > 1:
                said = ", ".join(map(str, sorted(found)[:10]))
                raise ServiceError(
                    f"{self.connection.url}: the descriptions of projects {said} hold the line of "
                    f"one, {_KEPT} {printable(key)}; take it out of the copies"
                )
            return found.pop() if found else None

        return self.calls.patiently(look, SOON_S)

    def _projects(self) -> Iterator[Any]:
        """All projects; only the last page may hold fewer than it was asked for."""
        seen = 0
        for page in itertools.count(1):
            told = self.calls.asked("api/projects/", page=page, page_size=_PAGE)
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
        said = {
            "title": title[:50],
            "description": f"Made by sixrayd; {_KEPT} {key}",
            "label_config": labelling,
            "expert_instruction": instruction,
            "show_instruction": True,
            "show_collab_predictions": True,
            "sampling": "Sequential sampling",
        }
        with self.calls.translated():
            return number_of(self.calls.asked("api/projects/", "POST", said)["id"])

    def set_instruction(self, project: int, instruction: str) -> None:
        """Replace the HTML that a project's reviewers are told."""
        place, said = f"api/projects/{project}/", {"expert_instruction": instruction}
        self.calls.patiently(lambda: self.calls.asked(place, "PATCH", said))

    def shown_version(self, project: int) -> str:
        """The version of the predictions that a project shows; empty before it has any."""

        def look() -> str:
            version = str(self.calls.asked(f"api/projects/{project}/")["model_version"] or "")
            if len(version) > _VERSION:
                raise ServiceError(
                    f"{self.connection.url}: shows predictions of a version of {len(version):,} "
                    f"signs in project {project}, at most {_VERSION:,}; choose another there"
                )
            return version

        return self.calls.patiently(look)

    def serve_images(self, project: int, folder: Path) -> None:
        """Let a project's tasks show images of a folder on the server's disk."""
        path = str(folder.resolve())  # the same whichever way the workspace is reached

        def look() -> None:
            storages = self.calls.asked("api/storages/localfiles/", project=project)
            if not any(storage["path"] == path for storage in storages):
                said = {"project": project, "path": path, "title": "candidates"}
                said["use_blob_urls"] = True
                self.calls.asked("api/storages/localfiles/", "POST", said)

        self.calls.patiently(look)

    def uploaded(self, project: int) -> dict[str, str]:
        """Paths, for task data, of the images uploaded to a project, by the name given."""
        place = f"api/projects/{project}/file-uploads"
        files = self.calls.patiently(
            lambda: [str(u["file"]) for u in self.calls.asked(place, all=True)]
        )
        # the server puts eight random digits before the name
        return {name.rpartition("/")[2].partition("-")[2]: f"/data/{name}" for name in files}

    def upload(self, project: int, images: Mapping[str, bytes]) -> None:
        """Upload images under plain file names, without making tasks of them."""
        files = [(name, (name, data)) for name, data in images.items()]
        self.calls.request(
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
        with self.calls.translated():
            place = f"api/projects/{project}/import"
            wanted = {"commit_to_project": True, "return_task_ids": True}
            answer = self.calls.asked(place, "POST", list(tasks), **wanted)
            numbers = [number_of(number) for number in answer["task_ids"]]
            if not len(set(numbers)) == len(numbers) == len(tasks):
                raise ValueError("another number of tasks, or two of one number")
            return numbers

    def delete_task(self, task: int) -> bool:
        """Remove one task, unless somebody has begun to answer it; to skip it is no answer."""

        def remove() -> bool:
            try:
                found = self.calls.asked(f"api/tasks/{task}/")
                if found["drafts"] or any(
                    not said["was_cancelled"] for said in found["annotations"]
                ):
                    return False
                self.calls.sdk.tasks.delete(str(task))
            except ApiError as error:
                if error.status_code != 404:  # else the answer to an earlier call was lost
                    raise
            return True

        return self.calls.patiently(remove)

    def all_tasks(self, project: int) -> tuple[ServerTask, ...]:
        """All of a project's tasks by number.

        Raises:
            ServiceError: fewer than the server counts, so that others would be sent twice.
        """
        counted, _ = self.counts(project)
        # Label Studio's export in one request leaves its file there for good.
        tasks = self.calls.patiently(lambda: self._export_view(project, []))
        # Asked once more, since some may have been deleted on the way.
        if len(tasks) < counted and len(tasks) < self.counts(project)[0]:
            raise ServiceError(
                f"{self.connection.url}: gave {len(tasks):,} of the {counted:,} tasks that it "
                f"counts in project {project}; run the same command again"
            )
        return tasks

    def tasks_since(self, project: int, moment: str) -> tuple[ServerTask, ...]:
        """Tasks that changed since a moment of the server's clock, and those with drafts.

        Args:
            moment: `updated_at` of a task seen before, ISO 8601.
        """
        since = datetime.fromisoformat(moment).astimezone(UTC) - _MARGIN
        text = since.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        changed = _filter("updated_at", "greater_or_equal", "Datetime", text)
        return self.calls.patiently(lambda: self._export_view(project, [changed, _WITH_DRAFT]))

    def answered_tasks(self, project: int) -> tuple[ServerTask, ...]:
        """Tasks with annotations, cancelled ones included, or drafts."""
        answered = [
            _filter(column, "greater", "Number", 0)
            for column in ("total_annotations", "cancelled_annotations")
        ]
        self.calls.patiently(lambda: self._tidy(project))
        return self.calls.patiently(lambda: self._export_view(project, [*answered, _WITH_DRAFT]))

    def _tidy(self, project: int) -> None:
        # What exports that were killed left behind; another pull or status may go on beside.
        views = self.calls.asked("api/dm/views/", project=project)
        left = (view for view in views if _is_left((view["data"] or {}).get("title")))
        for view in itertools.islice(left, _TIDIED):
            self.calls.sdk.views.delete(str(int(view["id"])))
        exports = self.calls.asked(f"api/projects/{project}/exports/")
        for export in itertools.islice((e for e in exports if _is_left(e["title"])), _TIDIED):
            self.calls.sdk.projects.exports.delete(project, int(export["id"]))

    def _export_view(
        self, project: int, items: Sequence[Mapping[str, Any]]
    ) -> tuple[ServerTask, ...]:
        filters = {"conjunction": "or", "items": list(items)}
        title = f"{_EXPORT} {datetime.now(UTC).isoformat(timespec='seconds')}"
        shown = {"project": project, "data": {"title": title, "filters": filters}}
        view = number_of(self.calls.asked("api/dm/views/", "POST", shown)["id"])
        exports, place = self.calls.sdk.projects.exports, f"api/projects/{project}/exports/"
        with self._removed(lambda: self.calls.sdk.views.delete(str(view))):
            made = {"title": title, "task_filter_options": {"view": view}}
            # a text might lead to something else
            export = number_of(self.calls.asked(place, "POST", made)["id"])
            with self._removed(lambda: exports.delete(project, export)):
                return read_tasks(exports.download(project, export))

    @contextmanager
    def _removed(self, remove: Callable[[], object]) -> Iterator[None]:
        # After a failure, or Ctrl-C, nobody waits for it: `_tidy` removes what is left.
        try:
            yield
        except BaseException:
            with suppress(ServiceError), self.calls.translated(_PARTING_S):
                remove()
            raise
        remove()

    def counts(self, project: int) -> tuple[int, int]:
        """How many tasks a project has, and how many annotations, cancelled ones included."""

        def look() -> tuple[int, int]:
            found = self.calls.asked(f"api/projects/{project}/")
            tasks, *answers = (
                int(found[f"{kind}_number"] or 0)
                for kind in ("task", "total_annotations", "skipped_annotations")
            )
            return tasks, sum(answers)

        return self.calls.patiently(look)

    def reviewers(self) -> dict[int, str]:
        """E-mail addresses of the server's users, by number; of those who were put out of the team
        it tells none."""
        return self.calls.patiently(
            lambda: {
                number_of(u["id"]): printable(u["email"], _NAME)
                for u in self.calls.asked("api/users/")
                if u["email"] != _PUT_OUT
            }
        )

    def next_task(self, project: int) -> OpenTask | None:
        """The task that the server gives this user next; None when all is done."""
        response = self.calls.request("GET", f"api/projects/{project}/next/", missing_ok=True)
        if response is None:
            return None
        with self.calls.translated():
            answer = response.json()
            predictions = answer["predictions"]
            regions = predictions[0]["result"] if predictions else []
            return OpenTask(int(answer["id"]), dict(answer["data"]), tuple(map(dict, regions)))

    def submit(self, task: int, regions: Sequence[Mapping[str, Any]], lead_time_s: float) -> int:
        """Submit an annotation as this user.

        Returns:
            Its number.
        """
        with self.calls.translated():
            said = {"result": [dict(region) for region in regions], "lead_time": lead_time_s}
            made = self.calls.asked(f"api/tasks/{task}/annotations/", "POST", said)
            return int(made["id"])

    def sign_up_page(self, *, renew: bool = False) -> str:
        """The server's invitation: whoever has this address can sign up.

        Args:
            renew: have all that were given so far end first.
        """
        if renew:
            invitation = self.calls.request("POST", "api/invite/reset-token")
        else:
            invitation = self.calls.request("GET", "api/invite")
        assert invitation is not None
        with self.calls.translated():
            path = str(parse_json(invitation.content)["invite_url"]).lstrip("/")
        if len(path) > _INVITATION or not path.isprintable():
            raise ServiceError(
                f"{self.connection.url}: its invitation is an address of {len(path):,} signs; "
                f"expected at most {_INVITATION:,}, all printable; it is no Label Studio"
            )
        return f"{self.connection.url}/{path}"

    def sign_up(self, email: str, password: str) -> Connection:
        """Join as a new reviewer through the server's invitation link.

        Returns:
            The new reviewer's own connection.
        """
        page = self.sign_up_page()
        with (
            self.calls.translated(),
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
        release = str(self.calls.asked("api/version/").get("release", ""))
        found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", release)
        if found is None:
            raise ServiceError(f"{self.connection.url}: does not answer like Label Studio")
        if tuple(int(part or 0) for part in found.groups()) < OLDEST:
            raise ServiceError(
                f"{self.connection.url}: Label Studio {release} has known security holes; "
                f"sixrayd needs {'.'.join(map(str, OLDEST))} or later"
            )


def _is_left(title: Any) -> bool:
    """Whether a title is of a view or an export that a killed call left behind."""
    said = str(title)
    if not said.startswith(_EXPORT):
        return False
    try:
        return datetime.now(UTC) - read_utc(said.removeprefix(_EXPORT).strip()) > _LEFT
    except ValueError:
        return True  # earlier versions named no moment


def _filter(column: str, operator: str, kind: str, value: Any) -> dict[str, Any]:
    named = {"filter": f"filter:tasks:{column}", "operator": operator}
    return {**named, "type": kind, "value": value}


_WITH_DRAFT = _filter("draft_exists", "equal", "Boolean", "True")
