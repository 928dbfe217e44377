"""How a release may be taken."""

import math

import pytest

from sixrayd.core.errors import SettingsError
from sixrayd.download.settings import DownloadSettings


def test_defaults():
    settings = DownloadSettings("sixray")

    assert settings.classes == ("Gun", "Knife", "Wrench", "Pliers", "Scissors")
    assert (settings.seed, settings.test_share, settings.images_per_shard) == (0, 0.1, 2000)
    assert (settings.hash_distance, settings.on_error, settings.force) == (24, "stop", False)
    assert (settings.source, settings.connections, settings.keep_archives) == ("", 4, True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"test_share": -0.1}, "test-share: need 0 or more and below 1, got -0.1"),
        ({"test_share": 1}, "test-share: need 0 or more and below 1, got 1"),
        ({"test_share": math.nan}, "test-share: need 0 or more and below 1, got nan"),
        ({"images_per_shard": 0}, "images-per-shard: need 1 or more, got 0"),
        ({"hash_distance": -1}, "hash-distance: need 0 to 64 bits, got -1"),
        ({"hash_distance": 65}, "hash-distance: need 0 to 64 bits, got 65"),
        ({"connections": 0}, "connections: need 1 to 32, got 0"),
        ({"connections": 33}, "connections: need 1 to 32, got 33"),
        ({"on_error": "ignore"}, "on-error: need stop or skip, got 'ignore'"),
        ({"classes": ()}, "classes: need at least one name without blanks, got ()"),
        (
            {"classes": ("Gun", "")},
            "classes: need at least one name without blanks, got ('Gun', '')",
        ),
        ({"classes": ("Gun ",)}, "classes: need at least one name without blanks, got ('Gun ',)"),
        ({"classes": ("Gun", "gun")}, "classes: a name occurs twice in Gun, gun"),
    ],
)
def test_values_out_of_range(given, message):
    with pytest.raises(SettingsError) as caught:
        DownloadSettings("sixray", **given)
    assert str(caught.value) == message


def test_the_ends_of_each_range():
    for given in (
        {"test_share": 0},
        {"test_share": 0.999},
        {"hash_distance": 64},
        {"images_per_shard": 1},
    ):
        assert DownloadSettings("sixray", **given).release == "sixray"
