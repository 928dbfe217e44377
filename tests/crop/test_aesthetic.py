"""The aesthetic crop: its networks against plain numpy, its search against brute force, and all of
it on weights that are worked out by hand."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate

from sixrayd.core.errors import CheckpointError, ShapeError
from sixrayd.crop.aesthetic import (
    WHERE_WEIGHTS,
    AestheticCropper,
    Anchor,
    anchor_px,
    find_anchor,
    salient_map,
    smallest_rectangle,
    widen,
)
from sixrayd.crop.aesthetic_nets import OffsetNet, SaliencyNet, pyramid_pool
from sixrayd.crop.keras_weights import read_keras_weights
from sixrayd.crop.region import Region

h5py = pytest.importorskip("h5py")

maps = st.integers(1, 6).flatmap(
    lambda rows: st.integers(1, 6).flatmap(
        lambda columns: st.lists(
            st.lists(st.integers(0, 4), min_size=columns, max_size=columns),
            min_size=rows,
            max_size=rows,
        )
    )
)


# --- Keras' arithmetic, channels last, as its documentation defines it


def keras_shapes(net):
    """Dataset of a file that Keras writes → shape in Keras' order."""
    shapes = {}
    for name, tensor in net.state_dict().items():
        layer, kind = name.split(".")
        order = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}[tensor.ndim]
        shape = tuple(tensor.shape[axis] for axis in order)
        shapes[f"{layer}/{layer}/{'kernel' if kind == 'weight' else 'bias'}:0"] = shape
    return shapes


def random_weights(net, seed):
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, shape in keras_shapes(net).items():
        scale = 0.05 if len(shape) == 1 else np.sqrt(2 / np.prod(shape[:-1]))
        arrays[name] = (rng.normal(size=shape) * scale).astype(np.float32)
    return arrays


def write(path, arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array


def loaded(net, path):
    shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    net.load_state_dict(read_keras_weights(path, shapes))
    return net.eval()


def keras_conv(x, arrays, layer):
    """`same` padding: zeros, one on each side of a 3 × 3 kernel. (H, W, in) → (H, W, out)."""
    kernel = arrays[f"{layer}/{layer}/kernel:0"]
    edge = kernel.shape[0] // 2
    padded = np.pad(x, ((edge, edge), (edge, edge), (0, 0)))
    outputs = [
        correlate(padded, kernel[..., k], mode="valid", method="direct")[..., 0]
        for k in range(kernel.shape[3])
    ]
    return np.stack(outputs, axis=2) + arrays[f"{layer}/{layer}/bias:0"]


def keras_relu(x, arrays, *layers):
    for layer in layers:
        x = np.maximum(keras_conv(x, arrays, layer), 0)
    return x


def keras_pool(x):
    """2 × 2, stride 2, `valid`: an odd last row or column is dropped."""
    x = x[: x.shape[0] // 2 * 2, : x.shape[1] // 2 * 2]
    return np.maximum.reduce([x[i::2, j::2] for i in (0, 1) for j in (0, 1)])


def keras_saliency(x, arrays):
    one = keras_relu(x, arrays, "block1_conv1", "block1_conv2")
    two = keras_relu(keras_pool(one), arrays, "block2_conv1", "block2_conv2")
    three = keras_relu(keras_pool(two), arrays, "block3_conv1", "block3_conv2")
    four = keras_relu(keras_pool(three), arrays, "unet_block4_conv1", "unet_block4_conv2")
    x = keras_relu(keras_pool(four), arrays, "unet_block5_conv1", "unet_block5_conv2")
    for block, skip in ((6, four), (7, three), (8, two), (9, one)):
        name = f"unet_block{block}_conv"
        x = keras_relu(x.repeat(2, axis=0).repeat(2, axis=1), arrays, f"{name}1")
        x = keras_relu(np.concatenate([skip, x], axis=2), arrays, f"{name}2", f"{name}3")
    x = keras_conv(keras_relu(x, arrays, "unet_block9_conv4"), arrays, "segmentation")
    return 1 / (1 + np.exp(-x[..., 0]))


def keras_offsets(x, arrays):
    for block, convolutions in enumerate((2, 2, 3, 3, 3), start=1):
        x = keras_relu(x, arrays, *(f"block{block}_conv{k + 1}" for k in range(convolutions)))
        x = keras_pool(x)
    vector = keras_pyramid(x)
    for layer in ("fc1", "fc2", "prediction"):
        vector = vector @ arrays[f"{layer}/{layer}/kernel:0"] + arrays[f"{layer}/{layer}/bias:0"]
        vector = vector if layer == "prediction" else np.maximum(vector, 0)
    return vector


def keras_pyramid(x):
    """The authors' layer: bins outermost, then channels; np.rint rounds halves to even, as TF."""
    pooled = []
    for side in (1, 2, 4):
        high, wide = (np.float32(length) / side for length in x.shape[:2])
        for row, column in itertools.product(range(side), repeat=2):
            y1, y2 = (int(np.rint(high * k)) for k in (row, row + 1))
            x1, x2 = (int(np.rint(wide * k)) for k in (column, column + 1))
            pooled.append(x[y1:y2, x1:x2].max(axis=(0, 1)))
    return np.concatenate(pooled)


def as_torch(x):
    return torch.from_numpy(x.transpose(2, 0, 1)[None].astype(np.float32))


# --- The networks


def test_the_saliency_network_is_keras_on_the_same_file(tmp_path):
    arrays = random_weights(SaliencyNet(width=2), 1)
    write(tmp_path / "saliency.h5", arrays)
    net = loaded(SaliencyNet(width=2), tmp_path / "saliency.h5")
    x = np.random.default_rng(2).random((48, 32, 3))

    with torch.inference_mode():
        ours = net(as_torch(x))

    expected = keras_saliency(x, arrays)
    assert ours.shape == (1, 48, 32)
    assert expected.std() > 0.01  # random weights that do say something
    np.testing.assert_allclose(ours[0], expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(160, 224), (129, 191)])
def test_the_offset_network_is_keras_on_the_same_file(tmp_path, shape):
    arrays = random_weights(OffsetNet(width=2, dense=16), 3)
    write(tmp_path / "regression.h5", arrays)
    net = loaded(OffsetNet(width=2, dense=16), tmp_path / "regression.h5")
    x = np.random.default_rng(4).random((*shape, 3))

    with torch.inference_mode():
        ours = net(as_torch(x))

    expected = keras_offsets(x, arrays)
    assert ours.shape == (1, 4)
    assert np.abs(expected).min() > 0.01
    np.testing.assert_allclose(ours[0], expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(4, 4), (7, 7), (7, 10), (5, 13), (6, 22)])
def test_pyramid_pooling_is_the_authors_on_any_shape(shape):
    x = np.random.default_rng(5).random((*shape, 3)).astype(np.float32)

    pooled = pyramid_pool(as_torch(x))

    assert pooled.shape == (1, 63)
    assert pooled[0].tolist() == keras_pyramid(x).tolist()


def test_pyramid_pooling_of_a_map_worked_out_by_hand():
    # 7 rows end at 2, 4 (3.5 to even), 5, 7; the map counts its cells, so a part's last is most.
    x = torch.arange(49.0).reshape(1, 1, 7, 7)

    pooled = pyramid_pool(x)[0].tolist()

    ends = (1, 3, 4, 6)
    halves = [7 * row + column for row in (3, 6) for column in (3, 6)]
    assert pooled == [48, *halves, *(7 * row + column for row in ends for column in ends)]


def test_the_networks_have_the_published_sizes():
    with torch.device("meta"):
        saliency, offset = SaliencyNet(), OffsetNet()

    vgg = {name: p.numel() for name, p in offset.named_parameters() if name.startswith("block")}
    assert sum(vgg.values()) == 14_714_688  # Keras' VGG16 without its top
    assert tuple(offset["fc1"].weight.shape) == (4096, 10_752)
    assert tuple(offset["fc2"].weight.shape) == (4096, 4096)
    assert tuple(offset["prediction"].weight.shape) == (4, 4096)
    assert len(saliency) == 24
    shapes = keras_shapes(saliency)
    assert shapes["unet_block5_conv1/unet_block5_conv1/kernel:0"] == (3, 3, 512, 1024)
    assert shapes["unet_block6_conv1/unet_block6_conv1/kernel:0"] == (3, 3, 1024, 512)
    assert shapes["unet_block6_conv2/unet_block6_conv2/kernel:0"] == (3, 3, 1024, 512)
    assert shapes["unet_block9_conv4/unet_block9_conv4/kernel:0"] == (3, 3, 64, 2)
    assert shapes["segmentation/segmentation/kernel:0"] == (1, 1, 2, 1)


# --- The smallest rectangle


def every_rectangle(energy, share):
    """(area, -energy, top, rows, left, columns) of all rectangles that hold the share."""
    rows, columns = energy.shape
    target = share * energy.sum()
    for top, left in itertools.product(range(rows), range(columns)):
        for bottom, right in itertools.product(range(top, rows), range(left, columns)):
            held = energy[top : bottom + 1, left : right + 1].sum()
            if held >= target > 0:
                high, wide = bottom - top + 1, right - left + 1
                yield (high * wide, -held, top, high, left, wide)


def by_ranges_of_rows(energy, share):
    """The authors' order: each range of rows below the first, its shortest span, if not at 0."""
    best = None
    spans = [found for found in every_rectangle(energy, share) if found[2] > 0]
    for range_of_rows in sorted({(found[2], found[3]) for found in spans}):
        own = [found for found in spans if (found[2], found[3]) == range_of_rows]
        shortest = min(own)  # area, then energy, then the leftmost
        if shortest[4] > 0 and (best is None or shortest[:2] < best[:2]):
            best = shortest
    return best


def as_rectangle(found):
    return None if found is None else (found[2], found[4], found[3], found[5])


@pytest.mark.long
@settings(max_examples=300)
@given(maps, st.sampled_from([0.25, 0.5, 0.9, 1.0]))
def test_no_rectangle_is_smaller(rows, share):
    energy = np.array(rows)

    found = smallest_rectangle(energy, share)

    assert found == as_rectangle(min(every_rectangle(energy, share), default=None))


@pytest.mark.long
@settings(max_examples=300)
@given(maps, st.sampled_from([0.25, 0.5, 0.9]))
def test_without_the_border_it_is_the_authors_search(rows, share):
    energy = np.array(rows)

    found = smallest_rectangle(energy, share, border=False)

    assert found == as_rectangle(by_ranges_of_rows(energy, share))


def test_the_rectangle_holds_its_share_of_a_full_map():
    energy = np.zeros((224, 224))
    energy[50:80, 100:190] = 200
    energy[10, 10] = 250  # far away, and less than a tenth

    # The share is 486,225, so 2,432 cells of 200 at least: 28 × 87 and 29 × 84 are 2,436 both.
    assert smallest_rectangle(energy, 0.9) == (50, 100, 28, 87)
    assert find_anchor(energy) == Anchor(50 / 224, 78 / 224, 100 / 224, 187 / 224, 28, 87)


def test_ties_go_to_energy_then_to_the_top_and_the_left():
    twice = np.zeros((5, 7))
    twice[1, 2] = twice[3, 1] = 5
    assert smallest_rectangle(twice, 0.5) == (1, 2, 1, 1)
    twice[3, 1] = 6
    assert smallest_rectangle(twice, 0.4) == (3, 1, 1, 1)


def test_energy_at_the_first_column_is_passed_over_without_the_border():
    energy = np.zeros((4, 6))
    energy[2, 0] = energy[1, 0] = 9

    assert smallest_rectangle(energy, 0.9) == (1, 0, 2, 1)
    assert smallest_rectangle(energy, 0.9, border=False) is None
    assert find_anchor(energy) == Anchor(0.05, 0.95, 0.05, 0.95, 9_999_999_999, 9_999_999_999)


def test_a_map_without_energy_has_no_rectangle():
    assert smallest_rectangle(np.zeros((3, 4)), 0.9) is None


@pytest.mark.parametrize(
    ("energy", "message"),
    [
        (np.zeros(4), "energy: need (rows>=1, columns>=1), got (4,)"),
        (np.zeros((0, 4)), "energy: need (rows>=1, columns>=1), got (0, 4)"),
        (np.full((2, 2), -1.0), "energy: values must be finite and not negative"),
        (np.full((2, 2), np.nan), "energy: values must be finite and not negative"),
    ],
)
def test_what_is_no_map_of_energy_is_refused(energy, message):
    with pytest.raises(ShapeError) as caught:
        smallest_rectangle(energy, 0.9)
    assert str(caught.value) == message


# --- From saliency to the region


def test_the_map_is_stretched_to_255_and_cut_to_whole_numbers():
    saliency = np.array([[0.5, 0.25], [0.1, 0.0]], np.float32)

    assert salient_map(saliency, (2, 2), (2, 2)).tolist() == [[255, 127], [51, 0]]
    assert salient_map(np.zeros((2, 2), np.float32), (2, 2), (2, 2)).tolist() == [[0, 0], [0, 0]]


def test_the_padded_map_is_squeezed_into_the_image():
    saliency = np.zeros((64, 64), np.float32)
    saliency[:, 32:] = 1

    found = salient_map(saliency, (48, 48), (48, 48))

    assert (found[:, :22] < 20).all()
    assert (found[:, 26:] > 235).all()  # cutting the padding off would have left it at 32


def test_the_anchor_in_pixels_is_rounded_down_with_the_sides_less_one():
    anchor = Anchor(0.25, 0.5, 0.1, 1.0, 56, 202)

    assert anchor_px(anchor, (101, 201)) == Region(10, 50, 100, 100)
    assert anchor_px(anchor, (1, 1)) == Region(0, 0, 1, 1)


def test_offsets_widen_on_the_anchors_own_grid():
    # Rows: int(100 × 0.5) = 50 of 100, 50 / (1 − 0.2 − 0.3) = 100, from max(0, 25 − 20) to the end.
    # Columns: int(10 × 0.55) = 5 of 10, 5 / (1 − 0 − 0.5) = 10, from 3.
    anchor = Anchor(top=0.25, bottom=0.75, left=0.3, right=0.85, rows=100, columns=10)

    assert widen(anchor, (0.2, 0.3, 0.0, 0.5)) == pytest.approx((0.3, 0.05, 1.0, 1.0), abs=1e-6)


def test_offsets_of_nothing_leave_the_anchor():
    anchor = Anchor(top=0.25, bottom=0.75, left=0.3, right=0.8, rows=100, columns=100)

    assert widen(anchor, (0, 0, 0, 0)) == pytest.approx((0.3, 0.25, 0.8, 0.75), abs=1e-6)


def test_offsets_past_all_sense_collapse_the_crop():
    anchor = Anchor(top=0.25, bottom=0.75, left=0.25, right=0.75, rows=4, columns=4)

    assert widen(anchor, (2, 2, 0, 0)) == pytest.approx((0.25, 0.25, 0.75, 0.25), abs=1e-6)


# --- All of it, on the authors' layout at full size


def passes_red(file):
    """Saliency is sigmoid(40 red − 20): red goes through the first block and the last."""
    for layer in ("block1_conv1", "block1_conv2", "unet_block9_conv2", "unet_block9_conv3"):
        file[f"{layer}/{layer}/kernel:0"][1, 1, 0, 0] = 1
    file["unet_block9_conv4/unet_block9_conv4/kernel:0"][1, 1, 0, 0] = 1
    file["segmentation/segmentation/kernel:0"][0, 0, 0, 0] = 40
    file["segmentation/segmentation/bias:0"][0] = -20


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Full-size files whose zeros take no room, and whose offsets are constant."""
    folder = tmp_path_factory.mktemp("weights")
    for kind, name in ((SaliencyNet, "saliency.h5"), (OffsetNet, "regression.h5")):
        with torch.device("meta"):
            shapes = keras_shapes(kind())
        with h5py.File(folder / name, "w") as file:
            for dataset, shape in shapes.items():
                file.create_dataset(dataset, shape, "f4", chunks=tuple(min(64, s) for s in shape))
            if kind is SaliencyNet:
                passes_red(file)
            else:
                file["prediction/prediction/bias:0"][:] = (0.1, 0.15, 0.2, 0.05)
    return folder / "saliency.h5", folder / "regression.h5"


@pytest.fixture(scope="module")
def cropper(weights):
    return AestheticCropper(*weights)


def red_square():
    image = np.zeros((128, 192, 3), np.uint8)
    image[40:80, 60:120, 0] = 255
    return image


@pytest.mark.long
def test_the_black_padding_goes_to_the_next_multiple_of_16(cropper):
    saliency = cropper.saliency(red_square())

    assert saliency.shape == (144, 208)
    assert (saliency > 0.5).sum() == 40 * 60
    assert (saliency[40:80, 60:120] > 0.99).all()


@pytest.mark.long
def test_a_red_square_is_the_anchor_and_offsets_widen_it(cropper):
    # Squeezed from 208 × 144 pixels to 224 × 224 cells, the square is rows 62.2 to 124.4 and
    # columns 64.6 to 129.2: 4,018 cells, of which 57 × 64 = 3,648 hold nine tenths.
    # Rows: int(57 × 57 / 224) = 14, 14 / 0.75 = 18.67, from 57 × 64 / 224 − 0.1 × 18.67 = 14.42.
    # Columns: int(64 × 64 / 224) = 18, 18 / 0.75 = 24, from 64 × 65 / 224 − 0.2 × 24 = 13.77.
    image = red_square()

    anchor = find_anchor(salient_map(cropper.saliency(image), (192, 128), cropper.map_wh))
    region = cropper(image)

    assert anchor == Anchor(64 / 224, 121 / 224, 65 / 224, 129 / 224, 57, 64)
    assert region.xyxy == (
        int(13.77 / 64 * 192),
        int(14.42 / 57 * 128),
        int(37.77 / 64 * 192),
        int(33.09 / 57 * 128),
    )
    assert image.tobytes() == red_square().tobytes()
    assert cropper(image) == region


@pytest.mark.long
def test_the_fast_form_searches_a_map_of_60_by_40(weights):
    # Rows: int(11 × 11 / 40) = 3, 3 / 0.75 = 4, from 11 × 11 / 40 − 0.1 × 4 = 2.625.
    # Columns: int(17 × 17 / 60) = 4, 4 / 0.75 = 5.33, from 17 × 17 / 60 − 0.2 × 5.33 = 3.75.
    fast = AestheticCropper(*weights, fast=True)

    anchor = find_anchor(salient_map(fast.saliency(red_square()), (192, 128), fast.map_wh))

    assert anchor == Anchor(11 / 40, 22 / 40, 17 / 60, 34 / 60, 11, 17)
    assert fast(red_square()).xyxy == (
        int(3.75 / 17 * 192),
        int(2.625 / 11 * 128),
        int(9.083 / 17 * 192),
        int(6.625 / 11 * 128),
    )


LONG = [
    pytest.param(shape, marks=pytest.mark.long)
    for shape in ((3, 9), (9, 3), (33, 47), (3, 90), (90, 3))
]


@pytest.mark.parametrize("shape", [(1, 1), *LONG])
def test_images_of_any_shape_give_a_region_inside(cropper, shape):
    image = np.random.default_rng(6).integers(0, 256, (*shape, 3), dtype=np.uint8)

    region = cropper(image)

    assert region.x2 <= shape[1]
    assert region.y2 <= shape[0]
    assert min(region.size_wh) >= min(32, *shape)


def test_an_image_of_one_colour_keeps_most_of_itself(cropper):
    # Saliency is even, so no less than 90 % of the cells hold 90 % of it.
    region = cropper(np.zeros((100, 100, 3), np.uint8))

    assert region.area > 0.85 * 100 * 100


def test_an_image_beyond_its_memory_is_refused(cropper):
    with pytest.raises(ShapeError) as caught:
        cropper(np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (7000, 7000, 3)))
    assert str(caught.value) == (
        "image: 7000 x 7000 pixels, the aesthetic crop's memory allows 4,000,000; reduce it, or "
        "leave --saliency and --regression out"
    )


def test_missing_weights_are_named_with_where_to_get_them(weights, tmp_path):
    with pytest.raises(CheckpointError) as caught:
        AestheticCropper(weights[0], tmp_path / "regression.h5")
    assert str(caught.value) == (
        f"{tmp_path / 'regression.h5'}: no weights for the aesthetic crop; {WHERE_WEIGHTS}"
    )


def test_weights_of_the_other_network_are_refused(weights):
    with pytest.raises(CheckpointError, match="weights do not belong to this network"):
        AestheticCropper(weights[1], weights[0])


@pytest.mark.long
def test_an_output_that_is_not_finite_is_refused(weights, cropper, tmp_path):
    broken = tmp_path / "regression.h5"
    broken.write_bytes(weights[1].read_bytes())
    with h5py.File(broken, "a") as file:
        file["block1_conv1/block1_conv1/bias:0"][:] = 3e38
        file["block1_conv2/block1_conv2/kernel:0"][1, 1, 0, 0] = 3e38
        file["block2_conv1/block2_conv1/kernel:0"][1, 1, 0, 0] = -1
        file["block2_conv1/block2_conv1/kernel:0"][1, 0, 0, 0] = 1

    with pytest.raises(CheckpointError) as caught:
        AestheticCropper(weights[0], broken)(red_square())
    assert str(caught.value) == (
        f"{broken}: the network's output is not finite; weights are broken"
    )
