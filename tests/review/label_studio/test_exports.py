"""Exports of a server that is believed nothing: what is read, and what is no export at all."""

import json
import math
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixrayd.core.documents import NONSENSE
from sixrayd.review.label_studio.exports import read_tasks
from sixrayd.review.server import ServerAnnotation, ServerTask

# What the boundary to the server takes for "does not answer like Label Studio".
NOT_LABEL_STUDIO = NONSENSE
REGION = {"id": "r", "type": "rectanglelabels", "value": {"x": 1}}
ANNOTATION = {
    "id": 70,
    "completed_by": 3,
    "updated_by": None,
    "result": [REGION],
    "updated_at": "2026-01-02T10:00:00.5Z",
    "lead_time": 4.5,
    "was_cancelled": False,
}
TASK = {
    "id": 7,
    "data": {"sixrayd": "key/alias", "image": "/x"},
    "annotations": [ANNOTATION],
    "drafts": [],
    "updated_at": "2026-01-02T10:00:01Z",
}
READ = ServerAnnotation(70, 3, 3, "2026-01-02T10:00:00.5Z", 4.5, False, (REGION,))


def read(*tasks):
    return read_tasks([json.dumps(tasks).encode()])


def annotated(**changed):
    return TASK | {"annotations": [ANNOTATION | changed]}


def without(row, key):
    return {name: value for name, value in row.items() if name != key}


def test_a_task_and_its_answer():
    (task,) = read(TASK)
    assert task == ServerTask(7, "key/alias", (READ,), 0, "2026-01-02T10:00:01+00:00")
    assert not task.untouched


def test_an_export_comes_in_pieces_of_any_size():
    data = json.dumps([TASK]).encode()
    assert read_tasks(data[n : n + 1] for n in range(len(data))) == read(TASK)
    assert read_tasks([b"[", b"", b"]"]) == ()


def test_tasks_and_answers_come_by_number():
    several = [ANNOTATION | {"id": number} for number in (9, 8, 10)]
    tasks = read(TASK | {"id": 12, "annotations": several}, TASK | {"id": 3}, TASK | {"id": "5"})
    assert [task.task_id for task in tasks] == [3, 5, 12]
    assert [a.annotation_id for a in tasks[2].annotations] == [8, 9, 10]


def test_a_task_is_untouched_without_answer_and_draft():
    bare, begun = TASK | {"annotations": []}, TASK | {"annotations": [], "drafts": [{"id": 1}]}
    assert [task.untouched for task in read(bare)] == [True]
    ((task),) = read(begun)
    assert (task.untouched, task.drafts) == (False, 1)
    for none in (None, []):
        assert read(bare | {"drafts": none})[0].drafts == 0
    assert read(without(bare, "drafts"))[0].untouched


@pytest.mark.parametrize("data", [{}, {"sixrayd": None}, {"sixrayd": 5}, {"sixrayd": ["key"]}])
def test_a_task_without_a_key_of_ours_is_somebody_elses(data):
    assert read(TASK | {"data": data})[0].key == ""


@pytest.mark.parametrize(
    ("by", "reviewer", "author"),
    [
        ({"completed_by": 3, "updated_by": 4}, 4, 3),
        ({"completed_by": {"id": 3, "email": "a"}, "updated_by": {"id": 4}}, 4, 3),
        ({"completed_by": 3, "updated_by": 3}, 3, 3),
        ({"completed_by": None, "updated_by": 4}, 4, 0),
        ({"completed_by": None, "updated_by": None}, 0, 0),  # whom the server forgot
    ],
)
def test_who_answered_and_who_changed_it(by, reviewer, author):
    (found,) = read(annotated(**by))[0].annotations
    assert (found.reviewer, found.author) == (reviewer, author)
    nobody = without(without(ANNOTATION, "completed_by"), "updated_by")
    (found,) = read(TASK | {"annotations": [nobody]})[0].annotations
    assert (found.reviewer, found.author) == (0, 0)


@pytest.mark.parametrize(
    ("created_at", "reviewer"),
    [
        ("2026-01-02T10:00:00.49Z", 3),  # it was made, and nobody noted, as on import
        ("2026-01-02T09:00:00Z", 0),  # somebody changed it whom the server forgot
        ("yesterday", 3),
        (None, 3),
    ],
)
def test_what_one_changed_whom_the_server_forgot_is_not_its_authors(created_at, reviewer):
    (found,) = read(annotated(created_at=created_at))[0].annotations
    assert (found.reviewer, found.author) == (reviewer, 3)
    known = annotated(created_at=created_at, updated_by=4)
    assert read(known)[0].annotations[0].reviewer == 4


def test_a_skipped_and_an_untimed_answer():
    (found,) = read(annotated(was_cancelled=True, lead_time=None, result=[]))[0].annotations
    assert (found.cancelled, found.lead_time_s, found.regions) == (True, 0.0, ())


@pytest.mark.parametrize(
    "task",
    [
        *(without(TASK, key) for key in ("id", "data", "annotations", "updated_at")),
        TASK | {"id": "seven"},
        TASK | {"id": None},
        TASK | {"id": 2**63},
        TASK | {"id": -1},
        TASK | {"data": None},
        TASK | {"data": ["key"]},
        TASK | {"annotations": None},
        TASK | {"annotations": [None]},
        TASK | {"annotations": {"id": 1}},
        TASK | {"drafts": 3},
        TASK | {"updated_at": "yesterday"},
        TASK | {"updated_at": 1767348000},
        *(
            TASK | {"annotations": [without(ANNOTATION, key)]}
            for key in ("id", "result", "updated_at", "lead_time", "was_cancelled")
        ),
        annotated(id="x"),
        annotated(id=10**30),
        annotated(completed_by=2**63),
        annotated(completed_by="ann"),
        annotated(updated_by={"email": "ann"}),
        annotated(completed_by=[3]),
        annotated(lead_time="long"),
        annotated(lead_time=[4.0]),
        annotated(result=None),
        annotated(result="region"),
        annotated(result={"0": REGION}),
        annotated(result=[5]),
        annotated(result=["region"]),
        annotated(result=[None]),
        None,
        5,
        "task",
        [],
    ],
)
def test_one_task_that_is_none_spoils_the_export(task):
    with pytest.raises(NOT_LABEL_STUDIO):
        read(TASK | {"id": 1}, task)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[",
        b"<html>a router</html>",
        b'{"detail": "Not found."}',
        b"null",
        b"5",
        b"[5]",
        b"\xff\xfe",
        b"[" + json.dumps(TASK).encode(),
        b'[{"id": ' + b"9" * 5000 + b"}]",
        b"[" * 100_000,
        b'[{"id": Infinity, "annotations": [], "data": {}}]',
        json.dumps([TASK, TASK]).encode(),  # of which `push` would delete one
    ],
)
def test_what_is_no_export(data):
    with pytest.raises(NOT_LABEL_STUDIO):
        read_tasks([data])


@pytest.mark.parametrize("seconds", [None, 0, -1.5, 10**400, math.inf, math.nan])
def test_a_time_that_is_none_is_no_time(seconds):
    (task,) = read(annotated(lead_time=seconds))
    assert task.annotations[0].lead_time_s == 0.0


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=4),
    lambda part: (
        st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=3), part, max_size=3)
    ),
    max_leaves=4,
)
places = st.sampled_from([*((key, None) for key in TASK), *((None, key) for key in ANNOTATION)])


@given(places, anything)
def test_whatever_stands_in_a_field_is_read_or_refused(place, value):
    of_task, of_annotation = place
    task = TASK | {of_task: value} if of_task else annotated(**{of_annotation: value})
    try:
        (found,) = read(task)
    except NOT_LABEL_STUDIO:
        return
    # What is let through has the types that it says.
    assert isinstance(found.task_id, int) and isinstance(found.key, str)
    for each in found.annotations:
        assert isinstance(each.annotation_id, int) and isinstance(each.lead_time_s, float)
        assert isinstance(each.cancelled, bool) and isinstance(each.updated_at, str)
        assert {type(number) for number in (each.reviewer, each.author)} == {int}
        assert all(isinstance(region, dict) for region in each.regions)


def test_an_answer_of_many_regions_takes_no_more_than_reading_its_json_does():
    task = {**TASK, "annotations": [{**ANNOTATION, "result": [{"type": "x"}] * 50_000}]}
    data = json.dumps([task]).encode()
    taken = []
    for read_it in (json.loads, lambda said: read_tasks([said])):
        tracemalloc.start()
        read_it(data)
        taken.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert taken[1] < 1.3 * taken[0]
