"""What a person may ask of crops, and how it reaches a command."""

import json
from dataclasses import asdict, replace

import click
import pytest
from click.testing import CliRunner

from sixrayd.core.errors import SettingsError
from sixrayd.crop.options import canny_options, tdc_options
from sixrayd.crop.settings import EXACT, FAST, SHARED, CannySettings, TdcKnobs, TdcSettings


@click.command(context_settings={"auto_envvar_prefix": "TAKE"})
@tdc_options(FAST, k="the best")
@canny_options
def take(tdc: TdcKnobs, canny: CannySettings) -> None:
    """Show what came."""
    click.echo(json.dumps([asdict(tdc.over(FAST)), asdict(canny)]))


def taken(*words, **env):
    done = CliRunner().invoke(take, words, env=env, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    tdc, canny = json.loads(done.stdout)
    return TdcSettings(**tdc), CannySettings(**canny)


def test_nothing_asked_for_leaves_the_base():
    assert TdcKnobs().asked == {}
    assert [TdcKnobs().over(base) for base in (EXACT, FAST, SHARED)] == [EXACT, FAST, SHARED]
    assert taken() == (FAST, CannySettings())


def test_the_edge_is_repeated_unless_the_map_is_the_detectors():
    assert [s.border for s in (EXACT, FAST, SHARED)] == ["edge", "edge", "zeros"]


def test_every_knob_turns_one_setting():
    knobs = TdcKnobs(0.25, 7, "41px", "zeros", "module", "rows", "exact")

    assert knobs.over(EXACT) == TdcSettings(
        7, 41, "pixels", 0.25, "rows", "module", "exact", border="zeros"
    )
    assert TdcKnobs(tdc_kernel="11").over(FAST) == replace(FAST, kernel=11, kernel_unit="cells")
    assert TdcKnobs(k=0.0, tdc_axes="rows").asked == {"k": 0.0, "tdc_axes": "rows"}


@pytest.mark.parametrize(
    ("form", "base", "expected"),
    [
        ("fast", EXACT, FAST),
        ("exact", FAST, EXACT),
        ("shared", FAST, SHARED),
        ("exact", replace(FAST, border="zeros"), replace(EXACT, border="zeros")),
        ("fast", replace(EXACT, k=0.3, axes="rows"), replace(FAST, k=0.3, axes="rows")),
        ("exact", replace(EXACT, layer=2), replace(EXACT, layer=2)),
    ],
)
def test_another_form_brings_its_layer_and_kernel(form, base, expected):
    assert TdcKnobs(tdc_form=form).over(base) == expected


def test_options_reach_the_command_as_one_object():
    words = "--k 0.2 --tdc-layer 9 --tdc-kernel 3 --tdc-border zeros --tdc-numbering module"
    tdc, canny = taken(*words.split(), "--tdc-axes", "columns", "--canny-low", "50")

    assert tdc == replace(
        FAST,
        **{"k": 0.2, "layer": 9, "kernel": 3, "kernel_unit": "cells", "border": "zeros"},
        **{"numbering": "module", "axes": "columns"},
    )
    assert canny == CannySettings(50, 200)
    env = {"TAKE_K": "0.3", "TAKE_TDC_FORM": "exact", "TAKE_CANNY_HIGH": "300"}
    assert taken(**env) == (replace(EXACT, k=0.3), CannySettings(100, 300))


def test_the_help_shows_what_the_base_has():
    said = " ".join(CliRunner().invoke(take, ["--help"]).stdout.split())

    assert "bounds the region. [default: the best]" in said
    assert "How TDC gets its map. [default: fast]" in said
    assert "TDC looks at. [default: 5; another form has its own]" in said
    assert "pixels as 72px. [default: 72px; another form has its own]" in said
    assert "[default: edge; shared has zeros]" in said
    assert "Show what came." in said


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"k": 1.5}, "tdc: k: 1.5, expected 0 <= k < 1"),
        ({"k": float("nan")}, "tdc: k: nan, expected 0 <= k < 1"),
        ({"tdc_layer": -1}, "tdc: layer: -1; convolutions count from 1, modules 0"),
        ({"tdc_border": "zero"}, "tdc: border: 'zero', expected one of zeros, edge"),
        ({"tdc_kernel": "8"}, "tdc: kernel: 8, expected odd cells, or pixels >= 1"),
        (
            {"tdc_kernel": "nine"},
            "tdc: kernel: 'nine', expected odd cells as 9, or pixels as 72px",
        ),
        (
            {"tdc_kernel": "9" * 7},
            "tdc: kernel: '9999999', expected odd cells as 9, or pixels as 72px",
        ),
        (
            {"tdc_form": "shared", "tdc_border": "edge"},
            "tdc: border: 'edge', expected zeros: the shared form's map is the detector's own; "
            "or choose another form",
        ),
    ],
)
def test_what_makes_no_sense_is_one_line(wrong, message):
    with pytest.raises(SettingsError) as caught:
        TdcKnobs(**wrong)
    assert str(caught.value) == message


def test_a_word_that_is_none_of_the_choices_is_a_usage_error():
    done = CliRunner().invoke(take, ["--tdc-axes", "diagonal"])

    assert done.exit_code == 2
    assert "'diagonal' is not one of 'both', 'columns', 'rows'." in done.output
