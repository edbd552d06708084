"""Tasks on several processes of this machine; a worker that dies costs its tasks, not the job.

Tasks go out in bundles that grow while they are quick, so that sending them costs little. When a
worker dies the whole pool breaks: a new one is made and what had not answered comes back as lost.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from itertools import islice
from multiprocessing import connection
from typing import Any, Generic, TypeVar

from ledgerkit.backends import Outcome, budget

Task = TypeVar("Task")
Value = TypeVar("Value")
BUNDLE_SECONDS = 0.2
LARGEST_BUNDLE = 64
Bundle = list[tuple[int, Any]]


def run_all(
    function: Callable[[Task], Value],
    tasks: Iterable[Task],
    *,
    workers: int,
    isolated: bool = False,
    memory: int | None = None,
) -> Generator[Outcome[Value], None, None]:
    """Call `function` on every task in `workers` processes; outcomes as they come.

    `isolated` sends one task at a time to one process, so that a task that kills its worker takes
    no other with it: for trying lost ones again. `memory` is shared by the workers.
    """
    waiting = iter(enumerate(tasks))
    crew: _Crew[Value] = _Crew(function, 1 if isolated else workers, isolated, memory)
    try:
        while crew.send(waiting):
            yield from crew.answers()
    finally:
        crew.stop()


class _Crew(Generic[Value]):
    """A pool of processes, the bundles it has been sent, and a new pool when a worker died."""

    def __init__(
        self,
        function: Callable[[Any], Value],
        workers: int,
        isolated: bool,
        memory: int | None,
    ) -> None:
        self.function, self.workers, self.isolated = function, workers, isolated
        self.memory = memory
        self.pool = _new_pool(workers, memory)
        self.under_way: dict[Future[tuple[list[Outcome[Value]], float]], Bundle] = {}
        self.lost: list[Bundle] = []
        self.broken = False
        self.size = 1

    def send(self, waiting: Iterator[tuple[int, Any]]) -> bool:
        """Keep the workers busy; whether any answer is to be waited for."""
        at_once = 1 if self.isolated else 2 * self.workers
        while not self.broken and len(self.under_way) < at_once:
            bundle = list(islice(waiting, self.size))
            if not bundle:
                break
            try:
                self.under_way[self.pool.submit(_perform, self.function, bundle)] = bundle
            except BrokenExecutor:
                self.broken = True
                self.lost.append(bundle)
        return bool(self.under_way or self.lost)

    def answers(self) -> Iterator[Outcome[Value]]:
        """Outcomes that are there; what died with a worker comes back as lost."""
        if self.under_way and not self.broken:
            done, _ = wait(self.under_way, return_when=FIRST_COMPLETED)
            for future in done:
                yield from self._answer(future, self.under_way.pop(future))
        if self.broken:
            self.lost += self.under_way.values()
            self.under_way = {}
            self.pool.shutdown(wait=False, cancel_futures=True)
            self.pool = _new_pool(self.workers, self.memory)
            self.broken = False
        lost, self.lost = self.lost, []
        yield from (Outcome(index, lost=True) for bundle in lost for index, _ in bundle)

    def _answer(
        self, future: Future[tuple[list[Outcome[Value]], float]], bundle: Bundle
    ) -> list[Outcome[Value]]:
        try:
            outcomes, seconds = future.result()
        except BrokenExecutor:
            self.broken = True
            self.lost.append(bundle)
            return []
        except Exception as error:  # an answer that cannot be sent, of one task of the bundle
            if len(bundle) == 1:
                return [Outcome(bundle[0][0], error=error)]
            self.lost.append(bundle)
            return []
        if not self.isolated:
            self.size = _next_size(seconds / len(bundle))
        return outcomes

    def stop(self) -> None:
        """End the workers at once: what they have not answered is not wanted any more."""
        _stop(self.pool)


def _new_pool(workers: int, memory: int | None) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ledgerkit.worker"])
    shared = None if memory is None else budget.Budget(memory, context, workers)
    return ProcessPoolExecutor(
        workers, mp_context=context, initializer=_start_worker, initargs=(shared, workers)
    )


def _start_worker(shared: budget.Budget | None, workers: int) -> None:
    """Leave interrupts to the parent, and end with it: a killed parent must not leave workers behind.

    `LEDGERKIT_WORKERS` tells libraries with threads of their own how many share the processors.
    """
    os.environ["LEDGERKIT_WORKERS"] = str(workers)
    budget.install(shared)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
    os._exit(1)


def _perform(
    function: Callable[[Any], Value], bundle: Bundle
) -> tuple[list[Outcome[Value]], float]:
    began = time.perf_counter()
    outcomes: list[Outcome[Value]] = []
    for index, task in bundle:
        try:
            outcomes.append(Outcome(index, value=function(task)))
        except Exception as error:
            outcomes.append(Outcome(index, error=error))
    return outcomes, time.perf_counter() - began


def _next_size(seconds_a_task: float) -> int:
    return max(1, min(LARGEST_BUNDLE, int(BUNDLE_SECONDS / max(seconds_a_task, 1e-6))))


def _stop(pool: ProcessPoolExecutor) -> None:
    """End the workers at once: what they have not answered is not wanted any more."""
    workers = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join()
