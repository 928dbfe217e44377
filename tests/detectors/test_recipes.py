"""The learning rate at each epoch, in the published number of epochs and in fewer."""

import pytest

from sixrayd.detectors.catalogue import DETECTORS, start_of


def rates(detector, epochs):
    """At the start of each epoch, and at the end."""
    recipe = DETECTORS[detector].recipe.lasting(epochs)
    assert recipe.epochs == epochs
    return [recipe.rate_after(epoch) for epoch in range(epochs + 1)]


@pytest.mark.parametrize("name", ["rfb300", "rfb512"])
def test_rfb_warms_up_and_steps_once(name):
    found = rates(name, 200)

    assert found[:6] == pytest.approx([4e-6, 8e-4, 1.6e-3, 2.4e-3, 3.2e-3, 4e-3])
    assert found[5:150] == [4e-3] * 145
    assert found[150:] == pytest.approx([4e-4] * 51)


@pytest.mark.parametrize("name", ["ssd300", "ssd512"])
def test_ssd_steps_twice_without_a_warm_up(name):
    found = rates(name, 200)

    assert found[:155] == [1e-3] * 155
    assert found[155:193] == pytest.approx([1e-4] * 38)
    assert found[193:] == pytest.approx([1e-5] * 8)


def test_retinanet_takes_the_paper_s_epochs_too():
    found = rates("retinanet512", 200)

    assert found[:5] == pytest.approx([1e-5, 2.5e-3, 5e-3, 7.5e-3, 1e-2])
    assert found[4:123] == [1e-2] * 119
    assert found[123:169] == pytest.approx([1e-3] * 46)
    assert found[169:] == pytest.approx([1e-4] * 32)


def test_twelve_epochs_drop_their_rate_in_proportion():
    rfb, ssd, retinanet = (rates(n, 12) for n in ("rfb512", "ssd512", "retinanet512"))

    assert rfb == pytest.approx([4e-6, *[4e-3] * 8, *[4e-4] * 4])
    assert ssd == pytest.approx([*[1e-3] * 10, 1e-4, 1e-4, 1e-5])
    assert retinanet == pytest.approx([1e-5, *[1e-2] * 7, *[1e-3] * 3, *[1e-4] * 2])


def test_steps_fall_within_an_epoch_where_their_place_does():
    recipe = DETECTORS["ssd512"].recipe.lasting(12)  # 155 and 193 of 200

    assert recipe.steps == (9.3, 11.58)
    assert [recipe.rate_after(e) for e in (9.29, 9.3, 11.57, 11.58)] == pytest.approx(
        [1e-3, 1e-4, 1e-4, 1e-5]
    )
    warm = DETECTORS["rfb512"].recipe.lasting(12)
    assert (warm.warmup_epochs, warm.steps) == (0.3, (9.0,))
    assert [warm.rate_after(e) for e in (0.0, 0.15, 0.3)] == pytest.approx([4e-6, 2e-3, 4e-3])


def test_in_twenty_six_epochs_retinanet_has_torchvision_s_schedule():
    recipe = DETECTORS["retinanet512"].recipe.lasting(26)

    assert recipe.warmup_epochs == pytest.approx(0.5, abs=0.03)
    assert recipe.steps == pytest.approx((16, 22), abs=0.04)


def test_longer_trainings_hold_their_rate_longer():
    recipe = DETECTORS["rfb512"].recipe.lasting(400)

    assert (recipe.warmup_epochs, recipe.steps) == (10.0, (300.0,))


def test_a_cosine_ends_with_the_training_and_keeps_its_warm_up():
    whole, short = rates("rfb-small", 24), rates("rfb-small", 4)

    assert whole[:2] == pytest.approx([2e-6, 1.9977e-3], rel=1e-4)
    assert short == pytest.approx([2e-6, 1.9019e-3, 1.2305e-3, 3.9275e-4, 2e-5], rel=1e-3)
    assert whole[-1] == pytest.approx(2e-5)
    assert DETECTORS["rfb-small"].recipe.lasting(4).warmup_epochs == 0.5


def test_the_recipe_s_own_epochs_change_nothing():
    for kind in DETECTORS.values():
        assert kind.recipe.lasting(kind.recipe.epochs) == kind.recipe


def test_published_recipes_start_from_imagenet_and_small_ones_at_random():
    assert {name: start_of(name, "auto") for name in DETECTORS} == {
        "rfb-small": "",
        "ssd-small": "",
        "retinanet-small": "",
        "rfb-lite0": "efficientnet-lite0",
        "ssd-lite0": "efficientnet-lite0",
        "retinanet-lite0": "efficientnet-lite0",
        "rfb300": "vgg16-reduced",
        "rfb512": "vgg16-reduced",
        "ssd300": "vgg16-reduced",
        "ssd512": "vgg16-reduced",
        "retinanet512": "resnet50",
    }
    assert [start_of("rfb512", init) for init in ("none", "", "mine")] == ["", "", "mine"]
