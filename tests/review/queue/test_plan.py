"""What is shown to whom: every kind of task from its file, and how they are mixed."""

from collections import Counter
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixrayd.advice.reviews import Reviews
from sixrayd.core.boxes import Box
from sixrayd.core.errors import ShardError, WorkspaceError
from sixrayd.core.files import write_bytes
from sixrayd.core.index import Index
from sixrayd.core.records import ADJUDICATION, CANDIDATE_SCHEMA, SAMPLE_SCHEMA, Kind, Rule
from sixrayd.core.tables import write_table
from sixrayd.core.workspace import Workspace
from sixrayd.decisions.unsettled import Unsettled
from sixrayd.review.folder import Project, ReviewFolder, reviews_of
from sixrayd.review.planting.planted import PLANTED_SCHEMA, planted_folder
from sixrayd.review.queue.image import ReviewImage
from sixrayd.review.queue.order import Past
from sixrayd.review.queue.plan import (
    Pictures,
    by_finds_per_second,
    doubtful,
    drawing_of,
    interleave,
    lane_share,
    load_flagged,
    past_reviews,
    planted,
    spot_checks,
    strewn_kinds,
    to_adjudicate,
)
from sixrayd.statistics.drawing import HELD_OUT, Drawing, HeldOut
from tests.workspaces import (
    BOB,
    MISSED,
    NOTHING,
    UNSURE,
    Picture,
    Says,
    build_mine,
    build_review,
    build_shards,
    jpeg,
)

EVE = "eve@example.org"
KNIFE = ("Knife", 10, 20, 40, 50, "drawn", "")
NEAR = ("Knife", 12, 20, 40, 52, "drawn", "")
GUN = ("Gun", 60, 10, 80, 30, "drawn", "")


def seen(image_id, number=0, score=0.5, image_score=0.5, rank=1, label="Knife"):
    return {
        "box_id": f"{image_id}/rfb/{number}",
        "image_id": image_id,
        "label": label,
        "x1": 10.0,
        "y1": 20.0,
        "x2": 40.0,
        "y2": 50.0,
        "score": score,
        "model": "rfb",
        "image_score": image_score,
        "rank": rank,
    }


def flagged(tmp_path, *rows, drawing=Drawing()):
    path = tmp_path / "candidates.parquet"
    write_table(path, rows, CANDIDATE_SCHEMA)
    return load_flagged(path, drawing)


def item(name, kind=Kind.CANDIDATE):
    return ReviewImage(name, kind, 0, 0.5, ())


def names(items):
    return [each.image_id for each in items]


def test_flagged_images_come_by_their_score_and_their_boxes_too(tmp_path):
    found = flagged(
        tmp_path,
        seen("N3", 0, 0.25, 0.25, rank=4),
        seen("N1", 1, 0.5, 0.75, rank=2),
        seen("N2", 0, 0.75, 0.75, rank=3),
        seen("N1", 0, 0.75, 0.75, rank=2),
        seen("N1", 2, 0.5, 0.75, rank=2),
    )
    assert [(p.image_id, p.kind, p.rank, p.image_score) for p in found] == [
        ("N1", Kind.CANDIDATE, 2, 0.75),
        ("N2", Kind.CANDIDATE, 3, 0.75),  # equal ones by id
        ("N3", Kind.CANDIDATE, 4, 0.25),
    ]
    assert [row["box_id"] for row in found[0].drawn] == ["N1/rfb/0"]  # the others mean the same


def test_of_many_boxes_the_best_are_drawn(tmp_path):
    apart = [
        seen("N1", n, score=n / 100, image_score=0.5) | {"x1": 50.0 * n, "x2": 50.0 * n + 30}
        for n in range(8)
    ]
    (found,) = flagged(tmp_path, *apart)
    assert [row["box_id"] for row in found.drawn] == [f"N1/rfb/{n}" for n in (7, 6, 5)]
    (found,) = flagged(tmp_path, *apart, drawing=Drawing(0.06, 5))
    assert [row["box_id"] for row in found.drawn] == [f"N1/rfb/{n}" for n in (7, 6)]


def test_an_object_has_one_box_whatever_its_class(tmp_path):
    here = {"x1": 10.0, "y1": 20.0, "x2": 40.0}
    rows = [
        seen("N1", 0, 0.5),
        seen("N1", 1, 0.4, label="Gun") | here | {"y2": 35.0},  # half of the first
        seen("N1", 2, 0.3, label="Gun") | here | {"y2": 34.0},
    ]
    (found,) = flagged(tmp_path, *rows)
    assert [row["box_id"] for row in found.drawn] == ["N1/rfb/0", "N1/rfb/2"]


def test_an_image_without_a_likely_box_is_shown_bare(tmp_path):
    first, second = flagged(
        tmp_path,
        seen("N1", score=0.5),
        seen("N2", image_score=0.2, score=0.2),
        drawing=Drawing(0.5),
    )
    assert (len(first.drawn), second.image_id, second.drawn) == (1, "N2", ())


@pytest.mark.parametrize("most, asked, least", [(1, None, 0.4), (2, None, 0.5), (2, 0.1, 0.1)])
def test_what_known_positives_say_decides_what_is_drawn(tmp_path, most, asked, least):
    workspace = Workspace(tmp_path)
    assert drawing_of(workspace, "rfb", 2, None) == Drawing(0.0, 2)
    held_out = HeldOut(20, (0, 1, 0, 1), (0.6, 0.5, 0.4, 0.3), (True, False, False, False))
    held_out.save(workspace.folder("mine", "rfb") / HELD_OUT)
    assert drawing_of(workspace, "rfb", most, asked) == Drawing(least, most)


def test_a_mining_that_flags_nothing_and_one_that_is_gone(tmp_path):
    assert flagged(tmp_path) == []
    with pytest.raises(WorkspaceError) as caught:
        load_flagged(tmp_path / "none.parquet")
    assert str(caught.value) == (
        f"{tmp_path / 'none.parquet'}: missing; `sixrayd status` names the next command"
    )


def drawn(image_id, draw=1, place=1, stratum="a"):
    return {
        "image_id": image_id,
        "group": image_id,
        "stratum": stratum,
        "place": place,
        "draw": draw,
    }


def test_spot_checks_come_in_the_order_of_their_draw(tmp_path):
    workspace = Workspace(tmp_path)
    assert spot_checks(workspace, "first") == []
    rows = [drawn("N1", 2, 1), drawn("N2", 1, 2), drawn("N3", 1, 1, "b"), drawn("N4", 1, 1)]
    write_table(workspace.folder("estimate", "first") / "sample.parquet", rows, SAMPLE_SCHEMA)
    found = spot_checks(workspace, "first")
    assert names(found) == ["N4", "N3", "N2", "N1"]
    # Nothing tells them from each other, and nothing is drawn in them.
    assert {replace(each, image_id="") for each in found} == {
        ReviewImage("", Kind.SPOT_CHECK, 0, 0, ())
    }
    assert spot_checks(workspace, "second") == []


def threat(image_id, kind=Kind.PLANTED, with_proposals=False, data=b""):
    return {
        "image_id": image_id,
        "kind": str(kind),
        "target": "N1",
        "item": "P1/a0" * (kind == Kind.PLANTED),
        "label": "Gun" * (kind == Kind.PLANTED),
        **dict.fromkeys(("x1", "y1"), 1.0),
        **dict.fromkeys(("x2", "y2"), 9.0),
        "size": "",
        "scale": 1.0,
        "with_proposals": with_proposals,
        "width": 240,
        "height": 200,
        "sha256": sha256(data).hexdigest(),
    }


def plant(workspace, threats, detections=None):
    folder = planted_folder(workspace, "first")
    write_table(folder / "planted.parquet", threats, PLANTED_SCHEMA)
    if detections is not None:
        write_table(folder / "detections.parquet", detections, CANDIDATE_SCHEMA)


def test_planted_images_show_what_the_detector_sees_where_they_are_meant_to(tmp_path):
    workspace = Workspace(tmp_path)
    assert planted(workspace, "first") == []
    open_, bare, missed = threat("N7", with_proposals=True), threat("N8"), threat("N9")
    sham, quiet = threat("N5", Kind.SHAM), threat("N6", Kind.SHAM)
    detections = [seen(n, k, 0.5 + k / 4, 0.75) for n in ("N5", "N7", "N8") for k in (0, 1)]
    plant(workspace, [sham, quiet, open_, bare, missed], detections)
    found = {each.image_id: each for each in planted(workspace, "first")}
    assert list(found) == ["N5", "N6", "N7", "N8", "N9"]
    assert [(e.kind, e.image_score, [r["box_id"] for r in e.drawn]) for e in found.values()] == [
        (Kind.SHAM, 0.75, ["N5/rfb/1"]),
        (Kind.SHAM, 0.0, []),
        (Kind.PLANTED, 0.75, ["N7/rfb/1"]),
        (Kind.PLANTED, 0.0, []),
        (Kind.PLANTED, 0.0, []),
    ]


def test_before_the_detector_has_looked_nothing_is_drawn(tmp_path):
    workspace = Workspace(tmp_path)
    plant(workspace, [threat("N7", with_proposals=True), threat("N8", Kind.SHAM)])
    assert [each.drawn for each in planted(workspace, "first")] == [(), ()]


def test_what_is_strewn_in_is_known_by_its_kind(tmp_path):
    workspace = Workspace(tmp_path)
    plant(workspace, [threat("N7"), threat("N8", Kind.SHAM)])
    sample = workspace.folder("estimate", "first") / "sample.parquet"
    write_table(sample, [drawn("N1")], SAMPLE_SCHEMA)
    kinds = {name: each.kind for name, each in strewn_kinds(workspace, "first").items()}
    assert kinds == {"N1": Kind.SPOT_CHECK, "N7": Kind.PLANTED, "N8": Kind.SHAM}
    assert strewn_kinds(workspace, "second") == {}


def release(root, count=8):
    workspace = Workspace(root)
    build_shards(workspace, [Picture(f"N{n:07d}") for n in range(1, count + 1)])
    return workspace


def test_pictures_are_the_releases_and_the_planted_ones(tmp_path):
    workspace = release(tmp_path)
    plant(workspace, [threat("N0000900", data=b"planted")])
    path = planted_folder(workspace, "first") / "images" / "N0000900.jpg"
    write_bytes(path, b"planted")
    pictures = Pictures(workspace, "first", ["N0000002", "N0000002", "N0000077", "N0000900"])
    assert pictures.ids() == ["N0000002", "N0000900"]
    assert pictures.size_wh("N0000002") == (96, 64)
    assert pictures.size_wh("N0000900") == (240, 200)
    assert pictures.read("N0000002") == jpeg(2)
    assert pictures.read("N0000900") == b"planted"
    assert pictures.groups == {"N0000002": "N0000002"}
    path.write_bytes(b"something else")
    with pytest.raises(WorkspaceError) as caught:
        pictures.read("N0000900")
    assert str(caught.value) == (
        f"{path}: not the image that was planted; put the folder back from a backup, or remove "
        f"{path.parent.parent} if no reviewer has seen it, then plant again"
    )


def test_an_image_whose_shard_has_changed_is_not_shown(tmp_path):
    workspace = release(tmp_path)
    pictures = Pictures(workspace, "first", ["N0000002"])
    shard = workspace.shards / Index.load(workspace).record("N0000002").shard
    shard.write_bytes(b"\0" * shard.stat().st_size)
    with pytest.raises(ShardError, match="N0000002"):
        pictures.read("N0000002")


def reviewed(root, *answers, name="first", images=8):
    workspace = release(root)
    sent = [f"N{n:07d}" for n in range(1, images + 1)]
    build_mine(workspace, name, sent)
    build_review(workspace, name, sent, [list(answers)])
    return workspace


N1, N2, N3, N4, N5, N6 = (f"N{n:07d}" for n in range(1, 7))


def test_what_goes_to_an_adjudicator(tmp_path):
    workspace = reviewed(
        tmp_path,
        *(Says(N1, MISSED, (KNIFE,)), Says(N1, NOTHING, (), BOB)),
        *(Says(N2, MISSED, (KNIFE,)), Says(N2, MISSED, (NEAR, GUN), BOB)),
        Says(N3, UNSURE, (GUN,)),
        Says(N4, MISSED),
        *(Says(N5, MISSED, (KNIFE,)), Says(N5, MISSED, (KNIFE,), BOB)),
        Says(N6, NOTHING),
    )
    found = to_adjudicate(workspace, "first", Rule.ADJUDICATOR)
    assert [(each.image_id, each.rank) for each in found] == [(N1, 1), (N2, 2), (N3, 3), (N4, 4)]
    assert {(each.kind, each.image_score) for each in found} == {(Kind.CANDIDATE, 1.0)}
    shown = [[(row["label"], row["x1"], row["y2"]) for row in each.drawn] for each in found]
    assert [sorted(boxes) for boxes in shown] == [
        [("Knife", 10, 50)],
        [("Gun", 60, 30), ("Knife", 11, 51)],  # what both mean is drawn once
        [("Gun", 60, 30)],
        [],
    ]
    assert [row["box_id"] for row in found[1].drawn] == [f"{N2}/reviewers/{n}" for n in (0, 1)]
    by_strictest = to_adjudicate(workspace, "first", Rule.STRICTEST)
    assert names(by_strictest) == [N3, N4]


def test_what_an_adjudicator_has_settled_does_not_come_again(tmp_path):
    workspace = reviewed(
        tmp_path,
        *(Says(N1, MISSED, (KNIFE,)), Says(N1, NOTHING, (), BOB)),
        Says(N1, NOTHING, (), EVE, lane=ADJUDICATION),
        *(Says(N2, MISSED, (KNIFE,)), Says(N2, NOTHING, (), BOB)),
        Says(N2, UNSURE, (), EVE, lane=ADJUDICATION),
    )
    assert names(to_adjudicate(workspace, "first", Rule.ADJUDICATOR)) == [N2]


def test_reviewers_of_two_reviews_may_be_in_conflict(tmp_path):
    workspace = reviewed(tmp_path, Says(N1, MISSED, (KNIFE,)), Says(N2, UNSURE))
    build_mine(workspace, "second", [N1])
    build_review(workspace, "second", [N1], [[Says(N1, NOTHING, (), BOB)]])
    assert names(to_adjudicate(workspace, "second", Rule.ADJUDICATOR)) == [N1]
    assert names(to_adjudicate(workspace, "first", Rule.ADJUDICATOR)) == [N1, N2]


def test_what_another_reviews_adjudicator_was_sent_is_left_to_him(tmp_path):
    workspace = reviewed(tmp_path, Says(N1, MISSED, (KNIFE,)), Says(N2, UNSURE))
    build_mine(workspace, "second", [N1])
    build_review(workspace, "second", [N1], [[Says(N1, NOTHING, (), BOB)]])
    second = ReviewFolder(workspace, "second")
    second.write_tasks([*second.tasks(), {**second.tasks()[0], "lane": ADJUDICATION}])
    for name in ("first", "second"):
        ReviewFolder(workspace, name).new_project("local")
    counts = {state.name: state.unsettled for state in Reviews(workspace, {}).states}

    assert names(to_adjudicate(workspace, "first", Rule.ADJUDICATOR)) == [N2]
    assert names(to_adjudicate(workspace, "second", Rule.ADJUDICATOR)) == [N1]
    assert counts == {"first": Unsettled(to_send=1), "second": Unsettled(with_adjudicator=1)}


def test_past_reviews_teach_what_was_found_and_how_long_it_took(tmp_path):
    workspace = reviewed(
        tmp_path,
        Says(N1, MISSED, (KNIFE,)),
        Says(N2, NOTHING),
        Says(N3, UNSURE),
        Says(N4, NOTHING, withdrawn=True),
        Says(N5, NOTHING, lane=ADJUDICATION),
    )
    past = past_reviews(reviews_of(workspace))
    assert past == [Past(Kind.CANDIDATE, 0.5, 1, found, 4.0) for found in (True, False, False)]


def test_spot_checks_and_planted_images_teach_nothing(tmp_path):
    workspace = reviewed(tmp_path, *(Says(f"N{n:07d}", NOTHING) for n in range(1, 9)))
    folder = ReviewFolder(workspace, "first")
    rows = [row | {"kind": str(kind)} for row, kind in zip(folder.tasks()[:8], Kind, strict=True)]
    folder.write_tasks(rows)
    assert len(rows) == 8
    assert [each.kind for each in past_reviews([folder])] == [
        Kind.CANDIDATE,
        Kind.DUPLICATE,
        Kind.POSITIVE,
    ]


def test_the_queue_keeps_groups_together_and_every_image_once():
    scores = {"N1": 0.2, "N2": 0.9, "N3": 0.8, "N4": 0.5}
    items = [ReviewImage(name, Kind.CANDIDATE, 0, score, ()) for name, score in scores.items()]
    groups = dict.fromkeys(scores, "") | {"N1": "bag", "N2": "bag", "N3": "N3", "N4": "N4"}
    queue = by_finds_per_second(items, [], groups)
    assert names(queue) == ["N3", "N2", "N1", "N4"]
    assert [each.group for each in queue] == ["N3", "bag", "bag", "N4"]
    assert sorted((replace(each, group="") for each in queue), key=items.index) == items


def test_what_the_release_contradicts_is_planned_with_its_own_boxes(tmp_path):
    workspace = Workspace(tmp_path)
    gun = ("Gun", 5, 6, 30, 40, False)
    build_shards(
        workspace,
        [
            Picture("P00001", labels=("Gun",), boxes=(gun,)),
            Picture("P00002", labels=("Gun", "Knife"), boxes=(gun,)),
            Picture("P00003", labels=("Gun",)),
            Picture("N0000001"),
        ],
    )
    two, three = doubtful(workspace, ())
    assert (two.image_id, two.kind, two.rank, two.image_score) == ("P00002", Kind.POSITIVE, 1, 1.0)
    (row,) = two.drawn
    assert Box.from_row(row) == Box("Gun", 5, 6, 30, 40)
    assert (row["box_id"], row["model"], row["score"]) == ("P00002/a0", "release", 1.0)
    assert (three.image_id, three.rank, three.drawn) == ("P00003", 2, ())


counts = st.tuples(st.integers(0, 30), st.integers(0, 30))


@given(counts, st.text(max_size=8))
def test_what_is_strewn_in_keeps_its_order_and_so_does_the_queue(sizes, seed):
    queue = [item(f"Q{n}") for n in range(sizes[0])]
    strewn = [item(f"S{n}", Kind.SPOT_CHECK) for n in range(sizes[1])]
    mixed = interleave(queue, strewn, seed)
    assert [each for each in mixed if each.kind == Kind.CANDIDATE] == queue
    assert [each for each in mixed if each.kind == Kind.SPOT_CHECK] == strewn
    assert len(mixed) == sum(sizes)
    assert interleave(queue, strewn, seed) == mixed


def test_places_of_what_is_strewn_in_tell_nothing():
    """Over many seeds each place is as likely as another, and another seed has other places."""
    queue, strewn = [item(f"Q{n}") for n in range(8)], [item("S", Kind.PLANTED)]
    places = Counter(interleave(queue, strewn, f"key{n}").index(strewn[0]) for n in range(900))
    assert sorted(places) == list(range(9))
    assert min(places.values()) > 70 and max(places.values()) < 130  # 100 each, give or take 10


PROJECT = Project("0123456789abcdef", "local")


@given(st.text(min_size=1, max_size=12))
def test_an_images_share_is_the_same_for_good(image_id):
    share = lane_share(PROJECT, image_id)
    assert 0 <= share < 1
    assert (
        lane_share(replace(PROJECT, server="elsewhere", settings={"share": 1}), image_id) == share
    )
    assert lane_share(replace(PROJECT, key="f" * 16), image_id) != share


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_about_the_share_asked_for_goes_to_the_second_reviewer(share):
    images = [f"N{n:07d}" for n in range(4000)]
    chosen = {i for i in images if lane_share(PROJECT, i) < share}
    assert len(chosen) == pytest.approx(4000 * share, abs=100)
    # More of them are those and some more.
    assert chosen <= {i for i in images if lane_share(PROJECT, i) < share + 0.1}
