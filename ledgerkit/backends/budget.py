"""A bound on the memory of one command: workers wait until what a task needs is free.

Each task states what it may take at most; the sum over tasks under way never exceeds the budget. A
task that needs more than all of it is refused at once, for it would wait for ever. When a worker
dies its pool is made anew, and the budget with it.

Keeps out: how much a task needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ledgerkit.errors import LimitExceeded, UsageError
from ledgerkit.memory import give_back

PARENT = 192 << 20
"""Bytes that the commanding process takes beside its workers: the interpreter, records, a commit."""
WORKER = 128 << 20
"""Bytes that a worker takes before its first pixel: the interpreter and its libraries."""
LEAST = 192 << 20
"""Bytes that even a small plate may take (`imaging.footprint`)."""


class OverBudget(LimitExceeded):
    """A task needs more memory than its command may take. No property of the plate: not recorded."""


class Budget:
    """Bytes that tasks may take together; shared by processes when made with their `context`."""

    def __init__(self, total: int, context: Any = None, workers: int = 1) -> None:
        self.total = total
        self.workers = workers
        self._left = context.Value("q", total, lock=False) if context else None
        self._changed = context.Condition() if context else None

    @contextmanager
    def holding(self, needed: int) -> Iterator[None]:
        """Wait until `needed` bytes are free and keep them meanwhile. Raises `OverBudget`."""
        if needed > self.total:
            raise OverBudget(
                f"needs up to {_megabytes(needed)} of memory, and --memory leaves "
                f"{_megabytes(self.total)} for pixels",
                f"Give --memory at least {_megabytes(needed + PARENT + WORKER)} with --workers 1"
                f"{f', or {WORKER // 10**6} MB more for each further one' * (self.workers > 1)}.",
            )
        if self._left is None or self._changed is None:
            yield
            return
        with self._changed:
            self._changed.wait_for(lambda: self._left.value >= needed)
            self._left.value -= needed
        try:
            yield
        finally:
            give_back()
            with self._changed:
                self._left.value += needed
                self._changed.notify_all()


_current: Budget | None = None


def install(budget: Budget | None) -> None:
    """Let tasks of this process keep to a budget, or to none."""
    global _current
    _current = budget


@contextmanager
def holding(needed: int) -> Iterator[None]:
    """Keep `needed` bytes of this process's budget; without one nothing is waited for."""
    if _current is None:
        yield
        return
    with _current.holding(needed):
        yield


def divide(memory: int, workers: int) -> tuple[int, int]:
    """How many of the workers fit into `memory` bytes, and what is left for their tasks.

    Raises `UsageError` when not one does.
    """
    fitting = min(workers, (memory - PARENT - LEAST) // WORKER)
    if fitting < 1:
        least = _megabytes(PARENT + WORKER + LEAST)
        raise UsageError(
            f"--memory {_megabytes(memory)} is too little for a single worker",
            f"Give at least {least}.",
        )
    return fitting, memory - PARENT - fitting * WORKER


def _megabytes(size: int) -> str:
    return f"{-(-size // 10**6)}MB"
