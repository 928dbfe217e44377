"""The training loop: schedule, steps, moving average, checkpoints."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sixrayd.core.errors import CheckpointError, SixraydError
from sixrayd.core.files import write_bytes
from sixrayd.core.storage import is_refusal
from sixrayd.detectors.catalogue import Recipe
from sixrayd.detectors.checkpoints import why_refused
from sixrayd.detectors.detector import Detector
from sixrayd.detectors.losses import MultiboxLoss, Overlaps, match
from sixrayd.detectors.pickles import read_tensors
from sixrayd.detectors.predictor import channels_last, normalise
from sixrayd.train.examples import Batch, ExampleSet
from sixrayd.train.gradient import Computing, untracked
from sixrayd.train.kept_state import (
    EpochResult,
    fitting,
    read_results,
    state_of_optimizer,
    state_of_scaler,
    step_count,
)
from sixrayd.train.team import ALONE, Team

READ_EVERY = 16  # steps between two readings of the loss


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

    Attributes:
        best: the weights of the validated epoch of the highest mean, of equals the latest.
    """

    def __init__(
        self,
        detector: Detector,
        recipe: Recipe,
        steps: int,
        device: torch.device,
        team: Team = ALONE,
        workers: int = 1,
        computing: Computing = Computing(),
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
        self.computing = computing
        self.half = computing.half(device)
        # The gradients of float16 leave its range unless the loss is scaled.
        self.scaler = torch.amp.GradScaler(device.type) if self.half == torch.float16 else None
        self.results: list[EpochResult] = []
        self.best: dict[str, Tensor] | None = None

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
            rate = self.recipe.rate_after(number + n / self.steps)
            losses.add(batch.image_ids, self.step(batch, rate))
            seen()
        losses.read()
        steps = max(self.steps, 1)
        result = EpochResult(number + 1, rate, losses.offsets / steps, losses.classes / steps)
        self.results.append(result)
        return result

    def weights(self) -> dict[str, Tensor]:
        """The weights to use: the moving average where the recipe keeps one."""
        state = self.average.state if self.recipe.ema_decay else self.detector.state_dict()
        return {key: value.detach().cpu() for key, value in state.items()}

    def judge(self, validation: float) -> None:
        """Note what the last epoch's weights reach, and keep them where none reached more."""
        self.results[-1] = replace(self.results[-1], validation=validation)
        if best_epoch(self.results) == len(self.results):
            self.best = {key: value.clone() for key, value in self.weights().items()}

    def save(self, path: Path) -> None:
        """Everything that an equal continuation needs."""
        state = {
            "detector": self.detector.state_dict(),
            "average": self.average.state,
            "updates": self.average.updates,
            "optimizer": self.optimizer.state_dict(),
            "results": [list(astuple(result)) for result in self.results],
            "best": self.best,
            "scaler": self.scaler.state_dict() if self.scaler else None,
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
            state: dict[str, Any] = read_tensors(path)
            own, best = self.detector.state_dict(), state.get("best")
            results = read_results(state["results"], self.recipe.epochs)
            self.detector.load_state_dict(fitting(state["detector"], own))
            self.average.load(fitting(state["average"], own), step_count(state["updates"]))
            self.optimizer.load_state_dict(state_of_optimizer(state["optimizer"], self.optimizer))
            if self.scaler:
                self.scaler.load_state_dict(state_of_scaler(state["scaler"], self.scaler))
            self.best = None if best is None else fitting(best, own)
            self.results = results
        except Exception as error:  # torch raises many kinds for a broken file
            if is_refusal(error):
                raise
            raise CheckpointError(
                f"{path}: cannot go on from it ({why_refused(error)}); delete it"
            ) from error

    def loss(self, batch: Batch) -> MultiboxLoss:
        """Of a batch on the device, with what its gradient needs."""
        return self._loss(self._predict(batch.images), batch)

    def _predict(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        images = normalise(pixels, self.detector.form)
        with torch.autocast(self.device.type, self.half, enabled=self.half is not None):
            offsets, logits, priors = self.network(
                images.contiguous(memory_format=torch.channels_last)
            )
        return offsets, logits, priors

    def _loss(self, predictions: tuple[Tensor, Tensor, Tensor], batch: Batch) -> MultiboxLoss:
        offsets, logits, priors = predictions
        overlaps = Overlaps(self.recipe.fg_iou, self.recipe.bg_iou)
        targets = match(batch.boxes, batch.labels, priors, overlaps, self.detector.coding)
        return self.detector.loss((offsets.float(), logits), targets)

    def step(self, batch: Batch, rate: float) -> MultiboxLoss:
        """Learn from a batch on the device; what is given waits there, unread."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        parts = self.computing.parts(len(batch.images))
        loss = self._descend(batch) if parts == 1 else self._descend_in_parts(batch, parts)
        if self.scaler:
            self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.detector.parameters(), 10.0, foreach=True)
        if self.scaler:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        else:
            self.optimizer.step()
        if self.recipe.ema_decay:
            self.average.update()
        return loss

    def _descend(self, batch: Batch) -> MultiboxLoss:
        """Leave the gradient of the batch's loss in the weights."""
        loss = self.loss(batch)
        self._backward(loss)
        return loss

    def _descend_in_parts(self, batch: Batch, parts: int) -> MultiboxLoss:
        """The same gradient in the memory of one part.

        The loss joins the images: it is divided by all matched priors, and its hardest negatives
        are the whole batch's. So its gradient by the predictions is taken on all of them, and
        each part is computed once more to lead that on to the weights.
        """
        pieces = batch.images.tensor_split(parts)
        with torch.no_grad(), untracked(self.network):
            looked = [self._predict(piece) for piece in pieces]
        offsets, logits = (
            torch.cat([found[n] for found in looked]).requires_grad_() for n in (0, 1)
        )
        loss = self._loss((offsets, logits, looked[0][2]), batch)
        self._backward(loss)
        along = [t.grad.tensor_split(parts) for t in (offsets, logits) if t.grad is not None]
        for number, (piece, *gradients) in enumerate(zip(pieces, *along, strict=True), 1):
            with nullcontext() if number == parts else self.team.apart(self.network):
                torch.autograd.backward(self._predict(piece)[:2], gradients)
        return loss

    def _backward(self, loss: MultiboxLoss) -> None:
        total = self.scaler.scale(loss.total) if self.scaler else loss.total
        torch.autograd.backward(total)


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


def best_epoch(results: list[EpochResult]) -> int:
    """The validated epoch of the highest mean, of equals the latest; 0 where none was."""
    judged = [(r.validation, r.epoch) for r in results if r.validation is not None]
    return max(judged)[1] if judged else 0


def write_metrics(path: Path, results: list[EpochResult]) -> None:
    """The curves as CSV."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    columns = ["epoch", "rate", "offset_loss", "class_loss", "validation"]
    width = len(columns) - (best_epoch(results) == 0)
    table.writerows([columns[:width], *(astuple(result)[:width] for result in results)])
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
