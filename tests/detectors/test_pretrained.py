import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from sixrayd.core.classes import ClassList
from sixrayd.core.errors import CheckpointError
from sixrayd.detectors.catalogue import DETECTORS
from sixrayd.detectors.checkpoints import Checkpoint, save_weights
from sixrayd.detectors.detector import InputForm
from sixrayd.detectors.predictor import normalise
from sixrayd.detectors.pretrained import (
    FOLDER,
    WEIGHTS,
    InitReport,
    Skipped,
    find_weights,
    initialise_from,
)
from tests.detectors.seeded import seeded_image, seeded_tensor
from tests.detectors.torchvision_models import torchvision_module
from tests.marks import some_long

PUBLISHED = Path(__file__).parent / "published"
NAMES = ("rfb300", "rfb512", "ssd300")


def _published(name):
    return json.loads((PUBLISHED / f"{name}.json").read_text("utf-8"))


def _weights(name):
    return {key: seeded_tensor(key, shape) for key, shape in _published(name)["keys"].items()}


def _light(shapes):
    # Each tensor one number of its own, so that files are small.
    numbers = enumerate(shapes.items())
    return {key: torch.tensor(i / 100).expand(tuple(shape)) for i, (key, shape) in numbers}


@pytest.fixture(scope="module")
def ssd_weights():
    return _light(_published("ssd300")["keys"])


@pytest.fixture(scope="module")
def untouched():
    # Detectors that every test leaves as they are.
    names = ("ssd300", "ssd512", "rfb300", "retinanet-small")
    return {name: DETECTORS[name].build(20) for name in names}


@pytest.fixture
def saved(tmp_path):
    def save(weights, name="weights.pth"):
        torch.save(weights, tmp_path / name)
        return tmp_path / name

    return save


def _look(detector, rgb):
    with torch.inference_mode():
        return detector.eval()(normalise(torch.from_numpy(rgb)[None], detector.form))


# What the published code gave on these weights and this image is in `published/`.
@pytest.mark.parametrize("name", some_long(NAMES, ("rfb512", "rfb300")))
def test_published_weights_give_the_published_code_s_outputs(name, saved):
    expected = _published(name)
    weights = _weights(name)
    detector = DETECTORS[name].build(expected["classes"])
    detector.form = InputForm(expected["size"], (0.0, 0.0, 0.0), (9.0, 9.0, 9.0))

    report = initialise_from(detector, saved(weights))
    found = _look(detector, seeded_image(name, expected["size"], expected["size"]))

    layout = "SSD of ssd.pytorch" if name == "ssd300" else "RFBNet"
    assert report == InitReport(layout, len(expected["keys"]), (), ())
    for key, tensor in zip(("loc", "conf"), found[:2], strict=True):
        sample = expected[key]
        assert tensor.numel() == sample["count"]
        ours = tensor.flatten()[sample["at"]].numpy()
        assert np.abs(ours - sample["values"]).max() < 1e-4
        assert tensor.std() == pytest.approx(sample["spread"], rel=1e-4)
    ours = found[2][expected["priors"]["at"]] / expected["size"]
    assert np.abs(ours.numpy() - expected["priors"]["values"]).max() < 1e-6


@pytest.mark.long
def test_a_file_from_several_gpus_or_with_a_wrapping_is_the_same(ssd_weights, saved):
    detectors = [DETECTORS["ssd300"].build(20) for _ in range(3)]
    for detector, wrapped in zip(
        detectors,
        (
            ssd_weights,
            {f"module.{key}": tensor for key, tensor in ssd_weights.items()},
            {"state_dict": ssd_weights},
        ),
        strict=True,
    ):
        assert initialise_from(detector, saved(wrapped)).loaded == 71

    first, *others = (d.state_dict() for d in detectors)
    for other in others:
        assert all(torch.equal(first[key], other[key]) for key in first)


def test_heads_for_other_classes_stay_as_they_are_and_are_reported(ssd_weights, saved):
    detector = DETECTORS["ssd300"].build(5)
    before = {key: tensor.clone() for key, tensor in detector.state_dict().items()}

    report = initialise_from(detector, saved(ssd_weights))

    heads = [f"{i}.{part}" for i in range(6) for part in ("weight", "bias")]
    assert report.loaded == 59
    assert report.at_random == tuple(f"heads.classes.{head}" for head in heads)
    assert [s.key for s in report.skipped] == [f"conf.{head}" for head in heads]
    assert report.skipped[:2] == (
        Skipped(
            "conf.0.weight",
            "made for other classes: 84 × 512 × 3 × 3 where 24 × 512 × 3 × 3 is needed",
        ),
        Skipped("conf.0.bias", "made for other classes: 84 where 24 is needed"),
    )
    after = detector.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in report.at_random)
    assert torch.equal(after["heads.offsets.5.bias"], ssd_weights["loc.5.bias"])


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("ssd300", {"head.extra": torch.ones(1)}, "head.extra is no tensor of SSD of ssd.pytorch"),
        ("ssd300", {"loc.0.bias": None}, "SSD of ssd.pytorch lacks tensors for heads.offsets.0.b"),
        ("ssd300", {"loc.0.bias": torch.ones(3)}, "loc.0.bias: is 3, the detector's is 16"),
        ("ssd300", {"conf.0.bias": torch.ones(2, 2)}, "conf.0.bias: is 2 × 2, the detector's is"),
        ("ssd300", {"vgg.0.bias": torch.full((64,), torch.nan)}, "vgg.0.bias: holds values that"),
        ("ssd300", {"vgg.0.weight": torch.ones(64)}, "vgg.0.weight: is 64, the detector's is 64 ×"),
        ("ssd300", {"vgg.0.weight": 7}, "'vgg.0.weight': need a tensor with a name"),
        ("ssd512", {}, "SSD of ssd.pytorch lacks tensors for sources.deeper.4.0.weight"),
        ("rfb300", {}, "L2Norm.weight: the detector has no such layer; weights of SSD of ssd.py"),
        ("retinanet-small", {}, "the detector has no such layer"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(
    name, change, message, ssd_weights, untouched, saved
):
    detector = untouched[name]
    form = detector.form
    before = {key: tensor.clone() for key, tensor in detector.state_dict().items()}
    changed = {k: v for k, v in {**ssd_weights, **change}.items() if v is not None}

    with pytest.raises(CheckpointError) as failed:
        initialise_from(detector, saved(changed))

    assert message in str(failed.value)
    assert detector.form == form
    assert all(torch.equal(before[key], value) for key, value in detector.state_dict().items())


class _Hostile:
    def __reduce__(self):
        return (exec, ("raise SystemExit",))


def test_broken_and_hostile_files_are_refused(tmp_path, saved):
    detector = DETECTORS["ssd-small"].build(2)
    whole = saved({"a": torch.ones(100)}).read_bytes()
    contents = {
        "hostile": pickle.dumps(_Hostile(), protocol=2),
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "noise": bytes(range(256)) * 40,
        "list": pickle.dumps([1, 2], protocol=2),
    }
    for name, content in contents.items():
        path = tmp_path / f"{name}.pth"
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=rf"{name}.pth: (not readable|holds no table)"):
            initialise_from(detector, path)
    torch.save({"w": _Hostile()}, tmp_path / "code.pth")
    with pytest.raises(CheckpointError, match=r"code.pth: not readable weights"):
        initialise_from(detector, tmp_path / "code.pth")
    with pytest.raises(CheckpointError, match=r"none.pth: cannot be read"):
        initialise_from(detector, tmp_path / "none.pth")


def test_unknown_names_are_refused(saved):
    path = saved({f"layer{i}": torch.ones(1) for i in range(5)})

    with pytest.raises(CheckpointError, match="tensors are layer0, layer1, layer2 and 2 more"):
        initialise_from(DETECTORS["ssd-small"].build(2), path)
    with pytest.raises(CheckpointError, match="holds no table of tensors"):
        initialise_from(DETECTORS["ssd-small"].build(2), saved({}))


def test_the_reduced_vgg_starts_a_backbone(ssd_weights, saved):
    vgg = {k.removeprefix("vgg."): v for k, v in ssd_weights.items() if k.startswith("vgg.")}
    detector, whole = DETECTORS["ssd300"].build(2), DETECTORS["ssd300"].build(20)
    initialise_from(whole, saved(ssd_weights))

    report = initialise_from(detector, saved(vgg, "vgg16_reducedfc.pth"))

    assert (report.layout, report.loaded) == ("VGG-16 as reduced for SSD", 30)
    assert report.at_random[:2] == ("sources.first.weight", "sources.deeper.0.0.weight")
    assert len(report.at_random) == 1 + 16 + 24
    own, wanted = detector.state_dict(), whole.state_dict()
    loaded = [key for key in own if key not in report.at_random]
    assert len(loaded) == 30
    assert all(torch.equal(own[key], wanted[key]) for key in loaded)


def _numbered(*shape):
    # Entry (i, j) is i + j, in little memory.
    return torch.arange(float(sum(shape))).as_strided(shape, (1, 1))


@pytest.mark.long
def test_torchvision_s_vgg_gives_the_same_maps_and_its_top_is_thinned_out(saved):
    vgg = torchvision_module("models.vgg")
    features = vgg.make_layers(vgg.cfgs["D"], batch_norm=False).eval()
    seeded = {k: seeded_tensor(f"features.{k}", v.shape) for k, v in features.state_dict().items()}
    features.load_state_dict(seeded)
    weights = {f"features.{key}": tensor for key, tensor in seeded.items()}
    for place, inputs, outputs in ((0, 25088, 4096), (3, 4096, 4096), (6, 4096, 1000)):
        weights[f"classifier.{place}.weight"] = _numbered(outputs, inputs)
        weights[f"classifier.{place}.bias"] = torch.arange(float(outputs))
    detector = DETECTORS["ssd300"].build(2)

    report = initialise_from(detector, saved(weights))

    assert (report.layout, report.loaded) == ("torchvision's VGG-16", 30)
    assert report.skipped == tuple(
        Skipped(f"classifier.6.{part}", "tells ImageNet's classes apart")
        for part in ("weight", "bias")
    )
    rgb = seeded_image("vgg", 64, 96)
    with torch.inference_mode():
        theirs = features[:30](_imagenet(rgb))
        x = normalise(torch.from_numpy(rgb)[None], detector.form)
        ours = detector.sources.upper[:7](detector.sources.lower(x))
    assert theirs.std() > 0.05
    assert torch.allclose(ours, theirs, atol=1e-4 * float(theirs.std()))
    fc6, fc7 = detector.sources.upper[8], detector.sources.upper[10]
    # Output 3, channel 5, row 1, column 2 of three by three: 12, 5, 3 and 6 in the original.
    assert fc6.weight[3, 5, 1, 2] == 12 + 5 * 49 + 3 * 7 + 6
    assert fc7.weight[9, 7, 0, 0] == 36 + 28
    assert fc6.bias[9] == fc7.bias[9] == 36


def test_a_vgg_with_another_top_is_refused(saved):
    weights = {"features.0.weight": torch.ones(64, 3, 3, 3), "classifier.0.bias": torch.ones(9)}

    with pytest.raises(CheckpointError, match="not torchvision's VGG-16: fc6 and fc7 of VGG-16"):
        initialise_from(DETECTORS["ssd300"].build(2), saved(weights))


def _imagenet(rgb):
    # As torchvision's transforms do it, from 0..1.
    x = torch.from_numpy(rgb).permute(2, 0, 1).float() / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return ((x - mean[:, None, None]) / std[:, None, None])[None]


def _seed(network, prefix=""):
    shapes = network.state_dict().items()
    network.load_state_dict({k: seeded_tensor(prefix + k, tuple(v.shape)) for k, v in shapes})
    return network.eval()


@pytest.mark.long
def test_torchvision_s_resnet_gives_the_same_maps(saved):
    network = _seed(torchvision_module("models").resnet50(weights=None))
    detector = DETECTORS["retinanet512"].build(5)

    report = initialise_from(detector, saved(network.state_dict()))

    assert (report.layout, report.loaded) == ("torchvision's ResNet-50", 318)
    assert [s.key for s in report.skipped] == ["fc.weight", "fc.bias"]
    assert len(report.at_random) == 12 + 4 + 20
    rgb = seeded_image("resnet", 96, 64)
    with torch.inference_mode():
        x = _imagenet(rgb)
        for layer in list(network.children())[:-2]:
            x = layer(x)
        y = normalise(torch.from_numpy(rgb)[None], detector.form)
        for module in detector.eval().sources.chain:
            y = module(y)
    assert x.shape == y.shape == (1, 2048, 3, 2)
    assert torch.allclose(x, y, atol=1e-4 * float(x.std()))


def _frozen_retinanet():
    # As torchvision builds it for its published weights: frozen norms, nothing added to variances.
    retinanet = torchvision_module("models.detection.retinanet")
    frozen = torchvision_module("ops.misc").FrozenBatchNorm2d
    resnet = torchvision_module("models").resnet50(weights=None, norm_layer=frozen)
    extractor = torchvision_module("models.detection.backbone_utils")._resnet_fpn_extractor
    last = torchvision_module("ops.feature_pyramid_network").LastLevelP6P7(256, 256)
    backbone = extractor(resnet, 3, returned_layers=[2, 3, 4], extra_blocks=last)
    network = retinanet.RetinaNet(backbone, 7)
    torchvision_module("models.detection._utils").overwrite_eps(network, 0.0)
    return network


def _plain_retinanet():
    make = torchvision_module("models.detection.retinanet").retinanet_resnet50_fpn
    return make(weights=None, weights_backbone=None, num_classes=7)


def _older_names(weights):
    # Torchvision's first RetinaNet files number each layer of a tower, and none in the pyramid.
    renamed = {}
    for key, tensor in weights.items():
        parts = key.split(".")
        if ".conv." in key and parts[0] == "head":
            parts[3:5] = [str(2 * int(parts[3]))]
        if "inner_blocks" in key or "layer_blocks" in key:
            del parts[4]
        renamed[".".join(parts)] = tensor
    return renamed


@pytest.mark.parametrize(
    ("make", "loaded"),
    [(_plain_retinanet, 354), pytest.param(_frozen_retinanet, 301, marks=pytest.mark.long)],
    ids=["plain", "frozen"],
)
def test_torchvision_s_retinanet_gives_the_same_heads_and_anchors(make, loaded, saved):
    network = _seed(make())
    detector = DETECTORS["retinanet512"].build(7)
    weights = network.state_dict()
    # Small variances, where an epsilon is felt.
    norms = [key for key in weights if key.endswith("layer2.0.bn3.running_var")]
    for key in norms:
        weights[key] = torch.linspace(1e-4, 1e-3, 512)
        weights[key.replace("running_var", "weight")] *= 0.02
    network.load_state_dict(weights)

    report = initialise_from(detector, saved(_older_names(weights)))

    assert report == InitReport("torchvision's RetinaNet", loaded, (), ())
    assert len(norms) == 1
    rgb = seeded_image("retina", 128, 256)
    offsets, logits, priors = _look(detector, rgb)
    with torch.inference_mode():
        x = _imagenet(rgb)
        maps = list(network.backbone(x).values())
        theirs = network.head(maps)
        image_list = torchvision_module("models.detection.image_list").ImageList
        anchors = network.anchor_generator(image_list(x, [(128, 256)]), maps)[0]
    assert 0.05 < theirs["bbox_regression"].std() < 5
    assert torch.allclose(offsets, theirs["bbox_regression"], atol=1e-4)
    assert torch.allclose(logits, theirs["cls_logits"], atol=1e-4)
    half = priors[:, 2:] / 2
    xyxy = torch.cat([priors[:, :2] - half, priors[:, :2] + half], 1)
    assert torch.equal(xyxy, anchors)


@pytest.mark.long
def test_today_s_names_of_torchvision_s_retinanet_are_known_too(saved):
    weights = _light({key: tensor.shape for key, tensor in _plain_retinanet().state_dict().items()})
    detector = DETECTORS["retinanet512"].build(5)

    report = initialise_from(detector, saved(weights))

    heads = [f"head.classification_head.cls_logits.{part}" for part in ("weight", "bias")]
    assert report.loaded == len(weights) - 2
    assert [s.key for s in report.skipped] == heads
    both = {**weights, **_older_names(weights)}
    with pytest.raises(CheckpointError, match="two tensors of torchvision's RetinaNet mean the s"):
        initialise_from(detector, saved(both))


def test_our_own_weights_start_a_detector_for_other_classes(tmp_path):
    torch.manual_seed(1)
    classes = ClassList(("Gun", "Knife"))
    source = DETECTORS["ssd-small"].build(2)
    source.form = InputForm(320, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    path = tmp_path / "weights.safetensors"
    save_weights(path, Checkpoint("ssd-small", source, classes), source.state_dict())
    same, other = DETECTORS["ssd-small"].build(2), DETECTORS["ssd-small"].build(3)

    whole = initialise_from(same, path)
    partly = initialise_from(other, path)

    assert (whole.layout, whole.skipped, whole.at_random) == ("sixrayd", (), ())
    assert whole.loaded == len(source.state_dict())
    assert all(torch.equal(same.state_dict()[k], v) for k, v in source.state_dict().items())
    assert same.form == InputForm(384, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    assert len(partly.at_random) == len(partly.skipped) == 6
    with pytest.raises(CheckpointError, match="the detector has no such layer; weights of sixrayd"):
        initialise_from(DETECTORS["ssd300"].build(2), path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match="not readable weights"):
        initialise_from(same, path)


def test_a_file_called_like_published_weights_is_not_taken_for_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # such as a stranger's folder
    monkeypatch.setenv(FOLDER, str(tmp_path / "weights"))
    for path in (Path("vgg16"), Path("weights", WEIGHTS["vgg16"].name)):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")

    with pytest.raises(CheckpointError, match=r"weights/vgg16-397923af.pth: SHA-256 e3b0c442"):
        find_weights("vgg16")
    assert find_weights("./vgg16") == Path("vgg16")
    with pytest.raises(CheckpointError, match=r"no such file, and none of the names vgg16-reduced"):
        find_weights("vgg19")
