"""`sixrayd estimate` as it is typed: documents, settings from the file, and usage."""

import json
import shutil

import pytest

from sixrayd.cli import cli
from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.workspace import Workspace
from tests.estimate.campaigns import Campaign, name_of


@pytest.fixture(scope="module")
def untouched(tmp_path_factory):
    return Campaign.build(tmp_path_factory.mktemp("untouched") / "ws", [1] * 8, [1, 2])


@pytest.fixture
def campaign(untouched, tmp_path):
    """Eight single images, two of them flagged."""
    shutil.copytree(untouched.workspace.root, tmp_path / "ws")
    return Campaign(Workspace(tmp_path / "ws"), untouched.flagged)


def invoke(runner, campaign, *words):
    given = ["estimate", "-w", str(campaign.workspace.root), *map(str, words)]
    return runner.invoke(cli, given, catch_exceptions=False)


def refusal(runner, campaign, *words):
    given = ["estimate", "-w", str(campaign.workspace.root), *map(str, words)]
    return runner.invoke(cli, given).exception


def test_documents_of_the_plan_the_draw_and_the_certificate(runner, campaign, tmp_path):
    plan = json.loads(invoke(runner, campaign, "--plan", "--json", "--target-left", 2).stdout)
    draw = json.loads(invoke(runner, campaign, "--sample", 99, "--seed", "5 2 6", "--json").stdout)
    words = ("--certify", tmp_path / "a", "--by", "Ünal", "--json")
    certificate = json.loads(invoke(runner, campaign, *words).stdout)

    row = {"checks": 8, "once": 0, "planned": 0, "every": 0, "finds": 0, "planned_most": 0}
    assert plan["rows"] == [row]
    assert (plan["undecided"], plan["found"], plan["target_left"]) == (8, 0, 2)
    assert plan["target"] == {"left": 2, "recall": None}
    assert len(plan["target_checks"]) == 2
    assert draw == {
        "name": "first",
        "file": str(campaign.workspace.folder("estimate", "first") / "sample.parquet"),
        "draw": 1,
        "units": {"flagged, 1 of 2": 1, "flagged, 2 of 2": 1, "unflagged": 6},
        "pools": {"flagged, 1 of 2": 1, "flagged, 2 of 2": 1, "unflagged": 6},
        "images": 8,
        "units_in_all": 8,
        "looks": 0,
        "commitment": certificate["commitment"],
        "finished": False,
        "again": False,
    }
    assert (certificate["signed_by"], certificate["upper"]) == ("Ünal", 8)
    assert certificate["file"] == str(tmp_path / "a")


def test_settings_come_from_the_workspace_file_and_an_option_beats_them(runner, campaign):
    (campaign.workspace.root / "sixrayd.toml").write_text(
        '[estimate]\nconfidence = 0.5\nsensitivity = 0.9\nconsensus = "majority"\ntarget-left = 1\n'
    )
    document = json.loads(invoke(runner, campaign, "--confidence", 0.8, "--json").stdout)

    assert document["settings"] == {
        "confidence": 0.8,
        "sensitivity": 0.9,
        "once": False,
        "consensus": "majority",
        "gamma": 1.0,
        "confirmed": False,
        "one_set": True,
    }
    assert (document["target"], document["target_met"]) == ({"left": 1, "recall": None}, False)


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        (
            ("--name", "x"),
            WorkspaceError,
            "--name x: neither a review nor a mining; there are first",
        ),
        (
            ("--confidence", "1"),
            SettingsError,
            "confidence 1 and sensitivity 1: need to be above 0 and below 1, and 0 to 1",
        ),
        (
            ("--target-recall", "1.5"),
            SettingsError,
            "targets: need --target-left of 0 or more and --target-recall above 0 and up to 1, "
            "got None and 1.5",
        ),
        (("--certify", "a"), SettingsError, "--by: who signs the certificate off?"),
        (
            ("--once",),
            SettingsError,
            "a single look takes one draw, checked to the end; there are 0, and 0 of their units "
            "wait; leave out --once",
        ),
    ],
)
def test_refusals_leave_no_file(runner, untouched, words, kind, message):
    found = refusal(runner, untouched, *words)

    assert (type(found), str(found)) == (kind, message)
    assert not (untouched.workspace.root / "estimate").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--plan", "--certify", "a"), "and --certify: one at a time"),
        (("--looks", "5,x"), "--looks 5,x: expected whole numbers and commas"),
        (
            ("--looks", "5", "--next-look"),
            "--looks, --next-look, --labels and --certify: one at a time",
        ),
        (("--sample", "2", "--force"), "--by and --force: only with --certify"),
        (("--plan", "--seed", "x"), "--seed: only with --sample"),
        (("--sample", "-1"), "-1 is not in the range x>=1."),
        (("--target-left", "-1"), "-1 is not in the range x>=0."),
        (("--consensus", "loudest"), "'loudest' is not one of 'adjudicator', "),
        (("--certify", "."), "is a directory"),
    ],
)
def test_usage(runner, untouched, words, message):
    said = invoke(runner, untouched, *words)

    assert (said.exit_code, said.stdout) == (2, "")
    assert message in said.stderr


def words_of(said):
    """What a panel says, without its frame."""
    return " ".join(said.stdout.replace("│", " ").split())


def test_the_steps_of_a_campaign_one_after_the_other(runner, campaign):
    first = invoke(runner, campaign)
    invoke(runner, campaign, "--sample", 3)
    campaign.clear(*(name_of(n) for n in range(1, 9)))
    last = invoke(runner, campaign, "--target-left", 0)

    words = words_of(first)
    assert "Found: 0. At most 8 may be missed (95 % sure), best guess unknown." in words
    assert "No group is drawn: `sixrayd estimate --looks N,N,… -w " in words
    words = words_of(last)
    assert "Found: 0. At most 0 may be missed (95 % sure), best guess 0.0." in words
    assert "At least 100.0 % of all contraband groups are found." in words
    assert (
        "3 of 3 drawn groups are answered without a gap, in 1 draw; 0 behind a gap, 0 not yet."
        in words
    )
    assert "Target (at most 0 missed): met." in words
    assert refusal(runner, campaign, "--sample", 1).args == (
        f"{campaign.workspace.folder('estimate', 'first')}: every unit has been drawn or decided",
    )
