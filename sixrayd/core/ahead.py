"""Streams in pieces, and work that is begun before its result is asked for."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from threading import Condition
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


MOST_PIXELS = 100_000_000  # of decoded images that wait for one step, and one image more
_BYTES_A_PIXEL = 3


def as_pixels(count: int) -> int:
    """What so many bytes of an encoded image count beside decoded ones."""
    return count // _BYTES_A_PIXEL


def chunked(
    items: Iterable[T],
    size: int,
    pixels: Callable[[T], int] = lambda item: 0,
    most: int = MOST_PIXELS,
) -> Iterator[list[T]]:
    """The items in lists of this size, the last of what is left.

    As more-itertools has it, which machines that only train and mine need not have.

    Args:
        pixels: of an item; lists are shorter where they would hold more than `most`.
    """
    chunk: list[T] = []
    held = 0
    for item in items:
        chunk.append(item)
        held += pixels(item)
        if len(chunk) >= size or held >= most:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


def begun_ahead(
    begin: Callable[[T], R],
    items: Iterable[T],
    ahead: int,
    pixels: Callable[[T], int] = lambda item: 0,
    most: int = MOST_PIXELS,
) -> Iterator[R]:
    """What is begun with each item, in order.

    Args:
        ahead: items taken and begun beside the one that is asked for: memory stays bounded.
        pixels: that an item holds; fewer are begun where they would hold more than `most`.
    """
    begun: deque[tuple[int, R]] = deque()
    held = 0
    for item in items:
        begun.append((pixels(item), begin(item)))
        held += begun[-1][0]
        while len(begun) > ahead or (begun and held >= most):
            freed, result = begun.popleft()
            held -= freed
            yield result
    yield from (result for _, result in begun)


def map_ahead(
    pool: Executor,
    function: Callable[[T], R],
    items: Iterable[T],
    ahead: int,
    pixels: Callable[[T], int] = lambda item: 0,
) -> Iterator[R]:
    """What the function makes of each item, in order; `ahead`, `pixels` as in `begun_ahead`."""

    def begin(item: T) -> Future[R]:
        return pool.submit(function, item)

    return (future.result() for future in begun_ahead(begin, items, ahead, pixels))


class Budget:
    """What threads hold at once: so much in all, or one of them alone."""

    def __init__(self, most: int) -> None:
        self._most, self._held, self._changed = most, 0, Condition()

    @contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        """Wait until so much may be held, and hold it within the block."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._held + amount <= self._most)
            self._held += amount
        try:
            yield
        finally:
            with self._changed:
                self._held -= amount
                self._changed.notify_all()
