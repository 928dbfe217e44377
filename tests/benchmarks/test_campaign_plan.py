"""The forecasts of a plan against simulated campaigns, in short."""

import pytest

from benchmarks.campaign_plan import World, campaign, shares_held

WORLD = World(negatives=40_000, hidden=0.0025, days=5, hours=0.5, known=300)


@pytest.mark.long
def test_what_is_foreseen_comes_true_as_often_as_it_says():
    told = [each for seed in range(8) for each in campaign(WORLD, seed, (0, 3), draws=150)]
    held = shares_held(told)

    assert sorted(held) == [0, 3] and len(told) == 16
    # Ninety per cent are promised: five of eight or fewer would be so in 4 of 100 such tests.
    for row in held.values():
        assert min(row["finds"], row["left"], row["hours"]) >= 0.75
    assert held[3]["finds width"] < 0.7 * held[0]["finds width"]


def test_a_campaign_depends_on_the_seed_alone():
    first, again = (campaign(WORLD, 3, (0,), draws=60) for _ in range(2))

    assert first == again
    assert first[0].true_finds > 0 and first[0].true_left > 0
