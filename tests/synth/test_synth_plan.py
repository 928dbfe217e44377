"""Shares, names and repeats of a plan, and settings out of range."""

import pytest

from sixrayd.core.errors import SettingsError
from sixrayd.synth.plan import plan_release
from sixrayd.synth.settings import SynthSettings


def test_shares_are_as_asked() -> None:
    settings = SynthSettings(1200, 5, positives=0.28, hidden=0.06, duplicates=0.06)
    plans = plan_release(settings)
    kinds = [plan.kind for plan in plans]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "positive": 336,
        "hidden": 52,
        "clean": 812,
    }
    repeats = [plan for plan in plans if plan.repeated and plan.scene_kind == plan.kind]
    assert [sum(p.kind == kind for p in repeats) for kind in ("positive", "hidden", "clean")] == [
        20,
        3,
        49,
    ]
    copies = [plan for plan in plans if plan.scene_kind != plan.kind]
    assert [(plan.kind, plan.scene_kind) for plan in copies] == [("hidden", "positive")] * 3


def test_names_count_up_within_each_kind() -> None:
    plans = plan_release(SynthSettings(10, positives=0.3))
    assert [plan.name for plan in plans] == [
        "P00001",
        "P00002",
        "P00003",
        *[f"N{number:07d}" for number in range(1, 8)],
    ]


def test_every_repeat_points_at_an_original_of_the_right_kind() -> None:
    plans = plan_release(SynthSettings(400, 3, hidden=0.2, duplicates=0.3, hidden_copies=0.2))
    by_number = {plan.number: plan for plan in plans}
    repeats = [plan for plan in plans if plan.repeated]
    assert len(repeats) == 132
    for plan in repeats:
        source = by_number[plan.scene]
        assert not source.repeated
        assert source.kind == plan.scene_kind


@pytest.mark.parametrize(
    ("settings", "counts"),
    [
        (SynthSettings(5, positives=0.0, hidden=0.0), (0, 0, 5)),
        (SynthSettings(5, positives=1.0), (5, 0, 0)),
        (SynthSettings(4, positives=0.0, hidden=1.0, duplicates=1.0, hidden_copies=1.0), (0, 4, 0)),
        (SynthSettings(1, positives=1.0, duplicates=1.0), (1, 0, 0)),
    ],
)
def test_extreme_shares(settings, counts) -> None:
    kinds = [plan.kind for plan in plan_release(settings)]
    assert tuple(kinds.count(kind) for kind in ("positive", "hidden", "clean")) == counts


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": 0}, "images 0: expected 1 to 2,000,000"),
        ({"workers": 0}, "workers 0: expected 1 to 1,024"),
        ({"part_bytes": 0}, "part-bytes 0: expected 1 to 4,611,686,018,427,387,904"),
        ({"seed": -1}, "seed -1: expected 0 to 9,223,372,036,854,775,807"),
        ({"hidden": 1.5}, "hidden 1.5: expected 0 to 1"),
        ({"jpeg_quality": 0}, "jpeg-quality 0: expected 1 to 95"),
        ({"classes": ()}, "classes: need each class once, got ()"),
        ({"classes": ("Gun", "Gun")}, "classes: need each class once, got ('Gun', 'Gun')"),
        (
            {"classes": ("Gun", "Hammer")},
            "classes: cannot draw 'Hammer'; choose among Gun, Knife, Wrench, Pliers, Scissors",
        ),
    ],
)
def test_settings_out_of_range(options, message) -> None:
    with pytest.raises(SettingsError) as caught:
        SynthSettings(**options)
    assert str(caught.value) == message
