"""Which derived pixels there are, which are gone and why, which could go. Writes nothing.

A cache folder holds the pixels of one run, `plates_structured/<plate>/cache/<run_id>/`; their digests
stand in the run's record. Whether one was taken away on purpose, the collection's events `evict` and
`restore` say: the newest that names the folder counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from ledgerkit import layout, operation
from ledgerkit.history import History
from ledgerkit.planning import stale_reason
from ledgerkit.records import EVENTS, Output, Run, evicted_folders
from ledgerkit.repository import Archive

PRESENT, EVICTED, LEAVING, PARTIAL, MISSING = "present", "evicted", "leaving", "partial", "missing"


@dataclass(frozen=True, slots=True)
class CacheFolder:
    """The derived pixels of one run. `bytes` are those recorded, `present_bytes` those that lie there.

    `state` is present; evicted; leaving (evicted, but a crash left files that may go); partial or
    missing (gone without an event).
    """

    plate_id: str
    run_id: str
    operation: str
    folder: str
    state: str
    files: int
    bytes: int
    present_files: int
    present_bytes: int
    current: bool
    evictable: bool
    why: str


@dataclass(frozen=True, slots=True)
class PlateCache:
    """The derived pixels of one plate: `bytes` recorded, `present_bytes` there, over all its runs."""

    plate_id: str
    folders: int
    bytes: int
    present_bytes: int


@dataclass(frozen=True, slots=True)
class CacheView:
    """All cache folders, in the order of plates and runs, and their sums by plate."""

    folders: list[CacheFolder]
    plates: list[PlateCache]

    @property
    def present_bytes(self) -> int:
        return sum(one.present_bytes for one in self.folders)


def status(archive: Archive, plates: list[str] | None = None) -> CacheView:
    """Every run's derived pixels. Takes no lock and writes nothing."""
    folders = list(scan(archive, plates))
    return CacheView(folders, _by_plate(folders))


def _by_plate(folders: list[CacheFolder]) -> list[PlateCache]:
    return [
        PlateCache(
            plate,
            len(found),
            sum(one.bytes for one in found),
            sum(one.present_bytes for one in found),
        )
        for plate, group in groupby(folders, key=lambda one: one.plate_id)
        if (found := list(group))
    ]


def scan(archive: Archive, plates: list[str] | None = None) -> Iterator[CacheFolder]:
    """The cache folders of plates, plate after plate."""
    history = History(archive)
    evicted = evicted_folders(history.collection)
    for plate in archive.plate_ids() if plates is None else plates:
        runs = history.runs(plate)
        current = {run.run_id for run in history.current(plate)}
        for run in runs:
            outputs = cached_outputs(archive, run)
            if outputs:
                yield _folder(archive, run, outputs, run.run_id in current, evicted, runs)
        history.forget(plate)


def cached_outputs(archive: Archive, run: Run) -> list[Output]:
    """The outputs of a run that lie in its cache folder."""
    if run.operation in EVENTS or run.subject == layout.COLLECTION:
        return []
    folder = f"{layout.cache_folder(run.subject, run.run_id)}/"
    return [output for output in archive.outputs(run) if output.path.startswith(folder)]


def _folder(
    archive: Archive,
    run: Run,
    outputs: list[Output],
    current: bool,
    evicted: set[str],
    runs: list[Run],
) -> CacheFolder:
    folder = layout.cache_folder(run.subject, run.run_id)
    sizes = [archive.tree.size(layout.contained_path(output.path)) for output in outputs]
    there = [size for size in sizes if size is not None]
    if folder in evicted:
        state = LEAVING if there else EVICTED
    else:
        state = PRESENT if len(there) == len(outputs) else PARTIAL if there else MISSING
    evictable, why = _judge(state, run, current, runs)
    return CacheFolder(
        run.subject,
        run.run_id,
        run.operation,
        folder,
        state,
        len(outputs),
        sum(output.bytes for output in outputs),
        len(there),
        sum(there),
        current,
        evictable,
        why,
    )


def _judge(state: str, run: Run, current: bool, runs: list[Run]) -> tuple[bool, str]:
    """Whether a trial re-run is worth while before eviction, and a sentence about it."""
    if state != PRESENT:
        return False, {
            EVICTED: "evicted; ledgerkit cache restore brings it back",
            LEAVING: "evicted, but files are left: the next ledgerkit cache evict removes them",
            PARTIAL: "some of its files are gone without an event",
            MISSING: "gone without an event; ledgerkit cache restore brings it back",
        }[state]
    if run.operation not in operation.names():
        return False, f"there is no operation {run.operation} any more that could make it again"
    of = "" if current else "not current; "
    last = next(
        (
            one
            for one in reversed(runs)
            if one.operation == "rerun" and one.parameters.get("run_id") == run.run_id
        ),
        None,
    )
    if last is not None:
        cached = [gate for gate in last.gates if gate.check.startswith(f"{layout.CACHE}/")]
        other = next((gate for gate in cached if not gate.message.startswith("same bytes")), None)
        when = last.started_at[:10]
        if other is not None:
            return (
                False,
                f"{of}the trial of {when} gave other bytes: {other.check}: {other.message}",
            )
        return True, f"{of}the trial of {when} gave the same bytes"
    changed = stale_reason(run, operation.load(run.operation))
    return True, f"{of}not tried yet{f', {changed}' if changed else ''}"
