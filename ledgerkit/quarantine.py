"""Move something out of the way, reversibly and on record: a file nobody listed, a damaged one.

It lies then in `.ledgerkit/quarantine/<id>/` under its own path, and `release` moves it back, never
over a name. What is evidence and still has its recorded bytes stays, unless the caller insists.
Nothing is ever purged.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

from ledgerkit import layout
from ledgerkit.canonical import parse_json
from ledgerkit.errors import LedgerkitError, MissingInput, UsageError
from ledgerkit.evidence import evidence, state_of
from ledgerkit.records import Run
from ledgerkit.relocation import (
    QUARANTINE,
    QUARANTINED,
    RELEASED,
    Action,
    Plan,
    begun,
    digest_of,
    finish,
    lend,
    measured,
    new_id,
    told,
    write_plan,
)
from ledgerkit.repository import Archive
from ledgerkit.views import QuarantineView

OPERATION = EVENT_TYPE = "quarantine"
_KEPT = (layout.WORKING, layout.LOG, layout.PLATES, layout.RUNS, layout.LEDGER, layout.SCHEMAS)


def quarantine(
    archive: Archive,
    path: str,
    reason: str,
    person: str,
    *,
    even_if_sound: bool = False,
    wait: float = 60.0,
) -> QuarantineView:
    """Move a file or folder into quarantine and record it.

    Raises `UsageError` without reason or name, for what may not be moved and, unless
    `even_if_sound`, for evidence that has its recorded bytes; `MissingInput` when nothing is there.
    """
    _need(reason, person)
    path = _movable(path)
    with begun(archive, wait) as job:  # it may finish a plan that moves this very path
        sound = _looked_at(archive, path, even_if_sound)
        quarantine_id = new_id(OPERATION)
        with archive.store.locked(wait):
            size, files = measured(archive, path)
            action = Action(
                QUARANTINED,
                path,
                f"{QUARANTINE}/{quarantine_id}/{path}",
                reason,
                size,
                files,
                digest_of(archive, path),
            )
            parameters = {"reason": reason, "path": told(path), "sound": bool(sound)}
            plan = Plan(quarantine_id, OPERATION, EVENT_TYPE, parameters, person, [action])
            lend(archive, plan)
            write_plan(archive, plan)
        run, _ = finish(archive, job, plan)
    return _view(plan, action, bool(sound), run)


def _looked_at(archive: Archive, path: str, even_if_sound: bool) -> list[str]:
    """Sound evidence at or below `path`. Raises `MissingInput`, `UsageError`."""
    if not archive.tree.exists(path):
        raise MissingInput(f"nothing lies at {layout.shown(path)}")
    sound = list(sound_below(archive, path))
    if sound and not even_if_sound:
        raise UsageError(
            f"{sound[0]} is evidence and has its recorded bytes"
            + (f", and {len(sound) - 1} more with it" if len(sound) > 1 else ""),
            "Quarantine only what is damaged or listed nowhere, or give --even-if-sound.",
        )
    return sound


def release(
    archive: Archive, quarantine_id: str, reason: str, person: str, *, wait: float = 60.0
) -> QuarantineView:
    """Move what lies in quarantine back to where it came from, and record it.

    Raises `MissingInput` for an unknown id, `UsageError` when the name is taken meanwhile.
    """
    _need(reason, person)
    held = {one.quarantine_id: one for one in quarantined(archive)}
    if quarantine_id not in held:
        raise MissingInput(
            f"nothing lies in quarantine as {quarantine_id}", "See: ledgerkit quarantine --list"
        )
    with begun(archive, wait) as job:
        with archive.store.locked(wait):
            source = held[quarantine_id].lies_at
            target = source.removeprefix(f"{QUARANTINE}/{quarantine_id}/")
            if archive.tree.exists(target):
                raise UsageError(
                    f"{layout.shown(target)} is taken: nothing is moved over a name",
                    "Quarantine what lies there now, then release this.",
                )
            size, files = measured(archive, source)
            digest = digest_of(archive, source)
            action = Action(RELEASED, source, target, reason, size, files, digest)
            parameters = {"reason": reason, "path": told(target), "released": quarantine_id}
            plan = Plan(new_id("release"), OPERATION, EVENT_TYPE, parameters, person, [action])
            lend(archive, plan)
            write_plan(archive, plan)
        run, _ = finish(archive, job, plan)
    return _view(plan, action, None, run)


def quarantined(archive: Archive) -> list[QuarantineView]:
    """What lies in quarantine now, oldest first, with what its record says."""
    known = _recorded(archive)
    found = []
    for name in archive.tree.folders(QUARANTINE):
        for path, size, files in _held(archive, f"{QUARANTINE}/{name}", known.get(name, [])):
            run, row = _of(known.get(name, []), path)
            found.append(
                QuarantineView(
                    name,
                    path,
                    f"{QUARANTINE}/{name}/{path}",
                    row["why"] if row else "its record is missing or cannot be read",
                    (run.agent.person if run else None) or "unknown",
                    size,
                    files,
                    digest_of(archive, f"{QUARANTINE}/{name}/{path}"),
                    run.parameters.get("sound") if run else None,
                    run.run_id if run else None,
                )
            )
    return found


def sound_below(archive: Archive, path: str) -> list[str]:
    """Evidence at or below a path that has its recorded bytes."""
    recorded = evidence(archive).below(path)
    return [
        name for name in sorted(recorded) if state_of(archive.tree, name, recorded[name]) == "sound"
    ]


_Rows = list[tuple[Run, dict[str, Any]]]


def _recorded(archive: Archive) -> dict[str, _Rows]:
    """What records of quarantines say, by quarantine id; those that cannot be read are left out."""
    found: dict[str, _Rows] = {}
    for logged in archive.log.index().runs(layout.COLLECTION):
        with contextlib.suppress(LedgerkitError):
            run = archive.run(layout.COLLECTION, logged.run_id)
            if run.operation != OPERATION:
                continue
            for output in archive.outputs(run):
                data = archive.tree.read_checked(output.path, output.sha256)
                rows = [parse_json(line, output.path) for line in data.splitlines()]
                found.setdefault(run.parameters["id"], []).extend(
                    (run, row) for row in rows if row["what"] == QUARANTINED
                )
    return found


def _held(archive: Archive, folder: str, rows: _Rows) -> list[tuple[str, int, int]]:
    """Paths below a quarantine folder as they were moved; single files where no record says."""
    below = [path.removeprefix(f"{folder}/") for path in archive.tree.walk(folder)]
    moved = {row["from"] for _, row in rows}
    items: dict[str, None] = {}
    for path in below:
        parts = path.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        items[next((one for one in above if told(one) in moved), path)] = None
    return [(path, *measured(archive, f"{folder}/{path}")) for path in items]


def _of(rows: _Rows, path: str) -> tuple[Run | None, dict[str, Any] | None]:
    for run, row in rows:
        if row["from"] == told(path):
            return run, row
    return None, None


def _need(reason: str, person: str) -> None:
    if not reason.strip() or not person.strip():
        raise UsageError(
            "something is moved by somebody for a reason", 'Give both: --by NAME --reason "..."'
        )


def _movable(path: str) -> str:
    path = layout.contained_path(os.path.normpath(path))
    top = path.split("/")[0]
    if path in _KEPT or top in (layout.WORKING, layout.LOG):
        raise UsageError(
            f"{path} is not moved into quarantine: the repository is nothing without it",
            "Name a file or folder below it; for log/: ledgerkit recover, or a replica.",
        )
    return path


def _view(plan: Plan, action: Action, sound: bool | None, run: Run | None) -> QuarantineView:
    return QuarantineView(
        plan.plan_id,
        action.source or "",
        action.target or "",
        action.why,
        plan.person or "",
        action.bytes,
        action.files,
        action.sha256,
        sound,
        run.run_id if run else None,
    )
