"""Where a repository stands: which phase each plate has reached, what failed, what to do next."""

from __future__ import annotations

from ledgerkit import layout, operation
from ledgerkit.durable import abandoned_jobs
from ledgerkit.engine import stale_reason
from ledgerkit.history import History
from ledgerkit.query import behind
from ledgerkit.records import Run, policy_part
from ledgerkit.repository import Archive
from ledgerkit.views import FailureView, PhaseView, StatusView

PHASES = (
    ("1 headers", "headers"),
    ("1 scalars", "measure"),
    ("2 policy", "policy"),
    ("3 normalize", "normalize"),
    ("4 segment", "segment"),
    ("5 embed", "embed"),
    ("clustering", "cluster"),
    ("looking", "montage"),
)
NEXT = {
    "policy": 'ledgerkit policy propose && ledgerkit policy accept --by NAME --reason "..."',
}


def status(archive: Archive) -> StatusView:
    """Read all records and say how far everything is. Writes nothing."""
    history = History(archive)
    plates = archive.plate_ids()
    sealed = history.sealed_plates()
    policy = history.policy_variant()
    counts = {name: [0, 0, 0] for _, name in PHASES}
    reached: dict[str, str] = {}
    failures: list[FailureView] = []
    for plate in plates:
        reached[plate] = "0 ingested" if plate in history.source_digests() else "not sealed"
        runs = history.runs(plate)
        current = {run.operation: run for run in history.current(plate) if policy_part(run.variant) in (None, policy)}
        for phase, name in PHASES:
            if name in current:
                reached[plate] = phase
                counts[name][0] += 1
                counts[name][2] += _is_stale(current[name])
            elif failed := _last_failure(runs, name):
                counts[name][1] += 1
                failures.append(failed)
        history.forget(plate)
    of_collection = {run.operation: run for run in history.current(layout.COLLECTION) if policy_part(run.variant) in (None, policy)}
    phases = []
    for phase, name in PHASES:
        done, failed_count, stale = counts[name]
        total = len(sealed)
        if name == "policy":
            done, total = int(policy is not None), 1
        elif name in operation.names() and operation.load(name).on_collection:
            done, total = int(name in of_collection), 1
            stale = int(name in of_collection and _is_stale(of_collection[name]))
        phases.append(PhaseView(phase, name, done, failed_count, stale, max(total - done - failed_count, 0)))
    reason = behind(archive)
    return StatusView(
        root=str(archive.root),
        plates=len(plates),
        unsealed=len(plates) - len(sealed),
        phases=phases,
        failures=failures,
        ledgers=reason or "up to date",
        abandoned=abandoned_jobs(archive.root),
        next_steps=_next_steps(phases, len(plates), reason),
        by_plate=reached,
    )


def _is_stale(run: Run) -> bool:
    return run.operation in operation.names() and stale_reason(run, operation.load(run.operation)) is not None


def _last_failure(runs: list[Run], name: str) -> FailureView | None:
    for run in reversed(runs):
        if run.operation == name:
            return FailureView(run.subject, run.failure.error, f"{name}: {run.failure.message}") if run.failure else None
    return None


def _next_steps(phases: list[PhaseView], plates: int, ledgers: str | None) -> list[str]:
    if not plates:
        return ["ledgerkit ingest --catalogue data.json --images scans/"]
    steps = []
    for phase in phases:
        if phase.missing:
            steps.append(NEXT.get(phase.operation, f"ledgerkit {phase.operation}"))
            break
    for phase in phases:
        if phase.stale:
            steps.append(f"ledgerkit {phase.operation} --stale")
        if phase.failed:
            steps.append(f"ledgerkit {phase.operation} --retry-failed    # {phase.failed} failed: see below")
    if ledgers:
        steps.append("ledgerkit consolidate")
    return steps or ['ledgerkit query "SELECT * FROM plates LIMIT 5"']
