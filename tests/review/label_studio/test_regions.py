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
from sixrayd.review.label_studio.labelling import MARK, ONLY_SELECTED, region, verdict_region
from sixrayd.review.label_studio.regions import MOST_BOXES, read_answer
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
    nothing = read(box, verdict_region(Verdict.NOTHING))
    assert (nothing.verdict, len(nothing.boxes), nothing.notes) == (Verdict.NOTHING, 1, ())
    assert read(MISSED) == ReadAnswer(Verdict.MISSED, (), ())
    assert read(verdict_region(Verdict.UNSURE)) == ReadAnswer(Verdict.UNSURE, (), ())
    other = MISSED | {"value": {"choices": ["maybe"]}}
    assert read(other).notes == (
        "verdict 'maybe': expected one of contraband missed, nothing there, unsure",
    )
    assert read(MISSED, verdict_region(Verdict.UNSURE)).verdict is None


def mark(region_id, choices=("this box",)):
    """What Label Studio adds to a region that a reviewer picks out."""
    value = {"choices": list(choices)}
    return {"id": region_id, "type": "choices", "from_name": MARK, "to_name": "image"} | {
        "value": value
    }


ONLY = MISSED | {"value": {"choices": [ONLY_SELECTED]}}
TWO = (region("c", CANDIDATE, SIZE), region("own", Box("Gun", 400, 300, 500, 400), SIZE))


def test_a_box_that_was_picked_out_is_marked_whether_drawn_or_shown():
    for verdict in (MISSED, ONLY):
        answer = read(*TWO, mark("own"), verdict)
        assert (answer.verdict, answer.notes) == (Verdict.MISSED, ())
        assert [(b.candidate, b.marked) for b in answer.boxes] == [("c", False), ("", True)]
    assert [b.marked for b in read(mark("c"), *TWO, ONLY).boxes] == [True, False]
    assert [b.marked for b in read(*TWO, mark("c", ()), MISSED).boxes] == [False, False]


def test_only_the_selected_box_needs_one():
    answer = read(*TWO, ONLY)
    assert answer.verdict is None
    assert answer.notes == ("says 'only the selected box', but no box was selected then",)
    assert read(ONLY).verdict is None
    alone = read(TWO[0], ONLY)  # there is no other that could be meant
    assert (alone.verdict, [b.marked for b in alone.boxes]) == (Verdict.MISSED, [True])


@pytest.mark.parametrize(
    ("said", "note"),
    [
        (["unsure", "unsure"], "verdict 'unsure, unsure': "),
        (["nothing there", "contraband missed"], "verdict 'nothing there, contraband missed': "),
        (["Unsure"], "verdict 'Unsure': "),
        ([""], "verdict '': "),
        ([None], "verdict 'None': "),
        (["unsure\x1b[31m"], "verdict 'unsure\\x1b[31m': "),
    ],
)
def test_a_verdict_that_is_not_one_of_ours_is_none(said, note):
    answer = read(MISSED | {"value": {"choices": said}}, region("c", CANDIDATE, SIZE))
    expected = "expected one of contraband missed, nothing there, unsure"
    assert (answer.verdict, answer.notes) == (None, (note + expected,))
    assert [box.candidate for box in answer.boxes] == ["c"]


@pytest.mark.parametrize("value", [None, {}, {"choices": None}, {"choices": 5}, "unsure", []])
def test_choices_that_are_none_cost_only_themselves(value):
    answer = read(MISSED | {"value": value}, verdict_region(Verdict.UNSURE))
    note = "region 1: left out, not a region that Label Studio would write"
    assert answer == ReadAnswer(Verdict.UNSURE, (), (note,))


def test_no_choice_is_no_verdict_and_no_fault():
    assert read(MISSED | {"value": {"choices": []}}) == ReadAnswer(None, (), ())
    assert read() == ReadAnswer(None, (), ())


@pytest.mark.parametrize(
    ("item", "what"),
    [
        ({"type": "brushlabels", "from_name": "brush", "value": {"rle": [1]}}, "'brushlabels'"),
        ({"type": "relation", "from_id": "a", "to_id": "b"}, "'relation'"),
        ({"type": "textarea", "from_name": "note", "value": {"text": ["a bag"]}}, "'textarea'"),
        ({"type": "choices", "from_name": "colour", "value": {"choices": ["unsure"]}}, "'choices'"),
        (region("r", CANDIDATE, SIZE) | {"from_name": "other"}, "'rectanglelabels'"),
        (region("r", CANDIDATE, SIZE) | {"type": None}, "None"),
        ({}, "None"),
    ],
)
def test_regions_of_another_configuration_are_left_out_by_name(item, what):
    answer = read(item, verdict_region(Verdict.NOTHING))
    note = f"region 1: left out, a {what} where a box was expected"
    assert answer == ReadAnswer(Verdict.NOTHING, (), (note,))


@pytest.mark.parametrize("item", [None, 5, "region", ["type"], True])
def test_what_is_no_region_at_all_is_left_out(item):
    note = "region 1: left out, not a region that Label Studio would write"
    assert read(item, verdict_region(Verdict.NOTHING)) == ReadAnswer(Verdict.NOTHING, (), (note,))


def test_of_countless_bad_regions_the_first_are_named_and_the_others_counted():
    kept = (changed(rotation=90), region("r", CANDIDATE, SIZE), MISSED)
    answer = read(*({} for _ in range(50_000)), *kept, {})
    assert answer.notes == (
        *(f"region {n}: left out, a None where a box was expected" for n in range(1, 21)),
        "so 49,982 more of its regions, left out or changed",
    )
    assert (answer.verdict, len(answer.boxes)) == (Verdict.MISSED, 2)


@pytest.mark.parametrize("key", ["x", "y", "width", "height"])
@pytest.mark.parametrize("number", [10**400, -(10**400)])
def test_a_number_too_large_for_any_box_costs_its_box(key, number):
    answer = read(changed(**{key: number}), MISSED)
    assert answer.boxes == ()
    assert answer.notes[0] == "region 1: left out, not a region that Label Studio would write"


@pytest.mark.parametrize("key", ["x", "y", "width", "height"])
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1.7e308, -1.7e308])
def test_coordinates_that_are_no_numbers_cost_their_box(key, number):
    answer = read(changed(**{key: number}), MISSED)
    assert answer == ReadAnswer(
        Verdict.MISSED,
        (),
        ("region 1: left out, its coordinates are not numbers",),
    )


@pytest.mark.parametrize("lost", ["x", "y", "width", "height", "rectanglelabels"])
def test_a_box_that_lacks_something_is_left_out(lost):
    item = changed()
    del item["value"][lost]
    note = "region 1: left out, not a region that Label Studio would write"
    assert read(item, verdict_region(Verdict.NOTHING)).notes == (note,)


@pytest.mark.parametrize("rotation", [None, 0, 360, -720.0, "0", False])
def test_a_turn_of_nothing_is_none(rotation):
    answer = read(changed(rotation=rotation), MISSED)
    assert answer.notes == ()
    assert answer.boxes == (ReviewedBox(CANDIDATE, Origin.CONFIRMED, "c"),)


def test_a_box_turned_a_quarter_stands_upright_beside_its_corner():
    # 128 x 48 pixels turned by 90 degrees about the corner (320, 240): 48 wide, 128 high.
    item = changed(x=50, y=50, width=20, height=10, rotation=90)
    (box,) = read(item, MISSED, candidates={}).boxes
    assert box.box.xyxy == pytest.approx((272, 240, 320, 368))
    (box,) = read(changed(x=50, y=50, width=20, height=10, rotation=-270), MISSED).boxes
    assert box.box.xyxy == pytest.approx((272, 240, 320, 368))


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"x": -10, "width": 20}, (0, 48, 64, 240)),
        ({"y": -10, "height": 20}, (64, 0, 320, 48)),
        ({"x": 90, "width": 50}, (576, 48, 640, 240)),
        ({"x": -100, "y": -100, "width": 300, "height": 300}, (0, 0, 640, 480)),
    ],
)
def test_a_box_that_reaches_past_the_image_is_cut(value, kept):
    answer = read(changed(**value), MISSED, candidates={})
    assert answer.notes == ("region 1: reaches past the image, cut at its edge",)
    assert answer.boxes[0].box.xyxy == pytest.approx(kept)


@pytest.mark.parametrize("value", [{"x": -20, "width": 20}, {"x": 100}, {"y": 100.0}, {"y": -90}])
def test_a_box_that_only_touches_the_image_is_outside(value):
    note = "region 1: left out, it lies outside the image of 640 x 480 pixels"
    assert read(changed(**value)).notes == (note,)


def test_a_pixel_past_the_edge_is_cut_without_a_word():
    answer = read(changed(x=90, width=10 + 0.9 / 6.4), MISSED)
    assert answer.notes == () and answer.boxes[0].box.x2 == 640


@pytest.mark.parametrize(("name", "label"), [("gun", "Gun"), (" PLIER ", "Pliers")])
def test_labels_by_another_name_are_taken_for_the_class(name, label):
    (box,) = read(changed(rectanglelabels=[name]), MISSED, candidates={}).boxes
    assert box.box.label == label


def test_of_two_candidates_in_one_place_each_is_confirmed_once():
    both = {"c": CANDIDATE, "d": CANDIDATE}
    shown = [region(name, CANDIDATE, SIZE) for name in ("d", "c")]
    answer = read(*shown, MISSED, candidates=both)
    assert [(b.origin, b.candidate) for b in answer.boxes] == [
        (Origin.CONFIRMED, "d"),
        (Origin.CONFIRMED, "c"),
    ]
    # Without their ids the first that is left is taken.
    unnamed = read(*(region(f"x{n}", CANDIDATE, SIZE) for n in range(3)), candidates=both)
    assert [(b.origin, b.candidate) for b in unnamed.boxes] == [
        (Origin.CONFIRMED, "c"),
        (Origin.CONFIRMED, "d"),
        (Origin.DRAWN, ""),
    ]


@pytest.mark.parametrize(
    ("edge", "origin"), [(0.5, Origin.CONFIRMED), (-0.5, Origin.CONFIRMED), (0.51, Origin.MOVED)]
)
def test_half_a_pixel_is_not_moved(edge, origin):
    x1, y1, x2, y2 = CANDIDATE.xyxy
    moved = Box("Knife", x1 + edge, y1, x2, y2)
    (box,) = read(region("c", moved, SIZE)).boxes
    assert (box.origin, box.candidate) == (origin, "c")
    kept = CANDIDATE if origin == Origin.CONFIRMED else moved
    assert box.box.xyxy == pytest.approx(kept.xyxy, abs=1e-9)


def test_what_was_given_is_not_changed():
    candidates = {"c": CANDIDATE}
    items = [region("c", CANDIDATE, SIZE), MISSED]
    before = json.dumps(items)
    read_answer(items, SIZE, candidates, CLASSES)
    assert (json.dumps(items), candidates) == (before, {"c": CANDIDATE})


number = st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf, 0, None, "", "5", [], True])
value = st.fixed_dictionaries(
    dict.fromkeys(("x", "y", "width", "height"), number),
    optional={
        "rotation": number,
        "rectanglelabels": st.sampled_from([["Gun"], ["gun"], ["Bomb"], [], "Gun", None]),
        "choices": st.sampled_from([["unsure"], ["?"], [], None, "unsure"]),
    },
)
hostile = st.fixed_dictionaries(
    {"value": value | st.none()},
    optional={
        "type": st.sampled_from(["rectanglelabels", "choices", "polygonlabels", None]),
        "from_name": st.sampled_from(["boxes", "verdict", "other", None]),
        "id": st.sampled_from(["c", "d", 5, None, ["c"]]),
        "original_width": st.sampled_from([640, 641, "640", None]),
        "original_height": st.sampled_from([480, None]),
    },
)


@given(st.lists(hostile | st.none() | st.text(max_size=3), max_size=6))
def test_whatever_the_server_tells_boxes_are_boxes_in_the_image(regions):
    answer = read(*regions)
    assert answer.verdict is None or answer.verdict == Verdict.UNSURE
    for each in answer.boxes:
        x1, y1, x2, y2 = each.box.xyxy
        assert 0 <= x1 < x2 <= 640 and 0 <= y1 < y2 <= 480
        assert each.box.label in CLASSES.names
    confirmed = [each.candidate for each in answer.boxes if each.candidate]
    assert confirmed in ([], ["c"])  # a candidate is the origin of one box at most
    left_out = sum(": left out, " in note for note in answer.notes)
    chosen = sum(
        isinstance(r, dict) and (r.get("type"), r.get("from_name")) == ("choices", "verdict")
        for r in regions
    )
    assert len(regions) - chosen <= len(answer.boxes) + left_out <= len(regions)


def test_more_boxes_than_any_image_has_are_left_out_and_the_verdict_is_kept():
    regions = [region(f"r{n}", CANDIDATE, SIZE) for n in range(MOST_BOXES + 3)]
    answer = read(*regions, MISSED, candidates={})
    assert (len(answer.boxes), answer.verdict) == (MOST_BOXES, Verdict.MISSED)
    assert answer.notes == ("has more than 500 boxes, the others are left out",)
    assert read(*regions[:MOST_BOXES], MISSED, candidates={}).notes == ()
