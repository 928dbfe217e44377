"""Positives in doubt: what the release says against itself, and what a detector disputes."""

import shutil
from dataclasses import replace

import pytest

from sixrayd.core.boxes import Box
from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.files import sha256_file
from sixrayd.core.index import Index
from sixrayd.core.records import INDEX_SCHEMA
from sixrayd.core.tables import read_table, write_table
from sixrayd.core.workspace import Run, Workspace
from sixrayd.detectors.checkpoints import load_checkpoint
from sixrayd.detectors.decoding import DecodeSettings
from sixrayd.detectors.predictor import Predictor
from sixrayd.imaging.decode import decode_rgb
from sixrayd.review.queue.positives import (
    Dispute,
    Doubtful,
    DoubtSettings,
    Proposal,
    Sighting,
    disputants,
    disputes,
    doubtful_positives,
)
from sixrayd.train.stage import train
from tests.squares import QUICK
from tests.workspaces import Picture, build_shards, finish

KNIFE = Box("Knife", 0, 0, 100, 100)
GUN = Box("Gun", 0, 0, 100, 80)  # its IoU with the knife is 0.8
TEST_SIDE = tuple(f"P{n:05d}" for n in range(21, 25))
ON_CPU = DoubtSettings(device="cpu")


def saw(label, bottom, score=0.9, model="m", left=0.0):
    return Sighting(score, model, Box(label, left, 0, left + 100, bottom))


@pytest.mark.parametrize("bottom, iou", [(69, 0.69), (50, 0.5)])
def test_a_box_that_a_detection_of_its_class_fits_badly_is_loose(bottom, iou):
    seen = saw("Knife", bottom)
    reason = f"m sees Knife (0.90) at an IoU of only {iou:.2f} with its box"
    assert disputes([KNIFE], [seen]) == [Dispute(pytest.approx(0.9 * (1 - iou)), reason, seen)]


def test_a_box_that_any_model_fits_tightly_is_tight():
    assert disputes([KNIFE], [saw("Knife", 70)]) == []
    assert disputes([KNIFE], [saw("Knife", 55, 0.95), saw("Knife", 90, 0.6, "other")]) == []


def test_a_detection_that_means_no_box_sees_something_unlabelled():
    near, far = saw("Knife", 49, 0.6), saw("Gun", 100, 0.8, left=300.0)
    assert disputes([KNIFE], [near, far]) == [
        Dispute(0.8, "m sees Gun (0.80) where no box is", far),
        Dispute(0.6, "m sees Knife (0.60) where no box is", near),
    ]


def test_one_unlabelled_thing_is_proposed_once():
    best, again = saw("Gun", 100, 0.8, "a"), saw("Knife", 90, 0.7, "b")
    aside = saw("Knife", 90, 0.6, "b", left=60.0)
    assert [d.sighting for d in disputes([], [again, aside, best])] == [best, aside]


def test_the_best_detection_of_a_box_speaks_for_its_class():
    other = saw("Gun", 95)
    wrong = Dispute(0.9, "m sees Gun (0.90) where the box says Knife", other)
    assert disputes([KNIFE], [other]) == [wrong]
    assert disputes([KNIFE], [saw("Knife", 100, 0.8), other]) == [wrong]
    assert disputes([KNIFE], [saw("Knife", 100, 0.95), other]) == []


def test_objects_that_lie_across_each_other_are_not_mistaken():
    assert disputes([KNIFE, GUN], [saw("Knife", 100, 0.7), saw("Gun", 80)]) == []
    assert disputes([KNIFE, GUN], [saw("Gun", 100)]) == []  # it means the gun, at an IoU of 0.8


def test_nothing_seen_disputes_nothing():
    assert disputes([KNIFE], []) == [] == disputes([], [])


@pytest.mark.parametrize(
    "wrong",
    [{"min_score": 0.0}, {"min_score": 1.0}, {"batch": 0}, {"min_iou": 0.0}, {"tight_iou": 0.4},
     {"tight_iou": 1.1}],
)  # fmt: skip
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(SettingsError, match="doubt: needs"):
        DoubtSettings(**wrong)


def test_what_the_release_says_against_itself(tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    gun, knife = ("Gun", 5, 6, 30, 40, False), ("Knife", 1, 2, 9, 9, True)
    pictures = [
        Picture("P00001", labels=("Gun",), boxes=(gun,)),
        Picture("P00002", "test", labels=("Gun", "Knife", "Wrench"), boxes=(gun,)),
        Picture("P00003", labels=("Gun",)),
        Picture("P00004", labels=("Gun",)),
        Picture("P00005", labels=("Gun",), boxes=(gun, knife)),
        Picture("P00006", labels=("Gun",), error="truncated"),
        Picture("N0000001"),
    ]
    build_shards(workspace, pictures)
    finish(workspace, "shards", unannotated_ids=["P00003"])
    boxes = (
        Proposal("P00005/a0", Box("Gun", 5, 6, 30, 40), 1.0, "release"),
        Proposal("P00005/a1", Box("Knife", 1, 2, 9, 9), 1.0, "release"),
    )
    two = (boxes[0]._replace(box_id="P00002/a0"),)
    said = ("Knife is named, but has no box", "Wrench is named, but has no box")
    assert doubtful_positives(workspace) == [
        Doubtful("P00002", said, 1.0, two),
        Doubtful("P00003", ("no usable XML",), 1.0, ()),
        Doubtful("P00004", ("its XML names no object",), 1.0, ()),
        Doubtful("P00005", ("Knife has a box, but is not named",), 1.0, boxes),
    ]


def pictures(boxes):
    """Twenty positives to learn from and four of the test side, which have these boxes by id."""
    train_side = [
        Picture(f"P{n:05d}", labels=("Gun",), boxes=(("Gun", 5, 6, 45, 50, False),))
        for n in range(1, 21)
    ]
    test_side = [
        Picture(image_id, "test", tuple({b.label for b in given}), tuple(map(row, given)))
        for image_id, given in boxes.items()
    ]
    return [*train_side, *test_side]


def row(box):
    return (box.label, *box.xyxy, False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("positives") / "workspace")
    build_shards(workspace, pictures(dict.fromkeys(TEST_SIDE, (Box("Gun", 0, 0, 9, 9),))))
    train(workspace, replace(QUICK, epochs=2, batch=4, validation=1e-9))
    return workspace


@pytest.fixture
def workspace(trained, tmp_path):
    shutil.copytree(trained.root, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


@pytest.fixture(scope="module")
def seen(trained):
    """What the model says of the test side, above 0.5, by falling score."""
    index = Index.load(trained)
    checkpoint = load_checkpoint(trained.folder("models", "rfb-small") / "weights.safetensors")
    images = [decode_rgb(index.read(image_id), image_id) for image_id in TEST_SIDE]
    found = Predictor(checkpoint.detector, DecodeSettings(0.5)).detect(images)
    sightings = {
        image_id: [
            Sighting(
                float(score),
                "rfb-small",
                Box(checkpoint.classes.names[label], *(round(float(edge), 2) for edge in xyxy)),
            )
            for xyxy, score, label in zip(each.xyxy, each.scores, each.labels, strict=True)
        ]
        for image_id, each in zip(TEST_SIDE, found, strict=True)
    }
    assert all(sightings.values())  # else these tests would show nothing
    return sightings


def with_boxes(workspace, boxes):
    """The release anew, with these boxes on the test side, and named as they are."""
    build_shards(workspace, pictures(boxes))


def as_seen(seen):
    return {image_id: [s.box for s in sightings] for image_id, sightings in seen.items()}


def test_boxes_that_the_detector_sees_so_are_not_in_doubt(workspace, seen):
    with_boxes(workspace, as_seen(seen))
    assert doubtful_positives(workspace, ON_CPU) == []


def test_disputed_images_come_with_both_sides_boxes(workspace, seen):
    boxes = as_seen(seen)
    first, second, *_ = TEST_SIDE
    far = Box("Knife", 1, 1, 4, 4)
    boxes[first] = [far]
    boxes[second] = [*boxes[second], far]
    with_boxes(workspace, boxes)
    (found,) = doubtful_positives(workspace, ON_CPU)
    expected = disputes([far], seen[first])
    assert found.image_id == first
    assert found.reasons == tuple(dispute.reason for dispute in expected)
    assert found.doubt == expected[0].doubt > 0.5
    assert found.proposals == (
        Proposal(f"{first}/a0", far, 1.0, "release"),
        *(
            Proposal(f"{first}/rfb-small/{n}", d.sighting.box, d.sighting.score, "rfb-small")
            for n, d in enumerate(expected)
        ),
    )


def test_the_most_doubtful_come_first(workspace, seen):
    boxes = as_seen(seen) | {TEST_SIDE[3]: [], TEST_SIDE[0]: [Box("Knife", 1, 1, 4, 4)]}
    with_boxes(workspace, boxes)
    found = doubtful_positives(workspace, ON_CPU)
    assert {item.image_id for item in found} == {TEST_SIDE[0], TEST_SIDE[3]}
    assert [(-item.doubt, item.image_id) for item in found] == sorted(
        (-item.doubt, item.image_id) for item in found
    )
    (bare,) = [item for item in found if item.image_id == TEST_SIDE[3]]
    assert (bare.doubt, bare.reasons[0]) == (1.0, "its XML names no object")
    assert [p.model for p in bare.proposals] == ["rfb-small"] * (len(bare.reasons) - 1)


def test_only_images_that_are_new_to_the_model_are_asked_about(workspace, seen):
    with_boxes(workspace, dict.fromkeys(TEST_SIDE, (Box("Knife", 1, 1, 4, 4),)))
    assert {item.image_id for item in doubtful_positives(workspace, ON_CPU)} == set(TEST_SIDE)
    path = workspace.shards / "index.parquet"
    rows = read_table(path, INDEX_SCHEMA).to_pylist()
    for line in rows:
        if line["image_id"] == TEST_SIDE[2]:
            line["group"] = "P00003"  # which the model has learnt from
    write_table(path, rows, INDEX_SCHEMA)
    asked = {item.image_id for item in doubtful_positives(workspace, ON_CPU)}
    assert asked == set(TEST_SIDE) - {TEST_SIDE[2]}


def started_from(workspace, name, init, ids):
    """The trained model once more, as one that started from another and learnt these images."""
    folder = workspace.folder("models", name)
    shutil.copytree(workspace.folder("models", "rfb-small"), folder, dirs_exist_ok=True)
    (folder / "seen.txt").write_text("".join(f"{i}\n" for i in ids))
    outputs = {f: sha256_file(folder / f) for f in ("seen.txt", "weights.safetensors")}
    workspace.finish(Run("models", name, {"init": init}, {}, outputs=outputs))


def test_what_earlier_models_have_learnt_counts_as_seen(workspace, seen):
    with_boxes(workspace, dict.fromkeys(TEST_SIDE, (Box("Knife", 1, 1, 4, 4),)))
    started_from(workspace, "second", "rfb-small", [TEST_SIDE[0]])
    second = replace(ON_CPU, models=("second",))
    assert {i.image_id for i in doubtful_positives(workspace, second)} == set(TEST_SIDE[1:])
    # The first has not learnt from it, and may dispute.
    assert {i.image_id for i in doubtful_positives(workspace, ON_CPU)} == set(TEST_SIDE)
    started_from(workspace, "third", "second", [TEST_SIDE[1]])
    started_from(workspace, "second", "third", [TEST_SIDE[0]])  # in a circle
    both = replace(ON_CPU, models=("second", "third"))
    asked = {item.image_id for item in doubtful_positives(workspace, both)}
    assert asked & set(TEST_SIDE) == set(TEST_SIDE[2:])


def test_models_that_do_not_fit_are_refused(workspace):
    with pytest.raises(WorkspaceError, match=r"models/nobody/run\.json: missing"):
        doubtful_positives(workspace, replace(ON_CPU, models=("nobody",)))
    workspace.finish(Run("shards", "", {"classes": ["Gun", "Bottle"]}, {}))
    message = (
        "models/rfb-small: knows Gun, Knife, Wrench, Pliers, Scissors, the release has Gun, Bo"
    )
    with pytest.raises(SettingsError, match=message):
        doubtful_positives(workspace, replace(ON_CPU, models=("rfb-small",)))
    assert disputants(workspace) == ()
