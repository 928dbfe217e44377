"""What the review's commands refuse to be asked for."""

import math

import pytest

from sixrayd.core.errors import SettingsError
from sixrayd.core.records import Rule
from sixrayd.review.settings import (
    AdjudicateSettings,
    AgreementSettings,
    NextSettings,
    PlantSettings,
    PullSettings,
    PushSettings,
    StatusSettings,
    WithdrawSettings,
)

SAID = "needs to be said, it is kept with the decision"


@pytest.mark.parametrize(
    ("settings", "wrong", "message"),
    [
        (
            PushSettings,
            {"origin": "negatives"},
            "--from 'negatives': expected mining, positives or tags",
        ),
        (PushSettings, {"origin": ""}, "--from '': expected mining, positives or tags"),
        (PushSettings, {"limit": 0}, "--limit 0: expected 1 or more"),
        (PushSettings, {"limit": -3}, "--limit -3: expected 1 or more"),
        (PushSettings, {"reviewers": 0}, "--reviewers 0: expected 1 to 9"),
        (PushSettings, {"reviewers": 10}, "--reviewers 10: expected 1 to 9"),
        (PushSettings, {"share": -0.1}, "--share -0.1: expected 0 to 1"),
        (PushSettings, {"share": 1.1}, "--share 1.1: expected 0 to 1"),
        (PushSettings, {"share": math.nan}, "--share nan: expected 0 to 1"),
        (AgreementSettings, {"resamples": 0}, "resamples: need 1 or more, got 0"),
        (WithdrawSettings, {"images": ()}, f"--images: {SAID}"),
        (WithdrawSettings, {"reason": ""}, f"--reason: {SAID}"),
        (WithdrawSettings, {"by": ""}, f"--by: {SAID}"),
        (PlantSettings, {"share": 0.0}, "share 0: needs to be above 0, at most 0.02"),
        (PlantSettings, {"share": 0.021}, "share 0.021: needs to be above 0, at most 0.02"),
        (PlantSettings, {"share": math.nan}, "share nan: needs to be above 0, at most 0.02"),
        (PlantSettings, {"shams": -0.5}, "shams -0.5, seed 0: need to be 0 or more"),
        (PlantSettings, {"seed": -1}, "shams 1, seed -1: need to be 0 or more"),
    ],
)
def test_out_of_range(settings, wrong, message):
    needed = {"images": ("N1",), "reason": "wrong bag", "by": "carl"}
    given = (needed if settings is WithdrawSettings else {}) | wrong
    with pytest.raises(SettingsError) as caught:
        settings(**given)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("settings", "given"),
    [
        (PushSettings, {"limit": 1, "reviewers": 9, "share": 0.0}),
        (PushSettings, {"origin": "positives", "share": 1.0}),
        (AgreementSettings, {"resamples": 1}),
        (PlantSettings, {"share": 0.02, "shams": 0.0}),
    ],
)
def test_the_ends_of_the_ranges_are_in_them(settings, given):
    made = settings(**given)
    assert {name: getattr(made, name) for name in given} == given


def test_what_is_asked_for_where_nothing_is_said():
    push = PushSettings()
    assert (push.name, push.origin, push.limit, push.reviewers, push.share) == (
        *("", "mining", None, 1),
        1.0,
    )
    assert not (push.duplicates or push.again or PullSettings().full)
    for settings in (PushSettings, PullSettings, AdjudicateSettings, StatusSettings):
        assert (settings().url, settings().token_file) == ("", None)
    assert AdjudicateSettings().consensus == Rule.ADJUDICATOR
    assert NextSettings().rule == AgreementSettings().rule == Rule.ADJUDICATOR
    assert PlantSettings() == PlantSettings("", 0.02, 1.0, 0)
