"""One real Label Studio for all tests of the review; each test takes images of its own."""

import itertools
from dataclasses import dataclass, field

import pytest

from sixrayd.core.records import Verdict
from sixrayd.core.workspace import Workspace
from sixrayd.review.folder import ReviewFolder
from sixrayd.review.label_studio.client import LabelStudio
from sixrayd.review.label_studio.connection import Connection
from sixrayd.review.label_studio.labelling import verdict_region
from sixrayd.review.label_studio.server import Server, find_server, running_server
from tests.processes import contained
from tests.workspaces import Picture, build_mine, build_shards

IMAGES = 900


def build(root, images=IMAGES):
    """A workspace of negatives without candidates, and of three positives to practise on."""
    workspace = Workspace(root)
    box = (10.0, 10.0, 50.0, 40.0, False)
    positives = [
        Picture(f"P{n:07d}", "train", (label,), ((label, *box),))
        for n, label in enumerate(("Gun", "Gun", "Knife"), 1)
    ]
    negatives = [Picture(f"N{n:07d}") for n in range(1, images + 1)]
    build_shards(workspace, [*positives, *negatives], 100)
    return workspace


@dataclass
class Site:
    """A workspace whose Label Studio is up."""

    workspace: Workspace
    server: Server
    connection: Connection
    numbers: itertools.count
    people: itertools.count = field(default_factory=lambda: itertools.count(1))

    def mined(self, name, count):
        """A new mining of images that no other test has; their ids, the likeliest first."""
        images = [f"N{next(self.numbers):07d}" for _ in range(count)]
        build_mine(self.workspace, name, images)
        return images

    def client(self):
        """The administrator's client."""
        return LabelStudio(self.connection)

    def person(self):
        """A new reviewer's connection."""
        with self.client() as server:
            email = f"person{next(self.people)}@example.org"
            return server.sign_up(email, "correct-horse-battery")

    def answer(self, project, regions=(), verdict=Verdict.NOTHING, by=None):
        """Submit on the next open task, as the administrator; its image and annotation."""
        with LabelStudio(by or self.connection) as server:
            task = server.next_task(project)
            said = [verdict_region(verdict)] if verdict else []
            number = server.submit(task.task_id, [*regions, *said], 2.5)
        return self.image_of(task), number

    def image_of(self, task):
        """The image of a task of any review."""
        key = task.data["sixrayd"]
        for path in self.workspace.folder("review").glob("*/project.json"):
            folder = ReviewFolder(self.workspace, path.parent.name)
            project = folder.project()
            if project.key == key.partition("/")[0].partition(".")[0]:
                return folder.images_by_alias(project)[project.task_of(key)[0]]
        raise AssertionError(key)


@pytest.fixture
def servers(monkeypatch):
    """Servers that are started in the background end with the test, even one that fails."""
    with contained() as environment:
        monkeypatch.setenv("TMPDIR", environment["TMPDIR"])
        yield


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    workspace = build(tmp_path_factory.mktemp("site") / "workspace")
    with running_server(workspace) as server:
        yield Site(workspace, server, find_server(workspace, "", None), itertools.count(1))
