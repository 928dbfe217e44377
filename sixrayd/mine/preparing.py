"""What is settled once, when a mining begins, so that it goes on the same way on any later day."""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from sixrayd.core.arrays import RGBImage
from sixrayd.core.documents import NONSENSE, parse_json
from sixrayd.core.errors import SettingsError, WorkspaceError
from sixrayd.core.files import plain_text, write_json
from sixrayd.core.index import Index
from sixrayd.core.records import Split
from sixrayd.core.workspace import Workspace
from sixrayd.crop.settings import FAST, TdcSettings
from sixrayd.crop.tdc_forms import check_layer
from sixrayd.detectors.backends import resolve_backend
from sixrayd.detectors.checkpoints import architecture_of, load_checkpoint
from sixrayd.detectors.devices import pick_device
from sixrayd.detectors.lineage import lineage_of, split_of
from sixrayd.detectors.quantising import quantise
from sixrayd.imaging.decode import decode_rgb
from sixrayd.mine.cascade import calibrate, validation_images
from sixrayd.mine.inference import InferenceSettings, open_first, open_inference
from sixrayd.mine.settings import MineSettings

# Not in `look.json`: where it runs, which changes no candidate, and what `run.json` has.
_PASSING = ("device", "threads", "batch", "tdc")
# What mined before `run.json` said how TDC looks; so such a mining goes on.
UNRECORDED = TdcSettings(5, 72, "pixels", form="fast", border="zeros")
_CALIBRATE_BATCH = 16
_QUANTISE_ON = 128  # images of the training side that int8's ranges are measured on


@dataclass(frozen=True, slots=True)
class Models:
    """The detectors that look.

    Args:
        first: weights of the cascade's first detector, if any.
    """

    name: str
    weights: Path
    first_name: str = ""
    first: Path | None = None

    def backends(self, tdc: TdcSettings | None) -> list[str]:
        """What can run all of them, and give the map that TDC's shared form crops."""
        files = (self.weights, *filter(None, [self.first]))
        able = [architecture_of(path).backends for path in files]
        if tdc is not None and tdc.form == "shared":
            able.append(("torch", "torch-bf16"))
        return [name for name in able[0] if all(name in names for names in able)]

    def check_layer(self, tdc: TdcSettings) -> None:
        """Before anything is begun: the detector that crops has the layer.

        Raises:
            SettingsError: it has not, or the shared form cannot crop there.
        """
        check_layer(architecture_of(self.weights).build, tdc)


@dataclass(frozen=True, slots=True)
class Prepared:
    """How to look.

    Args:
        quantised: the network in int8, where the backend wants it.
        path: of what a mining that goes on reads.
    """

    inference: InferenceSettings
    quantised: Path | None
    path: Path

    def settle(self) -> None:
        """Record it, once it is known to work here: from now on the mining looks this way."""
        if not self.path.exists():
            lasting = asdict(self.inference)
            write_json(self.path, {k: v for k, v in lasting.items() if k not in _PASSING})


def find_models(workspace: Workspace, settings: MineSettings) -> Models:
    """The weights that the settings name.

    Raises:
        WorkspaceError: not trained, or changed since.
        SettingsError: the cascade's two detectors are one.
    """
    name = settings.model or workspace.newest("models")
    for wanted in filter(None, (name, settings.cascade)):
        if wanted not in (known := workspace.names("models")):
            raise WorkspaceError(
                f"{workspace.folder('models')}: no trained model {wanted!r}; there is "
                f"{', '.join(known) or 'none'}"
            )
    weights = workspace.output("models", name, "weights.safetensors")
    if not settings.cascade:
        return Models(name, weights)
    if settings.cascade == name:
        raise SettingsError(f"cascade {name!r}: is the model itself; name a smaller one")
    first = workspace.output("models", settings.cascade, "weights.safetensors")
    return Models(name, weights, settings.cascade, first)


def prepare(
    workspace: Workspace,
    models: Models,
    settings: MineSettings,
    tdc: TdcSettings | None,
    folder: Path,
) -> Prepared:
    """How to look: as was settled in this folder, or as the settings have it.

    Args:
        tdc: how TDC looks; None where it does not.

    Raises:
        SettingsError, ServiceError: the backend is unknown or not installed.
        WorkspaceError: no image is left to calibrate on, or `look.json` is not ours.
    """
    path = folder / "look.json"
    if path.exists():
        try:
            settled = parse_json(plain_text(path))
            inference = InferenceSettings(**settled, tdc=tdc or FAST)
        except NONSENSE as error:
            raise WorkspaceError(
                f"{path}: not what `sixrayd mine` wrote ({error}); remove {folder} and mine again"
            ) from error
        device = inference_device(settings, inference.backend)
        resolve_backend(inference.backend, device, models.backends(tdc))  # is it here too?
    else:
        device = inference_device(settings, settings.backend)
        inference = _settled(workspace, models, settings, tdc, device, folder)
    quantised = folder / "int8.zip"
    inference = replace(inference, device=device.type, threads=settings.threads)
    return Prepared(inference, quantised if quantised.exists() else None, path)


def inference_device(settings: MineSettings, backend: str = "auto") -> torch.device:
    """Where workers look: what is asked for, else where the backend runs.

    Raises:
        SettingsError: "cuda" where there is no GPU, except on a cluster, whose machines may have
            some.
    """
    if settings.engine == "ray" and settings.device == "cuda":
        return torch.device("cuda")
    if settings.device == "auto" and not backend.startswith(("auto", "torch")):
        return torch.device("cpu")
    return pick_device(settings.device)


def _settled(
    workspace: Workspace,
    models: Models,
    settings: MineSettings,
    tdc: TdcSettings | None,
    device: torch.device,
    folder: Path,
) -> InferenceSettings:
    here = device if device.type == "cpu" else pick_device()
    inference = InferenceSettings(
        threshold=settings.threshold,
        mirror=settings.mirror,
        crop=settings.crop,
        tdc=tdc or FAST,
        dynamic=settings.dynamic,
        backend=resolve_backend(settings.backend, device, models.backends(tdc)),
        device=here.type,
    )
    if inference.backend == "openvino-int8":
        detector = load_checkpoint(models.weights).detector
        quantise(detector, _training_images(workspace, models.name), folder / "int8.zip")
    if models.first is not None:
        quantised = folder / "int8.zip" if inference.backend == "openvino-int8" else None
        calibration = calibrate(
            open_first(models.first, inference),
            open_inference(models.weights, inference, quantised=quantised),
            validation_images(workspace, (models.name, models.first_name)),
            settings.keep,
            settings.batch or _CALIBRATE_BATCH,
        )
        names = (models.name, models.first_name)
        cautions = (lineage_of(workspace, name).caution(name) for name in names)
        calibration = replace(calibration, caution="; ".join(filter(None, cautions)))
        write_json(folder / "cascade.json", asdict(calibration))
        inference = replace(inference, first_threshold=calibration.threshold)
    return inference


def _training_images(workspace: Workspace, model: str) -> Iterator[RGBImage]:
    """Images of a model's training side, drawn by the hash of their ids."""
    index = Index.load(workspace, split_of(workspace, model))
    ids = index.rows(split=Split.TRAIN)["image_id"].to_pylist()
    ids.sort(key=lambda image_id: hashlib.sha256(image_id.encode()).digest())
    return (decode_rgb(index.read(image_id), image_id) for image_id in ids[:_QUANTISE_ON])
