"""Ways to run many tasks: one function, `run_all(function, tasks, workers)`, in several files."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

Task = TypeVar("Task")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Value]):
    """What became of one task.

    `value` is what the function returned; `error` what it raised; `lost` says that its worker died
    before it could answer, so the task may be tried again.
    """

    index: int
    value: Value | None = None
    error: BaseException | None = None
    lost: bool = False


def run_all(
    function: Callable[[Task], Value],
    tasks: Iterable[Task],
    *,
    workers: int,
    memory: int | None = None,
) -> Generator[Outcome[Value], None, None]:
    """Call `function` on every task; outcomes in any order, never an exception for a task.

    With one worker everything runs in this process, one after another. `memory` is what the tasks
    under way may take together (`budget.holding`), in bytes.
    """
    if workers <= 1:
        from ledgerkit.backends import serial

        return serial.run_all(function, tasks, workers=workers, memory=memory)
    from ledgerkit.backends import processes

    return processes.run_all(function, tasks, workers=workers, memory=memory)
