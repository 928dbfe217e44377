"""Colours by material, the belt's background, noise, and what is burnt in."""

import colorsys

import numpy as np
import pytest

from sixrayd.synth.materials import ALUMINIUM, STEEL, WATER, linear_attenuation
from sixrayd.synth.overlay import burn_in
from sixrayd.synth.scanner import Scanner, choose_scanner, coloured, scan

VIVID = Scanner("vivid", (255, 255, 255), 20_000, 0.5, 1.0)
MUTED = Scanner("muted", (226, 226, 224), 20_000, 0.5, 1.0)


def slab(material, thickness_cm: float) -> np.ndarray:
    """(2, 60, 60) optical depth with a slab in the middle."""
    depth = np.zeros((2, 60, 60), dtype=np.float32)
    for band, attenuation in enumerate(linear_attenuation(material)):
        depth[band, 15:45, 15:45] = attenuation * thickness_cm
    return depth


def hue_deg(picture: np.ndarray) -> float:
    """Hue of the middle's mean colour, 0..360."""
    red, green, blue = picture[25:35, 25:35].reshape(-1, 3).mean(axis=0) / 255
    return 360 * colorsys.rgb_to_hsv(red, green, blue)[0]


@pytest.mark.parametrize("scanner", [VIVID, MUTED])
@pytest.mark.parametrize(
    ("material", "thickness_cm", "low", "high"),
    [(WATER, 5.0, 15, 45), (ALUMINIUM, 1.5, 80, 150), (STEEL, 0.2, 190, 250)],
)
def test_material_decides_the_colour(scanner, material, thickness_cm, low, high) -> None:
    picture = scan(slab(material, thickness_cm), scanner, np.random.default_rng(0))
    assert low <= hue_deg(picture) <= high


def test_more_of_it_is_darker() -> None:
    for material in (WATER, ALUMINIUM, STEEL):
        thin, thick = (
            coloured(slab(material, cm), VIVID)[30, 30].astype(int).sum() for cm in (0.1, 0.6)
        )
        assert thick < thin


def test_thick_steel_is_nearly_black_or_pure_blue() -> None:
    rng = np.random.default_rng(0)
    assert scan(slab(STEEL, 3.0), VIVID, rng)[30, 30].max() < 50
    red, green, blue = (int(v) for v in scan(slab(STEEL, 3.0), MUTED, rng)[30, 30])
    assert (red < 30, green < 30, blue > 170) == (True, True, True)


@pytest.mark.parametrize("scanner", [VIVID, MUTED])
def test_empty_belt_has_the_background(scanner) -> None:
    picture = scan(np.zeros((2, 60, 80), dtype=np.float32), scanner, np.random.default_rng(0))
    assert picture.shape == (60, 80, 3)
    assert picture.dtype == np.uint8
    assert np.abs(picture.mean(axis=(0, 1)) - scanner.background).max() < 4


def test_grey_scanner_shows_no_colour() -> None:
    grey = Scanner("vivid", (250, 250, 250), 5_000, 0.5, 1.0, grey=True)
    picture = scan(slab(WATER, 4.0), grey, np.random.default_rng(0))
    assert (picture[..., 0] == picture[..., 1]).all()
    assert (picture[..., 0] == picture[..., 2]).all()


def test_fewer_photons_are_noisier() -> None:
    def spread(photons: float) -> float:
        scanner = Scanner("vivid", (255, 255, 255), photons, 0.5, 0.0)
        picture = scan(slab(WATER, 5.0), scanner, np.random.default_rng(0))
        return float(picture[20:40, 20:40, 2].astype(float).std())

    assert spread(1_000) > 2 * spread(30_000)


def test_bars_and_stripes_are_drawn() -> None:
    marked = Scanner("vivid", (255, 255, 255), 1e8, 0.5, 0.0, bars=2, stripes=20)
    picture = scan(np.full((2, 100, 100), 0.5, np.float32), marked, np.random.default_rng(1))
    row_means = picture.astype(float).mean(axis=(1, 2))
    assert row_means.max() - np.median(row_means) > 1
    assert np.median(row_means) - row_means.min() > 1


def test_scanners_vary() -> None:
    rng = np.random.default_rng(0)
    scanners = [choose_scanner(rng) for _ in range(300)]
    assert {scanner.palette for scanner in scanners} == {"vivid", "muted"}
    assert 5 <= sum(scanner.grey for scanner in scanners) <= 30
    pink = [s for s in scanners if s.background[0] - s.background[1] > 5]
    assert 5 <= len(pink) <= 30


def test_burn_in_leaves_its_argument_alone() -> None:
    blank = np.full((200, 200, 3), 255, np.uint8)
    drawn = [burn_in(blank, np.random.default_rng(seed)) for seed in range(120)]
    changed = sum(bool((picture != 255).any()) for picture in drawn)
    assert 3 <= changed <= 30
    assert (blank == 255).all()
