"""What the stages after the review read: tables of any age, the last word of each reviewer."""

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixrayd.core.boxes import Box
from sixrayd.core.errors import WorkspaceError
from sixrayd.core.records import ADJUDICATION, DECISION_DEFAULTS, DECISION_SCHEMA, LOCAL, Verdict
from sixrayd.core.tables import write_table
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.decision import (
    DecidedBox,
    Decision,
    answers,
    decision_files,
    decisions_of,
    load_decisions,
    mining_of,
    read_decisions,
    reviews_with_decisions,
    standing_decisions,
)
from sixrayd.review.folder import Project, ReviewFolder
from tests.workspaces import MISSED, NOTHING, UNSURE, Says, build_mine, build_review, finish

BOX = {"label": "Gun", "x1": 1.0, "y1": 2.0, "x2": 30.0, "y2": 40.0}
ROW = {
    "image_id": "N1",
    "version": 1,
    "verdict": "contraband missed",
    "reviewer": "ann",
    "decided_at": "2026-01-02T10:00:00+00:00",
    "lead_time_s": 4.0,
    "server": "local",
    "task": 1,
    "annotation": 11,
    "lane": "1",
    "follows": 0,
    "withdrawn": False,
    "note": "",
    "boxes": [BOX | {"origin": "drawn", "candidate": ""}],
}
GUN = DecidedBox(Box("Gun", 1.0, 2.0, 30.0, 40.0), "drawn", "")
DECISION = Decision(
    image_id="N1",
    review="first",
    version=1,
    verdict=Verdict.MISSED,
    reviewer="ann",
    decided_at="2026-01-02T10:00:00+00:00",
    lead_time_s=4.0,
    server="local",
    task=1,
    annotation=11,
    lane="1",
    withdrawn=False,
    boxes=(GUN,),
)


def said(**more):
    return replace(DECISION, **more)


def by_hand(workspace, review, *rounds):
    """Tables of decisions without anything beside them."""
    folder = workspace.folder("review", review) / "decisions"
    for number, rows in enumerate(rounds, 1):
        write_table(folder / f"{number:05d}.parquet", rows, DECISION_SCHEMA)
    return folder


def test_a_row_is_a_decision(tmp_path):
    by_hand(Workspace(tmp_path), "first", [ROW])
    assert load_decisions(Workspace(tmp_path), "first") == (DECISION,)


def test_a_table_of_the_first_version_is_understood(tmp_path):
    folder = by_hand(Workspace(tmp_path), "first", [ROW])
    old = [name for name in DECISION_SCHEMA.names if name not in DECISION_DEFAULTS]
    assert len(old) == len(DECISION_SCHEMA.names) - 5
    path = folder / "00001.parquet"
    pq.write_table(pq.read_table(path).select(old), path)
    assert list(read_decisions(path)) == [ROW | {"rejected": None}]


@pytest.mark.parametrize("lost", ["image_id", "verdict", "boxes"])
def test_a_table_that_lacks_a_column_is_named(tmp_path, lost):
    path = by_hand(Workspace(tmp_path), "first", [ROW]) / "00001.parquet"
    kept = [name for name in DECISION_SCHEMA.names if name != lost]
    pq.write_table(pq.read_table(path).select(kept), path)
    with pytest.raises(WorkspaceError) as caught:
        read_decisions(path)
    assert str(caught.value) == (
        f"{path}: columns {kept}, expected {DECISION_SCHEMA.names}; "
        "it was written by another version: run the stage again"
    )


def test_a_table_of_other_types_is_refused(tmp_path):
    path = by_hand(Workspace(tmp_path), "first", [ROW]) / "00001.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index("version")
    texts = pa.array(["1"], pa.string())
    pq.write_table(table.set_column(place, pa.field("version", pa.string(), False), texts), path)
    with pytest.raises(WorkspaceError, match="it was written by another version: run the stage"):
        load_decisions(Workspace(tmp_path), "first")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"verdict": "maybe"}, "decision on N1: 'maybe' is not a valid Verdict"),
        ({"verdict": ""}, "decision on N1: '' is not a valid Verdict"),
        ({"decided_at": "noon"}, "decision on N1: Invalid isoformat string: 'noon'"),
        (
            {"boxes": [{**ROW["boxes"][0], "x2": 1.0}]},
            "decision on N1: box Gun: needs x1 < x2 and y1 < y2, got (1.0, 2.0, 1.0, 40.0)",
        ),
        (
            {"boxes": [{**ROW["boxes"][0], "y1": float("nan")}]},
            "decision on N1: box Gun: coordinates must be finite, got (1.0, nan, 30.0, 40.0)",
        ),
        (
            {"boxes": [ROW["boxes"][0], {**ROW["boxes"][0], "x1": float("-inf")}]},
            "decision on N1: box Gun: coordinates must be finite, got (-inf, 2.0, 30.0, 40.0)",
        ),
    ],
)
def test_a_row_that_makes_no_sense_names_file_and_image(tmp_path, wrong, message):
    folder = by_hand(Workspace(tmp_path), "first", [ROW], [{**ROW, **wrong}])
    with pytest.raises(WorkspaceError) as caught:
        load_decisions(Workspace(tmp_path), "first")
    assert str(caught.value) == f"{folder / '00002.parquet'}: {message}"
    with pytest.raises(WorkspaceError) as caught:
        decisions_of([ROW, {**ROW, **wrong}], "first")
    assert str(caught.value) == message


def test_tables_come_in_the_order_in_which_they_were_pulled(tmp_path):
    workspace = Workspace(tmp_path)
    rows = [[{**ROW, "image_id": f"N{n}"}] for n in range(1, 12)]
    folder = by_hand(workspace, "first", *rows)
    assert [path.name for path in decision_files(workspace, "first")] == [
        f"{n:05d}.parquet" for n in range(1, 12)
    ]
    (folder / ".00012.parquet.7.part").write_bytes(b"begun by a pull that was killed")
    assert [d.image_id for d in load_decisions(workspace, "first")] == [
        f"N{n}" for n in range(1, 12)
    ]


def test_a_copy_of_a_table_is_named_and_not_read_twice(tmp_path):
    workspace = Workspace(tmp_path)
    folder = by_hand(workspace, "first", [ROW])
    copy = folder / "00001 copy.parquet"
    copy.write_bytes((folder / "00001.parquet").read_bytes())
    with pytest.raises(WorkspaceError) as caught:
        load_decisions(workspace, "first")
    assert str(caught.value) == (
        f"{copy}: decisions are in tables named by number; move this one elsewhere"
    )


def test_a_broken_table_is_named_once(tmp_path):
    workspace = Workspace(tmp_path)
    folder = by_hand(workspace, "first", [ROW])
    (folder / "00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(WorkspaceError) as caught:
        load_decisions(workspace, "first")
    assert str(caught.value).startswith(f"{folder / '00001.parquet'}: not a ")


def test_a_review_without_decisions_has_none(tmp_path):
    workspace = Workspace(tmp_path)
    assert (decision_files(workspace, "first"), load_decisions(workspace, "first")) == ([], ())
    assert reviews_with_decisions(workspace) == []


def test_reviews_with_decisions_are_those_that_have_a_table_finished_or_not(tmp_path):
    workspace = Workspace(tmp_path)
    build_mine(workspace, "pushed", ["N0000001"])
    build_review(workspace, "pushed", ["N0000001"], [])
    for name in ("second", "first", ".hidden"):
        folder = tmp_path / "review" / name / "decisions"
        write_table(folder / "00001.parquet", [ROW], DECISION_SCHEMA)
    (tmp_path / "review" / "server" / "data").mkdir(parents=True)
    assert reviews_with_decisions(workspace) == ["first", "second"]


def test_the_mining_of_a_review(tmp_path):
    workspace = Workspace(tmp_path)
    for name in ("first", "other"):
        build_mine(workspace, name, ["N0000001"])
        finish(workspace, "review", name)
    finish(workspace, "review", "other", {"shards/run.json": "0", "mine/first/run.json": "0"})
    finish(workspace, "review", "positives", {"models/rfb/run.json": "0"})
    assert mining_of(workspace, "first") == "first"  # its inputs say nothing, its name does
    assert mining_of(workspace, "other") == "first"
    assert mining_of(workspace, "positives") == ""
    folder = ReviewFolder(workspace, "other")
    folder.keep(Project("key", LOCAL, inputs=workspace.run("review", "other").inputs))
    folder.reopen()  # by a push or a pull that was killed
    assert mining_of(workspace, "other") == "first"
    (folder.path / "project.json").write_text('{"inputs": 5}')
    with pytest.raises(WorkspaceError) as caught:
        mining_of(workspace, "other")
    assert str(caught.value).startswith(
        f"{folder.path / 'run.json'}: missing; what was begun is not finished; "
        f"`sixrayd status -w {tmp_path}` names what ends it, or name one that is there: "
    )
    with pytest.raises(WorkspaceError) as caught:
        mining_of(workspace, "never")
    assert str(caught.value).startswith(
        f"{tmp_path / 'review' / 'never' / 'run.json'}: missing; "
        f"run `sixrayd review push -w {tmp_path}` first, or name one that is there: "
    )


def test_of_an_answer_the_newest_version_stands():
    versions = [said(version=n, verdict=v) for n, v in ((1, MISSED), (3, NOTHING), (2, UNSURE))]
    assert answers(versions) == [versions[1]]


@pytest.mark.parametrize(
    "other",
    [
        {"review": "second"},
        {"server": "https://labels.example.org"},
        {"task": 2},
        {"annotation": 12},
        {"reviewer": "bob"},
        {"image_id": "N2"},
    ],
)
def test_what_tells_one_answer_from_another(other):
    one, two = said(version=2), said(version=1, **other)
    assert answers([one, two]) == [one, two]


def test_a_withdrawn_answer_is_none_whatever_was_said_before():
    assert answers([said(), said(version=2, withdrawn=True)]) == []
    assert standing_decisions([said(), said(version=2, withdrawn=True)]) == {}
    back = said(version=3)
    assert answers([said(), said(version=2, withdrawn=True), back]) == [back]


def test_of_a_reviewer_who_answered_twice_the_later_answer_stands():
    early = said(annotation=12, decided_at="2026-01-02T09:00:00+00:00")
    late = said(annotation=11, decided_at="2026-01-02T10:00:00+00:00")
    assert standing_decisions([late, early]) == {"N1": (late,)}
    # Once the later one is withdrawn, the earlier one is his last word again.
    ended = replace(late, version=2, withdrawn=True, decided_at="2026-01-03T10:00:00+00:00")
    assert standing_decisions([late, early, ended]) == {"N1": (early,)}


def test_later_is_a_matter_of_the_moment_not_of_the_text():
    # 10:30 in Paris is before 10:00 in Greenwich; what names no zone is in Greenwich's.
    paris = said(annotation=12, decided_at="2026-01-02T10:30:00+01:00")
    greenwich = said(annotation=13, decided_at="2026-01-02T10:00:00")
    zulu = said(annotation=14, decided_at="2026-01-02T10:00:01Z")
    assert standing_decisions([paris, greenwich]) == {"N1": (greenwich,)}
    assert standing_decisions([zulu, greenwich, paris]) == {"N1": (zulu,)}


def test_reviewers_stand_side_by_side_the_earliest_first():
    late = said(decided_at="2026-01-02T11:00:00+00:00")
    early = said(reviewer="bob", annotation=12)
    assert standing_decisions([late, early]) == {"N1": (early, late)}
    equal = replace(late, decided_at=early.decided_at)
    assert standing_decisions([early, equal]) == {"N1": (equal, early)}  # by name


def test_who_settles_may_have_been_a_party():
    own = said(decided_at="2026-01-02T11:00:00+00:00")
    ruling = said(annotation=12, lane=ADJUDICATION, decided_at="2026-01-02T12:00:00+00:00")
    assert standing_decisions([ruling, own]) == {"N1": (own, ruling)}
    again = replace(ruling, annotation=13, decided_at="2026-01-02T13:00:00+00:00")
    assert standing_decisions([again, ruling, own]) == {"N1": (own, again)}


def test_images_come_by_id(tmp_path):
    names = ["N0000007", "N0000001", "N0000003"]
    workspace = Workspace(tmp_path)
    build_mine(workspace, "first", names)
    build_review(workspace, "first", names, [[Says(name, UNSURE) for name in names]])
    assert list(standing_decisions(load_decisions(workspace, "first"))) == sorted(names)
    assert standing_decisions([]) == {}


versions = st.lists(
    st.builds(
        said,
        image_id=st.sampled_from(["N1", "N2"]),
        reviewer=st.sampled_from(["ann", "bob"]),
        annotation=st.integers(11, 13),
        lane=st.sampled_from(["1", ADJUDICATION]),
        version=st.integers(1, 5),
        withdrawn=st.booleans(),
        decided_at=st.integers(0, 9).map(lambda n: f"2026-01-02T10:0{n}:00+00:00"),
    ),
    max_size=12,
    unique_by=lambda d: (d.image_id, d.reviewer, d.annotation, d.version),
)


@given(versions, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(given_, random):
    shuffled = list(given_)
    random.shuffle(shuffled)
    standing = standing_decisions(given_)
    assert standing == standing_decisions(shuffled)
    newest = {}
    for decision in given_:
        key = (decision.image_id, decision.reviewer, decision.annotation)
        newest[key] = max(decision, newest.get(key, decision), key=lambda d: d.version)
    valid = [d for d in newest.values() if not d.withdrawn]
    assert standing.keys() == {d.image_id for d in valid}
    for image_id, stand in standing.items():
        roles = [(d.reviewer, d.lane == ADJUDICATION) for d in stand]
        assert len(set(roles)) == len(roles)
        assert set(stand) <= set(valid) and {d.image_id for d in stand} == {image_id}
        for decision in valid:
            if decision.image_id == image_id:
                role = (decision.reviewer, decision.lane == ADJUDICATION)
                assert decision.decided_at <= stand[roles.index(role)].decided_at


@pytest.mark.parametrize("version", [0, -(2**63), 2**63 - 1])
def test_a_version_that_none_can_follow_is_refused(tmp_path, version):
    write_table(path := tmp_path / "00001.parquet", [{**ROW, "version": version}], DECISION_SCHEMA)
    with pytest.raises(WorkspaceError) as caught:
        read_decisions(path)
    assert str(caught.value) == (
        f"{path}: version {version}, expected 1 to 2147483648; put it back from a backup"
    )
