"""A second training that learns from reviewers' decisions."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from sixrayd.cli import cli
from sixrayd.core.boxes import Box
from sixrayd.core.errors import AnnotationError, SettingsError, WorkspaceError
from sixrayd.core.files import sha256_file, write_json
from sixrayd.core.index import Index
from sixrayd.core.records import TRAINING_SCHEMA
from sixrayd.core.tables import write_table
from sixrayd.core.workspace import Run, Workspace
from sixrayd.detectors.catalogue import DETECTORS
from sixrayd.detectors.checkpoints import load_checkpoint
from sixrayd.review.folder import ReviewFolder
from sixrayd.review.next_round import next_round
from sixrayd.train.data import TrainingData
from sixrayd.train.round import Round, load_round
from sixrayd.train.stage import train
from tests.squares import QUICK, ingest, squares
from tests.workspaces import MISSED, NOTHING, UNSURE, Says, build_mine, build_review

ONCE = replace(QUICK, epochs=1, batch=4, input_size=96)
GUN = {"label": "Gun", "x1": 10.0, "y1": 20.0, "x2": 36.0, "y2": 46.0}


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    folder = tmp_path_factory.mktemp("round")
    workspace = ingest(folder, squares(positives=12, negatives=24, hidden=6))
    train(workspace, ONCE)
    return workspace


@pytest.fixture
def workspace(ingested, tmp_path):
    shutil.copytree(ingested.root, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


def decide(workspace, roles, name="first"):
    """A round of images with their roles; positives get one Gun."""
    rows = [
        {"image_id": i, "role": role, "boxes": [GUN] if role == "positive" else []}
        for i, role in sorted(roles.items())
    ]
    write_table(workspace.folder("review", name) / "training.parquet", rows, TRAINING_SCHEMA)


def ids(workspace, source, split="train"):
    return [r.image_id for r in Index.load(workspace).select(source=source, split=split)]


def data(workspace, epochs=50, background=1.0, **settings):
    recipe = replace(DETECTORS["rfb-small"].recipe, epochs=epochs, background=background)
    run = Run("models", "m", {"seed": 0, "validation": 0.3, **settings}, {})
    return TrainingData(workspace, run, recipe)


def test_found_images_are_learnt_from_and_those_in_doubt_are_not(workspace):
    found, hard, doubt, *plain = ids(workspace, "negative")
    decide(workspace, {found: "positive", hard: "hard negative", doubt: "left out"})

    before, after = data(workspace), data(workspace, round="first")

    boxes = {e.image_id: (e.boxes, e.labels) for e in after.positives}
    assert boxes.pop(found) == (((10.0, 20.0, 36.0, 46.0),), (1,))
    assert boxes == {e.image_id: (e.boxes, e.labels) for e in before.positives}
    assert [e.image_id for e in after.hard] == [hard]
    assert {e.image_id for e in before.backgrounds} == {found, hard, doubt, *plain}
    assert {e.image_id for e in after.backgrounds} == set(plain)
    assert after.seen() == sorted([*boxes, found, hard, *plain])
    assert after.validation == before.validation != []
    assert after.added == {"positives": 1, "hard negatives": 1, "left out": 1, "not used": 0}


def test_settled_boxes_replace_the_releases_and_doubtful_positives_go(workspace):
    before = data(workspace)
    mended, doubt = (e.image_id for e in before.positives[:2])
    decide(workspace, {mended: "positive", doubt: "left out"})

    after = data(workspace, round="first")

    boxes = {e.image_id: e.boxes for e in after.positives}
    assert len(after.positives) == len(boxes)
    assert boxes == {e.image_id: e.boxes for e in before.positives if e.image_id != doubt} | {
        mended: ((10.0, 20.0, 36.0, 46.0),)
    }


def test_what_is_held_out_stays_held_out_with_the_releases_boxes(workspace):
    before = data(workspace)
    held = before.validation[0]
    path = workspace.shards / "index.parquet"
    table = Index.load(workspace).table
    found, hard = ids(workspace, "negative")[:2]
    groups = [
        held.group if i in (found, hard) else group
        for i, group in zip(table["image_id"].to_pylist(), table["group"].to_pylist(), strict=True)
    ]
    place = table.schema.names.index("group")
    write_table(path, table.set_column(place, table.schema.field(place), [groups]), table.schema)
    decide(workspace, {found: "positive", hard: "hard negative", held.image_id: "positive"})

    after = data(workspace, round="first")

    assert after.validation == before.validation
    assert after.truth(held).xyxy.tolist() == before.truth(held).xyxy.tolist()
    assert {found, hard, held.image_id} & set(after.seen()) == set()
    assert after.positives == before.positives
    assert after.added == {"positives": 0, "hard negatives": 0, "left out": 0, "not used": 3}


def test_hard_negatives_take_half_of_the_backgrounds_and_none_without_backgrounds(workspace):
    decide(workspace, dict.fromkeys(ids(workspace, "negative")[:8], "hard negative"))

    shown = data(workspace, epochs=1, round="first")
    none = data(workspace, background=0.0, round="first")

    wanted = len(shown.positives)
    assert len(shown.hard) == 8 > wanted // 2
    assert len(shown.backgrounds) == wanted - wanted // 2
    assert (none.hard, none.backgrounds) == ((), ())


def test_a_round_with_an_image_of_the_test_side_is_refused(workspace):
    foreign = ids(workspace, "positive", "test")[0]
    decide(workspace, {foreign: "positive"})

    with pytest.raises(WorkspaceError) as caught:
        train(workspace, replace(ONCE, name="second", round="first"))

    assert str(caught.value) == (
        f"{foreign}: is not of the training side, and in the round; run `sixrayd review next` again"
    )


def review(workspace):
    """Reviewers' answers on three negatives of the training side and one of the test side."""
    images = [*ids(workspace, "negative")[:3], ids(workspace, "negative", "test")[0]]
    box = (*GUN.values(), "drawn", "")
    answers = zip(images, (MISSED, NOTHING, UNSURE, MISSED), strict=True)
    says = [Says(i, verdict, (box,) if verdict == MISSED else ()) for i, verdict in answers]
    build_mine(workspace, "first", images)
    build_review(workspace, "first", images, [says])
    next_round(workspace)
    return images


def test_a_round_of_before_decisions_were_withdrawn_is_named(workspace):
    found, *_ = review(workspace)
    words = ["train", "-w", str(workspace.root), "--round", "first", "--name", "rfb-small"]
    fresh = CliRunner().invoke(cli, words)
    folder = ReviewFolder(workspace, "first")
    (row,) = (row for row in folder.decisions() if row["image_id"] == found)
    folder.append_decisions([{**row, "version": 2, "follows": 1, "withdrawn": True}])
    outdated = CliRunner().invoke(cli, words)

    again = f"sixrayd review next --name first -w {workspace.root}"
    caution = (
        "caution: --round first: decisions or the release have changed since it was written, and "
        f"it is learnt from as it is; `{again}` writes it anew"
    )
    assert caution not in fresh.stderr.splitlines()
    assert caution in outdated.stderr.splitlines()
    assert "holds another training" in str(outdated.exception)  # not replaced unasked


def test_a_training_that_cannot_begin_leaves_the_model_that_it_was_to_replace(workspace):
    """`next:` names `--force` where inputs have changed, such as classes that a round knows."""
    found = ids(workspace, "negative")[0]
    decide(workspace, {found: "positive"})
    before = {p.name: sha256_file(p) for p in (workspace.root / "models/rfb-small").iterdir()}
    rows = [{"image_id": found, "role": "positive", "boxes": [{**GUN, "label": "Laser"}]}]
    path = workspace.folder("review", "first") / "training.parquet"
    write_table(path, rows, TRAINING_SCHEMA)
    with pytest.raises(AnnotationError, match="class 'Laser' is none of"):
        train(workspace, replace(ONCE, round="first", name="rfb-small", force=True))
    after = {p.name: sha256_file(p) for p in (workspace.root / "models/rfb-small").iterdir()}
    assert after == before


def test_a_second_round_starts_from_the_first_by_name_and_ends_in_the_same_bytes(
    workspace, tmp_path
):
    found, hard, doubt, foreign = review(workspace)
    twin = Workspace(tmp_path / "twin")
    shutil.copytree(workspace.root, twin.root)
    settings = replace(ONCE, name="second", round="first", init="rfb-small", learning_rate=5e-4)

    results = [train(w, settings) for w in (workspace, twin)]

    folder = Path(results[0].folder)
    for name in ("weights.safetensors", "metrics.csv", "seen.txt", "run.json"):
        second = Path(results[1].folder) / name
        assert (folder / name).read_bytes() == second.read_bytes(), name
    seen = set((folder / "seen.txt").read_text().split())
    assert {found, hard, doubt, foreign} & seen == {found, hard}
    run = json.loads((folder / "run.json").read_text())
    round_file = workspace.folder("review", "first") / "training.parquet"
    assert run["inputs"]["review/first/training.parquet"] == sha256_file(round_file)
    assert "models/rfb-small/weights.safetensors" in run["inputs"]
    assert run["summary"]["init"]["at_random"] == []
    assert results[0].round == run["summary"]["round"]
    assert not train(workspace, settings).fresh
    decide(workspace, {found: "positive"})
    with pytest.raises(WorkspaceError, match=r"training\.parquet is another"):
        train(workspace, settings)


@pytest.mark.long
@pytest.mark.parametrize("detector", ["ssd-small", "retinanet-small"])
def test_the_other_small_detectors_start_from_their_own_weights(workspace, detector):
    settings = replace(ONCE, detector=detector)
    train(workspace, settings)

    train(workspace, replace(settings, name="again", init=detector))

    run = workspace.run("models", "again")
    assert (run.summary["init"]["skipped"], run.summary["init"]["at_random"]) == ([], [])
    assert load_checkpoint(workspace.folder("models", "again") / "weights.safetensors")


def test_a_training_does_not_replace_what_it_starts_from(workspace):
    weights = workspace.folder("models", "rfb-small") / "weights.safetensors"

    for source in ("rfb-small", str(weights)):
        with pytest.raises(SettingsError) as caught:
            train(workspace, replace(ONCE, init=source, force=True))
        assert str(caught.value) == (
            f"--init {source}: is what this training would replace; give it another --name"
        )
    assert weights.exists()


def test_a_round_that_is_not_written_names_the_command(workspace):
    with pytest.raises(WorkspaceError) as caught:
        train(workspace, replace(ONCE, name="second", round="first"))

    path = workspace.folder("review", "first") / "training.parquet"
    assert str(caught.value) == f"{path}: missing; run `sixrayd review next --name first` first"


def test_a_round_of_a_mistyped_review_names_those_that_are_there(workspace):
    workspace.folder("review", "first").mkdir(parents=True)
    with pytest.raises(WorkspaceError) as caught:
        train(workspace, replace(ONCE, name="second", round="frist"))

    path = workspace.folder("review", "frist") / "training.parquet"
    advice = "there is no such review; name one that is there: first"
    assert str(caught.value) == f"{path}: missing; {advice}"


def test_trainings_without_a_round_are_recorded_as_before_rounds(workspace):
    run = workspace.run("models", "rfb-small")

    assert "round" not in run.settings
    assert "round" not in run.summary


def test_a_role_that_nobody_knows_is_refused(tmp_path):
    workspace = Workspace(tmp_path)
    decide(workspace, {"N0000001": "leader"})
    path = workspace.folder("review", "first") / "training.parquet"
    write_json(path.with_suffix(".json"), {"settings": {}})
    with pytest.raises(WorkspaceError) as caught:
        load_round(workspace, "first")
    assert str(caught.value).startswith(f"{path}: role 'leader': no known role; refused")


def test_load_round_tells_the_roles_apart(workspace):
    decide(workspace, {"N1": "positive", "N2": "hard negative", "N3": "left out"})

    found = load_round(workspace, "first")

    box = Box("Gun", 10.0, 20.0, 36.0, 46.0)
    assert found == Round({"N1": (box,)}, frozenset({"N2"}), frozenset({"N3"}))
    assert found.decided == {"N1", "N2", "N3"}
