"""Put evidence back from a replica: only bytes with the digest that our own log proves.

A replica is never believed. What is damaged here goes into quarantine first, on record; the bytes
are staged and digested while they are copied, and a commit puts them in place, never over a name,
with the event `restore-source`. A crash in between leaves a missing file and a plan that goes on.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from ledgerkit import layout
from ledgerkit.canonical import READ_SIZE, Digests
from ledgerkit.disk import folder_mode
from ledgerkit.durable import StagedFile
from ledgerkit.errors import DigestMismatch, LedgerkitError, UsageError
from ledgerkit.evidence import Recorded, evidence, state_of
from ledgerkit.intent import Move
from ledgerkit.jobs import Job
from ledgerkit.reading import Tree
from ledgerkit.records import Run
from ledgerkit.relocation import (
    QUARANTINE,
    QUARANTINED,
    Action,
    Plan,
    begun,
    carry_out,
    digest_of,
    lend,
    measured,
    new_id,
    settle,
    staged_event,
    write_plan,
)
from ledgerkit.repository import Archive
from ledgerkit.views import FailureView, ReplicaView

OPERATION, EVENT_TYPE = "restore-source", "replication"


@dataclass
class _Work:
    """What is wrong here, what of it the replica can give, and what it cannot."""

    checked: int = 0
    moves: list[Move] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    restored: list[Action] = field(default_factory=list)
    failures: list[FailureView] = field(default_factory=list)


def restore(
    archive: Archive,
    subjects: list[str],
    replica: Path,
    *,
    cache: bool = False,
    person: str | None = None,
    wait: float = 60.0,
) -> ReplicaView:
    """Put back what is missing or damaged of plates, runs or files, from another root.

    `subjects` are plate ids, or paths relative to the root; `cache` takes derived pixels too.
    Raises `UsageError` for a subject that nothing records or for another repository, `LogInvalid`
    when our own log cannot prove anything, `RepositoryNotFound`.
    """
    there = Archive(replica)
    parameters = _came_from(archive, there)
    wanted = _wanted(archive, there.tree, subjects, cache)
    with begun(archive, wait) as job:
        work = _copied(archive, there.tree, job, wanted)
        runs: list[Run] = []
        moved: list[Action] = []
        if work.moves:
            moved, runs = _put_back(archive, job, work, parameters, person)
    return ReplicaView(
        work.checked,
        [one.view() for one in work.restored],
        [one.view() for one in moved],
        work.failures,
        [run.run_id for run in runs],
    )


def _came_from(archive: Archive, there: Archive) -> dict[str, object]:
    """Which repository and checkpoint the bytes come from; never a path of this machine."""
    ours = archive.log.checkpoint()
    if ours is None:
        raise UsageError(
            "nothing is sealed here, so nothing can be proved", "Restore log/ from a replica first."
        )
    try:
        theirs = there.log.checkpoint()
    except LedgerkitError:
        theirs = None
    if theirs is not None and theirs.origin != ours.origin:
        raise UsageError(
            f"{there.root} is another repository: its log is {theirs.origin}, ours {ours.origin}",
            "Name a copy of this repository.",
        )
    text = theirs.text().split("\n") if theirs else [ours.origin, "0", ""]
    return {"repository": text[0], "log_size": int(text[1]), "log_root": text[2]}


def _wanted(
    archive: Archive, replica: Tree, subjects: list[str], cache: bool
) -> dict[str, Recorded]:
    """Recorded files of the subjects by path. Raises `UsageError` for one that has none."""
    recorded = evidence(archive, replica)
    found: dict[str, Recorded] = {}
    for subject in subjects:
        path = subject if "/" in subject or not layout.is_plate_id(subject) else ""
        path = (
            layout.contained_path(os.path.normpath(path)) if path else layout.plate_folder(subject)
        )
        below = {
            name: one
            for name, one in recorded.below(path).items()
            if cache or f"/{layout.CACHE}/" not in name or name == path
        }
        if not below:
            raise UsageError(
                f"no record that can be read lists {layout.shown(path)}",
                "Only what the log proves is restored; give --cache for derived pixels.",
            )
        found |= below
    return found


def _copied(archive: Archive, replica: Tree, job: Job, wanted: dict[str, Recorded]) -> _Work:
    """Stage what is missing or damaged here and right there."""
    work = _Work()
    for path, recorded in sorted(wanted.items()):
        work.checked += 1
        state = state_of(archive.tree, path, recorded)
        if state == "sound":
            continue
        other = archive.tree.alike(path)
        if other not in (None, path):
            said = f"{layout.shown(path)} lies here as {layout.shown(str(other))}, in another form of its name"
            work.failures.append(
                FailureView(
                    path, "UnsafePath", said, "Rename it to the recorded form; then verify."
                )
            )
            continue
        staged = job.item(f"restored/{path}")
        try:
            digests = _copy(replica, path, archive.root / staged, recorded)
        except (LedgerkitError, OSError) as error:
            hint = error.hint if isinstance(error, LedgerkitError) else None
            work.failures.append(FailureView(path, type(error).__name__, str(error), hint))
            continue
        if state == "damaged":
            work.damaged.append(path)
        work.moves.append(Move(staged, path, {"": recorded.sha256}, protect=()))
        why = f"it was {state} here; the replica has the recorded bytes"
        work.restored.append(Action("restored", None, path, why, digests.bytes, 1, recorded.sha256))
    return work


def _copy(replica: Tree, path: str, staged: Path, recorded: Recorded) -> Digests:
    """One file from the replica into staging. Raises `DigestMismatch`, `MissingInput`."""
    with replica.open(path) as source:
        target = StagedFile(staged)
        try:
            while data := source.read(READ_SIZE):
                target.write(data)
        finally:
            digests = target.close()
    if digests.sha256 != recorded.sha256:
        raise DigestMismatch(
            f"the replica's {path} has SHA-256 {digests.sha256}, recorded is {recorded.sha256}",
            "Try another replica: only recorded bytes are taken.",
        )
    return digests


def _put_back(
    archive: Archive, job: Job, work: _Work, parameters: dict[str, object], person: str | None
) -> tuple[list[Action], list[Run]]:
    """Quarantine what is damaged, then commit the bytes and both events in one step."""
    plan_id = new_id("quarantine")
    reason = "damaged: its recorded bytes are restored from a replica"
    with archive.store.locked(job.wait):
        plan = Plan(plan_id, "quarantine", "quarantine", {"reason": reason, "sound": False}, person)
        for path in work.damaged:
            size, files = measured(archive, path)
            target = f"{QUARANTINE}/{plan_id}/{path}"
            digest = digest_of(archive, path)
            plan.actions.append(Action(QUARANTINED, path, target, reason, size, files, digest))
        lend(archive, plan)
        _lend_ways(archive, plan, work.moves)
        write_plan(archive, plan)
        moved = carry_out(archive, plan)
    folders = {layout.cached_in(move.final) for move in work.moves} - {None}
    parameters = parameters | {"folders": sorted(str(folder) for folder in folders)}
    restoring = _restoring(plan, new_id(OPERATION), parameters)
    staged = [staged_event(archive, job, plan, moved)] if moved else []
    staged.append(staged_event(archive, job, restoring, work.restored))
    for move in work.moves:
        archive.store.prepare(move.final)
    runs = archive.commit(job, staged, work.moves, wait=job.wait)
    with archive.store.locked(job.wait):
        settle(archive, plan)
    return moved, runs


def _restoring(plan: Plan, plan_id: str, parameters: dict[str, object]) -> Plan:
    """The plan of the restoring event, beside that of the quarantine."""
    return replace(
        plan, plan_id=plan_id, operation=OPERATION, event_type=EVENT_TYPE, parameters=parameters
    )


def _lend_ways(archive: Archive, plan: Plan, moves: list[Move]) -> None:
    """Folders on the way to what comes back: those there lend permission, new ones are protected."""
    for move in moves:
        folder = os.path.dirname(move.final)
        while folder:
            mode = folder_mode(archive.store.hold(), folder)
            if mode is not None:
                if not mode & 0o200:
                    plan.modes.setdefault(folder, mode)
                break
            if _is_protected(folder):
                plan.modes[folder] = 0o555
            folder = os.path.dirname(folder)


def _is_protected(folder: str) -> bool:
    """Whether a commit leaves this folder without write permission: runs, caches, a plate's source."""
    parts = folder.split("/")
    if parts[0] == layout.RUNS:
        return len(parts) > 1
    return len(parts) > 3 or (len(parts) == 3 and parts[2] == layout.SOURCE)
