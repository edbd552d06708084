"""Where a repository stands: which phase each plate has reached, what failed, what to do next."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ledgerkit import layout, operation
from ledgerkit.again import Again, plates_of
from ledgerkit.durable import pending_job
from ledgerkit.errors import LedgerkitError
from ledgerkit.history import History
from ledgerkit.jobs import abandoned_jobs
from ledgerkit.leftovers import would_recover
from ledgerkit.overlay import PREPROCESSING
from ledgerkit.planning import stale_reason
from ledgerkit.query import behind
from ledgerkit.records import Run, policy_part
from ledgerkit.repository import Archive
from ledgerkit.staleness import Judge
from ledgerkit.views import FailureView, PhaseView, StatusView

PHASES = (
    ("1 headers", "headers"),
    ("1 scalars", "measure"),
    ("2 policy", "policy"),
    ("3 normalize", "normalize"),
    ("4 segment", "segment"),
    ("4 segment", "sam"),
    ("5 embed", "embed"),
    ("5 embed", "encode"),
    ("5 embed", "fuse"),
    ("clustering", "cluster"),
    ("clustering", "describe"),
    ("clustering", "match"),
    ("sweeps", "sweep"),
    ("sweeps", "pairs"),
    ("sweeps", "survey"),
    ("looking", "plots"),
    ("looking", "montage"),
    ("looking", "overlay"),
    ("looking", "contact"),
    ("looking", "pyramid"),
    ("looking", "hash"),
)
OPTIONAL = frozenset(
    {"contact", "encode", "fuse", "hash", "match", "overlay", "pairs", "pyramid", "sam"}
    | {"survey", "sweep"}
)
"""Shown, but never what a plate waits for: nothing reads it, or another operation does as well."""
UPSTREAM = {"segment": "normalize", "embed": "normalize"}
"""Phases on plates that wait for another: only plates that it has done are to do."""
_ENDED = PREPROCESSING | {"policy"}
"""Phases that a freeze has ended."""
NEXT = {
    "policy": 'ledgerkit policy propose && ledgerkit policy accept --by NAME --reason "..."',
}


@dataclass
class _Progress:
    """How far the plates are with each operation, counted plate after plate."""

    policy: str | None
    done: Counter[str] = field(default_factory=Counter)
    stale: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    partial: Counter[str] = field(default_factory=Counter)
    failures: list[FailureView] = field(default_factory=list)
    reached: dict[str, str] = field(default_factory=dict)
    withdrawn: set[str] = field(default_factory=set)
    again: Again = field(default_factory=Again)

    def look(self, history: History, subject: str) -> None:
        """Count what is current on a plate or on the collection, and what failed instead."""
        try:
            runs = history.runs(subject)
        except LedgerkitError as error:
            self.failures.append(FailureView(subject, type(error).__name__, error.message))
            return
        if subject != layout.COLLECTION and history.overlay(subject).withdrawn:
            self.withdrawn.add(subject)
            self.reached[subject] = "withdrawn"
            return
        in_force = [
            run
            for run in history.current(subject)
            if policy_part(run.variant) in (None, self.policy)
        ]
        current = {run.operation: run for run in in_force}
        for phase, name in PHASES:
            if name in current:
                if name not in OPTIONAL:
                    self.reached[subject] = phase
                self.done[name] += 1
                if _is_stale(current[name]):
                    self.stale[name] += 1
                    self._again(history, current[name], "stale", "")
                lacking = [run for run in in_force if run.operation == name and run.failed_items]
                self.partial[name] += bool(lacking)
                self.failures += map(_first_item, lacking)
                for run in lacking:
                    self._again(history, run, "retry-failed", "done in part")
            elif failed := _last_failed(runs, name):
                self.failed[name] += 1
                self.failures.append(failed[1])
                self._again(history, failed[0], "retry-failed", "failed")

    def _again(self, history: History, run: Run, option: str, said: str) -> None:
        try:
            inputs = history.archive.inputs(run) if run.subject == layout.COLLECTION else []
        except LedgerkitError as error:
            self.failures.append(FailureView(run.subject, type(error).__name__, error.message))
            return
        self.again.add(run, plates_of(run, inputs), option, said)


def status(archive: Archive) -> StatusView:
    """Read all records and say how far everything is. Writes nothing."""
    history = History(archive)
    plates = archive.plate_ids()
    sealed = history.sealed_plates()
    progress, judge = _looked_at(history, plates, sealed)
    at_work = set(sealed) - progress.withdrawn
    phases = [_phase(phase, name, progress, len(at_work)) for phase, name in PHASES if _known(name)]
    reason = behind(archive)
    frozen = archive.frozen()
    left = would_recover(archive)
    return StatusView(
        root=str(archive.root),
        plates=len(plates),
        unsealed=len(set(plates) - set(sealed)),
        phases=phases,
        failures=progress.failures,
        ledgers=reason or "up to date",
        abandoned=abandoned_jobs(archive.root),
        pending=pending_job(archive.root),
        next_steps=[
            *(["ledgerkit recover"] if left else []),
            *_next_steps(
                [phase for phase in phases if frozen is None or phase.operation not in _ENDED],
                progress.again,
                plates,
                at_work,
                reason,
            ),
        ],
        by_plate=progress.reached,
        withdrawn=len(progress.withdrawn),
        frozen=None if frozen is None else _frozen(frozen),
        leftovers=left,
        stale=[(one.run_id, one.operation, one.reasons) for one in judge.views()],
    )


def _looked_at(history: History, plates: list[str], sealed: list[str]) -> tuple[_Progress, Judge]:
    """Every plate and the collection, each gone through once."""
    progress, judge = _Progress(history.policy_variant()), Judge(history)
    progress.reached = dict.fromkeys(plates, "not sealed") | dict.fromkeys(sealed, "0 ingested")
    for plate in plates:
        progress.look(history, plate)
        judge.look(plate)
        history.forget(plate)
    progress.look(history, layout.COLLECTION)
    progress.reached.pop(layout.COLLECTION, None)
    progress.done["policy"] = int(progress.policy is not None)
    return progress, judge


def _frozen(run: Run) -> str:
    return f"by {run.run_id}, {run.agent.person}: {run.parameters.get('reason')}"


def _known(name: str) -> bool:
    return name == "policy" or name in operation.names()


def _phase(phase: str, name: str, progress: _Progress, plates: int) -> PhaseView:
    once = name == "policy" or operation.load(name).on_collection
    done, failed = progress.done[name], progress.failed[name]
    ready = 1 if once else progress.done[UPSTREAM[name]] if name in UPSTREAM else plates
    missing = 0 if name in OPTIONAL else max(ready - done - failed, 0)
    return PhaseView(
        phase, name, done, failed, progress.stale[name], missing, progress.partial[name]
    )


def _is_stale(run: Run) -> bool:
    return (
        run.operation in operation.names()
        and stale_reason(run, operation.load(run.operation)) is not None
    )


def _last_failed(runs: list[Run], name: str) -> tuple[Run, FailureView] | None:
    """The last run of an operation, where it failed as a whole, and why it did."""
    for run in reversed(runs):
        if run.operation == name:
            if run.failure is None:
                return None
            said = f"{name}: {run.failure.message}"
            return run, FailureView(run.subject, run.failure.error, said)
    return None


def _first_item(run: Run) -> FailureView:
    """What a partial run lacks."""
    item = run.failed_items[0]
    more = f", and {len(run.failed_items) - 1} more" if len(run.failed_items) > 1 else ""
    said = f"{run.operation}, {item.item}: {item.message}{more}"
    return FailureView(run.subject, item.error, said)


def _asked(name: str) -> str:
    """An operation as its command is given: one that loads a model needs the name of it."""
    has_model = (
        hasattr(operation.load(name).module, "models") if name in operation.names() else False
    )
    return f"{operation.command(name)} --model NAME" if has_model else operation.command(name)


def _next_steps(
    phases: list[PhaseView], again: Again, plates: list[str], at_work: set[str], ledgers: str | None
) -> list[str]:
    if not plates:
        return ["ledgerkit ingest --catalogue data.json --images scans/"]
    steps = []
    for phase in phases:
        if phase.missing:
            steps.append(NEXT.get(phase.operation, f"ledgerkit {_asked(phase.operation)}"))
            break
    for phase in phases:
        for option in ("stale", "retry-failed"):
            steps += again.commands(phase.operation, option, plates, at_work)
    if ledgers:
        steps.append("ledgerkit consolidate")
    return steps or ['ledgerkit query "SELECT * FROM plates LIMIT 5"']
