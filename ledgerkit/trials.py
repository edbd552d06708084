"""Trials of recorded runs in a job: sent to workers, their outcomes committed as events.

An event `rerun` stands on the subject of the run that was tried. Its one input is that run's record;
its output `verdicts.jsonl` has a line for each output, and so have its gates.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from ledgerkit import layout, operation, schema
from ledgerkit.backends import Outcome, processes, run_all
from ledgerkit.canonical import canonical_lines, sha256_hex
from ledgerkit.differences import SAME_BYTES
from ledgerkit.errors import LedgerkitError
from ledgerkit.events import staged_name
from ledgerkit.jobs import Job
from ledgerkit.records import FailedItem, Gate, Input, Resources, Supersedes, task_id
from ledgerkit.repository import Archive
from ledgerkit.staged import StagedRun, write_staged
from ledgerkit.staging import JSON_LINES, PART, Artifact
from ledgerkit.trial import Trial, Tried, Verdict, attempt, cached_below, prepare
from ledgerkit.views import FailureView
from ledgerkit.worker import TIME_FORMAT

VERSION = "1"
Named = tuple[str, str]
"""Subject and run id: which run is meant."""
VERDICTS = "outputs/verdicts.jsonl"
BATCH_RUNS = 512
BATCH_SECONDS = 2.0


class Trials:
    """Trials of one job: executed in workers, their outcomes committed in batches as events.

    `blocked` are runs that could not be tried, with the reason; `lost` those whose worker died
    twice; `recorded` the ids of the events committed so far, by that of the run that was tried.
    """

    def __init__(self, archive: Archive, job: Job, *, workers: int, wait: float | None) -> None:
        self.archive, self.job, self.workers, self.wait = archive, job, workers, wait
        self.blocked: list[FailureView] = []
        self.lost: list[str] = []
        self.recorded: dict[str, str] = {}
        self._staged: list[StagedRun] = []
        self._since = time.monotonic()

    def of(
        self, runs: Sequence[Named], report: Callable[[], None]
    ) -> Generator[tuple[Trial, Tried], None, None]:
        """Each run that could be tried, with what came of it; its staged files are the caller's.

        Records are read as workers get free; `report` is called once a run. Close the generator before the job ends: that ends the workers.
        Raises `CommitFailed` when the disk refuses what is staged.
        """
        waiting: dict[int, Trial] = {}
        died: list[Named] = []
        workers = max(1, min(self.workers, len(runs)))
        outcomes = run_all(attempt, self._prepared(runs, waiting, report), workers=workers)
        yield from self._answers(outcomes, waiting, died, report)
        if died:
            again = list(self._prepared(died, waiting, report))
            lost: list[Named] = []
            outcomes = processes.run_all(attempt, again, workers=1, isolated=True)
            yield from self._answers(outcomes, waiting, lost, report)
            for _, run_id in lost:
                self.lost.append(run_id)
                report()

    def _answers(
        self,
        outcomes: Generator[Outcome[Tried], None, None],
        waiting: dict[int, Trial],
        died: list[Named],
        report: Callable[[], None],
    ) -> Iterator[tuple[Trial, Tried]]:
        with contextlib.closing(outcomes):
            for outcome in outcomes:
                trial = waiting.pop(outcome.index)
                if outcome.error is not None:
                    raise outcome.error
                if outcome.value is None:
                    died.append((trial.run.subject, trial.run.run_id))
                    continue
                yield trial, outcome.value
                report()

    def _prepared(
        self, runs: Sequence[Named], waiting: dict[int, Trial], report: Callable[[], None]
    ) -> Iterator[Trial]:
        index = 0
        for subject, run_id in runs:
            try:
                run = self.archive.run(subject, run_id)
                trial = prepare(self.archive, run, self.job.item(staged_name("trial")))
            except LedgerkitError as error:
                self.blocked.append(
                    FailureView(run_id, type(error).__name__, error.message, error.hint)
                )
                report()
                continue
            waiting[index] = trial
            index += 1
            yield trial

    def record(self, trial: Trial, tried: Tried) -> None:
        """Stage the outcome as an event on the run's own subject; batches are committed."""
        self._staged.append(staged_event(self.archive, self.job, trial, tried))
        if len(self._staged) >= BATCH_RUNS or time.monotonic() - self._since > BATCH_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Commit what is staged. A plate whose folder cannot be written is among `blocked`."""
        staged, self._staged = self._staged, []
        if staged:
            refused: list[tuple[str, LedgerkitError]] = []
            committed = self.archive.commit(self.job, staged, wait=self.wait, refused=refused)
            self.recorded |= {str(run.parameters["run_id"]): run.run_id for run in committed}
            self.blocked += [
                FailureView(subject, type(error).__name__, error.message, error.hint)
                for subject, error in refused
            ]
        self._since = time.monotonic()

    def discard(self, trial: Trial) -> None:
        """Remove what a trial staged."""
        for folder in (trial.task.staging, cached_below(trial.task)):
            self.archive.store.remove_working(folder)


def staged_event(archive: Archive, job: Job, trial: Trial, tried: Tried) -> StagedRun:
    """The outcome of a trial as a run that can be committed: the event `rerun`."""
    run, result, folder = trial.run, tried.result, job.item(staged_name("rerun"))
    parameters = {"operation": run.operation, "outputs": len(trial.outputs), "run_id": run.run_id}
    given = record_input(archive, run.subject, run.run_id, "record")
    now = datetime.now(UTC).strftime(TIME_FORMAT)
    used = (result.seconds, result.cpu_seconds, result.peak_rss_bytes) if result else (0, 0, 0)
    return StagedRun(
        staged=folder,
        task_id=task_id(
            "rerun", VERSION, parameters, run.subject, (), [(given.role, given.sha256)]
        ),
        operation="rerun",
        version=VERSION,
        event_type="validation",
        subject=run.subject,
        variant=run.variant,
        parameters=parameters,
        inputs=[given],
        artifacts=[_verdicts(archive, folder, tried)],
        started_at=result.started_at if result else now,
        ended_at=now,
        resources=Resources(*used),
        libraries=result.libraries if result else {},
        gates=_gates(tried),
    )


def _gates(tried: Tried) -> list[Gate]:
    """One gate an output; one for all parts of a pyramid that came out byte for byte."""
    same = [one for one in tried.verdicts if _is_same_part(one)]
    rest = [one for one in tried.verdicts if not _is_same_part(one)]
    gates = [
        Gate("rerun", one.output, one.passed, one.max_difference, one.sentence) for one in rest
    ]
    if same:
        check = f"{layout.CACHE}/: {len(same)} files of the pyramid"
        gates.append(Gate("rerun", check, True, None, same[0].sentence))
    return gates


def _is_same_part(verdict: Verdict) -> bool:
    return verdict.role.startswith(PART) and verdict.verdict == SAME_BYTES


def _verdicts(archive: Archive, folder: str, tried: Tried) -> Artifact:
    """Write `verdicts.jsonl` into staging, each line held against its schema."""
    rows = [asdict(verdict) for verdict in tried.verdicts]
    for row in rows:
        schema.check("rerun.v1", row, f"verdict on {row['output']}")
    return write_staged(
        archive.store, folder, VERDICTS, "verdicts", JSON_LINES, canonical_lines(rows)
    )


def record_input(archive: Archive, subject: str, run_id: str, role: str) -> Input:
    """A record as an input of an event, by the digest of its bytes."""
    path = f"{layout.run_folder(subject, run_id)}/{layout.RECORD}"
    data = archive.tree.read(path)
    return Input(path, role, len(data), sha256_hex(data), run_id, "full")


def superseding(trial: Trial, tried: Tried, reason: str) -> StagedRun:
    """What a trial made as a run of its own that takes the place of the one that was tried."""
    run, result, loaded = trial.run, tried.result, operation.load(trial.run.operation)
    assert result is not None
    return StagedRun(
        staged=trial.task.staging,
        task_id=task_id(
            run.operation,
            loaded.version,
            run.parameters,
            run.subject,
            [given.pin.sha256 for given in trial.task.models],
            [(given.role, given.sha256) for given in trial.task.inputs],
        ),
        operation=run.operation,
        version=loaded.version,
        event_type=loaded.event_type,
        subject=run.subject,
        variant=run.variant,
        parameters=run.parameters,
        inputs=[
            Input(given.path, given.role, given.bytes, given.sha256, given.run_id, "full")
            for given in trial.task.inputs
        ],
        artifacts=result.artifacts,
        started_at=result.started_at,
        ended_at=result.ended_at,
        resources=Resources(result.seconds, result.cpu_seconds, result.peak_rss_bytes),
        libraries=result.libraries,
        models=[given.pin for given in trial.task.models],
        status="partial" if result.failed_items else "complete",
        failed_items=[FailedItem(*item) for item in result.failed_items],
        device=result.device,
        gates=[Gate(**gate) for gate in result.gates],
        supersedes=Supersedes(run.run_id, reason),
    )
