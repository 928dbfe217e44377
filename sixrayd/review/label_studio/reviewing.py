"""Label Studio as a `ReviewServer`."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from sixrayd.core.ahead import chunked
from sixrayd.core.boxes import Box
from sixrayd.core.classes import ClassList
from sixrayd.core.errors import ServiceError
from sixrayd.core.files import plain_bytes, write_many
from sixrayd.core.workspace import Workspace
from sixrayd.review.label_studio.backup import back_up_when_due
from sixrayd.review.label_studio.client import LabelStudio
from sixrayd.review.label_studio.connection import Connection, project_address
from sixrayd.review.label_studio.invitations import end_invitation
from sixrayd.review.label_studio.labelling import (
    PROPOSALS,
    instruction,
    labelling_configuration,
    prediction,
)
from sixrayd.review.label_studio.regions import read_answer
from sixrayd.review.label_studio.server import find_server, image_folder, server_folder
from sixrayd.review.server import NewTask, ProjectPlan, ReadAnswer

UPLOADS_PER_REQUEST = 50


def open_label_studio(
    workspace: Workspace, url: str, token_file: Path | None
) -> "LabelStudioReview":
    """The workspace's own server or another; see `review.server.connect`."""
    return LabelStudioReview(find_server(workspace, url, token_file), workspace)


class LabelStudioReview(LabelStudio):
    """A client of Label Studio for a workspace's reviews."""

    def __init__(self, connection: Connection, workspace: Workspace) -> None:
        super().__init__(connection)
        self.workspace = workspace
        self.address, self.local = connection.url, connection.local

    def create_project(self, plan: ProjectPlan) -> int:
        """As `ReviewServer` has it."""
        labelling = labelling_configuration(plan.classes, plan.examples)
        return self.make_project(plan.title, plan.key, labelling, instruction(plan.guidelines))

    def instruct(self, project: int, guidelines: str) -> None:
        """As `ReviewServer` has it."""
        self.set_instruction(project, instruction(guidelines))

    def project_address(self, project: int) -> str:
        """As `ReviewServer` has it."""
        return project_address(self.connection, project)

    def task_address(self, project: int, task: int) -> str:
        """As `ReviewServer` has it."""
        return f"{self.project_address(project)}?task={task}"

    def invitation(self, project: int) -> str:
        """As `ReviewServer` has it; it leads whoever has an account already to the project, too."""
        labelling = urlsplit(self.project_address(project)).path + "?labeling=1"
        return f"{self.sign_up_page()}&next={quote(labelling, safe='')}"

    def end_invitations(self) -> None:
        """As `ReviewServer` has it."""
        if self.local:
            end_invitation(self, server_folder(self.workspace))
        else:
            self.sign_up_page(renew=True)

    def show_images(self, project: int, review: str, images: Mapping[str, bytes]) -> dict[str, str]:
        """As `ReviewServer` has it: our own server reads them from disk, others take uploads."""
        if not self.local:
            return self._upload_missing(project, images)
        folder = image_folder(self.workspace, review)
        fresh = {name: data for name, data in images.items() if _bytes(folder / name) != data}
        write_many(folder, fresh)
        self.serve_images(project, folder)
        return {name: f"/data/local-files/?d={quote(f'{review}/{name}')}" for name in images}

    def lost_images(self, review: str, names: Iterable[str]) -> list[str]:
        """As `ReviewServer` has it: uploads are the server's own, files may have been removed."""
        if not self.local:
            return []
        paths = image_folder(self.workspace, review).glob("[!.]*")
        there = {path.stem for path in paths if path.stat().st_size}
        return [name for name in names if name not in there]

    def add_tasks(self, project: int, tasks: Sequence[NewTask]) -> list[int]:
        """As `ReviewServer` has it."""
        version = self.shown_version(project) or PROPOSALS
        return self.import_tasks(project, [_document(task, version) for task in tasks])

    def read_answer(
        self,
        regions: Iterable[Mapping[str, Any]],
        size_wh: tuple[int, int],
        drawn: Mapping[str, Box],
        classes: ClassList,
    ) -> ReadAnswer:
        """As `ReviewServer` has it."""
        return read_answer(regions, size_wh, drawn, classes)

    def keep_safe(self) -> None:
        """As `ReviewServer` has it."""
        if self.local:
            back_up_when_due(self.workspace)

    def _upload_missing(self, project: int, images: Mapping[str, bytes]) -> dict[str, str]:
        there = self.uploaded(project)
        missing = [name for name in images if name not in there]
        for part in chunked(missing, UPLOADS_PER_REQUEST):
            self.upload(project, {name: images[name] for name in part})
        there = self.uploaded(project) if missing else there
        if lost := [name for name in images if name not in there]:
            raise ServiceError(f"{self.address}: took {lost[0]} but does not list it; push again")
        return {name: there[name] for name in images}


def _document(task: NewTask, version: str) -> dict[str, Any]:
    width, height = task.size_wh
    # Nothing here may tell a planted image or a spot check from the others.
    data = {"image": task.image, "width": width, "height": height, "sixrayd": task.key}
    drawn = [prediction(task.drawn, task.size_wh, version)] if task.drawn else []
    return {"data": data, "predictions": drawn}


def _bytes(path: Path) -> bytes | None:
    return plain_bytes(path) if path.exists() else None
