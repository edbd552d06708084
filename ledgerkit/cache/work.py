"""What evicting and restoring share: the job's trials, what is refused, and the event.

Nothing here removes or moves anything.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ledgerkit import layout
from ledgerkit.cache.folders import CacheFolder, cached_outputs
from ledgerkit.differences import SAME_BYTES
from ledgerkit.engine import Interrupted
from ledgerkit.errors import UsageError
from ledgerkit.events import Event, staged_name
from ledgerkit.jobs import Job
from ledgerkit.records import Output
from ledgerkit.repository import Archive
from ledgerkit.staged import StagedRun
from ledgerkit.trial import Trial, Tried
from ledgerkit.trials import Trials, record_input
from ledgerkit.views import FailureView, Progress

Callback = Callable[[Progress], None]
BATCH = 10_000
"""Folders in one event: its record must not grow without end."""
PIXELS = f"{layout.CACHE}/"


@dataclass
class Work:
    """One job of eviction or restoration."""

    archive: Archive
    job: Job
    trials: Trials
    progress: Callback | None
    name: str
    refused: list[FailureView] = field(default_factory=list)
    done: int = 0

    def refuse(self, run_id: str, message: str, hint: str | None = None) -> None:
        self.refused.append(FailureView(run_id, "Refused", message, hint))

    def reporter(self, total: int) -> Callable[[], None]:
        def step() -> None:
            self.done += 1
            if self.progress:
                self.progress(Progress(self.name, self.done, total, len(self.refused)))

        return step

    def outputs(self, found: CacheFolder) -> list[Output]:
        """What the record lists in a cache folder."""
        run = self.archive.run(found.plate_id, found.run_id)
        return cached_outputs(self.archive, run)

    def event(
        self, event_type: str, parameters: dict[str, Any], chosen: Sequence[CacheFolder]
    ) -> StagedRun:
        """The event over these folders; its inputs are their runs' records and those of the trials."""
        inputs = []
        for found in chosen:
            inputs.append(record_input(self.archive, found.plate_id, found.run_id, "record"))
            trial = self.trials.recorded.get(found.run_id)
            if trial is not None:
                inputs.append(record_input(self.archive, found.plate_id, trial, "rerun"))
        said = {
            "bytes": sum(found.bytes for found in chosen),
            "folders": [found.folder for found in chosen],
        }
        event = Event(self.name, event_type, said | parameters)
        return event.staged(self.job.item(staged_name(self.name)), inputs=inputs)


def try_again(
    work: Work, chosen: Sequence[CacheFolder], take: Callable[[Trial, Tried], None]
) -> None:
    """Execute the runs of these folders again, record what came of it, and hand each to `take`."""
    runs = [(found.plate_id, found.run_id) for found in chosen]
    try:
        with contextlib.closing(work.trials.of(runs, work.reporter(len(runs)))) as outcomes:
            for trial, tried in outcomes:
                work.trials.record(trial, tried)
                take(trial, tried)
    except KeyboardInterrupt:
        work.trials.commit()
        raise Interrupted(
            f"interrupted: {len(work.trials.recorded)} trials were recorded, and nothing else done",
            "Give the same command again.",
        ) from None
    work.trials.commit()
    for run_id in work.trials.lost:
        work.refuse(run_id, "the worker that executed it again died twice", "Try --workers 1.")


def first_other(tried: Tried) -> str:
    other = next(
        one for one in tried.verdicts if one.output.startswith(PIXELS) and one.verdict != SAME_BYTES
    )
    return f"the re-run did not give the same bytes: {other.output}: {other.sentence}"


def refuse_unknown(runs: Sequence[str], everything: Iterable[CacheFolder]) -> None:
    """Raise `UsageError` for a run that has no cache folder among these."""
    known = {found.run_id for found in everything}
    for run_id in runs:
        if run_id not in known:
            raise UsageError(
                f"no derived pixels belong to a run {run_id}",
                "See what there is with: ledgerkit cache status",
            )
