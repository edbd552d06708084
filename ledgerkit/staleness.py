"""Which results of the collection are stale and why: a result that is there may yet be out of date.

A result is stale when it would be made with other code or libraries today, when what it was made
from was made again, withdrawn, or is itself stale, when the policy in force is another, or when
plates are ready that it did not read. From a clustering this goes on to its figures, matches and
descriptions. Exports lie outside; what they say of themselves is held against the ledgers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledgerkit import layout, operation
from ledgerkit.canonical import parse_json
from ledgerkit.collecting import of_collection
from ledgerkit.errors import InvalidRecord, LedgerkitError, UsageError
from ledgerkit.history import IMAGES, History, Resolved
from ledgerkit.ledger.document import ledger_document
from ledgerkit.overlay import PREPROCESSING
from ledgerkit.planning import stale_reason
from ledgerkit.records import EVENTS, Input, Run, policy_part
from ledgerkit.repository import Archive
from ledgerkit.worker import arguments

DESCRIBED = "describe-by-model"
"""An event that is judged as a result is: the newest of its kind."""
_CHOOSING = ("of", "space", "made_by", "collection")
"""Parameters by which `History.resolve` chooses among the runs of a plate."""
NAMED = 3
"""Plates that a reason names before it only counts."""
MAX_EXPORT_BYTES = 1 << 30


@dataclass(frozen=True)
class StaleView:
    """A result of the collection, and everything that makes it stale."""

    run_id: str
    operation: str
    variant: str
    reasons: list[str]


@dataclass(frozen=True)
class ExportFreshness:
    """An export, and why it is not what it would be today; nothing when it is."""

    path: str
    clustering: str | None
    reasons: list[str]


@dataclass(frozen=True)
class FreshnessView:
    """All stale results of `judged`, and the exports that were asked about."""

    judged: int
    stale: list[StaleView]
    exports: list[ExportFreshness] = field(default_factory=list)

    @property
    def fresh(self) -> bool:
        """Whether nothing is stale."""
        return not self.stale and not any(one.reasons for one in self.exports)


class Judge:
    """Judges the current results of the collection while the plates are gone through once.

    `look` at every plate, then ask for `views`.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._policy = history.policy_variant()
        current = history.current(layout.COLLECTION)
        described = [run for run in history.collection if run.operation == DESCRIBED]
        # A proposal of a policy is judged by whoever accepts one.
        results = [run for run in current if run.operation not in PREPROCESSING]
        self.runs = [*results, *described[-1:]]
        self._current = {run.run_id for run in current}
        self._by_id = {run.run_id: run for run in history.collection}
        self._inputs = {run.run_id: history.archive.inputs(run) for run in self.runs}
        self._known: dict[str, list[str]] = {}
        """Reasons by run, of plates only those of runs that are stale."""
        self._new: dict[str, dict[str, list[str]]] = {run.run_id: {} for run in self.runs}
        """By run, plates by what they have now that the run did not read."""
        self._needed: dict[str, set[str]] = {}
        self._read: dict[str, dict[str, set[str]]] = {}
        self._wants = {run.run_id: wants for run in self.runs if (wants := _wants(run))}
        for run_id, inputs in self._inputs.items():
            read = self._read[run_id] = {}
            for given in inputs:
                plate = _plate_of(given)
                if plate is not None:
                    read.setdefault(plate, set()).add(_sort_of(given.role, given.path))
                    if given.run_id is not None and given.run_id not in self._by_id:
                        self._needed.setdefault(plate, set()).add(given.run_id)

    def look(self, plate: str) -> None:
        """Judge the runs of a plate that results of the collection were made from."""
        history = self._history
        try:
            runs = {run.run_id: run for run in history.runs(plate)}
            current = {run.run_id: run for run in history.current(plate)}
            withdrawn = history.overlay(plate).withdrawn
        except LedgerkitError:
            return  # `status` and `audit` name the plate
        for run_id in sorted(self._needed.get(plate, ())):
            self._judge_plate_run(run_id, runs, current, withdrawn)
        there: dict[Any, Resolved] = {}
        for run in self.runs if not withdrawn else ():
            self._look_for_new(run, plate, there)

    def _judge_plate_run(
        self, run_id: str, runs: dict[str, Run], current: dict[str, Run], withdrawn: bool
    ) -> list[str]:
        if run_id in self._known or run_id not in runs:
            return self._known.get(run_id, [])
        run = runs[run_id]
        if run.operation in EVENTS:
            return []
        reasons = _code(run)
        if withdrawn:
            reasons.insert(0, "the plate is withdrawn")
        elif run_id not in current:
            reasons[:0] = self._replaced(run, list(current.values()))
        for given in self._history.archive.inputs(run):
            if given.run_id in runs and given.run_id != run_id:
                below = self._judge_plate_run(given.run_id, runs, current, withdrawn)
                reasons += [f"its {runs[given.run_id].operation}: {one}" for one in below[:1]]
        reasons = list(dict.fromkeys(reasons))
        if reasons:
            self._known[run_id] = reasons
        return reasons

    def _replaced(self, run: Run, current: list[Run]) -> list[str]:
        """Why a run that is not current counts as stale: not when it was made again as it was."""
        same = [one for one in current if one.operation == run.operation]
        same = [one for one in same if one.variant == run.variant] or same
        if not same:
            return ["it is not current"]
        newer = max(same, key=lambda one: one.run_id)
        alike = self._digests(run) == self._digests(newer)
        return [] if alike else [f"{run.run_id} was replaced by {newer.run_id}"]

    def _digests(self, run: Run) -> set[tuple[str, str]]:
        return {(output.role, output.sha256) for output in self._history.archive.outputs(run)}

    def _look_for_new(self, run: Run, plate: str, there: dict[Any, Resolved]) -> None:
        """What a plate has that the run would read today and did not: itself, or more of it.

        `there` keeps what was found of the plate for the runs that want the same.
        """
        if run.run_id not in self._wants:
            return
        parameters, tokens = self._wants[run.run_id]
        read = self._read[run.run_id].get(plate)
        made = []
        try:
            for token in tokens:
                if read is not None and token in IMAGES:
                    continue
                wanted = [getattr(parameters, name, None) for name in _CHOOSING]
                key = (token, *wanted)
                if key not in there:
                    there[key] = self._history.resolve(token, plate, parameters)
                made.append(there[key])
        except LedgerkitError:
            return
        now = {(_sort_of(one.role, one.path), one.run_id) for some in made for one in some.inputs}
        # A manifest is there of every plate: a new plate counts when something was made of it.
        if read is None and all(run_id in self._by_id for _, run_id in now):
            return
        lacking = {"plates"} if read is None else {sort for sort, _ in now} - read
        for sort in sorted(lacking):
            self._new[run.run_id].setdefault(sort.partition(" ")[0], []).append(plate)

    def views(self) -> list[StaleView]:
        """The results that are stale, oldest first."""
        found = [
            StaleView(run.run_id, run.operation, run.variant, reasons)
            for run in self.runs
            if (reasons := self.reasons(run.run_id))
        ]
        return sorted(found, key=lambda one: one.run_id)

    def reasons(self, run_id: str) -> list[str]:
        """Why a run of the collection is stale; empty when it is not."""
        if run_id not in self._known:
            self._known[run_id] = []  # a record names only earlier runs; a loop would be damage
            self._known[run_id] = self._judge(self._by_id[run_id])
        return self._known[run_id]

    def _judge(self, run: Run) -> list[str]:
        if run.operation in EVENTS and run.operation != DESCRIBED:
            return []
        reasons = _code(run)
        part = policy_part(run.variant)
        if part is not None and part != self._policy:
            reasons.append(f"made under {part}, and {self._policy or 'no policy'} is in force")
        if run.run_id not in self._current and run.operation != DESCRIBED:
            reasons += self._replaced(run, [self._by_id[one] for one in self._current])
        inputs = self._inputs.get(run.run_id) or self._history.archive.inputs(run)
        reasons += self._of_the_collection(inputs)
        reasons += self._of_plates(inputs)
        for sort, plates in self._new.get(run.run_id, {}).items():
            what = "the following are" if sort == "plates" else f"{sort} of the following are"
            reasons.append(f"{what} there now and were not read: {_few(plates)}")
        return reasons

    def _of_the_collection(self, inputs: list[Input]) -> list[str]:
        found = []
        for run_id in dict.fromkeys(given.run_id for given in inputs):
            if run_id in self._by_id:
                why = self.reasons(run_id)
                made = f"it was made from {self._by_id[run_id].operation} {run_id}"
                found += [f"{made}, which is stale: {why[0]}"] if why else []
        return found

    def _of_plates(self, inputs: list[Input]) -> list[str]:
        """Stale inputs of plates, those with the same reason together."""
        plates: dict[str, list[str]] = {}
        for given in inputs:
            plate = _plate_of(given)
            if plate is None or given.run_id is None or given.run_id in self._by_id:
                continue
            if given.run_id in self._known:
                why = self._known[given.run_id][0]
                general = why.replace(given.run_id, "a run") if " was replaced by " in why else why
                general = general.partition(" by run-")[0]
                told = plates.setdefault(f"{given.role.removeprefix('table:')}: {general}", [])
                if plate not in told:
                    told.append(plate)
        return [
            f"{why} ({len(named)} {'plates' if len(named) > 1 else 'plate'}: {_few(named)})"
            for why, named in plates.items()
        ]


def stale(archive: Archive, exports: list[Path] | None = None) -> FreshnessView:
    """Judge every current result of the collection, and exports by what they say of themselves.

    Reads all records once. Raises `UsageError`, `InvalidRecord` for what is no export of this
    repository.
    """
    history = History(archive)
    judge = Judge(history)
    for plate in history.sealed_plates():
        judge.look(plate)
        history.forget(plate)
    told = [_export(archive, judge, path) for path in exports or []]
    return FreshnessView(len(judge.runs), judge.views(), told)


def _export(archive: Archive, judge: Judge, path: Path) -> ExportFreshness:
    every = _bases_of(path)
    head = archive.log.checkpoint()
    mine = [one for one in every if head is not None and one["repository"] == head.origin]
    if not mine:
        raise UsageError(f"{path} is a view of {every[0]['repository']}, another repository")
    shown = [one["selection"].get("clustering") or one["selection"].get("sweep") for one in mine]
    known = {run.run_id for run in judge.runs}
    reasons = []
    for run_id in (one for one in shown if one is not None):
        reasons += judge.reasons(run_id) if run_id in known else [
            f"{run_id}, which it shows, is no longer current"
        ]  # fmt: skip
    document = ledger_document(archive.tree)
    now = document["tables"] if document else {}
    changed = [
        name
        for name, digest in mine[0]["table_sha256"].items()
        if name not in now or now[name]["sha256"] != digest
    ]
    if changed:
        reasons.append(
            f"ledgers that it is a view of have changed since log size {mine[0]['log_size']}: "
            f"{', '.join(changed)}"
        )
    return ExportFreshness(str(path), shown[0] if len(shown) == 1 else None, reasons)


def _wants(run: Run) -> tuple[Any, list[str]] | None:
    """A run's parameters and what it takes of each plate; None where no operation of today made it."""
    if run.operation not in operation.names():
        return None
    loaded = operation.load(run.operation)
    try:
        parameters = loaded.make_parameters(arguments(run.parameters))
        return parameters, [
            one for one in loaded.takes(parameters) if not of_collection(one, parameters)
        ]
    except LedgerkitError:
        return None


def _bases_of(path: Path) -> list[dict[str, Any]]:
    """What an export says that it is a view of; several of what shows several things.

    Raises `UsageError`, `InvalidRecord`.
    """
    file = path / "export.json" if path.is_dir() else path
    try:
        with file.open("rb") as stream:
            parquet = stream.read(4) == b"PAR1"
        if parquet:
            found = {"ledgerkit": parse_json(_noted(file), str(path))}
        else:
            found = parse_json(file.read_bytes(), str(path), MAX_EXPORT_BYTES)
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror or error}") from error
    told = _member(found, "ledgerkit")
    told = told if told is not None else _member(_member(found, "info"), "ledgerkit")
    names = ("repository", "log_size", "table_sha256", "selection")
    every = told if isinstance(told, list) and told else [told]
    if not all(isinstance(one, dict) and all(name in one for name in names) for one in every):
        raise InvalidRecord(f"{path} does not say what it is a view of", "Is it an export of ours?")
    return every


def _noted(file: Path) -> bytes:
    """What a Parquet file says of itself under `ledgerkit`. Raises `InvalidRecord`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return bytes((pq.read_schema(file).metadata or {}).get(b"ledgerkit", b"null"))
    except pa.ArrowException as error:
        raise InvalidRecord(f"{file} is no Parquet file: {str(error)[:200]}") from error


def _member(value: Any, name: str) -> Any:
    """A member of an object; None of anything else."""
    return value.get(name) if isinstance(value, dict) else None


def _plate_of(given: Input) -> str | None:
    parts = given.path.split("/")
    return parts[1] if parts[0] == layout.PLATES and len(parts) > 2 else None


def _sort_of(role: str, path: str) -> str:
    """What an input is; of amendments there may be several, so each is one by itself."""
    return f"amendments {path}" if role == "amendment" else role.removeprefix("table:")


def _code(run: Run) -> list[str]:
    if run.operation not in operation.names():
        return []
    reason = stale_reason(run, operation.load(run.operation))
    return [reason] if reason is not None else []


def _few(plates: list[str]) -> str:
    more = f", ... {len(plates) - NAMED} more" if len(plates) > NAMED else ""
    return ", ".join(plates[:NAMED]) + more
