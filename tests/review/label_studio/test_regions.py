"""From Label Studio's regions to verdicts and boxes in pixels."""

import json
import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixrayd.core.boxes import Box
from sixrayd.core.classes import ClassList
from sixrayd.core.records import Verdict
from sixrayd.review.label_studio.labelling import region, verdict_region
from sixrayd.review.label_studio.regions import read_answer
from sixrayd.review.push import push
from sixrayd.review.server import Origin, ReadAnswer, ReviewedBox
from sixrayd.review.settings import PushSettings

CLASSES = ClassList()
SIZE = (640, 480)
CANDIDATE = Box("Knife", 64, 48, 320, 240)
MISSED = verdict_region(Verdict.MISSED)


def read(*regions, candidates=None):
    return read_answer(
        regions, SIZE, {"c": CANDIDATE} if candidates is None else candidates, CLASSES
    )


def changed(**value):
    item = region("r", CANDIDATE, SIZE)
    return item | {"value": item["value"] | value}


@given(st.data())
def test_boxes_come_back_within_half_a_pixel(data):
    size = data.draw(st.tuples(st.integers(2, 2000), st.integers(2, 2000)))
    edges = []
    for side in size:
        low = data.draw(st.floats(0, side - 1))
        edges.append((low, data.draw(st.floats(low + 0.5, side))))
    (x1, x2), (y1, y2) = edges
    sent = Box("Gun", x1, y1, x2, y2)
    answer = read_answer([region("r", sent, size), MISSED], size, {}, CLASSES)
    assert answer.notes == ()
    assert len(answer.boxes) == 1
    kept = answer.boxes[0].box
    assert kept.label == "Gun"
    assert max(abs(a - b) for a, b in zip(kept.xyxy, sent.xyxy, strict=True)) < 0.5
    assert 0 <= kept.x1 < kept.x2 <= size[0] and 0 <= kept.y1 < kept.y2 <= size[1]


def random_boxes(count):
    """Boxes with the sizes of their images."""
    random = Random(5)
    for _ in range(count):
        size = (random.randint(2, 2000), random.randint(2, 2000))
        (x1, x2), (y1, y2) = (
            sorted((random.uniform(0, side - 1), random.uniform(1, side))) for side in size
        )
        if x2 - x1 > 0.01 and y2 - y1 > 0.01:
            yield Box("Gun", x1, y1, x2, y2), size


def furthest(sent, kept):
    return max(abs(a - b) for a, b in zip(sent.xyxy, kept.xyxy, strict=True))


def test_ten_thousand_boxes_come_back_within_half_a_pixel():
    boxes = list(random_boxes(10_000))
    assert len(boxes) > 9_900
    errors = []
    for box, size in boxes:
        carried = json.loads(json.dumps([region("r", box, size), MISSED]))
        errors.append(furthest(box, read_answer(carried, size, {}, CLASSES).boxes[0].box))
    assert max(errors) < 0.5


def test_boxes_come_back_from_the_server_within_half_a_pixel(site):
    site.mined("boxes", 1)
    project = push(site.workspace, PushSettings("boxes")).project
    boxes = list(random_boxes(300))
    drawn = [region(f"r{n}", box, size) for n, (box, size) in enumerate(boxes)]
    site.answer(project, drawn, Verdict.MISSED)
    with site.client() as server:
        (task,) = server.all_tasks(project)
    back = {item["id"]: item for item in task.annotations[0].regions if "id" in item}
    for number, (box, size) in enumerate(boxes):
        answer = read_answer([back[f"r{number}"], MISSED], size, {}, CLASSES)
        assert furthest(box, answer.boxes[0].box) < 0.5


@given(st.floats(-720, 720), st.floats(20, 40), st.floats(20, 40))
def test_a_rotated_box_becomes_the_upright_one_around_it(degrees, width, height):
    item = changed(x=50, y=50, width=width / 6.4, height=height / 4.8, rotation=degrees)
    answer = read(item, MISSED, candidates={})
    turn = math.radians(degrees)
    across = abs(width * math.cos(turn)) + abs(height * math.sin(turn))
    down = abs(width * math.sin(turn)) + abs(height * math.cos(turn))
    box = answer.boxes[0].box
    assert box.x2 - box.x1 == pytest.approx(across, abs=1e-6)
    assert box.y2 - box.y1 == pytest.approx(down, abs=1e-6)
    assert len(answer.notes) == (math.remainder(degrees, 360) != 0)


def test_origins():
    moved = Box("Knife", 66, 48, 320, 240)
    relabelled = Box("Gun", 64, 48, 320, 240)
    drawn = Box("Gun", 1, 1, 9, 9)
    for shown, origin, kept in (
        (Box("Knife", 64.3, 48, 320, 240), Origin.CONFIRMED, CANDIDATE),
        (moved, Origin.MOVED, moved),
        (relabelled, Origin.RELABELLED, relabelled),
    ):
        assert read(region("c", shown, SIZE), MISSED).boxes == (ReviewedBox(kept, origin, "c"),)
    assert [(b.origin, b.candidate) for b in read(region("x", drawn, SIZE), MISSED).boxes] == [
        (Origin.DRAWN, "")
    ]


def test_a_candidate_is_the_origin_of_one_box_only_and_found_without_its_id():
    twice = region("c", CANDIDATE, SIZE)
    assert [b.origin for b in read(twice, twice, MISSED).boxes] == ["confirmed", "drawn"]
    renamed = region("other", CANDIDATE, SIZE)
    assert read(renamed, MISSED).boxes == (ReviewedBox(CANDIDATE, Origin.CONFIRMED, "c"),)


def test_a_deleted_candidate_is_absent():
    assert read(verdict_region(Verdict.NOTHING)) == ReadAnswer(Verdict.NOTHING, (), ())


@pytest.mark.parametrize(
    ("item", "note"),
    [
        (changed(width=0), "region 1: left out, it has no area"),
        (changed(height=-5), "region 1: left out, it has no area"),
        (changed(width=0, rotation=30), "region 1: left out, it has no area"),
        (changed(x=float("nan")), "region 1: left out, its coordinates are not numbers"),
        (changed(rotation=float("inf")), "region 1: left out, its coordinates are not numbers"),
        (changed(x=900), "region 1: left out, it lies outside the image of 640 x 480 pixels"),
        (
            changed(rectanglelabels=["Bomb"]),
            "region 1: left out, label 'Bomb' is none of Gun, Knife, Wrench, Pliers, Scissors",
        ),
        (changed(rectanglelabels=[]), "region 1: left out, 0 labels where one was expected"),
        (changed(x="left"), "region 1: left out, not a region that Label Studio would write"),
        (
            changed() | {"value": None},
            "region 1: left out, not a region that Label Studio would write",
        ),
        (
            changed() | {"type": "polygonlabels"},
            "region 1: left out, a 'polygonlabels' where a box was expected",
        ),
    ],
)
def test_an_unreadable_region_is_named_and_costs_only_itself(item, note):
    answer = read(item, region("c", CANDIDATE, SIZE), MISSED)
    assert answer.notes == (note,)
    assert [b.candidate for b in answer.boxes] == ["c"]


def test_remarks_on_boxes_that_are_kept():
    past = read(changed(x=90, width=20), MISSED)
    assert past.notes == ("region 1: reaches past the image, cut at its edge",)
    assert past.boxes[0].box.x2 == 640
    other = read(region("c", CANDIDATE, SIZE) | {"original_width": 64}, MISSED)
    assert other.notes == ("region 1: drawn on 64 x 480 pixels, the image has 640 x 480",)
    turned = read(changed(rotation=90), MISSED)
    assert turned.notes == (
        "region 1: rotated by 90 degrees, the upright box around it is taken; "
        "reaches past the image, cut at its edge",
    )


def test_verdicts():
    box = region("c", CANDIDATE, SIZE)
    assert read(box) == ReadAnswer(None, (ReviewedBox(CANDIDATE, Origin.CONFIRMED, "c"),), ())
    assert read(box, verdict_region(Verdict.NOTHING)).notes == (
        "says 'nothing there' but keeps 1 box",
    )
    assert read(MISSED).notes == ("says 'contraband missed' but has no box",)
    assert read(verdict_region(Verdict.UNSURE)) == ReadAnswer(Verdict.UNSURE, (), ())
    other = MISSED | {"value": {"choices": ["maybe"]}}
    assert read(other).notes == (
        "verdict 'maybe': expected one of contraband missed, nothing there, unsure",
    )
    assert read(MISSED, verdict_region(Verdict.UNSURE)).verdict is None
