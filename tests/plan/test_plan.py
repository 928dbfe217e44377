"""The plan of a workspace: right after the mining, midway, and the commands that it names."""

import json
import math
import shlex
import shutil

import click
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from sixrayd.advice.next_step import Judgement
from sixrayd.cli import cli
from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.files import write_json
from sixrayd.core.records import CANDIDATE_SCHEMA, TASK_SCHEMA
from sixrayd.core.tables import read_table, write_table
from sixrayd.core.workspace import Workspace
from sixrayd.estimate.sample import draw_sample
from sixrayd.estimate.settings import SampleSettings
from sixrayd.plan.settings import CampaignSettings
from sixrayd.plan.stage import plan
from sixrayd.review.planting.planted import PLANTED_SCHEMA
from tests.estimate.campaigns import GUN, Campaign, name_of, sample_rows
from tests.estimate.test_planted import plant
from tests.workspaces import MISSED, Says, build_mine

DAY = CampaignSettings(2, 2, 0.25)  # 360 tasks of ten seconds
TWO_MINUTES = CampaignSettings(1, 1, 1 / 30)


def mined(root):
    """Eight hundred negatives, 150 of them flagged; nobody has reviewed any."""
    campaign = Campaign.build(root / "ws", [1] * 800, range(1, 151))
    shutil.rmtree(campaign.workspace.folder("review"))
    return campaign.workspace


def reviewed(root):
    """Of these, a hundred decided, twenty of them found."""
    campaign = Campaign.build(root / "ws", [1] * 800, range(1, 151))
    campaign.find(*map(name_of, range(1, 21)))
    campaign.clear(*map(name_of, range(21, 101)))
    return campaign


def typed(result):
    """Each command of the plan, as its parameters."""
    found = []
    for step in result.steps:
        for line in step.command.split(" && "):
            words = shlex.split(line)
            assert words[0] == "sixrayd"
            context = cli.make_context("sixrayd", words[1:])
            command, rest = cli, [*context._protected_args, *context.args]
            while isinstance(command, click.Group):
                name, command, rest = command.resolve_command(context, rest)
                context = command.make_context(name, rest, parent=context)
                rest = [*context._protected_args, *context.args]
            found.append((line, context.params))
    return found


def test_right_after_the_mining(tmp_path):
    workspace = mined(tmp_path)
    result = plan(workspace, DAY)

    assert (result.name, result.hours, result.answers, result.found) == ("first", 1.0, 0, 0)
    assert [part.name for part in result.parts] == [
        *("queue", "spot checks", "known items", "second looks")
    ]
    assert sum(part.hours.middle for part in result.parts) == pytest.approx(0.95, abs=0.1)
    for part in result.parts:
        assert part.hours.low <= part.hours.middle <= part.hours.high
    # Two are hidden by the release's size, many more or fewer as likely.
    assert result.finds.low < 2 < result.finds.high
    assert result.left.low < result.left.middle < result.left.high
    first, second = result.notes
    assert first == (
        "nothing measures the reviewers: 0 labelled positives are left to strew in, too few to "
        "prove anything in this time; the bound takes them to overlook nothing"
    )
    more = 150 - result.parts[0].tasks
    assert second.startswith(f"{more} more images of the queue, sent with what is to be hidden ")
    assert not workspace.folder("review").exists()


def test_its_commands_are_right(tmp_path):
    workspace = mined(tmp_path)
    result = plan(workspace, DAY)
    lines = typed(result)

    assert {params["workspace"].root for _, params in lines} == {workspace.root}
    names = [" ".join(line.split()[1:3]) for line, _ in lines]
    assert names[0] == "review serve"
    assert "plan --reviewers" in names and "estimate -w" in names[-1]
    push = next(params for line, params in lines if "review push" in line)
    queue = next(part.tasks for part in result.parts if part.name == "queue")
    assert (push["limit"], push["confirm_finds"]) == (None if queue == 150 else queue, 1.0)
    place = next(n for n, (line, _) in enumerate(lines) if "--looks" in line)
    looks = lines[place][1]["looks"].split(",")
    assert lines[place + 1][1]["limit"] == min(150, queue + int(looks[0])) > queue
    checks = next(part.tasks for part in result.parts if part.name == "spot checks")
    assert [int(look) for look in looks] == sorted(map(int, looks)) and int(looks[-1]) == checks
    drawn = draw_sample(workspace, SampleSettings(looks=tuple(map(int, looks))))
    assert drawn.looks == len(looks) == 4
    why = "the next looks, 3 times in all, each sent as `next:` says"
    assert why in [step.why for step in result.steps]
    again = next(params for line, params in lines if "sixrayd plan" in line)
    assert (again["reviewers"], again["days"], again["hours"]) == (2, 1.0, 0.25)


def test_answers_sharpen_it(tmp_path):
    first = plan(mined(tmp_path / "a"), DAY)
    campaign = reviewed(tmp_path / "b")
    result = plan(campaign.workspace, DAY)

    assert (result.answers, result.found) == (100, 20)
    assert result.finds.low >= 20
    assert result.parts[3].tasks >= 20  # one reader alone saw them
    widths = [(r.finds.high - r.finds.low) / r.finds.middle for r in (result, first)]
    assert widths[0] < widths[1]
    push = next(line for line, _ in typed(result) if "review push" in line)
    queue = result.parts[0].tasks
    assert (f"--limit {100 + queue} " in push) == (queue < 50)


def test_looks_that_were_drawn_go_on(tmp_path):
    campaign = reviewed(tmp_path)
    draw_sample(campaign.workspace, SampleSettings(looks=(50, 100, 200)))
    waiting = plan(campaign.workspace, DAY)
    assert waiting.parts[1].tasks >= len(sample_rows(campaign.workspace))
    campaign.clear(*(row[0] for row in sample_rows(campaign.workspace)))
    result = plan(campaign.workspace, DAY)

    lines = [line for line, _ in typed(result)]
    assert any("estimate --next-look" in line for line in lines)
    assert not any("--looks" in line or "--sample" in line for line in lines)


def test_known_items_of_the_round_before_measure_the_reviewers(tmp_path):
    campaign = reviewed(tmp_path)
    rows = [(f"N{n:07d}", "planted", "Gun", 1, 1, 9, 9, False) for n in range(900, 930)]
    plant(campaign, rows, [Says(f"N{n:07d}", MISSED, GUN) for n in range(900, 929)])
    build_mine(campaign.workspace, "second", [name_of(n) for n in range(400, 440)])

    assert plan(campaign.workspace, DAY).notes == ()


def test_checks_of_the_round_before_are_pulled_and_settled(tmp_path):
    campaign = reviewed(tmp_path)
    draw_sample(campaign.workspace, SampleSettings(looks=(50, 100, 200)))
    campaign.clear(*(row[0] for row in sample_rows(campaign.workspace)))
    build_mine(campaign.workspace, "second", [name_of(n) for n in range(400, 440)])
    result = plan(campaign.workspace, DAY)

    *_, ruled, bound = [
        [line.split(" -w ")[0].removeprefix("sixrayd ") for line in step.command.split(" && ")]
        for step in result.steps
    ]
    pulls = ["review pull", "review pull --name first"]
    assert result.name == "second"
    assert ruled == [*pulls, "review adjudicate", "review adjudicate --name first"]
    assert bound == [*pulls, "estimate"]


def test_checks_are_sent_among_as_many_more_of_the_queue_as_next_says(tmp_path):
    """What came by itself could be told, since the queue was decided."""
    workspace = sent(reviewed(tmp_path), 100)
    draw_sample(workspace, SampleSettings(looks=(30, 300)))
    drawn = len(sample_rows(workspace))
    assert 15 < drawn < 50
    wanted = f" --limit {100 + drawn} "
    assert wanted in Judgement(workspace).step.command

    pushes = [line for line, _ in typed(plan(workspace, TWO_MINUTES)) if "review push" in line]
    assert wanted in pushes[0]


def test_planted_threats_that_stay_unsent_are_told_of_with_what_sends_them(tmp_path):
    """With three of sixty answered 795 of 800 may be missed, for weeks of people's work."""
    campaign = reviewed(tmp_path)
    rows = [(f"N{n:07d}", "planted", "Gun", 1, 1, 9, 9, False) for n in range(900, 960)]
    plant(campaign, rows, [Says("N0000900", MISSED, GUN)])
    path = campaign.workspace.folder("review", "first") / "planted" / "planted.parquet"
    blank = {field.name: "" if field.type == "string" else 1 for field in PLANTED_SCHEMA}
    write_table(path, [blank | row for row in pq.read_table(path).to_pylist()], PLANTED_SCHEMA)
    workspace = sent(campaign, 100, "N0000900")

    result = plan(workspace, TWO_MINUTES)

    limit = next(p["limit"] for line, p in typed(result) if "review push" in line)
    assert 100 < limit < 150
    share = next(f" {p['confirm_finds']:g}" for line, p in typed(result) if "review push" in line)
    assert (
        f"{60 - math.ceil(60 * limit / 150)} of 60 planted threats will not be sent, and with few "
        "answered reviewers count as overlooking more: they come with more of the queue, all with "
        f"the whole, `sixrayd review push --confirm-finds{share} --url https://labels.example.org "
        f"-w {workspace.root}`"
    ) in result.notes
    assert not any("planted" in note for note in plan(workspace, DAY).notes)  # which sends all


def sent(campaign, limit, *others):
    """So much of its queue was pushed, and others, to somebody else's server."""
    folder = campaign.workspace.folder("review", "first")
    rows = [
        {"image_id": image_id, "lane": "1", "kind": "candidate", "rank": n, "image_score": 0.5}
        | {"project": 1, "task": n, "candidates": []}
        for n, image_id in enumerate([*map(name_of, range(1, limit + 1)), *others], 1)
    ]
    write_table(folder / "tasks.parquet", rows, TASK_SCHEMA)
    project = {"key": "ab12", "server": "https://labels.example.org", "books": [], "inputs": {}}
    write_json(folder / "project.json", project | {"settings": {"limit": limit}})
    return campaign.workspace


@pytest.mark.long
def test_draws_of_any_size_go_on(tmp_path):
    campaign = reviewed(tmp_path)
    draw_sample(campaign.workspace, SampleSettings(units=40))
    campaign.clear(*(row[0] for row in sample_rows(campaign.workspace)))
    result = plan(campaign.workspace, DAY)

    number = next(p["sample"] for _, p in typed(result) if p.get("sample"))
    assert number == result.parts[1].tasks > 0
    assert result.left.middle < 660


def test_nothing_flagged_leaves_the_checks(tmp_path):
    workspace = mined(tmp_path)
    build_mine(workspace, "first", [])
    result = plan(workspace, DAY)

    assert result.parts[0].tasks == 0 and result.parts[1].tasks > 250
    assert len(typed(result)) > 3


@pytest.mark.long
def test_another_mining_is_named(tmp_path):
    workspace = mined(tmp_path)
    build_mine(workspace, "second", [name_of(n) for n in range(400, 440)])
    newest, older = plan(workspace, DAY), plan(workspace, CampaignSettings(2, 2, 0.25, "first"))

    assert (newest.name, newest.parts[0].tasks) == ("second", 40)
    pushes = [line for line, _ in typed(older) if "review push" in line]
    assert older.name == "first" and all("--name first" in line for line in pushes)


def test_the_command_tells_and_gives_json(tmp_path):
    workspace = mined(tmp_path)
    words = [
        "plan",
        "--reviewers",
        "2",
        "--days",
        "2",
        "--hours",
        "0.25",
        "-w",
        str(workspace.root),
    ]
    told = CliRunner().invoke(cli, words)

    assert told.exit_code == 0, told.output
    lines = told.stdout.splitlines()
    assert lines[0] == (
        "first: 2 reviewers, 2 days of 0.25 hours: 1 hour ahead; 0 images settled so far"
    )
    assert lines[1].startswith("found by then: ") and lines[1].endswith(" images, 0 so far")
    assert lines[2].endswith(" groups, the bound 95 % sure")
    assert len(lines) < 40
    document = json.loads(CliRunner().invoke(cli, [*words, "--json"]).stdout)
    assert document["name"] == "first" and document["interval"] == 0.9
    assert document["finds"].keys() == {"low", "middle", "high"}


def test_candidates_of_another_release_are_refused(tmp_path):
    workspace = mined(tmp_path)
    path = workspace.folder("mine", "first") / "candidates.parquet"
    rows = read_table(path, CANDIDATE_SCHEMA).to_pylist()
    write_table(path, [*rows, {**rows[0], "image_id": "N9999999"}], CANDIDATE_SCHEMA)
    with pytest.raises(WorkspaceError) as told:
        plan(workspace, DAY)
    assert str(told.value) == (
        "mine/first: candidates for 1 image that the release lacks, first N9999999; mine again, "
        "or take another detector's results again, with --name first --force"
    )


def test_nothing_was_mined(tmp_path):
    with pytest.raises(WorkspaceError, match=r"mine: nothing yet; run `sixrayd mine"):
        plan(Workspace(tmp_path), DAY)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0, 1), "--reviewers 0: expected 1 or more"),
        ((1, 0), "--days 0: expected more than 0 that are left"),
        ((1, float("inf")), "--days inf: expected more than 0 that are left"),
        ((1, 1, 25), "--hours 25: expected more than 0, and 24 at most"),
    ],
)
def test_a_campaign_has_people_and_time(values, message):
    with pytest.raises(SettingsError) as told:
        CampaignSettings(*values)
    assert str(told.value) == message
