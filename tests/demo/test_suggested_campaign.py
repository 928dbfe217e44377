"""A campaign that does what `sixrayd status` suggests and nothing else, people apart."""

import json
import shlex
import signal
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from sixrayd.cli import cli
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
from sixrayd.synth import synthesize
from sixrayd.synth.settings import SynthSettings
from tests.processes import contained

# What a team would have settled beforehand: small, so that the test ends. The second round looks
# at what the first one did not flag.
SETTINGS = """
[train]
detector = "rfb-small"
epochs = 4
input_size = 96
validation = 0.02

[mine]
threshold = {threshold}

[review.push]
reviewers = 2
"""
MOST_STEPS = 40
LANES = {"1": 0.0, "2": 0.3}  # of each reviewer, how often he errs


@dataclass
class Campaign:
    """What people do; what is typed is none of its business."""

    release: Path
    workspace: Workspace
    restarts: int = 0
    typed: list = field(default_factory=list)

    def sixrayd(self, *words):
        return CliRunner().invoke(cli, list(words), prog_name="sixrayd")

    def next(self):
        told = self.sixrayd("status", "-w", str(self.workspace.root), "--json")
        assert (told.exit_code, told.stderr) == (0, "")
        return json.loads(told.stdout)["next"]

    def type(self, step):
        """Type what is suggested; where the release is, nobody can suggest."""
        line = step["command"].replace("FOLDER", shlex.quote(str(self.release)))
        words = shlex.split(line)
        self.typed.append(" ".join(words[1:3]))
        done = self.sixrayd(*words[1:])
        assert (words[0], done.exit_code) == ("sixrayd", 0), (line, done.output, done.exception)
        return done.output.splitlines()

    def reviewers(self):
        """Each answers his lane; the first time, the server dies between them."""
        for lane, errs in LANES.items():
            before = self.answered(lane)
            admin = self.admin()
            email = f"lane{lane}-{len(self.typed)}@example.org"
            person = join_as_reviewer(admin, email, "correct-horse-battery")
            self.answer(lane, person, errs)
            if self.answered(lane) > before and not self.restarts:
                self.restarts += 1
                server = psutil.Process(running(self.workspace).pid)
                server.send_signal(signal.SIGKILL)
                server.wait()
                return

    def adjudicator(self):
        self.answer(ADJUDICATION, self.admin(), 0.0)

    def answer(self, lane, person, errs):
        truth = load_truth(self.release.parent / "release-truth" / "truth.csv")
        project = self.folder().project()
        names = self.folder().images_by_alias(project)
        for number in project.numbers(lane):
            review_as_person(person, number, truth, names, ReviewerSettings(errs, seed=1))

    def answered(self, lane):
        from sixrayd.review.label_studio.client import LabelStudio

        with LabelStudio(self.admin()) as server:
            return sum(server.counts(n)[1] for n in self.folder().project().numbers(lane))

    def admin(self):
        server = running(self.workspace)
        return Connection(server.url, server.token, local=True)

    def folder(self):
        """The review of the newest mining that was pushed."""
        books = self.workspace.folder("review").glob("*/project.json")
        pushed = [path.parent.name for path in books]
        name = [mined for mined in self.workspace.names("mine") if mined in pushed][-1]
        return ReviewFolder(self.workspace, name)


@pytest.fixture
def campaign(tmp_path, monkeypatch):
    release, root = tmp_path / "release", tmp_path / "workspace"
    settings = {"images": 100, "positives": 0.5, "hidden": 0.3, "hidden_copies": 0.0, "seed": 3}
    synthesize(release, SynthSettings(**settings))
    root.mkdir()
    (root / "sixrayd.toml").write_text(SETTINGS.format(threshold=0.9))
    with contained() as environment:  # the server ends with the test
        monkeypatch.setenv("TMPDIR", environment["TMPDIR"])
        yield Campaign(release, Workspace(root))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_what_is_suggested_leads_through_two_rounds(campaign):
    people = {"reviewers": campaign.reviewers, "the adjudicator": campaign.adjudicator}
    last, said = None, []
    while campaign.typed.count("export --voc") < 2:
        step = campaign.next()
        assert step["command"], "said to be done"
        assert step != last, f"{step['command']} did not lead on"
        assert len(campaign.typed) < MOST_STEPS
        last = step
        if step["waits_for"]:
            people[step["waits_for"]]()
            if running(campaign.workspace) is None:  # who looks again is told to start it
                continue
        said = campaign.type(step)
        if not step["command"].startswith(("sixrayd review serve", "sixrayd estimate")):
            assert any("next: " in line for line in said), said
        if campaign.typed[-1] == "export --voc":
            path = campaign.workspace.root / "sixrayd.toml"
            path.write_text(SETTINGS.format(threshold=0.02))

    assert (campaign.restarts, len(campaign.workspace.names("review"))) == (1, 2)
    assert campaign.typed.count("review serve") == 2
    assert campaign.typed.count("review adjudicate") >= 1
    before = [campaign.typed.index(words) for words in ("review serve", "review push")]
    assert before == sorted(before)
