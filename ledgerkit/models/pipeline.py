"""Pictures are read and prepared in threads ahead of the model, and given to it in batches.

What is held is bounded: two batches of prepared pictures, or `AHEAD_BYTES` of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

from ledgerkit.models.loading import threads
from ledgerkit.models.tower import batch_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.models.tower import Tower

    Picture = NDArray[np.uint8]
    Vector = NDArray[np.float32]

Key = TypeVar("Key")
Value = TypeVar("Value")
AHEAD_BYTES = 256 << 20


class Once(Generic[Value]):
    """A value that several threads need, made by the first that asks; so is the error it gives."""

    def __init__(self, make: Callable[[], Value]) -> None:
        self._make, self._lock = make, Lock()
        self._value: list[Value] = []
        self._error: Exception | None = None

    def __call__(self) -> Value:
        with self._lock:
            if self._error is not None:
                raise self._error
            if not self._value:
                try:
                    self._value.append(self._make())
                except Exception as error:
                    self._error = error
                    raise
            return self._value[0]


def encoded(
    pictures: Iterable[tuple[Key, Callable[[], Picture]]], tower: Tower
) -> Iterator[tuple[Key, Vector | Exception]]:
    """For each key the raw vector of its picture, float32 (d,), in order; or why it has none.

    A picture is what its function gives, uint8 sRGB (h, w, 3); it is called in a thread.
    """
    size = batch_size(tower)
    held: list[tuple[Key, Vector]] = []
    for key, made in _prepared(pictures, tower, size):
        if isinstance(made, Exception):
            yield key, made
            continue
        held.append((key, made))
        if len(held) == size:
            yield from _forward(held, tower)
            held = []
    if held:
        yield from _forward(held, tower)


def _forward(
    held: list[tuple[Key, Vector]], tower: Tower
) -> Iterator[tuple[Key, Vector | Exception]]:
    """The vectors of a batch; one by one where the batch fails, so that a picture costs only itself."""
    import numpy as np

    try:
        vectors = tower.images(np.stack([pixels for _, pixels in held]))
    except Exception as error:
        if len(held) == 1:
            yield held[0][0], error
            return
        for one in held:
            yield from _forward([one], tower)
        return
    for (key, _), vector in zip(held, vectors, strict=True):
        yield key, vector


def _prepared(
    pictures: Iterable[tuple[Key, Callable[[], Picture]]], tower: Tower, size: int
) -> Iterator[tuple[Key, Vector | Exception]]:
    """Each picture as the tower takes it, or why it cannot be had, in order."""
    height, width = tower.preprocessing.shape
    most = max(threads() + 1, min(2 * size, AHEAD_BYTES // (12 * height * width)))
    waiting: deque[tuple[Key, Future[Vector]]] = deque()
    pool = ThreadPoolExecutor(threads())
    try:
        for key, read in pictures:
            waiting.append((key, pool.submit(_prepare, read, tower)))
            if len(waiting) > most:
                yield _done(*waiting.popleft())
        while waiting:
            yield _done(*waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare(read: Callable[[], Picture], tower: Tower) -> Vector:
    return tower.preprocessing.apply(read())


def _done(key: Key, future: Future[Vector]) -> tuple[Key, Vector | Exception]:
    try:
        return key, future.result()
    except Exception as error:
        return key, error
