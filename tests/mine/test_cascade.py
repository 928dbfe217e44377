"""Calibrating a cascade: which threshold, what is said of it, and on which images."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import beta

from sixrayd.core.detections import Detections, Truths
from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.files import sha256_file, write_bytes
from sixrayd.core.workspace import Run, Workspace
from sixrayd.mine.cascade import (
    Calibration,
    Shown,
    calibrate,
    finds_object,
    validation_images,
)
from tests.squares import ingest, picture, squares
from tests.workspaces import build_splits

BOX = np.array([[0.0, 0, 8, 8]])


class Reader:
    """Reads the score of its one detection from a channel of the image; 0 is no detection."""

    classes = ("Gun",)

    def __init__(self, channel):
        self.channel = channel

    def detect(self, images):
        values = [float(image[0, 0, self.channel]) / 255 for image in images]
        return [found(BOX[: int(value > 0)], [value] * (value > 0)) for value in values]


def found(xyxy, scores, labels=None):
    labels = np.zeros(len(xyxy)) if labels is None else labels
    return Detections(np.array(xyxy), np.array(scores), np.array(labels, np.int64))


def truth(xyxy=BOX, label=0, difficult=False):
    return Truths(np.array(xyxy), np.full(len(xyxy), label), np.full(len(xyxy), difficult))


def shown(first, second, what):
    """An image in which the first and the second reader see these scores, of 255."""
    image = np.zeros((8, 8, 3), np.uint8)
    image[:] = (first, second, 0)
    return Shown(image, what)


def positives(firsts, second=200):
    return [shown(score, second, truth()) for score in firsts]


def negatives(firsts):
    return [shown(score, 200, truth(BOX[:0])) for score in firsts]


def test_the_greatest_threshold_that_keeps_the_share():
    # 200 finds: one may be lost, and the second weakest sets the threshold.
    firsts = [10, 20, *(30 + n % 200 for n in range(198))]
    images = positives(firsts) + negatives([0, 5, 19, 20, 21, 40, 250, 3])

    calibration = calibrate(Reader(0), Reader(1), images, keep=0.995, batch=7)

    assert calibration == Calibration(
        threshold=20 / 255,
        kept=0.995,
        kept_low=pytest.approx(beta.ppf(0.05, 199, 2)),
        finds=200,
        finds_needed=598,
        loose=True,
        images=208,
        negatives=8,
        passed=0.5,
    )


def test_few_finds_are_all_kept_and_show_little():
    calibration = calibrate(Reader(0), Reader(1), positives([90, 50, 70]), keep=0.995)

    assert calibration == Calibration(
        threshold=50 / 255,
        kept=1.0,
        kept_low=pytest.approx(0.05 ** (1 / 3)),
        finds=3,
        finds_needed=598,
        loose=True,
        images=3,
        negatives=0,
        passed=0.0,
    )


def test_enough_finds_are_not_loose():
    calibration = calibrate(Reader(0), Reader(1), positives([40] * 5 + [9] * 6), keep=0.75)

    assert (calibration.finds_needed, calibration.loose) == (11, False)
    assert (calibration.threshold, calibration.kept) == (9 / 255, 1.0)
    assert calibration.kept_low == pytest.approx(0.05 ** (1 / 11))


def test_ties_are_kept_together():
    calibration = calibrate(Reader(0), Reader(1), positives([1, 60, 60, 60, 200]), keep=0.5)

    assert (calibration.threshold, calibration.kept) == (60 / 255, 0.8)


def test_only_what_the_second_finds_counts():
    elsewhere = truth([[100.0, 100, 108, 108]])
    images = [
        *positives([80]),
        *positives([5], second=0),  # the second sees nothing
        shown(3, 200, elsewhere),  # it sees something else
        shown(2, 200, truth(label=1)),  # another class
        shown(1, 200, truth(difficult=True)),
    ]

    calibration = calibrate(Reader(0), Reader(1), images)

    assert (calibration.finds, calibration.images, calibration.negatives) == (1, 5, 0)
    assert calibration.threshold == 80 / 255


def test_what_the_first_does_not_see_at_all_lets_everything_pass():
    calibration = calibrate(Reader(0), Reader(1), positives([0, 80]) + negatives([0, 9]))

    assert (calibration.threshold, calibration.passed) == (0.0, 1.0)


@pytest.mark.parametrize("images", [[], positives([9, 9], second=0), negatives([9])])
def test_without_finds_there_is_nothing_to_calibrate_on(images):
    with pytest.raises(WorkspaceError) as caught:
        calibrate(Reader(0), Reader(1), images)
    assert str(caught.value) == (
        f"cascade: the detector finds nothing in {len(images)} validation images; "
        "train it longer, or mine without a cascade"
    )


@pytest.mark.parametrize("keep", [0, 1, -0.1, 1.5])
def test_a_share_out_of_range_is_refused(keep):
    with pytest.raises(SettingsError, match=f"keep {keep}: needs to lie between 0 and 1"):
        calibrate(Reader(0), Reader(1), positives([9]), keep)


def test_a_find_overlaps_by_half():
    assert finds_object(found([[0.0, 0, 8, 4]], [0.2]), truth())
    assert not finds_object(found([[0.0, 0, 8, 3.9]], [0.9]), truth())
    assert not finds_object(found(BOX, [0.9], [1]), truth())
    assert not finds_object(found(BOX, [0.9]), truth(BOX[:0]))
    assert finds_object(found([[50.0, 50, 60, 60], *BOX], [0.9, 0.1]), truth())


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    release = squares(positives=8, negatives=6, hidden=0)
    release.images["P00009"] = release.images["P00002"]  # a copy: of one group with it
    release.xml["P00009"] = release.xml["P00002"]
    release.rows.append(release.rows[1].replace("P00002", "P00009"))
    release.images["P00010"] = picture(10, "Gun")[0]  # without annotation
    release.rows.append("P00010,1,-1")
    return ingest(tmp_path_factory.mktemp("cascade"), release)


def learn(workspace, name, ids):
    """A model that has learnt from these images."""
    path = workspace.folder("models", name) / "seen.txt"
    write_bytes(path, "".join(f"{i}\n" for i in ids).encode())
    workspace.finish(Run("models", name, {}, {}, outputs={"seen.txt": sha256_file(path)}))


def ids_of(workspace, images):
    """Which image of the release each one is."""
    from sixrayd.core.index import Index
    from sixrayd.imaging.decode import decode_rgb

    index = Index.load(workspace)
    by_pixels = {
        decode_rgb(index.read(i), i).tobytes(): i
        for i in reversed(index.table["image_id"].to_pylist())
    }
    return [by_pixels[one.image.tobytes()] for one in images]


def training_side(workspace, prefix):
    from sixrayd.core.index import Index

    return [
        i
        for i in Index.load(workspace).rows(split="train")["image_id"].to_pylist()
        if i.startswith(prefix)
    ]


def test_no_image_that_a_model_has_learnt_from_nor_its_copy(workspace):
    positives = training_side(workspace, "P")
    assert {"P00002", "P00009", "P00010"} < set(positives)
    learn(workspace, "large", ["P00002", "P00003", "N0000002"])
    learn(workspace, "small", ["P00004"])

    images = list(validation_images(workspace, ("large", "small")))

    named = ids_of(workspace, images)
    held = {"P00002", "P00003", "P00004", "P00009", "P00010"}
    assert [i for i in named if i[0] == "P"] == [i for i in positives if i not in held]
    assert [i for i in named if i[0] == "N"] == [f"N000000{n}" for n in (1, 3, 4, 5, 6)]
    assert [len(one.truth.labels) for one in images] == [i[0] == "P" for i in named]
    label = images[0].truth.labels[0]
    assert label == (0 if int(named[0][1:]) % 2 == 0 else 1)


def test_so_many_negatives_and_the_same_for_the_same_seed(workspace):
    learn(workspace, "large", ["P00002"])
    draws = [
        ids_of(workspace, validation_images(workspace, ("large",), negatives=3, seed=seed))
        for seed in (0, 0, 1, 2)
    ]

    assert draws[0] == draws[1]
    assert all(sum(i[0] == "N" for i in draw) == 3 for draw in draws)
    assert len({tuple(draw) for draw in draws}) > 1


def test_models_that_held_out_different_images_cannot_be_calibrated(workspace):
    positives = training_side(workspace, "P")
    learn(workspace, "large", positives[::2])
    learn(workspace, "small", positives[1::2])

    with pytest.raises(WorkspaceError) as caught:
        list(validation_images(workspace, ("large", "small")))
    assert str(caught.value) == (
        f"{workspace.root}: no positive is left that none of large, small has learnt from; "
        "train them with the same --seed and --validation"
    )


def test_a_model_that_is_not_there(workspace):
    with pytest.raises(WorkspaceError, match=r"models/none/run\.json: missing; run `sixrayd train"):
        list(validation_images(workspace, ("none",)))


def test_images_of_both_models_training_sides_alone(workspace, tmp_path):
    copy = Workspace(tmp_path / "workspace")
    shutil.copytree(workspace.root, copy.root)
    twins = ("P00002", "P00009", "P00010")  # alike, and without boxes
    one, two, three, *more = (i for i in training_side(copy, "P") if i not in twins)
    build_splits(copy, given={one: "test", two: "train", three: "train"})
    learn(copy, "own", [three])
    learn(copy, "theirs", [])
    run = copy.run("models", "theirs")
    copy.finish(replace(run, settings={"split": "given"}))

    held = set(ids_of(copy, validation_images(copy, ("own", "own"), 0)))
    assert held - set(twins) == {one, two, *more}
    assert ids_of(copy, validation_images(copy, ("own", "theirs"), 0)) == [two]
