"""How published weights name their tensors, and which of ours each one is."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from sixrayd.core.errors import CheckpointError
from sixrayd.detectors.efficientnet import LITE_FORM
from sixrayd.detectors.retinanet import IMAGENET_FORM
from sixrayd.detectors.vgg import vgg_form

_CAFFE = (vgg_form(300).mean, vgg_form(300).scale)
_IMAGENET = (IMAGENET_FORM.mean, IMAGENET_FORM.scale)
_VGG_LOWER = 23  # modules up to conv4_3's ReLU
_FIRST = "sources.lower.0.weight"
_ALL = ("sources.", "heads.")
_VGG = ("sources.lower.", "sources.upper.")
_SUFFIX = r"(weight|bias|running_mean|running_var|num_batches_tracked)"

Rule = tuple[str, Callable[[re.Match[str]], str]]


@dataclass(frozen=True, slots=True)
class Layout:
    """One kind of weights file.

    Args:
        covers: prefixes of the detector's keys; each such key must be given.
        names: the file's keys → the detector's; keys that it lacks are unexpected.
        skipped: patterns of keys that no detector has a place for, with the reason.
        reshape: what turns the renamed tensors into the detector's.
        colours: mean and scale of the input that the weights are made for.
    """

    name: str
    covers: tuple[str, ...]
    names: Callable[[Collection[str]], dict[str, str]]
    skipped: Mapping[str, str]
    reshape: Callable[[dict[str, Tensor]], dict[str, Tensor]]
    colours: tuple[tuple[float, float, float], tuple[float, float, float]]


def recognise(keys: Collection[str]) -> Layout | None:
    """The layout that the keys show, or None."""
    if all(re.fullmatch(r"\d+\.(weight|bias)", key) for key in keys):
        return _REDUCED_VGG
    for mark, layout in _MARKS.items():
        if mark in keys:
            return layout
    return None


def _apply(rules: list[Rule], keys: Collection[str]) -> dict[str, str]:
    names = {}
    for key in keys:
        for pattern, target in rules:
            if found := re.fullmatch(pattern, key):
                names[key] = target(found)
                break
    return names


def _vgg_key(m: re.Match[str]) -> str:
    index = int(m[1])
    if index < _VGG_LOWER:
        return f"sources.lower.{index}.{m[2]}"
    return f"sources.upper.{index - _VGG_LOWER}.{m[2]}"


def _vgg_rule(prefix: str) -> Rule:
    return rf"{prefix}(\d+)\.(weight|bias)", _vgg_key


_HEADS: list[Rule] = [
    (r"loc\.(\d+)\.(weight|bias)", lambda m: f"heads.offsets.{m[1]}.{m[2]}"),
    (r"conf\.(\d+)\.(weight|bias)", lambda m: f"heads.classes.{m[1]}.{m[2]}"),
]
_PARTS = {"conv": "0", "bn": "1"}


def _block_rules(source: str, place: Callable[[re.Match[str]], str]) -> list[Rule]:
    # A receptive field block; `source` must hold one group, for its number.
    joins = {"ConvLinear": "join", "shortcut": "shortcut"}
    return [
        (
            rf"{source}branch(\d)\.(\d)\.(conv|bn)\.{_SUFFIX}",
            lambda m: f"{place(m)}branches.{m[2]}.{m[3]}.{_PARTS[m[4]]}.{m[5]}",
        ),
        (
            rf"{source}(ConvLinear|shortcut)\.(conv|bn)\.{_SUFFIX}",
            lambda m: f"{place(m)}{joins[m[2]]}.{_PARTS[m[3]]}.{m[4]}",
        ),
    ]


def _rfb_names(keys: Collection[str]) -> dict[str, str]:
    blocks = len({m[1] for key in keys if (m := re.match(r"extras\.(\d+)\.branch0", key))})

    def narrowing(m: re.Match[str]) -> str:
        # After the blocks come pairs of convolutions, numbered one by one.
        step, place = divmod(int(m[1]) - blocks, 2)
        return f"sources.deeper.{blocks + step}.{place}.{_PARTS[m[2]]}.{m[3]}"

    rules = [
        _vgg_rule(r"base\."),
        *_block_rules(r"(Norm)\.", lambda _: "sources.first."),
        *_block_rules(r"extras\.(\d+)\.", lambda m: f"sources.deeper.{m[1]}."),
        (rf"extras\.(\d+)\.(conv|bn)\.{_SUFFIX}", narrowing),
        *_HEADS,
    ]
    return _apply(rules, keys)


def _ssd_extra(m: re.Match[str]) -> str:
    step, place = divmod(int(m[1]), 2)
    return f"sources.deeper.{step}.{2 * place}.{m[2]}"


_SSD: list[Rule] = [
    _vgg_rule(r"vgg\."),
    (r"L2Norm\.weight", lambda _: "sources.first.weight"),
    (r"extras\.(\d+)\.(weight|bias)", _ssd_extra),
    *_HEADS,
]
_FC_PLACES = {"0": "sources.upper.8.", "3": "sources.upper.10."}
_TORCHVISION_VGG: list[Rule] = [
    _vgg_rule(r"features\."),
    (r"classifier\.(0|3)\.(weight|bias)", lambda m: _FC_PLACES[m[1]] + m[2]),
]
_CONVOLUTIONS = {"1": "first", "2": "second", "3": "third"}


def _resnet_rules(prefix: str) -> list[Rule]:
    def block(m: re.Match[str]) -> str:
        part = "0" if m[3] == "conv" else "1"
        return f"sources.stages.{int(m[1]) - 1}.{m[2]}.{_CONVOLUTIONS[m[4]]}.{part}.{m[5]}"

    return [
        (rf"{prefix}conv1\.weight", lambda _: "sources.stem.0.weight"),
        (rf"{prefix}bn1\.{_SUFFIX}", lambda m: f"sources.stem.1.{m[1]}"),
        (rf"{prefix}layer([1-4])\.(\d+)\.(conv|bn)([1-3])\.{_SUFFIX}", block),
        (
            rf"{prefix}layer([1-4])\.(\d+)\.downsample\.([01])\.{_SUFFIX}",
            lambda m: f"sources.stages.{int(m[1]) - 1}.{m[2]}.shortcut.{m[3]}.{m[4]}",
        ),
    ]


_TOWERS = {"classification": "class_tower", "regression": "offset_tower"}
# Older files lack the second number of a convolution that stands in a block of one.
_RETINANET: list[Rule] = [
    *_resnet_rules(r"backbone\.body\."),
    (
        r"backbone\.fpn\.inner_blocks\.(\d)(?:\.0)?\.(weight|bias)",
        lambda m: f"sources.pyramid.laterals.{m[1]}.{m[2]}",
    ),
    (
        r"backbone\.fpn\.layer_blocks\.(\d)(?:\.0)?\.(weight|bias)",
        lambda m: f"sources.pyramid.smooths.{m[1]}.{m[2]}",
    ),
    (
        r"backbone\.fpn\.extra_blocks\.p([67])\.(weight|bias)",
        lambda m: f"sources.further.{int(m[1]) - 6}.{m[2]}",
    ),
    (
        r"head\.(classification|regression)_head\.conv\.(\d)\.0\.(weight|bias)",
        lambda m: f"heads.{_TOWERS[m[1]]}.{2 * int(m[2])}.{m[3]}",
    ),
    (
        # Without the second number the ReLUs are counted too, as they are here.
        r"head\.(classification|regression)_head\.conv\.(\d)\.(weight|bias)",
        lambda m: f"heads.{_TOWERS[m[1]]}.{m[2]}.{m[3]}",
    ),
    (
        r"head\.classification_head\.cls_logits\.(weight|bias)",
        lambda m: f"heads.classes.{m[1]}",
    ),
    (r"head\.regression_head\.bbox_reg\.(weight|bias)", lambda m: f"heads.offsets.{m[1]}"),
]


def _from_bgr(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Read RGB where the file's code reads BGR."""
    first = weights.get(_FIRST)
    if first is None or first.ndim != 4 or first.shape[1] != 3:
        return weights  # the check of shapes says what is wrong
    return {**weights, _FIRST: first.flip(1)}


def _reduced(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """fc6 and fc7 as convolutions of a quarter of their channels, and fc6 of every third cell."""
    result = dict(weights)
    for place, size in zip(_FC_PLACES.values(), (7, 1), strict=True):
        weight, bias = weights.get(f"{place}weight"), weights.get(f"{place}bias")
        if weight is None or bias is None or len(weight) != 4096 or len(bias) != 4096:
            raise CheckpointError("fc6 and fc7 of VGG-16 must have 4,096 outputs each")
        kernels = weight.reshape(4096, -1, size, size)[::4, :, ::3, ::3]
        result[f"{place}weight"] = kernels if size == 7 else kernels[:, ::4]
        result[f"{place}bias"] = bias[::4]
    return result


def _without_epsilon(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Batch norms that divide by sqrt(variance) alone, for ones that add 1e-5 to the variance.

    Torchvision runs its published RetinaNet with an epsilon of 0; that file's norms are frozen,
    so they count no batches, where those of a file that is trained from scratch do.
    """
    if any(key.endswith("num_batches_tracked") for key in weights):
        return weights
    result = dict(weights)
    for key, variance in weights.items():
        scale = key.removesuffix("running_var") + "weight"
        if key.endswith("running_var") and scale in weights:
            exact = variance.double()
            result[scale] = (weights[scale] * ((exact + 1e-5) / exact).sqrt()).float()
    return result


_LITE_PLACES = {
    **{"expand_conv": "expand.0", "bn0": "expand.1"},
    **{"depthwise_conv": "depthwise.0", "bn1": "depthwise.1"},
    **{"project_conv": "project.0", "bn2": "project.1"},
}
_LITE: list[Rule] = [
    (r"_conv_stem\.weight", lambda _: "sources.stem.0.weight"),
    (rf"_bn0\.{_SUFFIX}", lambda m: f"sources.stem.1.{m[1]}"),
    (
        rf"_blocks\.(\d|1[0-4])\._({'|'.join(_LITE_PLACES)})\.{_SUFFIX}",
        lambda m: f"sources.trunk.{m[1]}.{_LITE_PLACES[m[2]]}.{m[3]}",
    ),
]


def _turned(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every kernel turned by 180 degrees.

    TensorFlow, for which the file was made, pads below and right where a stride leaves no middle;
    on the turned image that is above and left, as torch pads an even number of pixels.
    """
    return {key: w.flip(2, 3) if w.ndim == 4 else w for key, w in weights.items()}


def _unchanged(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return weights


_TOP = "tells ImageNet's classes apart"
_REDUCED_VGG = Layout(
    "VGG-16 as reduced for SSD",
    _VGG,
    partial(_apply, [_vgg_rule("")]),
    {},
    _from_bgr,
    _CAFFE,
)
_MARKS = {
    "_conv_stem.weight": Layout(
        "EfficientNet-Lite0",
        ("sources.stem.", "sources.trunk."),
        partial(_apply, _LITE),
        {
            r"_fc\.(weight|bias)": _TOP,
            rf"(_conv_head|_bn1|_blocks\.15\.\w+)\.{_SUFFIX}": "leads to ImageNet's classes alone",
        },
        _turned,
        (LITE_FORM.mean, LITE_FORM.scale),
    ),
    "Norm.ConvLinear.conv.weight": Layout("RFBNet", _ALL, _rfb_names, {}, _from_bgr, _CAFFE),
    "L2Norm.weight": Layout(
        "SSD of ssd.pytorch", _ALL, partial(_apply, _SSD), {}, _from_bgr, _CAFFE
    ),
    "features.0.weight": Layout(
        "torchvision's VGG-16",
        _VGG,
        partial(_apply, _TORCHVISION_VGG),
        {r"classifier\.6\.(weight|bias)": _TOP},
        _reduced,
        _IMAGENET,
    ),
    "layer1.0.conv1.weight": Layout(
        "torchvision's ResNet-50",
        ("sources.stem.", "sources.stages."),
        partial(_apply, _resnet_rules("")),
        {r"fc\.(weight|bias)": _TOP},
        _unchanged,
        _IMAGENET,
    ),
    "backbone.body.conv1.weight": Layout(
        "torchvision's RetinaNet",
        _ALL,
        partial(_apply, _RETINANET),
        {},
        _without_epsilon,
        _IMAGENET,
    ),
}
