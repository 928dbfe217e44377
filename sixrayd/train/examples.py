"""What a detector learns from: examples, the order of an epoch, batches."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from sixrayd.core.ahead import begun_ahead
from sixrayd.core.arrays import RGBImage
from sixrayd.train.augment import LabelledImage, change_light, draw_view, draw_window, take_view

_AHEAD = 2  # batches under way beside the one that is asked for


@dataclass(frozen=True, slots=True)
class Example:
    """An image to learn from; without boxes it is a background."""

    image_id: str
    boxes: tuple[tuple[float, float, float, float], ...]  # xyxy pixels of the image
    labels: tuple[int, ...]  # 1-based


@dataclass(frozen=True, slots=True)
class Batch:
    """Views of several images.

    Args:
        images: (B, S, S, 3) uint8 RGB.
        boxes: (B, N, 4) xyxy of each view, in its pixels.
        labels: (B, N) 1-based; 0 fills up views with fewer boxes than others.
    """

    image_ids: tuple[str, ...]
    images: Tensor
    boxes: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> Self:
        """There; from pinned memory, without waiting until it is there."""
        tensors = (self.images, self.boxes, self.labels)
        return type(self)(self.image_ids, *(t.to(device, non_blocking=True) for t in tensors))


@dataclass(frozen=True, slots=True)
class ExampleSet:
    """The examples of a run and how views of them are drawn.

    Args:
        decode: image id → (H, W, 3) uint8 RGB.
        background: backgrounds shown for each positive.
        window: share of the image's side that a view shows; 0 draws SSD's views.
        side: of a view, in pixels.
        hard: backgrounds that a detector took for something; they are shown more often.
    """

    positives: tuple[Example, ...]
    backgrounds: tuple[Example, ...]
    decode: Callable[[str], RGBImage]
    background: float
    window: float
    side: int
    seed: int
    hard: tuple[Example, ...] = ()

    def order(self, epoch: int) -> list[Example]:
        """One epoch: every positive once, and backgrounds in turn so that all get their chance."""
        rng = _rng(self.seed, "order", epoch)
        wanted = round(self.background * len(self.positives))
        hard = hard_share(wanted, len(self.hard))
        chosen = [
            *self.positives,
            *self._in_turn("deck", self.backgrounds, epoch, wanted - hard),
            *self._in_turn("hard", self.hard, epoch, hard),
        ]
        return [chosen[i] for i in rng.permutation(len(chosen))]

    def _in_turn(
        self, deck: str, examples: tuple[Example, ...], epoch: int, wanted: int
    ) -> list[Example]:
        """The epoch's part of a shuffled deck that is dealt over and over."""
        if not examples:
            return []
        order = _rng(self.seed, deck, 0).permutation(len(examples))
        places = np.arange(epoch * wanted, (epoch + 1) * wanted) % len(examples)
        return [examples[i] for i in order[places]]

    def batches(
        self,
        epoch: int,
        size: int,
        part: slice = slice(None),
        *,
        workers: int = 1,
        pinned: bool = False,
    ) -> Iterator[Batch]:
        """The epoch's views; a last batch that is not full is left out, as batch norm needs.

        Args:
            part: of each batch that is wanted; all of it by default.
            workers: threads that make views, for this batch and the next ones; how many there
                are changes nothing in the views.
            pinned: in memory that a GPU copies from by itself.
        """
        order = self.order(epoch)
        size = min(size, len(order))
        pool = ThreadPoolExecutor(workers)

        def begin(start: int) -> _Pending:
            places = range(start, start + size)[part]
            return self._begin(pool, epoch, [(p, order[p]) for p in places], pinned)

        try:
            starts = range(0, len(order) - size + 1, size)
            yield from (pending.batch() for pending in begun_ahead(begin, starts, _AHEAD))
        finally:
            pool.shutdown(cancel_futures=True)

    def _begin(
        self,
        pool: ThreadPoolExecutor,
        epoch: int,
        examples: list[tuple[int, Example]],
        pinned: bool,
    ) -> "_Pending":
        """Have views made of examples, each with its place in the epoch."""
        shape = (len(examples), self.side, self.side, 3)
        images = torch.empty(shape, dtype=torch.uint8, pin_memory=pinned)
        pixels = images.numpy()

        def make(row: int, place: int, example: Example) -> LabelledImage:
            view = self.view(example, _rng(self.seed, example.image_id, epoch, place))
            pixels[row] = view.image
            return LabelledImage(pixels[row], view.boxes, view.labels)

        views = [pool.submit(make, row, *pair) for row, pair in enumerate(examples)]
        return _Pending(tuple(e.image_id for _, e in examples), images, views, pinned)

    def view(self, example: Example, rng: np.random.Generator) -> LabelledImage:
        """A random view of one example."""
        image = self.decode(example.image_id)
        size_wh = (image.shape[1], image.shape[0])
        boxes = np.array(example.boxes, np.float32).reshape(-1, 4)
        sample = LabelledImage(image, boxes, np.array(example.labels, np.int64))
        if self.window:
            rectangle = draw_window(size_wh, boxes, self.window, rng)
        else:
            rectangle = draw_view(size_wh, boxes, rng)
        seen = take_view(sample, rectangle, self.side, rng)
        return LabelledImage(change_light(seen.image, rng), seen.boxes, seen.labels)


@dataclass(frozen=True, slots=True)
class _Pending:
    """A batch whose views are being made."""

    image_ids: tuple[str, ...]
    images: Tensor
    views: list[Future[LabelledImage]]
    pinned: bool

    def batch(self) -> Batch:
        """Wait for it."""
        views = [view.result() for view in self.views]
        most = max(len(view.labels) for view in views)
        boxes = torch.zeros(len(views), most, 4, pin_memory=self.pinned)
        labels = torch.zeros(len(views), most, dtype=torch.long, pin_memory=self.pinned)
        for row, view in enumerate(views):
            boxes[row, : len(view.labels)] = torch.from_numpy(view.boxes)
            labels[row, : len(view.labels)] = torch.from_numpy(view.labels)
        return Batch(self.image_ids, self.images, boxes, labels)


def hard_share(wanted: int, hard: int) -> int:
    """How many of an epoch's backgrounds are hard: each once, as positives are, but at most half,
    so that the ordinary stay in view."""
    return min(hard, wanted // 2)


def _rng(*keys: int | str) -> np.random.Generator:
    """A generator for a purpose: no draw depends on what was drawn before, so a resumed run
    sees what an uninterrupted one would."""
    digest = hashlib.sha256(repr(keys).encode()).digest()
    return np.random.default_rng(list(digest))
