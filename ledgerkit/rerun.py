"""Re-run: execute recorded runs again and record, for each output, how it compares.

What a re-run makes is compared and thrown away: it never becomes the current result. Who wants a new
result asks the operation for it (`--stale`, `--force`), and who wants evicted pixels back restores
them (`cache`).
"""

from __future__ import annotations

import contextlib
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ledgerkit import layout
from ledgerkit.engine import Interrupted
from ledgerkit.errors import UsageError
from ledgerkit.events import ASKED
from ledgerkit.history import History
from ledgerkit.records import EVENTS
from ledgerkit.repository import Archive
from ledgerkit.sealing import seal_new
from ledgerkit.trial import Verdict, refuse_event
from ledgerkit.trials import Named, Trials
from ledgerkit.views import FailureView, Progress

Callback = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which runs are to be executed again: those named, or current ones of plates and an operation.

    `sample` takes so many of them at random by `seed`.
    """

    runs: tuple[str, ...] = ()
    plates: list[str] | None = None
    operation: str | None = None
    sample: int | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Rerun:
    """One run that was executed again; `recorded_as` is the id of the event that says so."""

    run_id: str
    subject: str
    operation: str
    recorded_as: str | None
    verdicts: list[Verdict]

    @property
    def sound(self) -> bool:
        return all(verdict.passed for verdict in self.verdicts)


@dataclass(frozen=True, slots=True)
class RerunView:
    """What executing runs again gave. `counts` are outputs by verdict."""

    job_id: str
    reruns: list[Rerun]
    counts: dict[str, int]
    blocked: list[FailureView]
    lost: list[str]
    seed: int | None
    seconds: float

    @property
    def sound(self) -> bool:
        """Whether every output of every chosen run came out the same."""
        return not self.blocked and not self.lost and all(one.sound for one in self.reruns)


def rerun(
    archive: Archive,
    choice: Choice,
    *,
    workers: int = 1,
    progress: Callback | None = None,
    wait: float | None = None,
) -> RerunView:
    """Execute the chosen runs again; the verdicts are recorded as an event a run.

    A run whose inputs are gone is among `blocked`, with the command that brings them back. Raises
    `UsageError` for a run that there is not or that is an event, and when nothing is chosen;
    `Interrupted` after Ctrl-C, with what was done until then recorded.
    """
    began = time.monotonic()
    with archive.job(wait) as job:
        seal_new(archive, job)
        seed = choice.seed
        if choice.sample is not None and seed is None:
            seed = secrets.randbelow(1 << 32)
        runs = chosen_runs(archive, choice, seed)
        trials = Trials(archive, job, workers=workers, wait=wait)
        counter = _Counter("rerun", len(runs), progress)
        done: list[Rerun] = []
        try:
            with contextlib.closing(trials.of(runs, counter.step)) as outcomes:
                for trial, outcome in outcomes:
                    trials.record(trial, outcome)
                    trials.discard(trial)
                    run = trial.run
                    done.append(
                        Rerun(run.run_id, run.subject, run.operation, None, outcome.verdicts)
                    )
                    counter.failed += not outcome.passed()
        except KeyboardInterrupt:
            trials.commit()
            raise Interrupted(
                f"interrupted: {len(trials.recorded)} re-runs were recorded",
                "What was recorded stays. Give the command again for the others.",
            ) from None
        trials.commit()
        return _view(job.job_id, trials, done, seed, time.monotonic() - began)


class _Counter:
    """Progress of a number of runs."""

    def __init__(self, name: str, total: int, progress: Callback | None) -> None:
        self.name, self.total, self.progress = name, total, progress
        self.done = self.failed = 0

    def step(self) -> None:
        self.done += 1
        if self.progress:
            self.progress(Progress(self.name, self.done, self.total, self.failed))


def _view(
    job_id: str,
    trials: Trials,
    done: list[Rerun],
    seed: int | None,
    seconds: float,
) -> RerunView:
    reruns = [replace(one, recorded_as=trials.recorded.get(one.run_id)) for one in done]
    counts = Counter(verdict.verdict for one in done for verdict in one.verdicts)
    return RerunView(
        job_id,
        sorted(reruns, key=lambda one: one.run_id),
        dict(sorted(counts.items())),
        trials.blocked,
        trials.lost,
        seed,
        round(seconds, 3),
    )


def chosen_runs(archive: Archive, choice: Choice, seed: int | None) -> list[Named]:
    """Subject and id of the runs of a choice, oldest first. Raises `UsageError` when there is none."""
    if choice.runs:
        if choice.plates is not None or choice.operation or choice.sample is not None:
            raise UsageError("name runs, or say which ones are to be looked for, not both")
        return [_named(archive, run_id) for run_id in dict.fromkeys(choice.runs)]
    if choice.plates is None and choice.operation is None and choice.sample is None:
        raise UsageError(
            "nothing is chosen to be executed again",
            "Name a run, or give --plates, --operation or --sample N.",
        )
    found = sorted(_candidates(archive, choice))
    if choice.sample is not None and choice.sample < len(found):
        found = sorted(random.Random(seed).sample(found, choice.sample))
    if not found:
        raise UsageError("no current run is like that", "See what there is: ledgerkit status")
    return [(subject, run_id) for run_id, subject in found]


def _named(archive: Archive, run_id: str) -> Named:
    subject = subject_of(archive, run_id)
    refuse_event(archive.run(subject, run_id))
    return subject, run_id


def _candidates(archive: Archive, choice: Choice) -> Iterator[tuple[str, str]]:
    """Run id and subject of every current run of the plates and the operation."""
    history = History(archive)
    subjects: Sequence[str] = (
        choice.plates if choice.plates is not None else [layout.COLLECTION, *archive.plate_ids()]
    )
    for subject in subjects:
        for run in history.current(subject):
            if choice.operation in (None, run.operation) and run.operation not in EVENTS | ASKED:
                yield run.run_id, subject
        history.forget(subject)


def subject_of(archive: Archive, run_id: str) -> str:
    """What a run is about. Raises `UsageError` when there is no such run."""
    found = archive.log.index().find_run(run_id)
    if found is None:
        raise UsageError(
            f"there is no run {run_id}",
            'See what there is with: ledgerkit query "SELECT run_id, plate_id, operation FROM runs"',
        )
    return found[0]
