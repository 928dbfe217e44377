"""Settings with numbers that no stage can reckon with: each is refused by one line, at once."""

import pytest

from sixrayd.benchmark.settings import BenchmarkSettings
from sixrayd.core.errors import SettingsError
from sixrayd.demo.settings import DemoSettings
from sixrayd.mine.settings import MineSettings
from sixrayd.synth.settings import SynthSettings
from sixrayd.train.settings import TrainSettings

HUGE, NAN, INF = 10**400, float("nan"), float("inf")
EXTREMES = [
    (SynthSettings, "images", 10**9),
    (SynthSettings, "part_bytes", HUGE),
    (SynthSettings, "seed", HUGE),
    (SynthSettings, "workers", 1 << 63),
    (TrainSettings, "epochs", HUGE),
    (TrainSettings, "batch", HUGE),
    (TrainSettings, "learning_rate", 1e308),
    (TrainSettings, "learning_rate", NAN),
    (TrainSettings, "background", 1e308),
    (TrainSettings, "window", 1e9),
    (TrainSettings, "window", 1e-308),
    (TrainSettings, "seed", -1),
    (TrainSettings, "seed", HUGE),
    (MineSettings, "threads", 1 << 63),
    (MineSettings, "workers", HUGE),
    (BenchmarkSettings, "scale", NAN),
    (BenchmarkSettings, "scale", INF),
    (BenchmarkSettings, "margin", NAN),
    (BenchmarkSettings, "margin", INF),
    (BenchmarkSettings, "resamples", 10**9),
    (BenchmarkSettings, "seed", -1),
    (DemoSettings, "images", 10**9),
    (DemoSettings, "seed", -1),
    (DemoSettings, "epochs", 0),
    (DemoSettings, "budget", NAN),
    (DemoSettings, "error_rate", NAN),
]


@pytest.mark.parametrize(("settings", "field", "value"), EXTREMES)
def test_extremes_are_refused(settings, field, value):
    with pytest.raises(SettingsError) as caught:
        settings(**{field: value})
    name = field.replace("_", "-")
    assert str(caught.value).startswith(f"{name} {value}: ")


def test_the_range_is_said():
    with pytest.raises(SettingsError, match=r"^seed -1: expected 0 to 9,223,372,036,854,775,807$"):
        TrainSettings(seed=-1)
    TrainSettings(epochs=1_000_000, learning_rate=1e30, background=0, window=0, seed=(1 << 63) - 1)
