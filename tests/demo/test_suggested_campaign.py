"""A campaign that does what each command says is next and nothing else, people apart."""

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
from sixrayd.decisions.decision import answers, load_decisions
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
reviewers = 3
"""
MOST_STEPS = 40
LANES = {"1": 0.0, "2": 0.3, "3": 0.1}  # of each reviewer, how often he errs
LEAVES = 3  # images after which the first reader of the last lane does


@dataclass
class Campaign:
    """What people do; what is typed is none of its business."""

    release: Path
    workspace: Workspace
    restarts: int = 0
    leavers: int = 0
    typed: list = field(default_factory=list)

    def sixrayd(self, *words):
        return CliRunner().invoke(cli, list(words), prog_name="sixrayd")

    def next(self):
        told = self.sixrayd("status", "-w", str(self.workspace.root), "--json")
        assert (told.exit_code, told.stderr) == (0, "")
        return json.loads(told.stdout)["next"]

    def type(self, step):
        """Type what is suggested, where the release is apart; what that says is next."""
        line = step["command"].replace("FOLDER", shlex.quote(str(self.release)))
        words = shlex.split(line)
        self.typed.append(" ".join(words[1:3]))
        done = self.sixrayd(*words[1:])
        assert (words[0], done.exit_code) == ("sixrayd", 0), (line, done.output, done.exception)
        *_, following = [line for line in done.output.splitlines() if "next: " in line]
        return following.partition("next: ")[2]

    def reviewers(self):
        """Each answers his lane; the first time, the server dies between them. Of the last lane
        the first reader leaves, and another goes on where he was."""
        for lane, errs in LANES.items():
            before = self.answered(lane)
            admin = self.admin()
            email = f"lane{lane}-{len(self.typed)}@example.org"
            person = join_as_reviewer(admin, email, "correct-horse-battery")
            if lane == max(LANES) and not self.leavers:
                self.leavers += 1
                self.answer(lane, person, errs, LEAVES)
                return
            self.answer(lane, person, errs)
            if self.answered(lane) > before and not self.restarts:
                self.restarts += 1
                server = psutil.Process(running(self.workspace).pid)
                server.send_signal(signal.SIGKILL)
                server.wait()
                return

    def adjudicator(self):
        self.answer(ADJUDICATION, self.admin(), 0.0)

    def answer(self, lane, person, errs, limit=None):
        truth = load_truth(self.release.parent / "release-truth" / "truth.csv")
        project = self.folder().project()
        names = self.folder().images_by_alias(project)
        for number in project.numbers(lane):
            settings = ReviewerSettings(errs, seed=1, limit=limit)
            review_as_person(person, number, truth, names, settings)

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


def words_of(step):
    """As a command prints it."""
    who, command = step["waits_for"], step["command"]
    return f"{who}, then {command}" if who else command or "nothing is left to do"


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


def first_round(campaign):
    """What stands of the first review."""
    name = campaign.workspace.names("mine")[0]
    return answers(load_decisions(campaign.workspace, name))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_what_is_suggested_leads_through_two_rounds(campaign):
    people = {"reviewers": campaign.reviewers, "the adjudicator": campaign.adjudicator}
    last, said = None, ""
    while campaign.typed.count("export --voc") < 2:
        step = campaign.next()
        assert said in ("", words_of(step))
        assert step["command"], "said to be done"
        assert step != last, f"{step['command']} did not lead on"
        assert len(campaign.typed) < MOST_STEPS
        last = step
        if step["waits_for"]:
            people[step["waits_for"]]()
            if running(campaign.workspace) is None:  # who looks again is told to start it
                said = ""
                continue
        said = campaign.type(step)
        if campaign.typed[-1] == "export --voc":
            path = campaign.workspace.root / "sixrayd.toml"
            path.write_text(SETTINGS.format(threshold=0.02))

    assert (campaign.restarts, len(campaign.workspace.names("review"))) == (1, 2)
    shared = [each for each in first_round(campaign) if each.lane == max(LANES)]
    assert len({decision.reviewer for decision in shared}) == 2  # who left, and who went on
    assert len({decision.image_id for decision in shared}) == len(shared) > LEAVES
    assert campaign.typed.count("review serve") == 2
    assert campaign.typed.count("review adjudicate") >= 1
    before = [campaign.typed.index(words) for words in ("review serve", "review push")]
    assert before == sorted(before)
