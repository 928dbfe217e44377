"""What a detector learns from: examples, the order of an epoch, batches."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sixrayd.imaging.decode import RGBImage
from sixrayd.train.augment import Sample, change_light, draw_view, draw_window, take_view


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
        boxes: (N_i, 4) xyxy a view, in its pixels.
        labels: (N_i,) a view, 1-based.
    """

    image_ids: tuple[str, ...]
    images: Tensor
    boxes: tuple[Tensor, ...]
    labels: tuple[Tensor, ...]


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

    def batches(self, epoch: int, size: int, part: slice = slice(None)) -> Iterator[Batch]:
        """The epoch's views; a last batch that is not full is left out, as batch norm needs.

        Args:
            part: of each batch that is wanted; all of it by default.
        """
        order = self.order(epoch)
        size = min(size, len(order))
        starts = range(0, len(order) - size + 1, size)
        # One thread prepares the next batch while this one is learnt from.
        with ThreadPoolExecutor(1) as pool:

            def begin(start: int) -> Future[Batch]:
                places = range(start, start + size)[part]
                return pool.submit(self._batch, epoch, [(p, order[p]) for p in places])

            pending = [begin(start) for start in starts[:2]]
            for start in [*starts[2:], None, None][: len(starts)]:
                yield pending.pop(0).result()
                if start is not None:
                    pending.append(begin(start))

    def _batch(self, epoch: int, examples: list[tuple[int, Example]]) -> Batch:
        """Views of examples, each with its place in the epoch."""
        views = [
            self.view(example, _rng(self.seed, example.image_id, epoch, place))
            for place, example in examples
        ]
        return Batch(
            tuple(example.image_id for _, example in examples),
            torch.from_numpy(np.stack([view.image for view in views])),
            tuple(torch.from_numpy(view.boxes) for view in views),
            tuple(torch.from_numpy(view.labels) for view in views),
        )

    def view(self, example: Example, rng: np.random.Generator) -> Sample:
        """A random view of one example."""
        image = self.decode(example.image_id)
        size_wh = (image.shape[1], image.shape[0])
        boxes = np.array(example.boxes, np.float32).reshape(-1, 4)
        sample = Sample(image, boxes, np.array(example.labels, np.int64))
        if self.window:
            rectangle = draw_window(size_wh, boxes, self.window, rng)
        else:
            rectangle = draw_view(size_wh, boxes, rng)
        seen = take_view(sample, rectangle, self.side, rng)
        return Sample(change_light(seen.image, rng), seen.boxes, seen.labels)


def hard_share(wanted: int, hard: int) -> int:
    """How many of an epoch's backgrounds are hard: each once, as positives are, but at most half,
    so that the ordinary stay in view."""
    return min(hard, wanted // 2)


def _rng(*keys: int | str) -> np.random.Generator:
    """A generator for a purpose: no draw depends on what was drawn before, so a resumed run
    sees what an uninterrupted one would."""
    digest = hashlib.sha256(repr(keys).encode()).digest()
    return np.random.default_rng(list(digest))
