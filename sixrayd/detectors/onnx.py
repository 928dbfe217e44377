"""Detectors as ONNX graphs, and running them with ONNX Runtime to the same detections."""

import copy
import json
import os
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from sixrayd.core.arrays import RGBImage
from sixrayd.core.classes import ClassList
from sixrayd.core.detections import Detections
from sixrayd.core.documents import parse_json
from sixrayd.core.errors import CheckpointError, SettingsError
from sixrayd.core.extras import import_extra
from sixrayd.core.files import plain_bytes, replacing
from sixrayd.detectors.backend_onnxruntime import traced
from sixrayd.detectors.checkpoints import read_form
from sixrayd.detectors.coding import decode
from sixrayd.detectors.decoding import DecodeSettings, select_batch
from sixrayd.detectors.detector import Detector
from sixrayd.detectors.predictor import clipped, normalise

_KEY = "sixrayd"
_OUTSIDE = "session.model_external_initializers_file_folder_path"  # of weights in other files
_FATAL = 4  # of what ONNX Runtime says on stderr


class _Graph(nn.Module):
    """Normalised images → boxes (B, P, 4) in pixels of the input, and scores (B, P, C)."""

    def __init__(self, detector: Detector, input_hw: tuple[int, int]) -> None:
        super().__init__()
        self.detector = detector
        with torch.inference_mode():
            priors = detector(torch.zeros(1, 3, *input_hw))[2]
        self.register_buffer("priors", torch.from_numpy(priors.numpy().copy()))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        offsets, logits = self.detector.heads(self.detector.sources(images))
        coding = self.detector.coding
        return decode(offsets, self.get_buffer("priors"), coding), coding.score(logits)


def export_onnx(
    detector: Detector,
    path: Path,
    classes: ClassList,
    *,
    input_hw: tuple[int, int] | None = None,
    batch: int | None = None,
) -> None:
    """Write a detector as an ONNX graph, whole or not at all.

    The graph takes `images` (B, 3, H, W), normalised as its metadata say, and gives `boxes`
    (B, P, 4) xyxy in pixels of the input and `scores` (B, P, C); suppression is left to whoever
    runs it. Height and width are fixed, since the priors are constants in it.

    Args:
        input_hw: the detector's square where left out.
        batch: images at a time; any number where left out.

    Raises:
        ServiceError: onnx or onnxscript is not installed.
        SettingsError: a size below 1, or as many classes as the detector does not have.
    """
    size = input_hw or (detector.form.size, detector.form.size)
    if min(*size, batch or 1) < 1 or batch == 0:
        raise SettingsError(f"onnx: input {size}, batch {batch}: expected at least 1")
    onnx = import_extra("onnx", "benchmark")
    import_extra("onnxscript", "benchmark")
    graph = _Graph(copy.deepcopy(detector).cpu().eval(), size).eval()
    # Of a batch of one, the exporter would make a constant.
    example = torch.zeros(batch or 2, 3, *size)
    with torch.inference_mode():
        found = graph(example)[1].shape[2]
    if found != len(classes):
        raise SettingsError(f"onnx: {len(classes)} classes, but the detector scores {found}")
    about = {"classes": list(classes.names), "input": asdict(detector.form), "input_hw": size}
    shapes = {"images": {0: torch.export.Dim("batch", min=1)}} if batch is None else None
    model = traced(graph, example, ["boxes", "scores"], shapes)
    entry = model.metadata_props.add()
    entry.key, entry.value = _KEY, json.dumps(about)
    onnx.checker.check_model(model)
    with replacing(path) as beside:
        beside.write_bytes(model.SerializeToString())


class OnnxPredictor:
    """An exported detector ready to look at images, on the CPU.

    Args:
        threads: of ONNX Runtime; its own choice where left out.

    Raises:
        CheckpointError: the file is missing, broken, or not a graph of `export_onnx`, or its
            weights lie in other files.
        ServiceError: onnxruntime is not installed.
    """

    def __init__(
        self,
        path: Path,
        settings: DecodeSettings = DecodeSettings(),
        *,
        threads: int | None = None,
    ) -> None:
        runtime = import_extra("onnxruntime", "benchmark")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.add_session_config_entry(_OUTSIDE, os.devnull)  # nothing lies in there
        options.log_severity_level = _FATAL  # else each odd name in the graph reaches the terminal
        try:
            self.session = runtime.InferenceSession(
                plain_bytes(path), options, providers=["CPUExecutionProvider"]
            )
            about = parse_json(self.session.get_modelmeta().custom_metadata_map[_KEY])
            self.form = read_form(about["input"])
            self.classes = ClassList(tuple(about["classes"]))
            self.input_hw: tuple[int, int] = (int(about["input_hw"][0]), int(about["input_hw"][1]))
        except KeyError as error:
            raise CheckpointError(f"{path}: not a detector that sixrayd exported") from error
        except Exception as error:  # onnxruntime's errors have no common base of their own
            raise CheckpointError(f"{path}: not a readable ONNX graph ({error})") from error
        self.settings = settings

    def detect(self, images: list[RGBImage]) -> list[Detections]:
        """Detections of each image, by falling score, in its own pixels.

        Args:
            images: (H, W, 3) uint8 RGB each, of any size.
        """
        if not images:
            return []
        height, width = self.input_hw
        resized = np.stack([cv2.resize(image, (width, height)) for image in images])
        x = normalise(torch.from_numpy(resized), self.form).contiguous().numpy()  # (B, 3, H, W)
        boxes, scores = (torch.from_numpy(part) for part in self.session.run(None, {"images": x}))
        scale = torch.tensor([(i.shape[1] / width, i.shape[0] / height) for i in images])
        found = select_batch(boxes, scores, self.settings, scale)
        return [clipped(d, image) for d, image in zip(found, images, strict=True)]
