"""Bring derived pixels back by executing the recorded operation again.

Only the recorded digests are accepted; then the folders are put in place by the commit of the event
`restore` that names them. Equal pixels in other bytes become a run that supersedes the current one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from ledgerkit import layout
from ledgerkit.cache.evict import finish_evictions, remove_listed
from ledgerkit.cache.folders import PRESENT, CacheFolder, scan
from ledgerkit.cache.work import (
    BATCH,
    PIXELS,
    Callback,
    Work,
    first_other,
    refuse_unknown,
    try_again,
)
from ledgerkit.differences import SAME_BYTES, SAME_PIXELS
from ledgerkit.history import History
from ledgerkit.intent import Move
from ledgerkit.repository import Archive
from ledgerkit.sealing import seal_new
from ledgerkit.trial import Trial, Tried, cached_below
from ledgerkit.trials import Trials, superseding
from ledgerkit.views import FailureView


@dataclass(frozen=True, slots=True)
class RestoreView:
    """What was brought back. `superseded` are runs that a new one replaces, with equal pixels."""

    job_id: str
    folders: list[str]
    bytes: int
    superseded: dict[str, str]
    refused: list[FailureView]
    run_ids: list[str]
    seconds: float

    @property
    def sound(self) -> bool:
        return not self.refused


def restore(
    archive: Archive,
    runs: tuple[str, ...] = (),
    plates: list[str] | None = None,
    *,
    workers: int = 1,
    progress: Callback | None = None,
    wait: float | None = None,
) -> RestoreView:
    """Make the derived pixels of these runs again; without any, of all current runs that lack them.

    Accepted with the recorded digests only. Equal pixels in other bytes become a run that supersedes
    the current one. Raises `UsageError` for a run without derived pixels, `Interrupted`.
    """
    began = time.monotonic()
    with archive.job(wait) as job:
        seal_new(archive, job)
        finish_evictions(archive, wait)
        work = Work(
            archive, job, Trials(archive, job, workers=workers, wait=wait), progress, "restore"
        )
        chosen = _lacking(work, runs, plates)
        kept, other = _made_again(work, chosen)
        back = [chosen[trial.run.run_id] for trial in kept]
        run_ids = []
        for start in range(0, len(kept), BATCH):
            staged = work.event("creation", {}, back[start : start + BATCH])
            moves = [_move(trial) for trial in kept[start : start + BATCH]]
            run_ids += [run.run_id for run in archive.commit(job, [staged], moves, wait=wait)]
        superseded = _supersede(work, other)
        return RestoreView(
            job.job_id,
            [found.folder for found in back],
            sum(found.bytes for found in back),
            superseded,
            work.refused + work.trials.blocked,
            run_ids,
            round(time.monotonic() - began, 3),
        )


def _lacking(work: Work, runs: tuple[str, ...], plates: list[str] | None) -> dict[str, CacheFolder]:
    """The folders to bring back, by run id."""
    everything = list(scan(work.archive, plates))
    refuse_unknown(runs, everything)
    chosen = {}
    for found in everything:
        wanted = found.run_id in runs if runs else found.current
        if not wanted or found.state == PRESENT:
            continue
        if work.archive.tree.exists(found.folder) and not any(work.archive.tree.walk(found.folder)):
            remove_listed(work.archive, found.folder, [])  # an empty folder is nobody's evidence
        if work.archive.tree.exists(found.folder):
            work.refuse(
                found.run_id,
                f"{found.folder} is there without all that its record lists: "
                "nothing is put beside what lies there",
                f"Evict the rest of it first: ledgerkit cache evict {found.run_id}",
            )
        else:
            chosen[found.run_id] = found
    return chosen


def _made_again(
    work: Work, chosen: dict[str, CacheFolder]
) -> tuple[list[Trial], list[tuple[Trial, Tried]]]:
    """The trials that gave the same bytes, and those of current runs that gave the same pixels."""
    kept: list[Trial] = []
    other: list[tuple[Trial, Tried]] = []

    def take(trial: Trial, tried: Tried) -> None:
        if tried.passed(PIXELS, frozenset({SAME_BYTES})):
            kept.append(trial)
            work.archive.store.remove_working(trial.task.staging)
            return
        current = chosen[trial.run.run_id].current
        if current and tried.passed(PIXELS, frozenset({SAME_BYTES, SAME_PIXELS})):
            other.append((trial, tried))
            return
        work.trials.discard(trial)
        work.refuse(trial.run.run_id, first_other(tried))

    try_again(work, list(chosen.values()), take)
    return [trial for trial in kept if trial.run.run_id in work.trials.recorded], other


def _move(trial: Trial) -> Move:
    """The staged pixels to their place; every file of them has its recorded digest."""
    folder = layout.cache_folder(trial.run.subject, trial.run.run_id)
    digests = {
        output.path.removeprefix(f"{folder}/"): output.sha256
        for output in trial.outputs
        if layout.cached_in(output.path) == folder
    }
    return Move(cached_below(trial.task), folder, digests)


def _supersede(work: Work, other: list[tuple[Trial, Tried]]) -> dict[str, str]:
    """Commit new runs with equal pixels in other bytes; the new run ids by those they replace."""
    history = History(work.archive)
    reason = "derived pixels made again: equal pixels in other bytes"
    staged = [
        superseding(trial, tried, reason)
        for trial, tried in other
        if trial.run.run_id in {run.run_id for run in history.current(trial.run.subject)}
    ]
    if not staged:
        return {}
    committed = work.archive.commit(work.job, staged, wait=work.job.wait)
    return {run.supersedes.run_id: run.run_id for run in committed if run.supersedes}
