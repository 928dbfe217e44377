"""Projecting items into scans: what physics forbids does not happen."""

import io
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from sixrayd.core.boxes import Box
from sixrayd.core.errors import ImageError
from sixrayd.imaging.decode import decode_rgb
from sixrayd.imaging.palette import Channels, Palette, Sharpening, read_palette
from sixrayd.imaging.planting import choose_place, cut_item, project, reencode, unlike

ORANGE, GREEN, BLUE = (244, 170, 90), (92, 168, 62), (28, 112, 178)
SHARP = Sharpening(0.8, 0.2)
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def bag(seed=0, size=(160, 200), grey=False):
    """A noisy scan: cloth, a green board, a blue bar and a black block on white."""
    rng = np.random.default_rng(seed)
    scan = np.full((*size, 3), 255.0)
    scan[20:140, 20:180] = ORANGE
    scan[40:80, 100:170] *= np.array(GREEN) / 255
    scan[110:118, 30:170] = BLUE
    scan[125:135, 150:170] = 0
    scan += rng.normal(0, 3, scan.shape) * (scan > 0) * (scan < 255)
    picture = np.clip(scan, 0, 255).astype(np.uint8)
    return np.repeat(picture.mean(2, keepdims=True).astype(np.uint8), 3, 2) if grey else picture


def with_wrench(scan, at=(50, 60)):
    """The scan with a blue handle and jaw in it, and its box."""
    shape = np.zeros(scan.shape[:2], np.uint8)
    cv2.rectangle(shape, at, (at[0] + 60, at[1] + 9), 1, -1)
    cv2.circle(shape, (at[0] + 60, at[1] + 5), 14, 1, -1)
    placed = np.where(shape[..., None] > 0, scan * (np.array(BLUE) / 255), scan)
    box = Box("Wrench", at[0], at[1] - 9, at[0] + 75, at[1] + 20)
    return placed.astype(np.uint8), box, shape > 0


@pytest.fixture
def item():
    scan, box, _ = with_wrench(bag(1))
    return cut_item(scan, box)


def white(item):
    """An item that absorbs nothing."""
    nothing = np.full_like(item.picture, 255)
    return replace(item, picture=nothing, background=nothing.astype(np.float32))


def palette_of(target, sharpening):
    return replace(read_palette(target), sharpening=sharpening)


def laid(item, target, at):
    """The mask on the target's pixels."""
    mask = np.zeros(target.shape[:2], np.float32)
    width, height = item.size_wh
    mask[at[1] : at[1] + height, at[0] : at[0] + width] = item.mask
    return mask


def test_the_mask_is_the_item_and_not_its_box():
    scan, box, shape = with_wrench(bag(1))

    item = cut_item(scan, box)

    x, y = item.origin
    width, height = item.size_wh
    solid, truth = item.mask > 0.5, shape[y : y + height, x : x + width]
    assert (solid & truth).sum() / (solid | truth).sum() > 0.8
    assert solid.mean() < 0.5
    assert np.abs(np.subtract(item.box_xyxy(item.origin), box.xyxy)).max() <= 2
    assert item.mask.min() == 0 and item.mask.max() == 1


def test_the_background_behind_the_item_is_that_around_it():
    clean = bag(1)
    scan, box, _ = with_wrench(clean)

    item = cut_item(scan, box)

    x, y = item.origin
    width, height = item.size_wh
    there = clean[y : y + height, x : x + width]
    left = (item.mask > 0.5) & (np.arange(width) < 40)  # farther right lies the green board
    assert left.sum() > 100
    assert np.abs(item.background[left] - there[left]).mean() < 8


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (Box("Gun", 5, 5, 12, 40), "under 8 pixels, too small to cut out"),
        (Box("Gun", 30, 5, 90, 60), "nothing that fills it stands out"),
    ],
)
def test_what_cannot_be_cut_out_is_said(box, message):
    with pytest.raises(ImageError, match=message):
        cut_item(np.full((100, 250, 3), 255, np.uint8), box)


@pytest.mark.parametrize("sharpening", [Sharpening(), SHARP])
@pytest.mark.parametrize("grey", [False, True])
def test_inserting_white_changes_nothing(item, grey, sharpening):
    target = bag(2, grey=grey)

    assert (project(target, white(item), (20, 20), palette_of(target, sharpening)) == target).all()


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_before_sharpening_nothing_gets_lighter(item, grey, seed):
    target = bag(seed, grey=grey)
    at = (20 + 8 * seed, 15 + 10 * seed)

    result = project(target, item, at, palette_of(target, Sharpening()))

    assert (result @ LUMA - target @ LUMA).max() <= 0.501  # by rounding
    mask = laid(item, target, at)
    assert (result[mask == 0] == target[mask == 0]).all()
    lighter_ground = (mask > 0.9) & (target @ LUMA > 120)
    assert lighter_ground.sum() > 100
    assert (target[lighter_ground] @ LUMA - result[lighter_ground] @ LUMA).mean() > 20


@pytest.mark.parametrize("grey", [False, True])
def test_the_displays_sharpening_lightens_beside_the_item_and_no_more_than_its_limit(item, grey):
    target = bag(2, grey=grey)

    result = project(target, item, (24, 22), palette_of(target, SHARP))

    near = cv2.dilate((laid(item, target, (24, 22)) > 0).astype(np.uint8), np.ones((9, 9)))
    assert (result[near == 0] == target[near == 0]).all()
    before, after = target @ LUMA, result @ LUMA
    assert (after > before + 3).sum() > 50
    tone = 1.0 if grey else 1.3
    assert (after <= before * np.exp(SHARP.limit ** (1 / tone)) + 0.501).all()


@pytest.mark.parametrize("sharpening", [Sharpening(), SHARP])
def test_black_stays_black(item, sharpening):
    target = np.zeros((160, 200, 3), np.uint8)
    target[:, :40] = BLUE

    result = project(target, item, (10, 10), palette_of(target, sharpening))

    assert (result[:, 40:] == 0).all()
    assert (result != target).any()


@pytest.mark.parametrize("sharpening", [Sharpening(), SHARP])
@pytest.mark.parametrize("grey", [False, True])
def test_the_order_of_two_items_does_not_matter(item, grey, sharpening):
    target = bag(3, grey=grey)
    palette = palette_of(target, sharpening)
    scan, box, _ = with_wrench(bag(4), at=(70, 50))
    other = cut_item(scan, box)

    first = project(project(target, item, (20, 20), palette), other, (40, 26), palette)
    last = project(project(target, other, (40, 26), palette), item, (20, 20), palette)

    difference = np.abs((first @ LUMA) - (last @ LUMA))
    assert (first != target).any(axis=2).sum() > 1500
    assert difference.max() <= (2 if grey else 12)
    assert np.percentile(difference, 99) <= 2
    assert np.abs(first.astype(int) - last)[(first != last).any(axis=2)].mean() < 8


def test_a_coloured_item_leaves_a_grey_scan_grey(item):
    target = bag(2, grey=True)

    result = project(target, item, (20, 20), read_palette(target))

    assert isinstance(item.palette, Palette)
    assert isinstance(read_palette(target), Channels)
    assert (np.ptp(result, axis=2) == 0).all()


def test_an_item_beyond_the_edge_is_refused(item):
    target = bag(2)

    with pytest.raises(ImageError, match=r"item of \d+ x \d+ at \(150, 20\): reaches beyond"):
        project(target, item, (150, 20), read_palette(target))


def test_a_place_is_on_the_items_grid_and_like_where_it_lay(item):
    target = bag(5, size=(260, 320))

    at = choose_place(target, item, np.random.default_rng(0))

    assert at is not None
    assert [edge % 16 for edge in at] == [edge % 16 for edge in item.origin]
    width, height = item.size_wh
    under = target[at[1] : at[1] + height, at[0] : at[0] + width][item.mask > 0.5]
    assert abs(float(np.median(under @ LUMA)) - np.median(np.array(ORANGE) @ LUMA)) < 20
    assert at == choose_place(target, item, np.random.default_rng(0))
    assert choose_place(target[:40], item, np.random.default_rng(0)) is None


def test_targets_like_the_items_own_scan_come_first(item):
    target, grey = bag(1), bag(1, grey=True)
    own, large = item.palette, np.tile(target, (2, 2, 1))

    assert unlike(target, own, item) == 0
    assert unlike(large, own, item) == pytest.approx(40 * np.log(4))
    assert unlike(grey, read_palette(grey), item) == np.inf


@pytest.mark.parametrize(("quality", "sampling"), [(60, 2), (75, 1), (92, 0)])
def test_the_second_encoding_has_the_first_ones_tables(quality, sampling):
    buffer = io.BytesIO()
    Image.fromarray(bag(6)).save(buffer, "JPEG", quality=quality, subsampling=sampling)

    data = reencode(decode_rgb(buffer.getvalue(), "a"), buffer.getvalue(), "a")

    one, other = (Image.open(io.BytesIO(each)) for each in (buffer.getvalue(), data))
    assert one.quantization == other.quantization
    assert JpegImagePlugin.get_sampling(other) == sampling
    assert one.size == other.size


def test_grey_jpegs_stay_grey_and_others_are_refused():
    picture = bag(6, grey=True)
    grey, png = io.BytesIO(), io.BytesIO()
    Image.fromarray(picture).convert("L").save(grey, "JPEG")
    Image.fromarray(picture).save(png, "PNG")

    data = reencode(picture, grey.getvalue(), "N0000001")

    assert Image.open(io.BytesIO(data)).mode == "L"
    with pytest.raises(ImageError, match="N0000001: no JPEG, whose tables are to be used again"):
        reencode(picture, png.getvalue(), "N0000001")


def test_a_palette_is_read_back():
    palette = read_palette(bag(7))

    assert isinstance(palette, Palette)
    colours = (
        np.array([[ORANGE, GREEN, BLUE, (255, 255, 255)]], np.uint8).repeat(24, 1).repeat(8, 0)
    )
    low, high = np.moveaxis(palette.absorption(colours), 2, 0)
    ratio = (low / np.maximum(high, 1e-6))[4, 12::24]
    assert ratio[0] == pytest.approx(1.2, abs=0.05)
    assert ratio[1] == pytest.approx(2.1, abs=0.1)
    assert ratio[2] == pytest.approx(3.9, abs=0.15)
    assert low[4, -1] == high[4, -1] == 0
    assert palette.unlike(palette) == 0
    assert palette.unlike(Channels()) == Channels().unlike(palette) == np.inf
    assert Channels().unlike(Channels()) == 0


def test_lead_before_cloth_is_coloured_as_metal():
    """Blue projected into orange turns the hue towards blue, as energies add up."""
    scan, box, _ = with_wrench(bag(1))
    item = cut_item(scan, box)
    target = bag(8)
    at = (24, 20)

    result = project(target, item, at, read_palette(target))

    x, y = at[0] + item.size_wh[0] // 3, at[1] + item.size_wh[1] // 2
    pixel = result[y - 2 : y + 2, x - 2 : x + 2].reshape(-1, 3).mean(0)
    assert pixel[0] < pixel[2]


def edges(strength):
    """A grey scan of squares, soft and then sharpened, as levels."""
    squares = np.kron(np.indices((6, 6)).sum(0) % 2, np.ones((24, 24)))
    lost = cv2.GaussianBlur(0.5 + 0.4 * squares, (0, 0), 0.7).astype(np.float32)
    shown = lost + Sharpening(strength, 1.0).detail(lost[..., None])[..., 0]
    levels = np.rint(255 * np.exp(-shown))
    return np.repeat(levels[..., None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_how_a_scan_was_sharpened_is_read_from_its_edges(strength):
    found = read_palette(edges(strength)).sharpening

    assert found.strength == pytest.approx(strength, abs=0.15)
    assert found.limit == pytest.approx(0.056 * strength, abs=0.01)  # of a step of 0.4


def test_without_edges_no_sharpening_is_assumed():
    assert read_palette(np.full((60, 60, 3), 200, np.uint8)).sharpening == Sharpening()


def test_sharpening_is_undone():
    thing = np.zeros((40, 60, 2), np.float32)
    thing[12:24, 10:44] = 0.8, 0.3
    thing = cv2.GaussianBlur(thing, (0, 0), 0.7)
    mask = cv2.dilate((thing[..., :1] > 0.01).astype(np.float32), np.ones((3, 3)))[..., None]

    before = SHARP.undone(thing + SHARP.detail(thing), mask)

    assert np.abs(before - thing).max() < 0.02
    assert before.min() == 0
    assert (Sharpening().undone(thing, np.ones_like(mask)) == thing).all()


@pytest.mark.parametrize("size_hw", [(2450, 2450), (32_767, 8)])
def test_nothing_is_looked_at_that_would_fill_memory(size_hw):
    scan = np.broadcast_to(np.uint8(255), (*size_hw, 3))
    for look in (read_palette, lambda scan: cut_item(scan, Box("Wrench", 0, 0, 8, 8))):
        with pytest.raises(ImageError) as caught:
            look(scan)
        said = "pixels, planted in are at most 6,000,000, of a side at most 32,766"
        assert str(caught.value) == f"{size_hw[1]} x {size_hw[0]} {said}"
