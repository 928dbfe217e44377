"""Streams in pieces, and work that is begun before its result is asked for."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def chunked(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of this size, the last of what is left.

    As more-itertools has it, which machines that only train and mine need not have.
    """
    waiting = iter(items)
    while chunk := list(islice(waiting, size)):
        yield chunk


def begun_ahead(begin: Callable[[T], R], items: Iterable[T], ahead: int) -> Iterator[R]:
    """What is begun with each item, in order.

    Args:
        ahead: items taken and begun beside the one that is asked for: memory stays bounded.
    """
    begun: deque[R] = deque()
    for item in items:
        begun.append(begin(item))
        if len(begun) > ahead:
            yield begun.popleft()
    yield from begun


def map_ahead(
    pool: Executor, function: Callable[[T], R], items: Iterable[T], ahead: int
) -> Iterator[R]:
    """What the function makes of each item, in order; `ahead` as in `begun_ahead`."""

    def begin(item: T) -> Future[R]:
        return pool.submit(function, item)

    return (future.result() for future in begun_ahead(begin, items, ahead))
