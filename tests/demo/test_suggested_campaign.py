"""A campaign that does what `sixrayd status` suggests and nothing else, people apart."""

import json
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from sixrayd.core.records import ADJUDICATION
from sixrayd.core.workspace import Workspace
from sixrayd.demo.reviewer import (
    ReviewerSettings,
    join_as_reviewer,
    load_truth,
    review_as_person,
)
from sixrayd.review.folder import ReviewFolder
from sixrayd.review.label_studio.connection import Connection
from sixrayd.review.label_studio.server import running
from tests.processes import contained

SETTINGS = """
[train]
epochs = 6
input_size = 96
validation = 0.02

[mine]
threshold = 0.15

[review.push]
reviewers = 2
"""
MOST_STEPS = 60


@dataclass
class Campaign:
    """What people do, and what the tool told them."""

    release: Path
    workspace: Workspace
    environment: dict
    commands: list = field(default_factory=list)
    whys: list = field(default_factory=list)
    people: list = field(default_factory=list)
    restarts: int = 0

    def sixrayd(self, *words):
        command = [sys.executable, "-m", "sixrayd", *words]
        return subprocess.run(
            command, capture_output=True, text=True, env=self.environment, check=False
        )

    def next(self):
        told = self.sixrayd("status", "-w", str(self.workspace.root), "--json")
        assert (told.returncode, told.stderr) == (0, ""), told.stderr
        document = json.loads(told.stdout)
        assert document["next_command"] == document["next"]["command"]
        return document["next"]

    def follow(self, step):
        """Type what was suggested; the release is all that it does not know."""
        words = shlex.split(step["command"].replace("FOLDER", shlex.quote(str(self.release))))
        assert words[0] == "sixrayd"
        self.commands.append(" ".join(words[1:3]))
        self.whys.append(step["why"])
        done = self.sixrayd(*words[1:])
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done

    def reviewers(self):
        """Two of them answer their lanes, one errs; the server dies between them."""
        folder, admin = self._folder(), self._admin()
        while len(self.people) < 2:
            email = f"person{len(self.people)}@example.org"
            self.people.append(email)
            join_as_reviewer(admin, email, "correct-horse-battery")
        for lane, error in (("1", 0.0), ("2", 0.25)):
            if not self._open(folder, lane):
                continue
            self._answer(folder, lane, error)
            if lane == "1" and not self.restarts:
                self.kill_server()
                return

    def adjudicator(self):
        self._answer(self._folder(), ADJUDICATION, 0.0)

    def kill_server(self):
        server = running(self.workspace)
        self.restarts += 1
        for process in (psutil.Process(server.pid), *psutil.Process(server.pid).children(True)):
            process.send_signal(signal.SIGKILL)
        psutil.wait_procs([psutil.Process(server.pid)] if psutil.pid_exists(server.pid) else [], 30)

    def _answer(self, folder, lane, error):
        truth = load_truth(self.release.parent / "release-truth" / "truth.csv")
        names = folder.images_by_alias(folder.project())
        wishes = ReviewerSettings(error_rate=error, seed=int(lane) if lane.isdecimal() else 0)
        for number in folder.project().numbers(lane):
            review_as_person(self._person(lane), number, truth, names, wishes)

    def _open(self, folder, lane):
        from sixrayd.review.label_studio.client import LabelStudio

        with LabelStudio(self._admin()) as server:
            return any(
                not task.annotations
                for number in folder.project().numbers(lane)
                for task in server.all_tasks(number)
            )

    def _person(self, lane):
        from sixrayd.review.label_studio.client import LabelStudio

        if lane == ADJUDICATION:
            return self._admin()
        with LabelStudio(self._admin()) as server:
            email = f"lane{lane}-{len(server.reviewers())}@example.org"
            return server.sign_up(email, "correct-horse-battery")

    def _admin(self):
        server = running(self.workspace)
        return Connection(server.url, server.token, local=True)

    def _folder(self):
        """The review of the newest mining that was pushed."""
        pushed = [
            path.parent.name for path in self.workspace.folder("review").glob("*/project.json")
        ]
        name = [mined for mined in self.workspace.names("mine") if mined in pushed][-1]
        return ReviewFolder(self.workspace, name)


@pytest.mark.long
def test_what_is_suggested_leads_through_two_rounds(tmp_path):
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "sixrayd.toml").write_text(SETTINGS)
    with contained() as environment:
        environment = {**environment, "OMP_NUM_THREADS": "1"}
        campaign = Campaign(tmp_path / "release", Workspace(root), environment)
        words = ["--images", "120", "--positives", "0.5", "--hidden", "0.3", "--seed", "3"]
        made = campaign.sixrayd("synth", str(campaign.release), *words)
        assert made.returncode == 0, made.stderr
        exports, before = 0, None
        while exports < 2:
            step = campaign.next()
            print(step)
            assert step["command"] and step != before, campaign.commands
            assert len(campaign.commands) < MOST_STEPS
            before = step
            if step["waits_for"]:
                {"reviewers": campaign.reviewers, "the adjudicator": campaign.adjudicator}[
                    step["waits_for"]
                ]()
                if running(campaign.workspace) is None:
                    continue
            done = campaign.follow(step)
            print(done.stdout[-300:])
            exports += step["command"].startswith("sixrayd export")
        print(campaign.commands)
