"""`sixrayd audit` as people and scripts see it, and what `status` says of it."""

import json
import re
from pathlib import Path

import pytest

from sixrayd.cli import cli
from sixrayd.core.files import write_json
from sixrayd.core.findings import Flaw
from sixrayd.core.workspace import Workspace
from tests.releases import TinyRelease, take, voc
from tests.workspaces import build_mine, build_review

GUN = ("Gun", 1, 1, 20, 30)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def said(runner, tmp_path):
    """What a command says of the workspace `tmp_path/ws`."""
    return lambda *words: runner.invoke(cli, [*words, "-w", str(tmp_path / "ws")])


@pytest.fixture
def faulty(tmp_path):
    """A workspace with a box twice, one repeated negative, and a name that a terminal obeys."""
    tiny = TinyRelease()
    tiny.xml["P00003"] = voc("P00003", GUN, GUN)
    tiny.xml["\x1b[31mred"] = voc("red", GUN)
    tiny.images["N0000002"] = tiny.images["N0000001"]
    take(tmp_path, tiny.write(tmp_path / "release"), "skip")


def test_the_table_names_the_first_of_each_kind(said, faulty, tmp_path):
    done = said("audit")

    assert done.exit_code == 3
    assert done.stdout.splitlines() == [
        "fault   box that repeats another              1  "
        "P00003/a1: the same box of the same class stands before",
        "fault   file name that cannot be an id        1  "
        "Annotation.zip/Annotation/\\x1b[31mred.xml: file name '\\x1b[31mred': an image'…",
        "remark  image that repeats another            1  N0000002 = N0000001: the same bytes",
        "8 images, 6 boxes: 2 faults, 1 remark",
    ]
    assert done.stderr.splitlines()[-3:] == [
        f"in {tmp_path}/ws/audit/report.html",
        f"mend: cli audit --fix -w {tmp_path}/ws, which leaves out 1 repeated or narrow box; "
        "--undo puts it back",
        f"next: sixrayd train -w {tmp_path}/ws",
    ]
    mended = said("audit", "--fix").stderr.splitlines()
    assert mended[-2:] == [
        f"in {tmp_path}/ws/audit/report.html",
        f"next: sixrayd train -w {tmp_path}/ws",
    ]


def test_json_is_one_document_with_all_counts_and_the_first_findings(said, faulty, tmp_path):
    done = said("audit", "--json", "--most", "0")
    document = json.loads(done.stdout)

    assert done.exit_code == 3
    assert [(kind["flaw"], kind["count"], kind["examples"]) for kind in document["kinds"]] == [
        ("box that repeats another", 1, []),
        ("file name that cannot be an id", 1, []),
        ("image that repeats another", 1, []),
    ]
    assert (document["faults"], document["remarks"], document["written"]) == (2, 1, True)
    assert document["page"] == f"{tmp_path}/ws/audit/report.html"


def test_a_fix_of_nothing_says_so(said, tmp_path):
    take(tmp_path, TinyRelease().write(tmp_path / "release"))

    mended = said("audit", "--fix")
    assert mended.stdout.splitlines()[0] == "no box is left out"
    assert not (tmp_path / "ws" / "shards" / "fix").exists()


def test_remarks_alone_end_well(said, tmp_path):
    tiny = TinyRelease()
    tiny.xml["P00003"] = voc("P00003", GUN)
    tiny.images["N0000002"] = tiny.images["N0000001"]
    take(tmp_path, tiny.write(tmp_path / "release"))

    assert said("audit").exit_code == 0


def test_status_tells_of_an_audit_and_waits_for_none(said, faulty, tmp_path):
    before = said("status").stdout.splitlines()
    said("audit")
    after = said("status").stdout.splitlines()

    assert before[-2:] == [
        "benchmark                missing",
        f"next: sixrayd train -w {tmp_path}/ws",
    ]
    assert after[-2:] == ["audit                    done: 2 faults, 1 remark", before[-1]]


def test_the_page_of_the_docs_has_each_kind_with_its_severity():
    text = (ROOT / "docs/audit.md").read_text("utf-8")
    rows = re.findall(r"^\| ([a-z][^|]*?) \| (fault|remark) \|", text, re.M | re.I)

    assert sorted(rows) == sorted((str(flaw), str(flaw.severity)) for flaw in Flaw)


def test_duplicates_are_sent_as_the_last_push_was(said, tmp_path):
    tiny = TinyRelease()
    tiny.images["N0000002"] = tiny.images["P00001"]
    take(tmp_path, tiny.write(tmp_path / "release"))
    workspace = Workspace(tmp_path / "ws")
    build_mine(workspace, "rfb", ["N0000001", "N0000003", "N0000004"])
    build_review(workspace, "rfb", ["N0000001"], [])
    options = {"limit": 1, "reviewers": 3, "share": 0.3}
    project = {"key": "ab12", "server": "local", "books": [], "settings": options, "inputs": {}}
    write_json(workspace.folder("review", "rfb") / "project.json", project)

    assert (
        "likely missed contraband; send it: sixrayd review push --limit 2 --reviewers 3 "
        f"--share 0.3 --duplicates -w {workspace.root}"
    ) in said("audit").stderr.splitlines()
