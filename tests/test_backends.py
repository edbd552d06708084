"""Backends give one outcome for every task, whatever a task does to its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ledgerkit.backends import Outcome, processes, run_all, serial
from ledgerkit.errors import UnreadableImage


def double(number: int) -> int:
    return 2 * number


def fail_on_odd(number: int) -> int:
    if number % 2:
        raise UnreadableImage(f"number {number} is odd", "Give another.")
    return number


def die_on_seven(number: int) -> int:
    if number == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def unsendable(number: int) -> Any:
    return (lambda: number) if number == 3 else number


def raise_unsendable(number: int) -> int:
    if number == 3:
        raise _UnsendableError("one", "two")
    return number


class _UnsendableError(Exception):
    """Cannot be made again from its `args`, as careless exceptions of libraries cannot."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one)


def process_and_interrupts(number: int) -> tuple[int, bool]:
    return os.getpid(), signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def _by_index(outcomes: Iterator[Outcome[Any]]) -> dict[int, Outcome[Any]]:
    found: dict[int, Outcome[Any]] = {}
    for outcome in outcomes:
        assert outcome.index not in found, "two outcomes of one task"
        found[outcome.index] = outcome
    return dict(sorted(found.items()))


Run = Callable[..., Iterator[Outcome[Any]]]


@pytest.mark.parametrize("run", [serial.run_all, processes.run_all])
def test_every_task_has_one_outcome(run: Run) -> None:
    found = _by_index(run(double, range(200), workers=2))
    assert [outcome.value for outcome in found.values()] == [2 * n for n in range(200)]
    assert list(found) == list(range(200))
    assert _by_index(run(double, [], workers=2)) == {}


@pytest.mark.parametrize("run", [serial.run_all, processes.run_all])
def test_a_failure_is_an_outcome_and_the_others_go_on(run: Run) -> None:
    found = _by_index(run(fail_on_odd, range(10), workers=2))
    assert [outcome.value for outcome in found.values()][::2] == [0, 2, 4, 6, 8]
    for outcome in list(found.values())[1::2]:
        assert isinstance(outcome.error, UnreadableImage)
        assert outcome.error.hint == "Give another."
        assert not outcome.lost


@pytest.mark.parametrize("isolated", [False, True])
def test_a_task_that_kills_its_worker_is_lost_and_no_other_fails(isolated: bool) -> None:
    found = _by_index(processes.run_all(die_on_seven, range(20), workers=2, isolated=isolated))
    assert list(found) == list(range(20))
    assert found[7].lost
    assert not [outcome for outcome in found.values() if outcome.error]
    assert all(outcome.lost or outcome.value == index for index, outcome in found.items())
    if isolated:
        assert [index for index, outcome in found.items() if outcome.lost] == [7]


def test_what_was_lost_with_another_is_done_when_tried_alone() -> None:
    tasks = list(range(20))
    found = _by_index(processes.run_all(die_on_seven, tasks, workers=2))
    lost = [tasks[index] for index, outcome in found.items() if outcome.lost]
    again = _by_index(processes.run_all(die_on_seven, lost, workers=1, isolated=True))
    assert [lost[index] for index, outcome in again.items() if outcome.lost] == [7]
    assert [outcome.value for outcome in again.values() if not outcome.lost] == [
        number for number in lost if number != 7
    ]


@pytest.mark.parametrize("function", [unsendable, raise_unsendable])
def test_an_answer_that_cannot_be_sent_costs_nobody_else_an_answer(
    function: Callable[[int], Any],
) -> None:
    found = _by_index(processes.run_all(function, range(6), workers=2, isolated=True))
    assert list(found) == list(range(6))
    assert found[3].lost or found[3].error is not None
    assert [found[index].value for index in (0, 1, 2, 4, 5)] == [0, 1, 2, 4, 5]


def test_workers_leave_interrupts_to_the_parent() -> None:
    found = _by_index(processes.run_all(process_and_interrupts, range(8), workers=2))
    values = [outcome.value for outcome in found.values()]
    assert all(value is not None and value[0] != os.getpid() and value[1] for value in values)


def test_one_worker_is_this_process() -> None:
    found = _by_index(run_all(process_and_interrupts, range(3), workers=1))
    assert {outcome.value[0] for outcome in found.values() if outcome.value} == {os.getpid()}


def test_tasks_are_asked_for_as_they_are_needed() -> None:
    """A plan of a million plates is never held in memory."""
    asked = 0

    def tasks() -> Iterator[int]:
        nonlocal asked
        for number in range(1_000_000):
            asked += 1
            yield number

    outcomes = run_all(double, tasks(), workers=2)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert asked < 10_000


def test_workers_end_when_nobody_wants_their_answers_any_more() -> None:
    outcomes = processes.run_all(process_and_interrupts, range(1000), workers=2)
    first = next(outcomes)
    assert first.value is not None
    outcomes.close()
    with pytest.raises(ProcessLookupError):
        os.kill(first.value[0], 0)


def test_the_same_holds_in_a_script_of_its_own() -> None:
    """Without pytest around it: the start of the workers needs no guard in the main module."""
    script = (
        "from ledgerkit.backends import run_all\n"
        "print(sorted(o.value for o in run_all(abs, [-1, -2, -3], workers=2)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout.strip(), done.stderr) == ("[1, 2, 3]", "")
