"""Mining that crops: what it records, goes on with, and refuses."""

import json
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest

from sixrayd.cli import cli
from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.index import Index
from sixrayd.core.records import Source
from sixrayd.core.workspace import Workspace
from sixrayd.crop.region import area_removed, size_wh
from sixrayd.crop.settings import FAST, TdcKnobs
from sixrayd.crop.tdc_forms import TdcCropper
from sixrayd.detectors.checkpoints import load_checkpoint
from sixrayd.imaging.decode import decode_rgb
from sixrayd.mine.forecast import forecast
from sixrayd.mine.settings import MineSettings
from sixrayd.mine.stage import mine

SETTINGS = MineSettings(batch=4, mirror=False, threshold=0.02, backend="torch", crop="tdc")
ZEROS = replace(SETTINGS, tdc=TdcKnobs(tdc_border="zeros"))
FIRST = "negatives-00000.tar"
RESULTS = ("candidates.parquet", "look.json", "run.json", "skipped.jsonl")


def copied(workspace, folder):
    shutil.copytree(workspace.root, folder)
    return Workspace(folder)


def results(workspace):
    folder = workspace.folder("mine", "rfb-small")
    return {name: (folder / name).read_bytes() for name in RESULTS}


def by_hand(workspace, tdc):
    """Shares removed of the negatives that can be read."""
    weights = workspace.output("models", "rfb-small", "weights.safetensors")
    cropper = TdcCropper(load_checkpoint(weights).detector, tdc)
    index = Index.load(workspace)
    ids = index.rows(source=Source.NEGATIVE)["image_id"].to_pylist()
    images = [decode_rgb(index.read(i), i) for i in ids if i != "N0000030"]
    regions = cropper.regions(images)
    return [area_removed(r, size_wh(i)) for r, i in zip(regions, images, strict=True)]


def forget(workspace, name):
    """Make a mining as those were that said nothing of TDC."""
    path = workspace.folder("mine", "rfb-small") / name
    run = json.loads(path.read_text())
    assert run["settings"].pop("tdc")["border"] == "zeros"
    for key in ("cropped", "area_removed_median", "area_removed_mean"):
        run["summary"].pop(key, None)
    path.write_text(json.dumps(run))


def test_what_was_cropped_away_is_recorded_and_said(workspace, runner):
    expected = by_hand(workspace, FAST)
    assert 0.03 < np.mean(expected) < 0.9

    words = ["mine", "-w", str(workspace.root), "--crop", "tdc", "--threshold", "0.02"]
    words += ["--no-mirror", "--backend", "torch"]
    done = runner.invoke(cli, words, catch_exceptions=False)

    assert done.exit_code == 3
    run = workspace.run("mine", "rfb-small")
    assert run.settings["tdc"] == asdict(FAST)
    assert run.summary["cropped"] == len(expected) == 29
    assert run.summary["area_removed_median"] == pytest.approx(np.median(expected), abs=6e-4)
    assert run.summary["area_removed_mean"] == pytest.approx(np.mean(expected), abs=6e-4)
    said = done.stdout.splitlines()[1]
    assert said.startswith("cropped away: median ")
    assert said.endswith(" of the area of 29 images")
    again = runner.invoke(cli, [*words, "--json"], catch_exceptions=False)
    assert json.loads(again.stdout)["cropped"] == 29


@pytest.mark.parametrize("form", ["fast", "shared"])
@pytest.mark.long
def test_interrupted_it_ends_in_the_same_bytes(workspace, tmp_path, form):
    backend, dynamic = ("auto", True) if form == "shared" else ("torch", False)
    knobs = TdcKnobs(tdc_form=form)
    settings = replace(SETTINGS, tdc=knobs, backend=backend, dynamic=dynamic)
    whole = copied(workspace, tmp_path / "whole")
    assert mine(whole, settings).backend == "torch"  # which alone gives the shared form's map

    part = mine(workspace, replace(settings, shards=(FIRST,), batch=3))
    assert (part.shards_done, part.cropped) == (1, 10)
    mine(workspace, replace(settings, batch=7))

    assert results(workspace) == results(whole)


def test_other_knobs_are_another_mining(workspace):
    mine(workspace, SETTINGS)

    for knobs, said in (
        (TdcKnobs(k=0.3), "k 0.15 there, 0.3 asked for"),
        (TdcKnobs(tdc_form="exact"), "form fast there, exact asked for"),
        (TdcKnobs(tdc_axes="rows"), "axes both there, rows asked for"),
    ):
        with pytest.raises(WorkspaceError) as caught:
            mine(workspace, replace(SETTINGS, tdc=knobs))
        assert said in str(caught.value)
    same = TdcKnobs(k=0.15, tdc_layer=5, tdc_kernel="72px", tdc_border="edge", tdc_form="fast")
    assert not mine(workspace, replace(SETTINGS, tdc=same)).fresh


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.long
def test_an_older_mining_goes_on_as_it_began(workspace, tmp_path, capsys, settled):
    whole = copied(workspace, tmp_path / "whole")
    mine(whole, ZEROS)
    mine(workspace, replace(ZEROS, shards=(FIRST,)))
    forget(workspace, "plan.json")
    folder = workspace.folder("mine", "rfb-small")
    if not settled:
        (folder / "look.json").unlink()
    capsys.readouterr()

    assert mine(workspace, SETTINGS).fresh

    assert capsys.readouterr().err.splitlines()[0] == (
        f"{folder}: was begun with zeros beyond the border and stays so; --force mines anew with "
        "what is asked for now"
    )
    assert "tdc" not in workspace.run("mine", "rfb-small").settings
    assert results(workspace)["candidates.parquet"] == results(whole)["candidates.parquet"]


@pytest.mark.long
def test_an_older_result_stays_until_it_is_replaced(workspace):
    mine(workspace, ZEROS)
    forget(workspace, "run.json")

    for settings in (SETTINGS, ZEROS):
        found = mine(workspace, settings)
        assert (found.fresh, found.cropped, found.removed.lines()) == (False, 0, [])
    assert forecast(workspace, SETTINGS).shards_left == 0
    with pytest.raises(WorkspaceError, match=r"k not set there, 0.3 asked for"):
        mine(workspace, replace(SETTINGS, tdc=TdcKnobs(k=0.3)))
    assert mine(workspace, replace(SETTINGS, force=True)).fresh
    assert workspace.run("mine", "rfb-small").settings["tdc"]["border"] == "edge"


@pytest.mark.long
def test_a_cascade_counts_what_its_second_detector_saw(workspace, tmp_path):
    shutil.copytree(workspace.folder("models", "rfb-small"), workspace.folder("models", "first"))
    cascade = replace(SETTINGS, model="rfb-small", cascade="first", keep=0.2)

    result = mine(workspace, cascade)

    assert 0 < result.cropped < 29


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        (
            {"crop": "none", "tdc": TdcKnobs(k=0.2)},
            "k, tdc-…: say nothing of crop 'none'; add --crop tdc, or leave them out",
        ),
        (
            {"crop": "tiles", "tdc": TdcKnobs(tdc_form="exact")},
            "k, tdc-…: say nothing of crop 'tiles'; add --crop tdc, or leave them out",
        ),
        (
            {"backend": "openvino", "tdc": TdcKnobs(tdc_form="shared")},
            "backend openvino: cannot give the map that TDC's shared form crops; pass --backend "
            "torch, or --tdc-form exact or fast",
        ),
    ],
)
def test_what_makes_no_sense_together_is_one_line(wish, message):
    with pytest.raises(SettingsError) as caught:
        replace(SETTINGS, **wish)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        (TdcKnobs(tdc_layer=90), r"^tdc: layer: no convolution 90, the backbone has \d+$"),
        (
            TdcKnobs(tdc_layer=12, tdc_form="shared"),
            r"^tdc: layer: 12 lies in module \d of the backbone, but the shared form can only crop "
            r"before its first source map, module 6; choose an earlier layer or another form$",
        ),
    ],
)
def test_a_layer_that_is_not_there_leaves_everything_as_it_was(workspace, knobs, message):
    with pytest.raises(SettingsError, match=message):
        mine(workspace, replace(SETTINGS, tdc=knobs, force=True))

    assert not workspace.folder("mine").exists()
