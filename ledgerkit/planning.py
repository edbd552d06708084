"""Plan: what is asked for, what is done already, what would be read. It writes nothing.

A plan is made lazily, one decision a subject, so that a million plates need no list of a million
tasks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledgerkit import layout, operation, software
from ledgerkit.collecting import collect, of_sweep
from ledgerkit.errors import LedgerkitError, MissingInput, UsageError, Withdrawn
from ledgerkit.history import SWEPT, History, Resolved
from ledgerkit.operation import Operation, resolved
from ledgerkit.records import Run, Supersedes, task_id
from ledgerkit.repository import Archive
from ledgerkit.views import DryRunView, FailureView
from ledgerkit.weights.pinned import Pinned, by_digest, take
from ledgerkit.worker import Task


@dataclass(frozen=True)
class Request:
    """What is asked for: an operation with parameters, on which plates, and what to do again."""

    operation: str
    parameters: dict[str, Any] = field(default_factory=dict)
    plates: list[str] | None = None
    force: bool = False
    stale: bool = False
    retry_failed: bool = False


@dataclass(frozen=True)
class Decision:
    """What is to be done for one subject: run, done, other, stale, failed (before), blocked, withdrawn.

    `other` is done, but a newer run with other parameters is the current one; `withdrawn` plates
    are left out.
    """

    kind: str
    subject: str
    task: Task | None = None
    supersedes: Supersedes | None = None
    error: LedgerkitError | None = None


@dataclass(frozen=True)
class _Asked:
    """A request with what is the same for all its subjects: its models were compared once."""

    request: Request
    loaded: Operation
    parameters: Any
    models: tuple[Pinned, ...]


def decide(archive: Archive, history: History, request: Request) -> Iterator[Decision]:
    """One decision for each subject of the request, in order, made when asked for.

    Models that the operation names are read and compared first: raises `UsageError` (also for a
    name of a collection that is not that of its plates), `MissingInput` (also without plates) or `DigestMismatch` for one
    that is not what was added, and what the operation raises for parameters without meaning and for
    a model of another kind, before there is any decision.
    """
    loaded = operation.load(request.operation)
    parameters = loaded.make_parameters(request.parameters)
    loaded.check(parameters)
    if loaded.all_plates is not None:
        _check_name(loaded.all_plates, parameters.collection, request.plates is not None)
    models = take(loaded.models(parameters))
    loaded.check_models(parameters, {one.name: Path(one.folder) for one in models})
    parameters, models = by_digest(parameters, models)
    tokens = loaded.takes(parameters)
    if set(SWEPT) & set(tokens):
        parameters = of_sweep(history, parameters)
    asked = _Asked(request, loaded, parameters, models)
    plates = archive.plate_ids() if request.plates is None else request.plates
    if not plates:
        raise MissingInput("there are no plates", "Take some in with: ledgerkit ingest")
    if loaded.on_collection:
        one_space = loaded.one_space and not parameters.space
        found, lacking = collect(history, tokens, plates, parameters, one_space=one_space)
        yield from (_left_out(plate, error) for plate, error in lacking)
        gone = sum(isinstance(error, Withdrawn) for _, error in lacking)
        if gone and gone == len(plates):
            raise MissingInput("all plates are withdrawn", "See: ledgerkit reinstate --help")
        if len(lacking) == len(plates):
            return
        yield _decision(archive, history, asked, layout.COLLECTION, found)
        return
    for plate in plates:
        try:
            found = Resolved()
            for token in tokens:
                found.add(history.resolve(token, plate, parameters))
            yield _decision(archive, history, asked, plate, found)
        except LedgerkitError as error:
            yield _left_out(plate, error)
        history.forget(plate)


def _check_name(whole: str, collection: str, chosen: bool) -> None:
    """Raise `UsageError` for a part of the plates that is called as all are, or all as a part is.

    A name without plates is refused and not taken for all: where it was swept before it would stand
    for other plates from then on.
    """
    if chosen and collection == whole:
        raise UsageError(
            "a part of the plates is a collection of its own", "Name it, as: --collection birds"
        )
    if not chosen and collection != whole:
        raise UsageError(
            f"{collection} is the name of a part, and all plates would be taken",
            f"Choose its plates with --plates or --where; all are called {whole}.",
        )


def _left_out(plate: str, error: LedgerkitError) -> Decision:
    if isinstance(error, Withdrawn):
        return Decision("withdrawn", plate)
    return Decision("blocked", plate, error=error)


def _decision(
    archive: Archive, history: History, asked: _Asked, subject: str, found: Resolved
) -> Decision:
    request, loaded = asked.request, asked.loaded
    settings = resolved(asked.parameters)
    weights = [given.pin.sha256 for given in asked.models]
    read = [(given.role, given.sha256) for given in found.inputs]
    identity = task_id(loaded.name, loaded.version, settings, subject, weights, read)
    variant = found.variant(loaded.variant(asked.parameters, weights))
    inputs, models = tuple(found.inputs), asked.models
    root = str(archive.root)
    task = Task(root, loaded.name, settings, subject, variant, inputs, "", identity, models)
    same = [run for run in history.runs(subject) if run.task_id == identity]
    done = [run for run in same if run.status != "failed"]
    if request.force or not same:
        return Decision("run", subject, task)
    if not done:
        return (
            Decision("run", subject, task) if request.retry_failed else Decision("failed", subject)
        )
    if request.retry_failed and done[-1].failed_items:
        again = f"tried again: {len(done[-1].failed_items)} items had failed"
        return Decision("run", subject, task, Supersedes(done[-1].run_id, again))
    reason = stale_reason(done[-1], loaded)
    if reason is None:
        current = {run.run_id for run in history.current(subject)}
        return Decision("done" if done[-1].run_id in current else "other", subject)
    if request.stale:
        return Decision("run", subject, task, Supersedes(done[-1].run_id, reason))
    return Decision("stale", subject)


def stale_reason(run: Run, loaded: Operation) -> str | None:
    """Why a run would be made with other code or libraries today; None when it would not."""
    now = {"ledgerkit": software.VERSION, **loaded.environment()}
    then = {"ledgerkit": run.code.ledgerkit, **run.environment.libraries}
    changed = [
        f"{name} {then.get(name, 'absent')} -> {now.get(name, 'absent')}"
        for name in sorted(now.keys() | then.keys())
        if now.get(name) != then.get(name)
    ]
    return "made with other code or libraries: " + ", ".join(changed) if changed else None


def dry_run(archive: Archive, request: Request) -> DryRunView:
    """What `run` would do, for about how long and with how much disk. Writes nothing."""
    archive.refuse_when_frozen(request.operation)
    history = History(archive)
    kinds: dict[str, int] = {}
    would_run: list[str] = []
    blocked: list[FailureView] = []
    for decision in decide(archive, history, request):
        kinds[decision.kind] = kinds.get(decision.kind, 0) + 1
        if decision.kind == "run":
            would_run.append(decision.subject)
        if decision.error:
            blocked.append(failure_view(decision.subject, decision.error))
    seconds, size, basis = _estimate(history, request.operation, would_run)
    return DryRunView(
        request.operation,
        would_run,
        kinds.get("done", 0) + kinds.get("other", 0),
        kinds.get("stale", 0),
        kinds.get("failed", 0),
        blocked,
        seconds,
        size,
        basis,
        kinds.get("withdrawn", 0),
    )


def _estimate(
    history: History, name: str, would_run: list[str]
) -> tuple[float | None, int | None, str]:
    """Seconds and bytes, scaled by source size from earlier runs of the same operation."""
    if not would_run:
        return 0.0, 0, "nothing to do"
    seconds, made, read = 0.0, 0, 0
    judged = 0
    subjects = (
        [layout.COLLECTION] if would_run == [layout.COLLECTION] else history.sealed_plates()[:200]
    )
    for subject in subjects:
        for run in _readable_runs(history, subject):
            if run.operation == name and run.status == "complete":
                judged += 1
                seconds += run.resources.seconds
                made += sum(output.bytes for output in history.archive.outputs(run))
                read += history.source(subject).bytes if subject != layout.COLLECTION else 1
    if not judged:
        return None, None, f"no earlier {name} run to judge from"
    ahead = sum(
        history.source(subject).bytes if subject != layout.COLLECTION else 1
        for subject in would_run
    )
    scale = ahead / max(read, 1)
    return (
        round(seconds * scale, 1),
        round(made * scale),
        f"scaled by source size from {judged} earlier runs, one worker",
    )


def _readable_runs(history: History, subject: str) -> list[Run]:
    try:
        return history.runs(subject)
    except LedgerkitError:
        return []  # the plan names the subject as blocked


def failure_view(subject: str, error: LedgerkitError) -> FailureView:
    """Why a subject could not be done, for people."""
    return FailureView(subject, type(error).__name__, error.message, error.hint)
