"""The page of a workspace: what it counts, what it shows, and what it never takes for HTML."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from lxml import html

from sixrayd.cli import cli
from sixrayd.core.errors import SettingsError
from sixrayd.core.files import write_json
from sixrayd.core.records import DECISION_SCHEMA
from sixrayd.core.tables import read_table, write_table
from sixrayd.core.workspace import Run, Workspace
from sixrayd.report.contents import read_contents
from sixrayd.report.stage import report
from tests.workspaces import Picture, Small, build_shards


@pytest.fixture
def workspace(tmp_path):
    return Small().build(tmp_path / "workspace")


def test_counts_add_up_to_the_release(workspace):
    found = read_contents(workspace, most=2)
    assert {bar.words: bar.count for bar in found.funnel} == {
        "labelled negative": 11,
        "flagged by the newest mining": 7,
        "decided by people": 8,
        "contraband, found": 3,
        "nothing there, though a detector fired": 1,
        "nothing there, not flagged": 1,
        "undecided": 3,
    }
    assert [bar.share for bar in found.funnel if bar.count == 11] == [1.0]
    totals = [sum(bin.counts[kind] for bin in found.scores) for kind in found.scores[0].counts]
    assert sum(totals) == 7 and totals[-1] == 1  # the one that nobody has looked at
    assert max(sum(bin.heights.values()) for bin in found.scores) == 1
    (every,) = (row for row in found.classes if row.label == "all")
    assert (every.images, every.boxes, every.images_after, every.boxes_after) == (2, 3, 5, 7)
    assert [(row.words, row.sixray_d, row.before, row.after) for row in found.paper] == [
        ("positive images", 11_401, 2, 5),
        ("positive objects", 23_470, 3, 7),
        ("negative images", 1_050_302, 11, 8),
    ]
    assert sum(before for _, before, _ in found.sizes) == 3
    assert sum(after for _, _, after in found.sizes) == 7


def test_galleries_show_what_there_is_and_say_how_many(workspace):
    galleries = {each.anchor: each for each in read_contents(workspace, most=2).galleries}
    assert {name: (each.total, len(each.cards)) for name, each in galleries.items()} == {
        "found": (3, 2),
        "confusing": (1, 1),
        "differ": (1, 1),
        "unseen": (1, 1),
    }
    assert galleries["confusing"].cards[0].title == "N0000002"
    assert galleries["confusing"].cards[0].text == "Knife; score 0.85"
    assert all(c.picture.startswith("data:image/jpeg;base64,") for c in galleries["found"].cards)


def test_the_page_stands_alone_and_equal_workspaces_give_equal_bytes(workspace, tmp_path):
    data = Path(report(workspace).file).read_bytes()
    page = html.fromstring(data)
    assert not page.xpath("//script | //link | //*[@href and not(starts-with(@href, '#'))]")
    assert all(src.startswith("data:") for src in page.xpath("//img/@src"))
    assert Path(report(workspace).file).read_bytes() == data
    assert Path(report(workspace, tmp_path / "b.html").file).read_bytes() == data


def test_an_estimate_that_answers_came_after_is_called_so(workspace):
    said = {"found": 3, "estimate": 1.5, "upper": 4, "images": 5, "recall": 0.4, "rests_on": []}
    write_json(
        workspace.folder("estimate", "first") / "estimate.json",
        {**said, "settings": {"confidence": 0.95}},
    )
    decisions = workspace.folder("review", "first") / "decisions" / "00001.parquet"
    workspace.finish(Run("estimate", "first", {}, workspace.inputs(decisions)))
    assert [bound.stale for bound in read_contents(workspace, most=2).bounds] == [False]
    write_table(decisions, read_table(decisions, DECISION_SCHEMA)[:-1], DECISION_SCHEMA)
    assert [bound.stale for bound in read_contents(workspace, most=2).bounds] == [True]
    page = Path(report(workspace).file).read_text("utf-8")
    assert "run <code>sixrayd estimate --name first</code> again" in page


def test_names_are_never_html(tmp_path):
    evil = "<script>alert(1)</script>&"
    workspace = Workspace(tmp_path)
    build_shards(workspace, [Picture("N0000001")], classes=(evil.replace("/", ""),))
    text = Path(report(workspace).file).read_text("utf-8")
    assert "<script" not in text and "&lt;script&gt;alert(1)" in text


@pytest.mark.parametrize("mine", [b"<p>mine</p>", b"\xff\xfe no UTF-8"])
def test_a_file_that_is_not_ours_is_kept(workspace, tmp_path, mine):
    other = tmp_path / "mine.html"
    other.write_bytes(mine)
    with pytest.raises(SettingsError, match=r"mine\.html: no report of sixrayd"):
        report(workspace, other)
    assert other.read_bytes() == mine


def test_after_an_ingest_alone_and_by_command(tmp_path):
    workspace = Workspace(tmp_path)
    build_shards(workspace, [Picture("N0000001")])
    done = CliRunner().invoke(cli, ["report", "-w", str(tmp_path)])
    assert done.output == f"{tmp_path / 'report.html'}: 0 pictures; open it in a browser\n"
    text = (tmp_path / "report.html").read_text()
    assert "labelled negative" in text and not re.search("flagged by|class=.review", text)
