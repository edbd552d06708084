"""Tasks one after another in this process."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, TypeVar

from ledgerkit.backends import budget

if TYPE_CHECKING:
    from ledgerkit.backends import Outcome

Task = TypeVar("Task")
Value = TypeVar("Value")


def run_all(
    function: Callable[[Task], Value],
    tasks: Iterable[Task],
    *,
    workers: int = 1,
    memory: int | None = None,
) -> Generator[Outcome[Value], None, None]:
    """Call `function` on each task in turn. Only the user's interrupt ends it early."""
    from ledgerkit.backends import Outcome

    budget.install(None if memory is None else budget.Budget(memory))
    try:
        for index, task in enumerate(tasks):
            try:
                yield Outcome(index, value=function(task))
            except Exception as error:
                yield Outcome(index, error=error)
    finally:
        budget.install(None)
