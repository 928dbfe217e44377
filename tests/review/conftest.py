"""One real Label Studio for all tests of the review; each test takes images of its own."""

import itertools
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field

import pytest

from sixrayd.core.records import Verdict
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.decision import load_decisions, standing_decisions
from sixrayd.review.folder import ReviewFolder
from sixrayd.review.label_studio.client import LabelStudio
from sixrayd.review.label_studio.connection import Connection
from sixrayd.review.label_studio.labelling import verdict_region
from sixrayd.review.label_studio.server import Server, find_server, running_server
from sixrayd.review.pull import pull
from sixrayd.review.push import push
from sixrayd.review.settings import PullSettings, PushSettings
from tests.processes import contained
from tests.workspaces import Picture, build_mine, build_shards

IMAGES = 1160


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

    def pushed(self, name, count, **settings):
        """A new review of images that no other test has; its first project."""
        self.mined(name, count)
        return push(self.workspace, PushSettings(name, **settings)).project

    def standing(self, name):
        """Image → what stands of it in a review."""
        return standing_decisions(load_decisions(self.workspace, name))

    def edited(self, name, **changed):
        """What Ann said of an image was pulled, and Bob changes it on the server.

        Returns:
            The image, the annotation, both people, and what stood before.
        """
        project = self.pushed(name, 1)
        ann, bob = self.person(), self.person()
        image, number = self.answer(project, verdict=Verdict.UNSURE, by=ann)
        pull(self.workspace, PullSettings(name))
        before = self.standing(name)
        made = "update task_completion set created_at = datetime(created_at, '-1 hour')"
        self.change(f"{made} where id = ?", number)
        with LabelStudio(bob) as server:
            said = {"result": [verdict_region(Verdict.NOTHING)], "was_cancelled": False}
            server.calls.sdk.annotations.update(number, **said | changed)
        return image, number, ann, bob, before

    def change(self, words, *values):
        """What nobody can do by the server's pages: its administrator, or a backup."""
        database = self.workspace.folder("review", "server") / "data" / "label_studio.sqlite3"
        with closing(sqlite3.connect(database, timeout=20)) as connection, connection:
            return connection.execute(words, values).fetchall()

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
            if project.task_of(key)[0]:
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
