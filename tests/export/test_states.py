"""Every image in one state, and boxes that come out as reviewers drew them."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sixrayd.core.boxes import Box, clip_box
from sixrayd.core.classes import ClassList
from sixrayd.core.index import Annotation, Index
from sixrayd.core.records import ADJUDICATION, INDEX_SCHEMA, Rule, State, Verdict
from sixrayd.core.voc import read_voc, write_voc
from sixrayd.decisions.decision import DecidedBox, Decision
from sixrayd.export.states import Detected, Evidence, annotation_of, assign_states

SIZE_WH = (96, 64)
CLASSES = ClassList(("Gun", "Knife"))
IDS = ("N1", "N2", "N3", "P1", "P2", "X1")
ANN, BOB = "Ännchen <ann@example.org>", "鲍勃 & Söhne"


def index(errors=None):
    """Three negatives, two positives, and one that cannot be read."""
    rows = []
    for image_id in IDS:
        error = (errors or {"X1": "truncated"}).get(image_id, "")
        rows.append(
            {
                **dict.fromkeys(("offset", "size"), 0),
                **dict.fromkeys(("shard", "sha256", "phash", "group"), ""),
                "image_id": image_id,
                "width": 0 if error else SIZE_WH[0],
                "height": 0 if error else SIZE_WH[1],
                "split": "train",
                "source": "positive" if image_id.startswith("P") else "negative",
                "labels": [],
                "error": error,
            }
        )
    return Index(pa.Table.from_pylist(rows, INDEX_SCHEMA), Path("none"))


def said(image_id, verdict, boxes=(), reviewer=ANN, lane="1", review="first"):
    decided = tuple(DecidedBox(box, "drawn", candidate) for box, candidate in boxes)
    moment = "2026-01-02T10:00:00+00:00"
    where = ("http://127.0.0.1:8080", 1, 1, lane, False, decided)
    return Decision(image_id, review, 1, Verdict(verdict), reviewer, moment, 4.0, *where)


def evidence(*decisions, flagged=(), annotations=(), detected=None, errors=None):
    by_image = {}
    for decision in decisions:
        by_image.setdefault(decision.image_id, []).append(decision)
    boxes = {}
    for annotation in annotations:
        boxes.setdefault(annotation.image_id, []).append(annotation)
    return Evidence(
        index(errors),
        CLASSES,
        {image_id: tuple(found) for image_id, found in boxes.items()},
        {image_id: tuple(found) for image_id, found in by_image.items()},
        frozenset(flagged),
        detected or {},
    )


def states_of(*decisions, rule=Rule.ADJUDICATOR, **more):
    rows = assign_states(evidence(*decisions, **more), rule).table.to_pylist()
    return {row["image_id"]: (row["state"], row["reason"]) for row in rows}


GUN = [(Box("Gun", 1, 1, 9, 9), "")]


def test_before_any_review():
    assert states_of(flagged=("N2", "X1")) == {
        "N1": ("unflagged", ""),
        "N2": ("flagged but unreviewed", ""),
        "N3": ("unflagged", ""),
        "P1": ("source positive", ""),
        "P2": ("source positive", ""),
        "X1": ("unreadable", "truncated"),
    }


def test_all_images_unreadable():
    found = states_of(errors=dict.fromkeys(IDS, "empty file, expected an image"), flagged=IDS)

    assert found == dict.fromkeys(IDS, ("unreadable", "empty file, expected an image"))


def test_decisions_on_images_that_cannot_be_read_or_are_not_there():
    states = assign_states(
        evidence(said("X1", Verdict.MISSED, GUN), said("Z9", Verdict.NOTHING)), Rule.ADJUDICATOR
    )

    assert states.unused == ("X1", "Z9")
    assert states.decided == {}
    assert states.ids(State.UNREADABLE) == ["X1"]
    assert states.counts() == {
        "source positive": 2,
        "found positive": 0,
        "confusing negative": 0,
        "audited empty": 0,
        "undecided": 0,
        "flagged but unreviewed": 0,
        "unflagged": 3,
        "unreadable": 1,
    }


def test_nothing_there_depends_on_whether_a_detector_fired():
    found = states_of(said("N1", Verdict.NOTHING), said("N2", Verdict.NOTHING), flagged=("N2",))

    assert found["N1"] == ("audited empty", "")
    assert found["N2"] == ("confusing negative", "")


@pytest.mark.parametrize(
    ("boxes", "fault"),
    [
        ([], "but no box"),
        ([(Box("Bomb", 1, 1, 9, 9), "")], "but 'Bomb' is none of Gun, Knife"),
        (
            [*GUN, (Box("Gun", -9, 1, 0, 9), "")],
            "but (-9, 1, 0, 9) lies outside the image",
        ),
        (
            [(Box("Knife", 1, 64, 9, 70.5), "")],
            "but (1, 64, 9, 70.5) lies outside the image",
        ),
    ],
)
def test_boxes_that_cannot_be_exported_leave_an_image_undecided(boxes, fault):
    found = states_of(said("N1", Verdict.MISSED, boxes), said("P1", Verdict.MISSED, boxes))

    assert found["N1"] == ("undecided", f"{ANN}: contraband missed, {fault}")
    assert found["P1"] == ("source positive", f"{ANN}: contraband missed, {fault}")


def test_a_faulty_box_of_the_adjudicator_says_what_was_settled_too():
    ruled = said("N1", Verdict.MISSED, (), BOB, ADJUDICATION)
    found = states_of(said("N1", Verdict.NOTHING), ruled)

    assert found["N1"] == (
        "undecided",
        f"{BOB}: contraband missed, but no box; adjudicated; before: {ANN}: nothing there",
    )


def test_adjudicators_who_disagree():
    found = states_of(
        said("N1", Verdict.MISSED, GUN, lane=ADJUDICATION),
        said("N1", Verdict.NOTHING, (), BOB, ADJUDICATION),
    )

    assert found["N1"] == (
        "undecided",
        f"adjudicators disagree: {ANN}: contraband missed; {BOB}: nothing there",
    )


def test_boxes_of_a_labelled_negative_wait_for_a_reviewer():
    drawn = Annotation("N1/a0", "N1", Box("Gun", 1, 1, 9, 9), False, False)
    before = states_of(annotations=[drawn], flagged=("N1",))
    after = states_of(said("N1", Verdict.NOTHING), annotations=[drawn])

    assert before["N1"] == (
        "undecided",
        "labelled negative by the release, which also brings boxes for it",
    )
    assert after["N1"] == ("audited empty", "")


def exported(known, image_id="N1"):
    states = assign_states(known, Rule.ADJUDICATOR)
    record = known.index.record(image_id)
    annotation = annotation_of(record, known, states.decided)
    xml = write_voc(annotation)
    return read_voc(xml, f"{image_id}.xml", CLASSES)


def test_names_of_any_kind_come_back_from_the_xml():
    found = exported(evidence(said("N1", Verdict.MISSED, GUN, f"{BOB}\x00\u200d🔫")))

    (item,) = found.objects
    assert item.provenance.reviewer == f"{BOB}\ufffd\u200d🔫"
    assert item.provenance.verdict == "contraband missed"


def test_the_detection_behind_a_box_is_that_of_its_own_review():
    boxes = [(Box("Gun", 1, 1, 9, 9), "N1/rfb/0"), (Box("Knife", 1, 1, 9, 9), "N1/rfb/1")]
    detected = {
        ("first", "N1/rfb/0"): Detected("rfb", 0.25),
        ("second", "N1/rfb/0"): Detected("ssd", 0.75),
        ("second", "N1/rfb/1"): Detected("ssd", 0.5),
    }
    for review, expected in (
        ("first", [("rfb", 0.25), ("", None)]),
        ("second", [("ssd", 0.75), ("ssd", 0.5)]),
        ("third", [("", None)] * 2),
    ):
        decision = said("N1", Verdict.MISSED, boxes, review=review)
        found = exported(evidence(decision, detected=detected))
        assert [(o.provenance.model, o.provenance.score) for o in found.objects] == expected


def test_a_source_box_outside_its_image_is_left_out_and_others_are_cut():
    annotations = [
        Annotation("P1/a0", "P1", Box("Gun", -5, -5, 200, 200), True, False),
        Annotation("P1/a1", "P1", Box("Knife", 96, 0, 99, 9), False, False),
        Annotation("P1/a2", "P1", Box("Knife", 3, 4, 5, 6), False, True),
    ]

    found = exported(evidence(annotations=annotations), "P1")

    assert [(o.box, o.difficult, o.truncated) for o in found.objects] == [
        (Box("Gun", 0, 0, 96, 64), True, False),
        (Box("Knife", 3, 4, 5, 6), False, True),
    ]
    assert [o.provenance.origin for o in found.objects] == ["source"] * 2


edges = st.floats(-20, 120, width=32)
boxes_drawn = st.tuples(edges, edges, edges, edges).filter(lambda e: e[0] < e[2] and e[1] < e[3])
drawn_lists = st.lists(
    st.tuples(st.sampled_from(CLASSES.names), boxes_drawn).map(
        lambda one: (Box(one[0], *one[1]), "")
    ),
    max_size=3,
)


@given(drawn_lists)
@example([(Box("Gun", 0, 1, 9, 9), "")])
@example([(Box("Gun", 1, 0, 9, 9), "")])
@example([(Box("Gun", 1, 1, 96, 9), "")])
@example([(Box("Gun", 1, 1, 9, 64), "")])
@example([(Box("Gun", 1, 1, 95, 63), "")])
def test_boxes_are_cut_at_the_image_and_rounded_once(boxes):
    known = evidence(said("N1", Verdict.MISSED, boxes))
    states = assign_states(known, Rule.ADJUDICATOR)
    inside = [clip_box(box, *SIZE_WH) for box, _ in boxes]
    if not boxes or None in inside:
        assert states.ids(State.UNDECIDED) == ["N1"]
        return
    first = exported(known)
    again = read_voc(write_voc(first), "N1.xml", CLASSES)

    assert states.ids(State.FOUND_POSITIVE) == ["N1"]
    assert again.objects == first.objects
    assert len(first.objects) == len(boxes)
    for item, box in zip(first.objects, inside, strict=True):
        assert item.box.label == box.label
        assert item.box == clip_box(item.box, *SIZE_WH)
        assert max(abs(a - b) for a, b in zip(item.box.xyxy, box.xyxy, strict=True)) <= 1
        on_border = box.x1 <= 0 or box.y1 <= 0 or box.x2 >= 96 or box.y2 >= 64
        assert item.truncated == on_border


answers = st.builds(
    said,
    st.sampled_from([*IDS, "Z9"]),
    st.sampled_from(list(Verdict)),
    drawn_lists,
    st.sampled_from((ANN, BOB, "cid")),
    st.sampled_from(("1", ADJUDICATION)),
)


@given(
    st.lists(answers, max_size=8, unique_by=lambda d: (d.image_id, d.reviewer, d.lane)),
    st.sets(st.sampled_from(IDS)),
    st.sampled_from(list(Rule)),
)
def test_whatever_is_said_the_states_add_up(decisions, flagged, rule):
    known = evidence(*decisions, flagged=flagged)

    states = assign_states(known, rule)

    listed = [image_id for state in State for image_id in states.ids(state)]
    assert sorted(listed) == list(IDS)
    assert sum(states.counts().values()) == len(IDS)
    assert states.ids(State.UNREADABLE) == ["X1"]
    assert {*states.ids(State.FOUND_POSITIVE)} == {*states.decided} - {"P1", "P2"}
    assert {*states.unused} == {d.image_id for d in decisions} & {"X1", "Z9"}
    untouched = set(IDS[:3]) - {d.image_id for d in decisions}
    assert untouched & flagged == set(states.ids(State.FLAGGED_UNREVIEWED))
    assert untouched - flagged == set(states.ids(State.UNFLAGGED))
