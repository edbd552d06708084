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
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from itertools import islice
from multiprocessing import connection
from typing import Any, TypeVar

from ledgerkit.backends import Outcome

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
) -> Iterator[Outcome[Value]]:
    """Call `function` on every task in `workers` processes; outcomes as they come.

    `isolated` sends one task at a time to one process, so that a task that kills its worker takes
    no other with it: for trying lost ones again.
    """
    waiting = iter(enumerate(tasks))
    workers = 1 if isolated else workers
    at_once = 1 if isolated else 2 * workers
    size = 1
    pool = _new_pool(workers)
    under_way: dict[Future[tuple[list[Outcome[Value]], float]], Bundle] = {}
    try:
        while True:
            broken = False
            while (
                not broken and len(under_way) < at_once and (bundle := list(islice(waiting, size)))
            ):
                try:
                    under_way[pool.submit(_perform, function, bundle)] = bundle
                except BrokenExecutor:
                    broken = True
                    yield from _lost(bundle)
            if not under_way and not broken:
                return
            done, _ = wait(under_way, return_when=FIRST_COMPLETED) if under_way else (set(), set())
            for future in done:
                bundle = under_way.pop(future)
                try:
                    outcomes, seconds = future.result()
                except BrokenExecutor:
                    broken = True
                    yield from _lost(bundle)
                    continue
                size = 1 if isolated else _next_size(seconds / len(bundle))
                yield from outcomes
            if broken:
                for bundle in under_way.values():
                    yield from _lost(bundle)
                under_way = {}
                pool.shutdown(wait=False, cancel_futures=True)
                pool = _new_pool(workers)
    finally:
        _stop(pool)


def _lost(bundle: Bundle) -> Iterator[Outcome[Any]]:
    for index, _ in bundle:
        yield Outcome(index, lost=True)


def _new_pool(workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ledgerkit.worker"])
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker)


def _start_worker() -> None:
    """Leave interrupts to the parent, and end with it: a killed parent must not leave workers behind."""
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
