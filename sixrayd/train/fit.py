"""The training loop: schedule, steps, moving average, checkpoints."""

import csv
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sixrayd.core.errors import CheckpointError, SixraydError
from sixrayd.core.files import replacing, write_bytes
from sixrayd.detectors.coding import Coding
from sixrayd.detectors.detector import Detector
from sixrayd.detectors.focal import focal_loss
from sixrayd.detectors.losses import MultiboxLoss, Overlaps, match, multibox_loss
from sixrayd.detectors.predictor import channels_last, normalise
from sixrayd.train.examples import Batch, ExampleSet
from sixrayd.train.settings import Recipe
from sixrayd.train.team import ALONE, Team


@dataclass(frozen=True, slots=True)
class EpochResult:
    """One line of `metrics.csv`."""

    epoch: int  # from 1
    rate: float  # of the epoch's last step
    offset_loss: float  # means over the epoch's steps
    class_loss: float


class MovingAverage:
    """Weights averaged over the last steps; early on over fewer, so that the random start does
    not linger in them.

    Args:
        decay: of the average in the long run, 0..1.
    """

    def __init__(self, detector: Detector, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.state = {key: value.clone() for key, value in detector.state_dict().items()}

    def update(self, detector: Detector) -> None:
        """Take in the weights after one more step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for key, value in detector.state_dict().items():
            if value.is_floating_point():
                self.state[key].lerp_(value, 1 - decay)
            else:
                self.state[key].copy_(value)


class Fit:
    """One training run, an epoch at a time; its whole state goes to a checkpoint and back.

    Args:
        detector: initialised; it is changed in place.
        steps: optimiser steps an epoch.
        team: the processes that train together, each on its part of every batch.
    """

    def __init__(
        self,
        detector: Detector,
        recipe: Recipe,
        steps: int,
        device: torch.device,
        team: Team = ALONE,
    ) -> None:
        self.detector = channels_last(detector.to(device))
        self.team = team
        self.network = team.share(self.detector)
        self.recipe = recipe
        self.steps = steps
        self.device = device
        self.optimizer = _optimizer(detector, recipe)
        self.average = MovingAverage(detector, recipe.average)
        self.results: list[EpochResult] = []

    def epoch(self, examples: ExampleSet, seen: Callable[[MultiboxLoss], None]) -> EpochResult:
        """Train one epoch.

        Args:
            seen: called after each step, for progress.
        """
        number = len(self.results)
        self.detector.train()
        offsets = classes = 0.0
        batches = examples.batches(number, self.recipe.batch, self.team.part)
        for n, batch in enumerate(batches):
            rate = self.rate(number + n / self.steps)
            loss = self._step(batch, rate)
            offsets, classes = offsets + loss.offsets.item(), classes + loss.classes.item()
            seen(loss)
        steps = max(self.steps, 1)
        result = EpochResult(number + 1, rate, offsets / steps, classes / steps)
        self.results.append(result)
        return result

    def rate(self, epoch: float) -> float:
        """Learning rate after so many epochs: linear warm-up, then steps or a cosine to zero."""
        recipe = self.recipe
        if epoch < recipe.warmup_epochs:
            return recipe.rate * max(epoch / recipe.warmup_epochs, 1e-3)
        if recipe.steps:
            return recipe.rate * 0.1 ** sum(epoch >= step for step in recipe.steps)
        share = (epoch - recipe.warmup_epochs) / (recipe.epochs - recipe.warmup_epochs)
        return recipe.rate * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2)

    def weights(self) -> dict[str, Tensor]:
        """The weights to use: the moving average where the recipe keeps one."""
        state = self.average.state if self.recipe.average else self.detector.state_dict()
        return {key: value.detach().cpu() for key, value in state.items()}

    def save(self, path: Path) -> None:
        """Everything that an equal continuation needs."""
        state = {
            "detector": self.detector.state_dict(),
            "average": self.average.state,
            "updates": self.average.updates,
            "optimizer": self.optimizer.state_dict(),
            "results": [[r.epoch, r.rate, r.offset_loss, r.class_loss] for r in self.results],
        }
        with replacing(path) as beside:
            torch.save(state, beside)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            CheckpointError: it is broken or of another model.
        """
        try:
            state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
            self.detector.load_state_dict(state["detector"])
            self.average.state, self.average.updates = state["average"], state["updates"]
            self.optimizer.load_state_dict(state["optimizer"])
            self.results = [EpochResult(*row) for row in state["results"]]
        except Exception as error:  # torch raises many kinds for a broken file
            raise CheckpointError(f"{path}: cannot go on from it ({error}); delete it") from error

    def _step(self, batch: Batch, rate: float) -> MultiboxLoss:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        images = normalise(batch.images.to(self.device), self.detector.form)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            offsets, logits, priors = self.network(
                images.contiguous(memory_format=torch.channels_last)
            )
        coding = self.detector.coding
        compare = multibox_loss if coding.scores == "softmax" else focal_loss
        overlaps = Overlaps(self.recipe.matched, self.recipe.doubtful)
        loss = compare((offsets.float(), logits), _targets(batch, priors, overlaps, coding))
        if not torch.isfinite(loss.total):
            names = ", ".join(batch.image_ids)
            raise SixraydError(
                f"training: the loss is not finite after epoch {len(self.results)} on the batch "
                f"{names}; lower --rate"
            )
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss.total)
        nn.utils.clip_grad_norm_(self.detector.parameters(), 10.0)
        self.optimizer.step()
        if self.recipe.average:
            self.average.update(self.detector)
        return loss


def write_metrics(path: Path, results: list[EpochResult]) -> None:
    """The curves as CSV."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["epoch", "rate", "offset_loss", "class_loss"])
    table.writerows([r.epoch, r.rate, r.offset_loss, r.class_loss] for r in results)
    write_bytes(path, text.getvalue().encode())


def _targets(
    batch: Batch, priors: Tensor, overlaps: Overlaps, coding: Coding
) -> tuple[Tensor, Tensor]:
    pairs = [
        match(boxes.to(priors.device), labels.to(priors.device), priors, overlaps, coding)
        for boxes, labels in zip(batch.boxes, batch.labels, strict=True)
    ]
    offsets, classes = zip(*pairs, strict=True)
    return torch.stack(offsets), torch.stack(classes)  # (B, P, 4), (B, P)


def _optimizer(detector: Detector, recipe: Recipe) -> torch.optim.Optimizer:
    matrices = [p for p in detector.parameters() if p.ndim > 1]
    vectors = [p for p in detector.parameters() if p.ndim == 1]  # norms and biases do not decay
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.rate, momentum=0.9)
    return torch.optim.AdamW(groups, lr=recipe.rate)
