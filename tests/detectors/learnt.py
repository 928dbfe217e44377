"""An rfb-small that finds squares and bars, the same on every machine: no test trains it.

Its narrow network is drawn by chance and stays so. What follows it was trained once, by
`python -m tests.detectors.learnt`, and is kept beside this file; the test of backends that round
asks for nothing that another training would not give as well.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from sixrayd.core.arrays import RGBImage
from sixrayd.core.classes import ClassList
from sixrayd.core.workspace import Workspace
from sixrayd.detectors.checkpoints import Checkpoint, build_detector, save_weights
from sixrayd.detectors.detector import Detector
from sixrayd.detectors.losses import Overlaps, match, multibox_loss
from sixrayd.detectors.predictor import Predictor
from sixrayd.imaging.decode import decode_rgb
from sixrayd.train.stage import train
from tests.squares import QUICK, SIDE_PX, picture

THINGS = ("Gun", "Knife")
INPUT_PX = 192
_FILE = Path(__file__).with_name("learnt.safetensors")
_DRAWN = ("sources.stem.", "sources.stride")
_STEPS, _BATCH = 700, 8


def learnt() -> Detector:
    """The detector, ready to look."""
    detector = _drawn()
    detector.load_state_dict(load_file(_FILE), strict=False)
    return detector.eval()


def train_further(workspace: Workspace, validation: float = 0.1) -> None:
    """One gentle epoch on the release, so that the workspace has a model that finds its squares."""
    path = workspace.root / "learnt.safetensors"
    detector = learnt()
    about = Checkpoint("rfb-small", detector, ClassList(THINGS))
    save_weights(path, about, detector.state_dict())
    gentle = replace(QUICK, epochs=1, learning_rate=1e-5, init=str(path))
    train(workspace, replace(gentle, validation=validation))


def shown(number: int) -> RGBImage:
    """A picture that holds one thing; the first 2,000 are kept for training."""
    return decode_rgb(picture(number, THINGS[number % 2])[0], str(number))


def _drawn() -> Detector:
    """A detector whose network is drawn from numbers that numpy promises never to change."""
    detector = build_detector("rfb-small", ClassList(THINGS), INPUT_PX)
    stream = np.random.RandomState(0)
    for name, parameter in detector.named_parameters():
        if name.startswith(_DRAWN) and parameter.ndim == 4:
            values = stream.standard_normal(parameter.shape) * (2 / parameter[0].numel()) ** 0.5
            parameter.data = torch.from_numpy(values).float()
            parameter.requires_grad_(False)
    return detector


def _settle(detector: Detector, x: torch.Tensor) -> None:
    """Statistics of these inputs in all norms."""
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    with torch.no_grad():
        detector.train()(x)
    detector.eval()


def _train() -> Detector:
    torch.manual_seed(0)
    detector = _drawn()
    for module in [*detector.sources.down, *detector.sources.blocks]:
        for part in module.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
    detector.heads.initialise(0.95)
    prepare = Predictor(detector).prepare
    many = prepare([shown(number) for number in range(64)])[0].x
    _settle(detector, many)
    free = [parameter for parameter in detector.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(free, lr=4e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=_STEPS)
    for step in range(_STEPS):
        numbers = range(step * _BATCH % 2000, step * _BATCH % 2000 + _BATCH)
        detector.train()
        offsets, logits, priors = detector(prepare([shown(number) for number in numbers])[0].x)
        boxes = torch.stack([_box(number) for number in numbers])  # (B, 1, 4)
        labels = torch.tensor([[number % 2 + 1] for number in numbers])
        targets = match(boxes, labels, priors, Overlaps(0.4, 0.1))
        loss = multibox_loss((offsets, logits), targets)
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            print(step, loss.total.item())
    for parameter in free:
        if parameter.ndim == 4:
            parameter.data = parameter.data.bfloat16().float()
    _settle(detector, many)
    return detector


def _box(number: int) -> torch.Tensor:
    x1, y1, x2, y2 = picture(number, THINGS[number % 2])[1]
    return torch.tensor([[x1 - 1, y1 - 1, x2, y2]]) * (INPUT_PX / SIDE_PX)


def _kept(detector: Detector) -> dict[str, torch.Tensor]:
    state = detector.state_dict()
    return {
        key: (value.bfloat16() if value.ndim == 4 else value).contiguous()
        for key, value in state.items()
        if not (key.startswith(_DRAWN) and value.ndim == 4)
    }


if __name__ == "__main__":
    save_file(_kept(_train()), _FILE)
