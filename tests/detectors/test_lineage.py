"""What a model has learnt from, and the four places that ask."""

import shutil
from dataclasses import replace

import pytest

from sixrayd.benchmark.models import find_models
from sixrayd.core.index import Index
from sixrayd.core.workspace import Workspace
from sixrayd.detectors.lineage import (
    Lineage,
    lineage_of,
    lineage_of_all,
    lineage_of_start,
    unlearnt,
)
from sixrayd.mine.cascade import validation_images
from sixrayd.review.queue.positives import DoubtSettings, disputants, doubtful_positives
from sixrayd.train.stage import train
from tests.squares import QUICK, ingest, squares

ONCE = replace(QUICK, epochs=1, validation=0.6, input_size=96)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """Three models, each trained from the one before on another part of the release."""
    workspace = ingest(
        tmp_path_factory.mktemp("lineage"), squares(positives=16, negatives=40, hidden=0)
    )
    train(workspace, replace(ONCE, name="first", seed=1))
    train(workspace, replace(ONCE, name="second", seed=2, init="first"))
    by_path = workspace.folder("models", "second") / "weights.safetensors"
    train(workspace, replace(ONCE, name="third", seed=3, init=str(by_path)))
    return workspace


def shown(workspace, *models):
    """What these trainings showed their models, by the files they wrote."""
    files = (workspace.folder("models", model) / "seen.txt" for model in models)
    return {image_id for file in files for image_id in file.read_text().split()}


@pytest.fixture
def inherited(workspace):
    """Images of the training side that only earlier models than the third have learnt from."""
    before = shown(workspace, "first", "second") - shown(workspace, "third")
    assert {i[0] for i in before} == {"P", "N"}
    return before


def test_what_earlier_trainings_showed_was_learnt(workspace, inherited):
    third = lineage_of(workspace, "third")
    assert third == Lineage(frozenset(shown(workspace, "first", "second", "third")))
    assert inherited < third.images
    assert lineage_of(workspace, "first").images == shown(workspace, "first")


def test_a_cascade_is_not_calibrated_on_it(workspace, inherited):
    images = [one for one in validation_images(workspace, ("third",)) if len(one.truth.labels)]

    positives = Index.load(workspace).rows(source="positive", split="train")
    left = unlearnt(Index.load(workspace), positives, lineage_of(workspace, "third").images)
    assert len(images) == left.num_rows > 0
    assert inherited.isdisjoint(left["image_id"].to_pylist())


def test_who_learnt_a_positive_does_not_dispute_it(workspace, inherited):
    everything = DoubtSettings(("third",), min_score=1e-6, min_iou=0.99, tight_iou=1, device="cpu")
    found = doubtful_positives(workspace, everything)

    disputed = {item.image_id for item in found if {p.model for p in item.proposals} >= {"third"}}
    assert disputed
    assert inherited.isdisjoint(disputed)


def test_every_model_disputes_what_it_has_not_learnt(workspace):
    assert disputants(workspace) == ("first", "second", "third")


def test_the_benchmark_knows_it(workspace, inherited):
    chosen = find_models(workspace, workspace, ("rfb-small",), workspace.classes())
    (model,) = chosen.models.values()
    assert model.name == "third"
    assert inherited < model.lineage.images


def test_nothing_of_it_is_planted(workspace, inherited):
    assert inherited < lineage_of_all(workspace).images


def test_trainings_before_lineages_were_kept_are_followed(workspace, tmp_path, inherited):
    old = Workspace(shutil.copytree(workspace.root, tmp_path / "old"))
    for name in ("second", "third"):
        run = old.run("models", name)
        outputs = {k: v for k, v in run.outputs.items() if k != "inherited.txt"}
        settings = {**run.settings, "init": {"second": "first", "third": "second"}[name]}
        (old.folder("models", name) / "inherited.txt").unlink()
        old.finish(replace(run, settings=settings, outputs=outputs))
    assert lineage_of(old, "third") == lineage_of(workspace, "third")

    # The second is replaced by something else, so what the third started from is gone.
    run = old.run("models", "third")
    path = "models/second/weights.safetensors"
    old.finish(replace(run, inputs={**run.inputs, path: "0" * 64}))
    assert lineage_of(old, "third").unknown == ("an earlier second",)


@pytest.mark.long
def test_what_weights_of_others_learnt_from_is_not_known(workspace, tmp_path):
    theirs = tmp_path / "theirs.safetensors"
    shutil.copy(workspace.folder("models", "first") / "weights.safetensors", theirs)
    other = Workspace(shutil.copytree(workspace.root, tmp_path / "other"))
    result = train(other, replace(ONCE, name="fourth", init=str(theirs)))
    train(other, replace(ONCE, name="fifth", init="fourth"))

    assert lineage_of(other, "fifth").unknown == (str(theirs),)
    assert result.caution == (
        f"fourth started from {theirs}: whether that learnt from these images is not known, and "
        "results on them may flatter the model"
    )
    assert lineage_of_start(other, "vgg16") == lineage_of_start(other, "") == Lineage()


def test_a_model_of_another_workspace_keeps_its_lineage(workspace, tmp_path):
    path = workspace.folder("models", "third") / "weights.safetensors"
    assert lineage_of_start(Workspace(tmp_path), str(path)) == lineage_of(workspace, "third")


def test_the_benchmark_takes_weights_that_have_not_learnt_from_what_is_tested(workspace):
    third, first = shown(workspace, "third"), shown(workspace, "first")
    classes = workspace.classes()
    only = frozenset(third - shown(workspace, "first", "second"))
    assert only
    found = [
        find_models(workspace, workspace, ("rfb-small",), classes, tested).models["rfb-small"]
        for tested in (frozenset(), only, frozenset(first & third))
    ]
    assert [model.name for model in found] == ["third", "second", "third"]
    assert found[0].knows(only) == sorted(only)
