"""Plan, run, commit: the one place that joins operations, backends and the store.

Decisions are asked for as workers get free; workers stage; this process commits in batches. What was
committed stays, whatever happens next.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path

from ledgerkit import operation, software
from ledgerkit.backends import Outcome, budget, processes, run_all
from ledgerkit.errors import LedgerkitError, MissingInput, UsageError
from ledgerkit.history import History
from ledgerkit.jobs import Job
from ledgerkit.kept import KeptFolder, folder_of
from ledgerkit.layout import COLLECTION
from ledgerkit.planning import Request, decide, failure_view
from ledgerkit.records import FailedItem, Failure, Gate, Input, Resources, Run, Supersedes
from ledgerkit.repository import Archive
from ledgerkit.sealing import seal_new
from ledgerkit.staged import StagedRun
from ledgerkit.staging import hearing
from ledgerkit.views import FailureView, JobView, Progress
from ledgerkit.worker import Result, Task, arguments, perform_all

BATCH_RUNS = 1024
BATCH_SECONDS = 2.0
ATTEMPTS = 3
EMPTY = ("vectors/count", 0.0)
"""Check and value of a run that had nothing to describe."""
Callback = Callable[[Progress], None]


class Interrupted(LedgerkitError):
    """The user ended the job; everything finished was committed."""

    exit_code = 130


class _Batch:
    """Staged runs that wait for the next commit."""

    def __init__(self, archive: Archive, job: Job, request: Request) -> None:
        self.archive, self.job, self.wait = archive, job, job.wait
        self.force = request.force
        self.staged: list[StagedRun] = []
        self.committed: list[Run] = []
        self.done_elsewhere = 0
        self.refused: list[tuple[str, LedgerkitError]] = []
        self._last = time.monotonic()

    def add(self, staged: StagedRun) -> None:
        self.staged.append(staged)
        if len(self.staged) >= BATCH_RUNS or time.monotonic() - self._last > BATCH_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Commit what is staged. When that fails for want of the lock, it stays staged."""
        if not self.staged:
            return
        refused: list[tuple[str, LedgerkitError]] = []
        kept: list[Run] = []
        staged = self.staged
        try:
            self.archive.commit(
                self.job, staged, force=self.force, wait=self.wait, refused=refused, committed=kept
            )
            self.staged = []
        finally:
            if kept:
                self.staged = []
            self.committed += kept
            for run in kept:
                _forget(run)
        self.refused += refused
        self.done_elsewhere += len(staged) - len(kept) - len(refused)
        self._last = time.monotonic()


def run(
    archive: Archive,
    request: Request,
    *,
    workers: int = 1,
    progress: Callback | None = None,
    wait: float | None = None,
    memory: int | None = None,
) -> JobView:
    """Run an operation on every subject of the request that needs it, and commit what was made.

    `memory` is what the command may take in bytes, its workers included: fewer work at once where
    plates are large, and a plate that needs more than all of it is left out, without a record.
    Failures are recorded as failed runs and the others go on. Raises `MissingInput` when no subject
    has the inputs, `Interrupted` after Ctrl-C, with everything finished committed.
    """
    began = time.monotonic()
    archive.refuse_when_frozen(request.operation)
    if memory is not None:
        _refuse_without_footprint(request.operation)
    with archive.job(wait) as job:
        seal_new(archive, job)
        history = History(archive)
        work = _Work(archive, history, job, request, progress)
        workers, room = min(workers, work.total), None
        if memory is not None:
            workers, room = budget.divide(memory, workers)
        batch = _Batch(archive, job, request)
        try:
            with hearing(work.hear):
                _run_tasks(
                    work,
                    batch,
                    run_all(
                        perform_all,
                        work.bundles(workers, room is None),
                        workers=workers,
                        memory=room,
                    ),
                )
            for _ in range(1, ATTEMPTS):
                _run_lost(work, batch, room)
        except KeyboardInterrupt:
            batch.commit()
            raise Interrupted(
                f"interrupted: {len(batch.committed)} runs of {request.operation} were kept",
                "Give the same command again: it goes on where it stopped."
                if not request.force
                else "Given again, --force begins anew; without it, only what is not done is run.",
            ) from None
        batch.commit()
        return work.view(batch, time.monotonic() - began)


def _forget(run: Run) -> None:
    """Take away what was kept of a task of the collection: its run is committed."""
    if run.subject != COLLECTION or run.status == "failed":
        return
    if folder := folder_of(
        run.task_id, {"ledgerkit": run.code.ledgerkit, **run.environment.libraries}
    ):
        KeptFolder(folder).clear()


def _refuse_without_footprint(name: str) -> None:
    if not operation.load(name).states_memory:
        raise UsageError(f"{name} does not state what memory it takes: --memory cannot hold")


def _run_tasks(
    work: _Work, batch: _Batch, outcomes: Generator[Outcome[list[Result]], None, None]
) -> None:
    """Take outcomes as they come. Closing the generator ends the workers before staging is cleared."""
    with contextlib.closing(outcomes):
        for outcome in outcomes:
            tasks = work.outstanding.pop(outcome.index)
            if outcome.lost:
                work.lost += tasks
                continue
            if isinstance(outcome.error, budget.OverBudget):
                for task in tasks:
                    work.leave_out(task.subject, outcome.error)
                continue
            if outcome.error is not None:
                batch.commit()
                raise outcome.error
            assert outcome.value is not None
            for task, result in zip(tasks, outcome.value, strict=True):
                batch.add(work.finish(task, result))
                work.report(task.subject)


def _run_lost(work: _Work, batch: _Batch, room: int | None) -> None:
    """Try lost tasks again, each in a process of its own."""
    again, work.lost = work.lost, []
    if not again:
        return
    work.outstanding = {index: [work.staged_afresh(task)] for index, task in enumerate(again)}
    tasks = list(work.outstanding.values())
    _run_tasks(
        work, batch, processes.run_all(perform_all, tasks, workers=1, isolated=True, memory=room)
    )


class _Work:
    """The tasks of one job and what became of them."""

    def __init__(
        self,
        archive: Archive,
        history: History,
        job: Job,
        request: Request,
        progress: Callback | None,
    ) -> None:
        self.archive, self.history, self.job, self.request, self.progress = (
            archive,
            history,
            job,
            request,
            progress,
        )
        self.outstanding: dict[int, list[Task]] = {}
        self.lost: list[Task] = []
        self.counts: dict[str, int] = {}
        self.blocked: list[FailureView] = []
        self.failures: list[FailureView] = []
        self.supersedes: dict[str, Supersedes] = {}
        self.done = 0
        self._staged = 0
        loaded = operation.load(request.operation)
        self._together = loaded.together(loaded.make_parameters(request.parameters))
        plates = archive.plate_ids() if request.plates is None else request.plates
        self.total = 1 if loaded.on_collection else len(plates)

    def staged_afresh(self, task: Task) -> Task:
        """The task with a new staging folder; one of the collection may go on where it was stopped."""
        self._staged += 1
        loaded, kept = operation.load(task.operation), None
        if loaded.on_collection:
            kept = folder_of(task.task_id, {"ledgerkit": software.VERSION, **loaded.environment()})
        return replace(task, staging=self.job.item(f"{self._staged:08d}"), kept=kept)

    def bundles(self, workers: int, together: bool) -> Iterator[list[Task]]:
        """Tasks as workers get them: several at once for an operation that can do them `together`.

        No more than half of a worker's share, so that none of several goes without. Raises what the
        operation raises for models that it cannot load.
        """
        share = -(-self.total // (2 * workers)) if workers > 1 else self.total
        tasks, size = self.tasks(), max(1, min(self._together, share)) if together else 1
        for index in itertools.count():
            bundle = list(itertools.islice(tasks, size))
            if not bundle:
                return
            if index == 0:
                self._try_models(bundle[0], keep=workers == 1)
            self.outstanding[index] = bundle
            yield bundle

    def _try_models(self, task: Task, keep: bool) -> None:
        """Load the models once here: one that cannot be is no failure of each plate."""
        loaded = operation.load(task.operation)
        parameters = loaded.make_parameters(arguments(task.parameters))
        folders = {one.name: Path(one.folder) for one in task.models}
        loaded.try_models(parameters, folders, keep=keep)

    def tasks(self) -> Iterator[Task]:
        """Tasks to run, decided as they are asked for; everything else is counted."""
        for decision in decide(self.archive, self.history, self.request):
            self.counts[decision.kind] = self.counts.get(decision.kind, 0) + 1
            if decision.error:
                self.leave_out(decision.subject, decision.error)
                continue
            if decision.task is None:
                self.report(decision.subject)
                continue
            task = self.staged_afresh(decision.task)
            if decision.supersedes:
                self.supersedes[decision.subject] = decision.supersedes
            yield task

    def leave_out(self, subject: str, error: LedgerkitError) -> None:
        """Go on without a subject, and say so at the end."""
        self.blocked.append(failure_view(subject, error))
        self.report(subject)

    def report(self, subject: str) -> None:
        self.done += 1
        if self.progress:
            self.progress(
                Progress(
                    self.request.operation,
                    self.done,
                    max(self.total, self.done),
                    len(self.failures),
                    subject,
                )
            )

    def hear(self, done: int, total: int) -> None:
        """Pass on how far the one task of the collection is."""
        if self.progress:
            self.progress(Progress(self.request.operation, done, total, len(self.failures)))

    def finish(self, task: Task, result: Result) -> StagedRun:
        """A worker's answer as a run that can be committed."""
        loaded = operation.load(task.operation)
        failure = self._failure_of(task, result)
        inputs = [
            Input(
                given.path,
                given.role,
                given.bytes,
                given.sha256,
                given.run_id,
                "full" if given.path in result.fully_checked else "size",
            )
            for given in task.inputs
        ]
        return StagedRun(
            staged=f"{task.staging}-failed" if failure else task.staging,
            task_id=task.task_id,
            operation=task.operation,
            version=loaded.version,
            event_type=loaded.event_type,
            subject=task.subject,
            variant=task.variant,
            parameters=task.parameters,
            inputs=inputs,
            artifacts=[] if failure else result.artifacts,
            started_at=result.started_at,
            ended_at=result.ended_at,
            resources=Resources(result.seconds, result.cpu_seconds, result.peak_rss_bytes),
            libraries=result.libraries,
            models=[given.pin for given in task.models],
            gates=[Gate(**gate) for gate in result.gates],
            status="failed" if failure else "partial" if result.failed_items else "complete",
            failed_items=[FailedItem(*item) for item in result.failed_items],
            failure=failure,
            device=result.device,
            supersedes=None if failure else self.supersedes.get(task.subject),
        )

    def _failure_of(self, task: Task, result: Result) -> Failure | None:
        """Why a task failed, if it did; that and failed items are kept for the answer."""
        self.failures += [
            FailureView(f"{task.subject}, {item.item}", item.error, item.message)
            for item in result.failed_items
        ]
        if result.failure is None:
            return None
        failure = Failure(result.failure.error, result.failure.message, result.failure.input)
        self.failures.append(
            FailureView(task.subject, failure.error, failure.message, result.failure.hint)
        )
        return failure

    def view(self, batch: _Batch, seconds: float) -> JobView:
        """The job's outcome. Raises `MissingInput` when nothing at all had its inputs."""
        committed = batch.committed
        if (
            self.blocked
            and not committed
            and not self.lost
            and not any(self.counts.get(kind) for kind in ("done", "other", "stale", "failed"))
        ):
            first = self.blocked[0]
            raise MissingInput(f"{self.request.operation} cannot run: {first.message}", first.hint)
        short = [(one.subject, gate) for one in committed for gate in one.gates if not gate.passed]
        return JobView(
            operation=self.request.operation,
            job_id=self.job.job_id,
            complete=sum(one.status == "complete" for one in committed),
            partial=sum(one.status == "partial" for one in committed),
            failed=sum(one.status == "failed" for one in committed),
            skipped=self.counts.get("done", 0) + self.counts.get("other", 0) + batch.done_elsewhere,
            not_current=self.counts.get("other", 0),
            stale=self.counts.get("stale", 0),
            failed_before=self.counts.get("failed", 0),
            seconds=round(seconds, 3),
            output_bytes=sum(
                output.bytes for one in committed for output in self.archive.outputs(one)
            ),
            failures=self.failures
            + [failure_view(subject, error) for subject, error in batch.refused],
            blocked=self.blocked,
            lost=[task.subject for task in self.lost],
            warnings=[f"{subject}: {_named(gate)}: {gate.message}" for subject, gate in short],
            run_ids=[one.run_id for one in committed] if len(committed) <= 1000 else [],
            withdrawn=self.counts.get("withdrawn", 0),
            empty=sum((_named(gate), gate.value) == EMPTY for _, gate in short),
        )


def _named(gate: Gate) -> str:
    return f"{gate.gate}/{gate.check}"
