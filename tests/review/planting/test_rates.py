"""Who found what was planted: what is a hit, what is a false alarm, and how sure that is."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from sixrayd.core.boxes import Box
from sixrayd.core.records import ADJUDICATION, CANDIDATE_SCHEMA, DECISION_SCHEMA, Kind, Verdict
from sixrayd.core.tables import write_table
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.decision import DecidedBox, Decision
from sixrayd.review.command import review
from sixrayd.review.planting.planted import PLANTED_SCHEMA, planted_folder
from sixrayd.review.planting.rates import HitRate, hit_rates
from tests.workspaces import build_mine

MISSED, NOTHING, UNSURE = Verdict.MISSED, Verdict.NOTHING, Verdict.UNSURE
ITEM = (10.0, 10.0, 50.0, 30.0)  # 40 x 20 pixels


def shown(image_id, kind=Kind.PLANTED, label="Gun", size="small"):
    edges = dict(zip(("x1", "y1", "x2", "y2"), ITEM, strict=True))
    sham = kind == Kind.SHAM
    named = {"label": "" if sham else label, "size": "" if sham else size}
    return {"image_id": image_id, "kind": str(kind), **named, **edges}


def says(image_id, verdict, *boxes, who="ann", label="Gun", **more):
    said = Decision(
        image_id=image_id,
        review="first",
        version=1,
        verdict=verdict,
        reviewer=who,
        decided_at="2026-01-02T10:00:00+00:00",
        lead_time_s=4.0,
        server="local",
        task=int(image_id[1:]),
        annotation=int(image_id[1:]) * 10 + len(who),
        lane="1",
        withdrawn=False,
        boxes=tuple(DecidedBox(Box(label, *box), "drawn", "") for box in boxes),
    )
    return replace(said, **more)


def of(who, *decisions, rows=None):
    """Hits and images shown of somebody, in all."""
    rows = rows or [shown("N1")]
    found = [r for r in hit_rates(rows, decisions, []) if (r.who, r.label, r.size) == (who, "", "")]
    return [(rate.kind, rate.hits, rate.shown) for rate in found]


@pytest.mark.parametrize(
    ("box", "hit"),
    [
        (ITEM, True),
        ((10, 10, 22, 30), True),  # 12 of its 40 columns: an IoU of 0.3
        ((10, 10, 21.9, 30), False),
        ((10, 10, 70, 40), True),  # half as large again along both sides: 0.44
        ((10, 10, 90, 50), False),  # twice as large: 0.25
        ((51, 10, 90, 30), False),
    ],
)
def test_a_hit_overlaps_the_item_by_three_tenths(box, hit):
    assert of("ann", says("N1", MISSED, box)) == [(Kind.PLANTED, int(hit), 1)]


def test_a_hit_needs_the_verdict_and_a_box_but_not_the_class():
    for said, hits in (
        (says("N1", MISSED, ITEM, label="Scissors"), 1),
        (says("N1", MISSED), 0),
        (says("N1", UNSURE, ITEM), 0),
        (says("N1", NOTHING, ITEM), 0),
        (says("N1", MISSED, (60, 60, 90, 90), ITEM), 1),
    ):
        assert of("ann", said) == [(Kind.PLANTED, hits, 1)]


def test_a_false_alarm_is_the_verdict_wherever_the_boxes_are():
    sham = [shown("N1", Kind.SHAM)]
    for said, alarms in (
        (says("N1", MISSED, (60, 60, 90, 90)), 1),
        (says("N1", MISSED), 1),
        (says("N1", UNSURE, ITEM), 0),
        (says("N1", NOTHING), 0),
    ):
        assert of("ann", said, rows=sham) == [(Kind.SHAM, alarms, 1)]


def test_the_last_word_counts_and_what_was_withdrawn_does_not():
    first = says("N1", MISSED, ITEM)
    changed = replace(first, version=2, verdict=NOTHING, boxes=())
    assert of("ann", first, changed) == [(Kind.PLANTED, 0, 1)]
    assert of("ann", first, replace(changed, withdrawn=True)) == []


def test_each_reviewer_counts_alone_and_so_does_an_adjudication():
    decisions = [says("N1", MISSED, ITEM), says("N1", NOTHING, who="bob")]
    assert of("ann", *decisions) == [(Kind.PLANTED, 1, 1)]
    assert of("bob", *decisions) == [(Kind.PLANTED, 0, 1)]
    ruling = says("N1", NOTHING, lane=ADJUDICATION, annotation=99)
    assert of("ann", decisions[0], ruling) == [(Kind.PLANTED, 1, 2)]


def test_the_detector_is_measured_on_all_that_was_planted():
    rows = [shown("N1"), shown("N2"), shown("N3", Kind.SHAM), shown("N4", Kind.SHAM)]
    seen = [
        {"image_id": image_id, **dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))}
        for image_id, box in (("N1", (0, 0, 5, 5)), ("N1", ITEM), ("N2", (60, 60, 70, 70)),
                              ("N3", (0, 0, 5, 5)))
    ]  # fmt: skip
    found = {(r.kind, r.hits, r.shown) for r in hit_rates(rows, [], seen) if not r.label + r.size}
    assert found == {(Kind.PLANTED, 1, 2), (Kind.SHAM, 1, 2)}


def test_rates_come_by_class_by_size_and_by_both():
    rows = [shown("N1"), shown("N2", size="large"), shown("N3", label="Knife")]
    said = [says("N1", MISSED, ITEM), says("N2", NOTHING), says("N3", MISSED, ITEM)]
    found = {
        (r.label, r.size): (r.hits, r.shown) for r in hit_rates(rows, said, []) if r.who == "ann"
    }
    assert found == {
        ("", ""): (2, 3),
        ("", "large"): (0, 1),
        ("", "small"): (2, 2),
        ("Gun", ""): (1, 2),
        ("Gun", "large"): (0, 1),
        ("Gun", "small"): (1, 1),
        ("Knife", ""): (1, 1),
        ("Knife", "small"): (1, 1),
    }


def wilson(hits, of):
    """Wilson 1927, J. Am. Stat. Assoc. 22:209-212, at 95 %."""
    z = norm.ppf(0.975)
    middle = (hits + z**2 / 2) / (of + z**2)
    half = z / (of + z**2) * (hits * (of - hits) / of + z**2 / 4) ** 0.5
    return middle - half, middle + half


@given(st.integers(0, 20), st.integers(1, 20))
def test_intervals_are_wilson_s(hits, of):
    hits = min(hits, of)
    rows = [shown(f"N{n}") for n in range(1, of + 1)]
    said = [says(f"N{n}", MISSED, *([ITEM] if n <= hits else [])) for n in range(1, of + 1)]
    (rate,) = (r for r in hit_rates(rows, said, []) if (r.who, r.label, r.size) == ("ann", "", ""))
    assert (rate.hits, rate.shown, rate.rate) == (hits, of, hits / of)
    assert (rate.low, rate.high) == pytest.approx(wilson(hits, of), abs=1e-9)


def test_a_published_interval():
    # Newcombe 1998, Stat. Med. 17:857-872, Table I: 81 of 263 without continuity correction.
    rows = [shown(f"N{n}") for n in range(1, 264)]
    said = [says(f"N{n}", MISSED, *([ITEM] if n <= 81 else [])) for n in range(1, 264)]
    (rate,) = (r for r in hit_rates(rows, said, []) if (r.who, r.label, r.size) == ("ann", "", ""))
    assert (round(rate.low, 4), round(rate.high, 4)) == (0.2553, 0.3662)


def planted(root):
    """A mining with two planted images and a sham, all of them answered by one reviewer."""
    workspace = Workspace(root)
    build_mine(workspace, "first", ["N0000001"])
    folder = planted_folder(workspace, "first")
    more = {"target": "N1", "item": "", "scale": 1.0, "with_proposals": False, "sha256": ""}
    more |= {"width": 96, "height": 64}
    rows = [shown("N7"), shown("N8", label="Knife"), shown("N9", Kind.SHAM)]
    write_table(folder / "planted.parquet", [row | more for row in rows], PLANTED_SCHEMA)
    answers = [("N7", MISSED), ("N8", NOTHING), ("N9", MISSED)]
    known = {"version": 1, "reviewer": "ann", "decided_at": "2026-01-02T10:00:00+00:00"}
    known |= {"lead_time_s": 4.0, "server": "local", "lane": "1", "follows": 0, "note": ""}
    box = {"label": "Gun", **dict(zip(("x1", "y1", "x2", "y2"), ITEM, strict=True))}
    table = [
        {**known, "image_id": i, "verdict": str(v), "task": n, "annotation": n, "withdrawn": False}
        | {"boxes": [box | {"origin": "drawn", "candidate": ""}] * (v == MISSED)}
        for n, (i, v) in enumerate(answers)
    ]
    write_table(folder / "decisions" / "00001.parquet", table, DECISION_SCHEMA)
    seen = {"box_id": "N7/rfb/0", "image_id": "N7", **box, "score": 0.5, "model": "rfb"}
    seen |= {"image_score": 0.5, "rank": 1}
    write_table(folder / "detections.parquet", [seen], CANDIDATE_SCHEMA)
    return workspace


def rates(workspace, *words):
    return CliRunner().invoke(review, ["rates", "-w", str(workspace.root), *words])


def test_rates_are_printed(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    shell = rates(planted(tmp_path))
    assert (shell.exit_code, shell.stderr) == (0, "")
    lines = [" ".join(line.split()) for line in shell.stdout.splitlines()]
    assert lines[0] == "who class size found of rate 95 %"
    assert "ann all all 1 2 50% 9% to 91%" in lines
    assert "ann Gun small 1 1 100% 21% to 100%" in lines
    assert "ann false alarms on shams all 1 1 100% 21% to 100%" in lines
    assert "detector false alarms on shams all 0 1 0% 0% to 79%" in lines
    assert len(lines) == 1 + 2 * 7


def test_rates_as_one_document(tmp_path):
    shell = rates(planted(tmp_path), "--json", "--name", "first")
    document = json.loads(shell.stdout)
    assert len(document) == 14
    assert HitRate(**document[0]) == HitRate(
        "ann", Kind.PLANTED, "", "", 1, 2, 0.5, pytest.approx(0.0945, abs=1e-4),
        pytest.approx(0.9055, abs=1e-4),
    )  # fmt: skip


def test_where_nothing_is_planted_that_is_said(tmp_path):
    workspace = Workspace(tmp_path)
    build_mine(workspace, "first", ["N0000001"])
    assert rates(workspace).stdout == "first: nothing is planted\n"
    assert json.loads(rates(workspace, "--json").stdout) == []
