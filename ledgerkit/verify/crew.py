"""Units on several processes: plans are inherited by fork where that is safe, results come back by pipe.

A worker that dies costs nothing but time: what it had not answered is done by the parent.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from multiprocessing import connection
from pathlib import Path
from typing import Any

from ledgerkit import layout
from ledgerkit.reading import Tree
from ledgerkit.verify.plan import Plan, Result
from ledgerkit.verify.plates import check_plate, state

SHARES_A_WORKER = 16
LARGEST_SHARE = 64
WORTH_PROCESSES = 128
"""Plates from which on starting a process costs less than it saves; large files weigh as many plates."""
BYTES_A_PLATE = 1 << 20
Share = list[str]


def results(
    plan: Plan, plates: list[str], workers: int, meanwhile: Callable[[], None]
) -> Iterator[Result]:
    """The result of every plate, in any order; `meanwhile` is done while the workers begin."""
    weight = (
        len(plates)
        + sum(known.bytes or 0 for plate in plates for known in plan.seals.get(plate, {}).values())
        // BYTES_A_PLATE
    )
    workers = min(workers, len(plates))
    if workers <= 1 or weight < WORTH_PROCESSES:
        meanwhile()
        for start in range(0, len(plates), LARGEST_SHARE):
            yield from share_results(plan, plates[start : start + LARGEST_SHARE])
        return
    size = max(1, min(LARGEST_SHARE, len(plates) // (SHARES_A_WORKER * workers)))
    shares = [plates[start : start + size] for start in range(0, len(plates), size)]
    with _Crew(plan, workers) as crew:
        crew.send(shares)
        meanwhile()
        yield from crew.answers(shares)


def share_results(plan: Plan, share: Share) -> list[Result]:
    """The results of some plates, in this process."""
    found = []
    with Tree(Path(plan.root)).folder(layout.PLATES) as folder:
        for plate in share:
            before = state(folder, plate) if plan.stamped else ""
            found.append(check_plate(plan, folder, plate))
            found[-1].state = before
    return found


class _Crew:
    """Processes that each have the plan, a pipe, and at most two shares to do."""

    def __init__(self, plan: Plan, workers: int) -> None:
        self.plan = plan
        context: Any = multiprocessing.get_context(_method())
        self.pipes: dict[connection.Connection, list[int]] = {}
        self.workers = []
        for _ in range(workers):
            ours, theirs = context.Pipe()
            others = [*self.pipes, ours] if context.get_start_method() == "fork" else []
            worker = context.Process(target=_work, args=(plan, theirs, others), daemon=True)
            worker.start()
            theirs.close()
            self.workers.append(worker)
            self.pipes[ours] = []
        self.next = 0

    def __enter__(self) -> _Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self.pipes:
            pipe.close()
        for worker in self.workers:
            worker.terminate()
            worker.join()

    def send(self, shares: list[Share]) -> None:
        """Give every worker two shares."""
        for _ in range(2):
            for pipe in list(self.pipes):
                self._send(pipe, shares)

    def _send(self, pipe: connection.Connection, shares: list[Share]) -> None:
        if self.next >= len(shares):
            return
        index = self.next
        self.next += 1
        self.pipes[pipe].append(index)
        with contextlib.suppress(BrokenPipeError, ConnectionError):
            pipe.send((index, shares[index]))  # a worker that died is found when it is listened to

    def answers(self, shares: list[Share]) -> Iterator[Result]:
        """Results of all shares; what a dead worker owes is done here."""
        lost: list[int] = []
        while any(self.pipes.values()):
            for pipe in connection.wait([pipe for pipe, owed in self.pipes.items() if owed]):
                assert isinstance(pipe, connection.Connection)
                try:
                    index, found = pipe.recv()
                except (EOFError, OSError):
                    lost += self.pipes.pop(pipe)
                    continue
                self.pipes[pipe].remove(index)
                self._send(pipe, shares)
                yield from found
        for index in [*lost, *range(self.next, len(shares))]:
            yield from share_results(self.plan, shares[index])


def _method() -> str:
    """`fork` where nothing but this thread runs: else a copy of a lock that another holds would hang."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            if len(os.listdir("/proc/self/task")) == 1:
                return "fork"
    return "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def _work(plan: Plan, pipe: connection.Connection, others: list[connection.Connection]) -> None:
    """Answer share by share until the parent closes its end or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for other in others:
        other.close()
    gc.disable()  # millions of small values, no cycles
    while True:
        try:
            index, share = pipe.recv()
            pipe.send((index, share_results(plan, share)))
        except (EOFError, OSError):
            return
