"""Task-driven cropping on drawn maps and scans; its three forms on small networks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sixrayd.core.errors import SettingsError, ShapeError
from sixrayd.crop.region import Region, whole
from sixrayd.crop.settings import FAST, SHARED, TdcSettings
from sixrayd.crop.tdc import (
    average_map,
    axis_profile,
    cell_px,
    cell_regions,
    kernel_cells,
    median_filter,
    regions,
    spans,
)
from sixrayd.crop.tdc_forms import SharedTdc, TdcCropper, feature_map, locate
from sixrayd.detectors.predictor import DynamicInput, Predictor
from sixrayd.detectors.rfb import rfb512, rfb_small

EDGE = TdcSettings(layer=4, kernel=3)


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    detector = rfb_small(2).eval()
    detector.initialise(background=0.6)
    return detector


def bag_map(x1, y1, x2, y2, side=32):
    """(1, 2, side, side): busy in the rectangle, even around it."""
    features = torch.ones(1, 2, side, side)
    rows, columns = torch.arange(side)[:, None], torch.arange(side)[None, :]
    inside = (rows >= y1) & (rows < y2) & (columns >= x1) & (columns < x2)
    # Energy grows cell by cell to the middle, so that every difference inside is alike.
    ramp = columns.minimum(side - 1 - columns) + rows.minimum(side - 1 - rows)
    features[0, 0] += torch.where(inside, 5.0 + ramp, 0.0)
    features[0, 1] = -features[0, 0]
    return features


def scan(box, size_wh=(300, 240)):
    """White, with a striped bag."""
    image = np.full((size_wh[1], size_wh[0], 3), 255, np.uint8)
    x1, y1, x2, y2 = box
    noise = np.random.default_rng(0).integers(0, 160, (y2 - y1, x2 - x1, 3), dtype=np.uint8)
    image[y1:y2, x1:x2] = noise
    return image


def test_equations_1_to_5_by_hand():
    # Two channels of mean magnitude 1 1 1 1 / 1 4 6 1, so columns hold 2 5 7 2 and rows 4 12.
    first = torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, 4.0, 6.0, 1.0]])
    features = torch.stack([first, -first])[None]

    average = average_map(features)
    columns, rows = (axis_profile(average, axis, 3) for axis in ("columns", "rows"))

    assert average.tolist() == [first.tolist()]
    assert columns.energy.tolist() == [[2.0, 5.0, 7.0, 2.0]]
    assert columns.difference.tolist() == [[3.0, 2.0, 5.0]]
    assert columns.filtered.tolist() == [[2.0, 3.0, 2.0]]  # of 2 3 2, of 3 2 5, of 2 5 2
    assert columns.normalised.tolist() == [[0.0, 1.0, 0.0]]
    assert (rows.energy.tolist(), rows.difference.tolist()) == ([[4.0, 12.0]], [[8.0]])


def test_the_median_filter_removes_a_spike_and_keeps_a_step():
    profile = torch.tensor([[0.0, 0, 9, 0, 0, 5, 5, 5, 5], [1.0, 2, 3, 4, 5, 6, 7, 8, 9]])

    assert median_filter(profile, 3).tolist() == [
        [0.0, 0, 0, 0, 0, 5, 5, 5, 5],
        [2.0, 2, 3, 4, 5, 6, 7, 8, 8],
    ]
    assert torch.equal(median_filter(profile, 1), profile)


@pytest.mark.parametrize(("length", "kernel"), [(1, 1), (2, 1), (3, 3), (4, 3), (8, 7)])
def test_a_kernel_longer_than_the_profile_shrinks_to_what_fits(length, kernel):
    profile = torch.from_numpy(np.random.default_rng(0).random((2, length)))

    assert torch.equal(median_filter(profile, 99), median_filter(profile, kernel))


def test_spans_lie_between_the_outermost_differences_above_k():
    normalised = torch.tensor(
        [[0.0, 0.15, 0.2, 0.0, 0.9, 0.1], [0.0] * 6, [1.0, 0, 0, 0, 0, 1.0], [0, 0, 0, 1.0, 0, 0]]
    )

    # Difference 2 lies between cells 2 and 3, difference 4 between 4 and 5.
    assert spans(normalised, 0.15) == [(2, 6), (0, 7), (0, 7), (3, 5)]
    assert spans(torch.zeros(2, 0), 0.15) == [(0, 1), (0, 1)]


def test_a_batch_keeps_each_bag():
    features = torch.cat([bag_map(8, 10, 20, 26), bag_map(4, 4, 28, 12)])

    found = cell_regions(features, 3, TdcSettings())

    assert [region.xyxy for region in found] == [(7, 9, 21, 27), (3, 3, 29, 13)]
    assert cell_regions(features[1:], 3, TdcSettings())[0] == found[1]


def test_one_axis_leaves_the_other_whole():
    features = bag_map(8, 10, 20, 26)

    columns = cell_regions(features, 3, TdcSettings(axes="columns"))[0]
    rows = cell_regions(features, 3, TdcSettings(axes="rows"))[0]

    assert (columns.xyxy, rows.xyxy) == ((7, 0, 21, 32), (0, 9, 32, 27))


def test_a_bar_is_cut_off_though_it_is_brighter_than_the_bag():
    features = bag_map(8, 10, 20, 26)
    features[:, :, :, 1] += 40.0
    features[:, :, :, 31] += 40.0

    assert cell_regions(features, 9, TdcSettings(axes="columns"))[0].x1 > 2
    assert cell_regions(features, 9, TdcSettings(axes="columns"))[0].x2 < 31
    assert cell_regions(features, 1, TdcSettings(axes="columns", k=0.5))[0].xyxy == (0, 0, 32, 32)


def test_constant_maps_and_the_noise_of_convolutions_keep_everything():
    constant = torch.full((1, 3, 9, 7), 5.0)
    noisy = constant + 1e-5 * torch.rand(1, 3, 9, 7)

    for features in (constant, torch.zeros(1, 3, 9, 7), noisy):
        assert cell_regions(features, 3, TdcSettings()) == [whole((7, 9))]
    assert cell_regions(torch.ones(1, 1, 1, 1), 9, TdcSettings()) == [whole((1, 1))]


def test_regions_are_pixels_of_the_input_and_end_with_it():
    features = bag_map(8, 10, 31, 31)

    found = regions(features, (252, 250), replace(TdcSettings(), kernel=3))

    assert found == [Region(56, 72, 250, 252)]


@given(
    st.integers(1, 24), st.integers(1, 24), st.sampled_from([1, 3, 9]), st.integers(0, 2**32 - 1)
)
@settings(max_examples=60)
def test_no_region_is_empty_or_outside(height, width, kernel, seed):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, 3, height, width, generator=generator)
    input_hw = (8 * height - 3, 8 * width - 5)

    found = regions(features, input_hw, TdcSettings(kernel=kernel))

    assert len(found) == 2
    for region in found:
        assert region.x2 <= input_hw[1]
        assert region.y2 <= input_hw[0]
        assert region.area > 0


@pytest.mark.parametrize(
    ("settings", "stride", "cells"),
    [
        (TdcSettings(), 8, 9),
        (TdcSettings(kernel=72, kernel_unit="pixels"), 8, 9),
        (TdcSettings(kernel=72, kernel_unit="pixels"), 16, 5),
        (TdcSettings(kernel=72, kernel_unit="pixels"), 1, 73),  # the odd numbers are as near
        (TdcSettings(kernel=1, kernel_unit="pixels"), 16, 1),
        (TdcSettings(form="fast", reduce=4), 8, 3),
        (FAST, 4, 5),
    ],
)
def test_kernels_cover_the_same_pixels_in_any_form(settings, stride, cells):
    assert kernel_cells(settings, stride) == cells


def test_strides_are_powers_of_two():
    assert [cell_px((s, 9), (m, 2)) for s, m in ((9, 2), (16, 2), (10, 2))] == [8, 8, 8]
    assert cell_px((510, 300), (64, 38)) == 8
    assert cell_px((5, 5), (5, 5)) == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"layer": 0}, "tdc: layer: 0; convolutions count from 1, modules 0"),
        ({"kernel": 8}, "tdc: kernel: 8, expected odd cells, or pixels >= 1"),
        ({"k": 1.0}, "tdc: k: 1.0, expected 0 <= k < 1"),
        ({"axes": "x"}, "tdc: axes: 'x', expected one of both, columns, rows"),
        ({"reduce": 0.5}, "tdc: reduce: 0.5, expected 1 to 16"),
        (
            {"form": "shared"},
            "tdc: border: 'edge', expected zeros: the shared form's map is the detector's own; "
            "or choose another form",
        ),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(SettingsError) as caught:
        TdcSettings(**wrong)

    assert str(caught.value).startswith(message)


def test_maps_that_are_none_are_refused():
    with pytest.raises(
        ShapeError, match=r"need \(B, C, h, w\), none of them 0, got \(2, 0, 4, 4\)"
    ):
        average_map(torch.zeros(2, 0, 4, 4))


def test_layers_of_reduced_vgg16_by_convolution_and_by_module():
    with torch.device("meta"):
        detector = rfb512(5)

    widths = {n: locate(detector, TdcSettings(layer=n))[1].out_channels for n in (2, 9, 15)}
    module = locate(detector, TdcSettings(layer=9, numbering="module"))

    assert widths == {2: 64, 9: 512, 15: 1024}
    assert locate(detector, TdcSettings(layer=9))[0] == 19  # conv4_2
    assert isinstance(module[1], nn.MaxPool2d)
    with pytest.raises(SettingsError, match="no convolution 16, the backbone has 15"):
        locate(detector, TdcSettings(layer=16))
    with pytest.raises(SettingsError, match="no module 35, the backbone's are 0 to 34"):
        locate(detector, TdcSettings(layer=35, numbering="module"))


def test_the_map_is_what_the_convolution_gave_before_relu(small):
    x = torch.randn(2, 3, 64, 96)
    chain = small.sources.chain
    with torch.inference_mode():
        found = feature_map(small, x, TdcSettings(layer=2, border="zeros"))
        expected = chain[1][0](chain[0](x))

    assert torch.allclose(found, expected, atol=1e-6)
    assert found.min() < 0
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in small.modules())


@pytest.mark.parametrize("side", [64, 61])
def test_edge_padding_equals_a_wider_image_cut_back(small, side):
    x = torch.randn(1, 3, side, side)
    settings = TdcSettings(layer=1)
    with torch.inference_mode():
        found = feature_map(small, x, settings)
        wide = nn.functional.pad(x, (2, 2, 2, 2), mode="replicate")
        expected = feature_map(small, wide, replace(settings, border="zeros"))[:, :, 1:, 1:]
        flat = feature_map(small, torch.ones(1, 3, side, side), replace(settings, layer=6))

    size = -(-side // 2)
    assert torch.allclose(found, expected[:, :, :size, :size], atol=1e-5)
    assert (flat.amax((2, 3)) - flat.amin((2, 3))).max() < 1e-4  # no border lights up


def test_the_exact_and_the_fast_form_find_the_bag(small):
    box = (90, 60, 210, 180)

    exact = TdcCropper(small, EDGE)(scan(box)).xyxy
    fast = TdcCropper(small, replace(EDGE, form="fast", reduce=2, kernel=3))(scan(box)).xyxy

    # A cell is 4 of 384 input pixels, 8 in the fast form; the map sees some cells beyond.
    assert np.abs(np.array(exact) - box).max() <= 24
    assert np.abs(np.array(fast) - box).max() <= 40
    assert (np.abs(np.array(fast) - exact) < 20).all()


def test_bfloat16_finds_the_bag_as_well(small):
    image = scan((90, 60, 210, 180))

    full = np.array(TdcCropper(small, EDGE)(image).xyxy)
    half = np.array(TdcCropper(small, EDGE, precision="bf16")(image).xyxy)

    assert TdcCropper(small, EDGE, precision="bf16").features([image]).dtype == torch.bfloat16
    assert np.abs(full - half).max() <= 8


@pytest.mark.parametrize("size_wh", [(1, 1), (3, 200), (33, 31)])
@pytest.mark.parametrize("dynamic", [None, DynamicInput()])
def test_tiny_and_blank_images_keep_everything_or_a_part(small, size_wh, dynamic):
    blank = np.full((size_wh[1], size_wh[0], 3), 255, np.uint8)

    assert TdcCropper(small, EDGE, dynamic=dynamic)(blank) == whole(size_wh)
    region = TdcCropper(small, TdcSettings(layer=4, border="zeros"), dynamic=dynamic)(blank)
    assert (region.x2 <= size_wh[0], region.y2 <= size_wh[1]) == (True, True)


def test_a_batch_of_any_sizes_equals_one_by_one(small):
    cropper = TdcCropper(small, EDGE, dynamic=DynamicInput())
    images = [scan((90, 60, 210, 180)), scan((10, 20, 90, 200), (200, 400)), scan((5, 5, 99, 99))]

    together = cropper.regions(images)

    assert together == [cropper(image) for image in images]
    assert len(set(together)) == 3
    with pytest.raises(ShapeError, match="need images with one input shape"):
        cropper.features(images)


def test_a_profile_shows_how_the_region_came_about(small):
    cropper = TdcCropper(small, EDGE)
    image = scan((90, 60, 210, 180))

    profile = cropper.profile(image)

    assert profile.average.shape == (96, 96)
    assert profile.region == cropper(image)
    assert (profile.kernel, profile.k) == (3, 0.15)
    for axis in (profile.columns, profile.rows):
        above = np.flatnonzero(axis.normalised > profile.k)
        assert axis.kept == (above[0], above[-1] + 2)
        assert axis.difference.shape == axis.filtered.shape == (95,)
        assert (axis.normalised.min(), axis.normalised.max()) == (0.0, 1.0)


def test_the_shared_form_of_a_map_kept_whole_is_the_forward_pass(small):
    x = torch.zeros(2, 3, 96, 128)
    shared = SharedTdc(small, replace(SHARED, layer=4, k=0.0))

    with torch.inference_mode():
        expected = small(x)
    whole_maps = [o for o, region in shared(x) if region == whole((128, 96))]

    assert len(whole_maps) == 2
    for outputs in whole_maps:
        assert torch.allclose(outputs[0], expected[0][:1], atol=1e-5)
        assert torch.allclose(outputs[1], expected[1][:1], atol=1e-5)
        assert torch.equal(outputs[2], expected[2])


def test_the_shared_form_crops_the_map_and_finds_at_the_same_places(small):
    predictor = Predictor(small)
    batch = predictor.prepare([scan((120, 96, 200, 168))])[0]
    settings = replace(SHARED, layer=4)

    ((offsets, logits, priors), region) = SharedTdc(small, settings)(batch.x)[0]
    full = predictor.forward(batch.x)

    assert 0 < region.area < 0.8 * 384 * 384
    assert all(edge % 4 == 0 for edge in region.xyxy)
    assert offsets.shape[1] == logits.shape[1] == len(priors) < len(full[2])
    # At the crop's middle the network sees the same, wherever the grids of cells coincide.
    middle = torch.tensor([(region.x1 + region.x2) / 2, (region.y1 + region.y2) / 2])
    near = (priors[:, :2] - middle).abs().amax(1).argsort()[:8]
    there = (full[2][:, None, :2] - priors[near][None, :, :2]).abs().amax(2).amin(0)
    assert (there <= 4).all()
    assert (priors[:, 0] >= region.x1).all()
    assert (priors[:, 0] <= region.x2 + 32).all()


def test_the_shared_form_refuses_layers_after_the_first_source_map(small):
    with pytest.raises(SettingsError, match="can only crop before its first source map, module 6"):
        SharedTdc(small, replace(SHARED, layer=14))
    with pytest.raises(SettingsError, match="tdc: form: 'exact', expected \"shared\""):
        SharedTdc(small, TdcSettings())
