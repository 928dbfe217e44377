"""The training loop: schedule, steps, moving average, checkpoints."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sixrayd.core.errors import CheckpointError, SixraydError
from sixrayd.core.files import write_bytes
from sixrayd.core.storage import is_refusal
from sixrayd.detectors.catalogue import Recipe
from sixrayd.detectors.detector import Detector
from sixrayd.detectors.devices import computes_bfloat16
from sixrayd.detectors.losses import MultiboxLoss, Overlaps, match
from sixrayd.detectors.predictor import channels_last, normalise
from sixrayd.train.examples import Batch, ExampleSet
from sixrayd.train.team import ALONE, Team

READ_EVERY = 16  # steps between two readings of the loss


@dataclass(frozen=True, slots=True)
class EpochResult:
    """One line of `metrics.csv`."""

    epoch: int  # from 1
    learning_rate: float  # of the epoch's last step
    offset_loss: float  # means over the epoch's steps
    class_loss: float


class MovingAverage:
    """Weights averaged over the last steps; early on over fewer, so that the random start does
    not linger in them.

    Args:
        detector: followed from now on; its tensors may change, but not be replaced.
        decay: of the average in the long run, 0..1.
    """

    def __init__(self, detector: Detector, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        live = detector.state_dict()
        self.state = {key: value.clone() for key, value in live.items()}
        averaged = [key for key, value in live.items() if value.is_floating_point()]
        self._average, self._live = ([s[key] for key in averaged] for s in (self.state, live))
        counted = live.keys() - set(averaged)
        self._counts, self._live_counts = ([s[k] for k in counted] for s in (self.state, live))

    def update(self) -> None:
        """Take in the weights after one more step, in a few calls for all tensors."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        torch._foreach_lerp_(self._average, self._live, 1 - decay)
        if self._counts:
            torch._foreach_copy_(self._counts, self._live_counts)

    def load(self, state: Mapping[str, Tensor], updates: int) -> None:
        """Go on from another's `state` and `updates`."""
        for key, value in self.state.items():
            value.copy_(state[key])
        self.updates = updates


class Fit:
    """One training run, an epoch at a time; its whole state goes to a checkpoint and back.

    Args:
        detector: initialised; it is changed in place.
        steps: optimiser steps an epoch.
        team: the processes that train together, each on its part of every batch.
        workers: threads that make views.
    """

    def __init__(
        self,
        detector: Detector,
        recipe: Recipe,
        steps: int,
        device: torch.device,
        team: Team = ALONE,
        workers: int = 1,
    ) -> None:
        self.detector = channels_last(detector.to(device))
        self.team = team
        self.network = team.share(self.detector)
        self.recipe = recipe
        self.steps = steps
        self.device = device
        self.workers = workers
        self.optimizer = _optimizer(detector, recipe)
        self.average = MovingAverage(detector, recipe.ema_decay)
        self.results: list[EpochResult] = []

    def epoch(self, examples: ExampleSet, seen: Callable[[], None]) -> EpochResult:
        """Train one epoch.

        Args:
            seen: called after each step, for progress.

        Raises:
            SixraydError: the loss stops being finite.
        """
        number = len(self.results)
        self.detector.train()
        losses = _Losses(number)
        batches = examples.batches(
            number,
            self.recipe.batch,
            self.team.part,
            workers=self.workers,
            pinned=self.device.type == "cuda",
        )
        for n, batch in enumerate(sent_ahead(batches, self.device)):
            rate = self.learning_rate(number + n / self.steps)
            losses.add(batch.image_ids, self.step(batch, rate))
            seen()
        losses.read()
        steps = max(self.steps, 1)
        result = EpochResult(number + 1, rate, losses.offsets / steps, losses.classes / steps)
        self.results.append(result)
        return result

    def learning_rate(self, epoch: float) -> float:
        """Learning rate after so many epochs: linear warm-up, then steps or a cosine to zero."""
        recipe = self.recipe
        if epoch < recipe.warmup_epochs:
            return recipe.learning_rate * max(epoch / recipe.warmup_epochs, 1e-3)
        if recipe.steps:
            return recipe.learning_rate * 0.1 ** sum(epoch >= step for step in recipe.steps)
        share = (epoch - recipe.warmup_epochs) / (recipe.epochs - recipe.warmup_epochs)
        return recipe.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2)

    def weights(self) -> dict[str, Tensor]:
        """The weights to use: the moving average where the recipe keeps one."""
        state = self.average.state if self.recipe.ema_decay else self.detector.state_dict()
        return {key: value.detach().cpu() for key, value in state.items()}

    def save(self, path: Path) -> None:
        """Everything that an equal continuation needs."""
        state = {
            "detector": self.detector.state_dict(),
            "average": self.average.state,
            "updates": self.average.updates,
            "optimizer": self.optimizer.state_dict(),
            "results": [list(astuple(result)) for result in self.results],
        }
        data = io.BytesIO()  # a disk that is full would make torch's own file say something else
        torch.save(state, data)
        write_bytes(path, data.getvalue())

    def load(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            CheckpointError: it is broken or of another model.
        """
        try:
            # To the CPU, where an optimiser's step counters belong; the rest is copied from there.
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            self.detector.load_state_dict(state["detector"])
            self.average.load(state["average"], state["updates"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.results = [EpochResult(*row) for row in state["results"]]
        except Exception as error:  # torch raises many kinds for a broken file
            if is_refusal(error):
                raise
            raise CheckpointError(f"{path}: cannot go on from it ({error}); delete it") from error

    def loss(self, batch: Batch) -> MultiboxLoss:
        """Of a batch on the device, with what its gradient needs."""
        images = normalise(batch.images, self.detector.form)
        bfloat16 = computes_bfloat16(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16):
            offsets, logits, priors = self.network(
                images.contiguous(memory_format=torch.channels_last)
            )
        overlaps = Overlaps(self.recipe.fg_iou, self.recipe.bg_iou)
        targets = match(batch.boxes, batch.labels, priors, overlaps, self.detector.coding)
        return self.detector.loss((offsets.float(), logits), targets)

    def step(self, batch: Batch, rate: float) -> MultiboxLoss:
        """Learn from a batch on the device; what is given waits there, unread."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self.loss(batch)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss.total)
        nn.utils.clip_grad_norm_(self.detector.parameters(), 10.0, foreach=True)
        self.optimizer.step()
        if self.recipe.ema_decay:
            self.average.update()
        return loss


class _Losses:
    """Sums of an epoch's losses, read from the device a few steps at a time: each reading waits
    until all that was begun is done."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.offsets = self.classes = 0.0
        self._unread: list[tuple[tuple[str, ...], Tensor]] = []

    def add(self, image_ids: tuple[str, ...], loss: MultiboxLoss) -> None:
        """Take a step's loss."""
        both = torch.stack([loss.offsets.detach(), loss.classes.detach()])
        self._unread.append((image_ids, both))
        if len(self._unread) == READ_EVERY:
            self.read()

    def read(self) -> None:
        """Add what is unread.

        Raises:
            SixraydError: a loss is not finite.
        """
        if not self._unread:
            return
        values = torch.stack([both for _, both in self._unread]).tolist()
        for (image_ids, _), (offsets, classes) in zip(self._unread, values, strict=True):
            if not math.isfinite(offsets + classes):
                raise SixraydError(
                    f"training: the loss is not finite after epoch {self.epoch} on the batch "
                    f"{', '.join(image_ids)}; lower --learning-rate"
                )
            self.offsets += offsets
            self.classes += classes
        self._unread.clear()


def sent_ahead(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """Batches on the device; to a GPU, each is copied while the one before is learnt from."""
    if not torch.cuda.is_available() or device.type != "cuda":
        yield from (batch.to(device) for batch in batches)
        return
    copying = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def sent(batch: Batch) -> tuple[Batch, torch.cuda.Event]:
        with torch.cuda.stream(copying):
            return batch.to(device), copying.record_event()

    def arrived(batch: Batch, there: torch.cuda.Event) -> Batch:
        learning = torch.cuda.current_stream(device)
        learning.wait_event(there)
        for tensor in (batch.images, batch.boxes, batch.labels):
            tensor.record_stream(learning)  # else its memory could be given to the next copy
        return batch

    waiting = None
    for batch in batches:
        following = sent(batch)
        if waiting:
            yield arrived(*waiting)
        waiting = following
    if waiting:
        yield arrived(*waiting)


def write_metrics(path: Path, results: list[EpochResult]) -> None:
    """The curves as CSV."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["epoch", "rate", "offset_loss", "class_loss"])
    table.writerows(map(astuple, results))
    write_bytes(path, text.getvalue().encode())


def _optimizer(detector: Detector, recipe: Recipe) -> torch.optim.Optimizer:
    learnt = [p for p in detector.parameters() if p.requires_grad]
    matrices = [p for p in learnt if p.ndim > 1]
    vectors = [p for p in learnt if p.ndim == 1]  # norms and biases do not decay
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": recipe.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)
