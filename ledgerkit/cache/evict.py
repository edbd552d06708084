"""Take derived pixels away without losing the proof of what they were.

Evicting needs a trial re-run that gives the same bytes, done at that moment and recorded, or the word
that they may be lost. The event `evict` is committed first and names the folders; then their files are
removed, those that records list and no others. What a crash leaves of them is harmless, and the next
eviction removes it.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ledgerkit import layout
from ledgerkit.cache.folders import CacheFolder, cached_outputs, scan
from ledgerkit.cache.work import (
    BATCH,
    PIXELS,
    Callback,
    Work,
    first_other,
    refuse_unknown,
    try_again,
)
from ledgerkit.differences import SAME_BYTES
from ledgerkit.disk import disk_errors, remove_empty_folder, remove_files
from ledgerkit.errors import LedgerkitError, UsageError
from ledgerkit.reading import RecordedFile
from ledgerkit.records import Output, evicted_folders
from ledgerkit.repository import Archive
from ledgerkit.sealing import seal_new
from ledgerkit.trial import Trial, Tried
from ledgerkit.trials import Trials
from ledgerkit.views import FailureView


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which cache folders are to go: those that meet every condition given."""

    runs: tuple[str, ...] = ()
    plates: list[str] | None = None
    older_than: float | None = None
    """Days since the run was committed."""
    to: int | None = None
    """Bytes of derived pixels that may stay; those that are not current go first, then the oldest."""
    superseded: bool = False
    unrecoverable: bool = False
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class EvictView:
    """What was taken away. `left` are files in evicted folders that no record lists: they stay."""

    job_id: str
    folders: list[str]
    bytes: int
    refused: list[FailureView]
    left: list[str]
    finished: list[str]
    run_ids: list[str]
    seconds: float

    @property
    def sound(self) -> bool:
        return not self.refused and not self.left


def evict(
    archive: Archive,
    wanted: Wanted,
    *,
    workers: int = 1,
    progress: Callback | None = None,
    wait: float | None = None,
) -> EvictView:
    """Take away the wanted folders that a trial re-run gives byte for byte.

    Raises `UsageError` when nothing is wanted, for `unrecoverable` without a reason; `Interrupted`
    after Ctrl-C, with nothing taken away but what an event names.
    """
    _check(wanted)
    began = time.monotonic()
    with archive.job(wait) as job:
        seal_new(archive, job)
        finished, left = finish_evictions(archive, wait)
        work = Work(
            archive, job, Trials(archive, job, workers=workers, wait=wait), progress, "evict"
        )
        chosen = _intact(work, _chosen(work, wanted))
        if not wanted.unrecoverable:
            chosen = _tried(work, chosen)
        run_ids = []
        parameters = {"reason": wanted.reason, "unrecoverable": wanted.unrecoverable}
        for start in range(0, len(chosen), BATCH):
            staged = work.event("deletion", parameters, chosen[start : start + BATCH])
            run_ids += [run.run_id for run in archive.commit(job, [staged], wait=wait)]
            left = finish_evictions(archive, wait)[1]
        return EvictView(
            job.job_id,
            [found.folder for found in chosen],
            sum(found.present_bytes for found in chosen),
            work.refused + work.trials.blocked,
            left,
            finished,
            run_ids,
            round(time.monotonic() - began, 3),
        )


def _check(wanted: Wanted) -> None:
    if wanted.unrecoverable and not (wanted.reason or "").strip():
        raise UsageError(
            "pixels that may be lost are given up by somebody for a reason",
            'Give it: --unrecoverable --reason "..."',
        )
    conditions = (wanted.plates, wanted.older_than, wanted.to)
    if not wanted.runs and not wanted.superseded and all(one is None for one in conditions):
        raise UsageError(
            "nothing is chosen to be evicted",
            "Name a run, or give --plates, --older-than, --to or --superseded.",
        )


def _chosen(work: Work, wanted: Wanted) -> list[CacheFolder]:
    """The folders that are wanted away, those that are not current first, then the oldest."""
    everything = list(scan(work.archive, wanted.plates))
    refuse_unknown(wanted.runs, everything)
    before = None
    if wanted.older_than is not None:
        before = datetime.now(UTC) - timedelta(days=wanted.older_than)
    chosen = [
        found
        for found in everything
        if found.present_files
        and (not wanted.runs or found.run_id in wanted.runs)
        and not (wanted.superseded and found.current)
        and (before is None or layout.run_moment(found.run_id) < before)
    ]
    chosen.sort(key=lambda found: (found.current, found.run_id))
    if wanted.to is None:
        return chosen
    excess = sum(found.present_bytes for found in everything) - wanted.to
    kept = []
    for found in chosen:
        if excess <= 0:
            break
        kept.append(found)
        excess -= found.present_bytes
    return kept


def _intact(work: Work, chosen: list[CacheFolder]) -> list[CacheFolder]:
    """Those whose files have the recorded bytes: others may be all that is left to find out why."""
    kept = []
    for found in chosen:
        try:
            for output in work.outputs(found):
                if work.archive.tree.size(output.path) is not None:
                    RecordedFile(
                        work.archive.root, output.path, output.role, output.bytes, output.sha256
                    ).open().close()
        except LedgerkitError as error:
            work.refuse(found.run_id, error.message, "Move the folder away, then restore it.")
            continue
        kept.append(found)
    return kept


def _tried(work: Work, chosen: list[CacheFolder]) -> list[CacheFolder]:
    """Those whose pixels a re-run gives byte for byte; every trial is recorded."""
    proved: set[str] = set()

    def take(trial: Trial, tried: Tried) -> None:
        work.trials.discard(trial)
        if tried.passed(PIXELS, frozenset({SAME_BYTES})):
            proved.add(trial.run.run_id)
        else:
            work.refuse(
                trial.run.run_id,
                first_other(tried),
                "To give them up all the same: --unrecoverable --reason.",
            )

    try_again(work, chosen, take)
    proved &= work.trials.recorded.keys()
    return [found for found in chosen if found.run_id in proved]


def finish_evictions(archive: Archive, wait: float | None = None) -> tuple[list[str], list[str]]:
    """Remove what is left of evicted folders: which had files left, and which files stay.

    Only files with their recorded bytes go, whatever else lies under such a name.

    Idempotent. The events are read under the lock, so that what is restored meanwhile stays.
    """
    finished: list[str] = []
    left: list[str] = []
    with archive.store.locked(archive.wait if wait is None else wait):
        for folder in sorted(evicted_folders(archive.runs(layout.COLLECTION))):
            if layout.cached_in(f"{folder}/x") != folder or not archive.tree.exists(folder):
                continue
            _, plate, _, run_id = folder.split("/")
            run = archive.run(plate, run_id)
            outputs = cached_outputs(archive, run)
            listed = [
                one.path.removeprefix(f"{folder}/") for one in outputs if _is_recorded(archive, one)
            ]
            if listed:
                finished.append(folder)
            remove_listed(archive, folder, listed)
            left += archive.tree.walk(folder)
    return finished, left


def _is_recorded(archive: Archive, output: Output) -> bool:
    """Whether the file is there with its recorded bytes: anything else under its name is not ours."""
    try:
        RecordedFile(
            archive.root, output.path, output.role, output.bytes, output.sha256
        ).open().close()
    except (LedgerkitError, OSError):
        return False
    return True


def remove_listed(archive: Archive, folder: str, names: list[str]) -> None:
    """Remove these files below the folder, and every folder that is then empty, itself included."""
    below: dict[str, list[str]] = {folder: []}
    for name in names:
        path, _, last = f"{folder}/{layout.contained_path(name)}".rpartition("/")
        below.setdefault(path, []).append(last)
        while (path := os.path.dirname(path)).startswith(f"{folder}/"):
            below.setdefault(path, [])
    for path in sorted(below, key=len, reverse=True):
        if not archive.tree.exists(path):
            continue
        with disk_errors(path):
            with archive.tree.folder(path) as opened:
                remove_files(opened.handle, below[path])
            parent, _, last = path.rpartition("/")
            with archive.tree.folder(parent) as opened:
                remove_empty_folder(opened.handle, last)
