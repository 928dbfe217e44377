"""What an estimate may be asked for."""

import math

import pytest

from sixrayd.core.errors import SettingsError
from sixrayd.estimate.settings import EstimateSettings, SampleSettings, Target
from sixrayd.statistics.settings import BoundSettings


@pytest.mark.parametrize("units", [0, -1])
def test_a_draw_of_nothing_is_refused(units):
    with pytest.raises(SettingsError) as caught:
        SampleSettings(units=units)
    assert str(caught.value) == f"--sample {units}: expected 1 or more"


@pytest.mark.parametrize(
    "values", [(-1, None), (None, 0.0), (None, 1.01), (None, -0.5), (None, math.nan), (0, math.inf)]
)
def test_targets_out_of_range(values):
    with pytest.raises(SettingsError) as caught:
        Target(*values)
    assert str(caught.value) == (
        "targets: need --target-left of 0 or more and --target-recall above 0 and up to 1, got "
        f"{values[0]} and {values[1]}"
    )


def test_targets_in_range():
    for values in ((0, None), (None, 1.0), (None, 1e-9), (0, 1), (10**9, 0.5)):
        assert (Target(*values).left, Target(*values).recall) == values
    assert EstimateSettings().target == Target() == Target(None, None)


@pytest.mark.parametrize(
    ("confidence", "sensitivity"), [(0, 1), (1, 1), (0.95, -0.1), (0.95, 1.1), (math.nan, 1)]
)
def test_bounds_out_of_range(confidence, sensitivity):
    with pytest.raises(SettingsError) as caught:
        BoundSettings(confidence, sensitivity)
    assert str(caught.value) == (
        f"confidence {confidence:g} and sensitivity {sensitivity:g}: need to be above 0 and below "
        "1, and 0 to 1"
    )
