"""Moves out of the repository and back, each on record: a written plan, renames, an event, the plan goes.

`recover`, `quarantine` and `restore-source` write what they will do to `.ledgerkit/plan.json`
before they do it. A second crash leaves the plan; the next of the three carries it on to the same
end, so the record says the whole. No name is ever replaced, nothing is deleted, and a folder that
lends its write permission to a rename gets it back as it was.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from ledgerkit import layout, schema
from ledgerkit.canonical import canonical_lines
from ledgerkit.disk import folder_mode, lock_file, read_own, replace_flushed, set_folder_mode
from ledgerkit.errors import InvalidRecord, LedgerkitError, UnsafePath
from ledgerkit.events import Event, staged_name
from ledgerkit.jobs import Job
from ledgerkit.records import Run
from ledgerkit.repository import Archive
from ledgerkit.sealing import seal_new
from ledgerkit.staged import StagedRun, write_staged
from ledgerkit.staging import JSON_LINES
from ledgerkit.views import ActionView

PLAN = f"{layout.WORKING}/plan.json"
ASIDE = f"{layout.WORKING}/aside"
QUARANTINE = f"{layout.WORKING}/quarantine"
QUARANTINED, RELEASED = "quarantined", "released"
_LOCK = f"{layout.WORKING}/recover.lock"
_WRITE = 0o200
_REGULAR = 0o7777


@dataclass(frozen=True)
class Action:
    """One thing that is moved, finished or put back. Paths are relative to the root."""

    what: str
    source: str | None
    target: str | None
    why: str
    bytes: int = 0
    files: int = 0
    sha256: str | None = None

    def row(self) -> dict[str, Any]:
        """As a line of `actions.jsonl`; bytes of names that are no UTF-8 as \\xNN."""
        return {
            "what": self.what,
            "from": None if self.source is None else told(self.source),
            "to": None if self.target is None else told(self.target),
            "why": told(self.why),
            "bytes": self.bytes,
            "files": self.files,
            "sha256": self.sha256,
        }

    def view(self) -> ActionView:
        """As it is shown."""
        row = self.row()
        return ActionView(
            self.what, row["from"], row["to"], row["why"], self.bytes, self.files, self.sha256
        )


@dataclass
class Plan:
    """What one invocation will do, as it is written before it begins.

    `modes` are permissions of folders by path, for those that lend their write permission.
    """

    plan_id: str
    operation: str
    event_type: str
    parameters: dict[str, Any]
    person: str | None = None
    actions: list[Action] = field(default_factory=list)
    modes: dict[str, int] = field(default_factory=dict)


def told(path: str) -> str:
    """A path as text that any record can hold."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def new_id(operation: str) -> str:
    """A name for an invocation and for the folder it moves things to."""
    return f"{operation}-{datetime.now(UTC):%Y%m%d-%H%M%SZ}-{secrets.token_hex(4)}"


@contextlib.contextmanager
def alone(archive: Archive, wait: float) -> Iterator[None]:
    """One invocation of the three at a time, from its plan to its record. Raises `RepositoryBusy`."""
    archive.store.make_folder(layout.WORKING)
    archive.store._refuse_links(_LOCK, set())
    with lock_file(archive.root / _LOCK, wait):
        yield


def unfinished(archive: Archive) -> Plan | None:
    """The plan that a crash left; None without one. Raises `InvalidRecord`, `UnsafePath`."""
    try:
        data = read_own(archive.root / PLAN)
    except FileNotFoundError:
        return None
    try:
        plan = msgspec.convert(json.loads(data), Plan)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidRecord(
            f"{PLAN} is no plan: {error}", "Move it away once you know who wrote it."
        ) from error
    for action in plan.actions:
        for path in (action.source, action.target):
            if path is not None:
                layout.contained_path(path)
        held = action.source if action.what == RELEASED else action.target
        if held is not None and not held.startswith((f"{ASIDE}/", f"{QUARANTINE}/")):
            raise UnsafePath(f"{PLAN} moves something to {layout.shown(action.target or '')}")
    for path, mode in plan.modes.items():
        layout.contained_path(path)
        if mode & ~_REGULAR:
            raise InvalidRecord(f"{PLAN} gives {layout.shown(path)} the permissions {mode:o}")
    return plan


def write_plan(archive: Archive, plan: Plan) -> None:
    """Keep the plan, flushed: from here on it is carried out, by whoever comes."""
    data = json.dumps(msgspec.to_builtins(plan)).encode()
    archive.store._refuse_links(PLAN, set())
    replace_flushed(archive.root / PLAN, data)


def lend(archive: Archive, plan: Plan) -> None:
    """Note the folders of a plan that must lend their write permission, with what they have now."""
    for action in plan.actions:
        if action.source is None or action.target is None:
            continue
        folders = [action.source]
        for path in (action.source, action.target):
            folders += [os.path.dirname(path)] if os.path.dirname(path) else []
        for folder in folders:
            mode = folder_mode(archive.store.hold(), folder)
            if mode is not None and not mode & _WRITE:
                plan.modes.setdefault(folder, mode)


def carry_out(archive: Archive, plan: Plan) -> list[Action]:
    """Make the moves of a written plan, all or those that are left; what they came to, flushed.

    The repository's lock must be held. What is gone meanwhile is said to be, not an error.
    """
    store = archive.store
    for folder, mode in plan.modes.items():
        set_folder_mode(store.hold(), folder, mode | _WRITE)
    done = [_carry(archive, action) for action in plan.actions]
    touched = {path for action in done for path in (action.source, action.target) if path}
    store._flush_names(
        folder
        for folder in (os.path.dirname(path) for path in touched)
        if (archive.root / folder).is_dir()
    )
    return done


def _carry(archive: Archive, action: Action) -> Action:
    if action.source is None or action.target is None:
        return action
    there = archive.tree.exists(action.source)
    if archive.tree.exists(action.target):
        why = f"{action.why}; its name was taken by then"
        return Action(action.what, action.source, None, why) if there else action
    if not there:
        return Action(action.what, action.source, None, f"{action.why}; it was gone by then")
    archive.store._refuse_links(action.source, set())
    archive.store.prepare(action.target)
    archive.store.move(action.source, action.target)
    return action


def settle(archive: Archive, plan: Plan) -> None:
    """Give permissions back, where things lie now, and drop the plan: all is on record."""
    moved = {action.source: action.target for action in plan.actions if action.target}
    for folder, mode in plan.modes.items():
        now = folder
        target = moved.get(folder)
        if target is not None and archive.tree.exists(target):
            now = target
        set_folder_mode(archive.store.hold(), now, mode)
    archive.store.flush([os.path.dirname(folder) or "." for folder in plan.modes])
    archive.store.remove_working(PLAN)


def staged_event(archive: Archive, job: Job, plan: Plan, done: list[Action]) -> StagedRun:
    """The event of a plan, staged, with its actions as an output."""
    rows = [action.row() for action in done]
    for row in rows:
        schema.check("actions.v1", row, "new line of actions.jsonl")
    folder = job.item(staged_name(plan.operation))
    artifact = write_staged(
        archive.store, folder, "outputs/actions.jsonl", "actions", JSON_LINES, canonical_lines(rows)
    )
    event = Event(plan.operation, plan.event_type, {"id": plan.plan_id, **plan.parameters})
    return event.staged(folder, artifacts=[artifact], person=plan.person)


def on_record(archive: Archive, plan: Plan) -> Run | None:
    """The logged run of a plan; records that cannot be read are not it."""
    for logged in reversed(archive.log.index().runs(layout.COLLECTION)):
        with contextlib.suppress(LedgerkitError):
            run = archive.run(layout.COLLECTION, logged.run_id)
            if run.operation == plan.operation and run.parameters.get("id") == plan.plan_id:
                return run
    return None


@contextlib.contextmanager
def begun(archive: Archive, wait: float) -> Iterator[Job]:
    """Alone and with a job, after what a crash left of another invocation was carried to its end."""
    with alone(archive, wait), archive.job(wait) as job:
        plan = unfinished(archive)
        if plan is not None:
            finish(archive, job, plan)
        yield job


def finish(archive: Archive, job: Job, plan: Plan) -> tuple[Run | None, list[Action]]:
    """Carry a written plan to its end: moves, record, permissions. Also after a crash at any point.

    A repository without a log gets one, as from every writer, after the moves: what is moved away is
    not sealed any more.
    """
    with archive.store.locked(job.wait):
        done = carry_out(archive, plan)
    if archive.log.checkpoint() is None:
        seal_new(archive, job)
    run = on_record(archive, plan)
    if run is None and done:
        (run,) = archive.commit(job, [staged_event(archive, job, plan, done)], wait=job.wait)
    with archive.store.locked(job.wait):
        settle(archive, plan)
    return run, done


def measured(archive: Archive, path: str) -> tuple[int, int]:
    """Bytes and number of files at or below a path; links and pipes count as files of no bytes."""
    size = archive.tree.size(path)
    if size is not None:
        return size, 1
    found = list(archive.tree.walk(path))
    if not found and archive.tree.exists(path) and not (archive.root / path).is_dir():
        return 0, 1
    return sum(archive.tree.size(one) or 0 for one in found), len(found)


def digest_of(archive: Archive, path: str) -> str | None:
    """SHA-256 of a regular file; None for anything else or what cannot be read."""
    if archive.tree.size(path) is None:
        return None
    try:
        return archive.tree.digest(path).sha256
    except (LedgerkitError, OSError):
        return None
