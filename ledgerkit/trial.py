"""Execute a recorded run again, from its record alone, and say of each output how it compares.

The record names the operation, its parameters and its inputs by path and digest; nothing is planned
afresh. It is executed by `worker.perform` in a job's staging folder, as the engine does, and what it
makes is held against the digests in the record, not against the files that lie there. Nothing becomes
visible: who asked for the trial records its outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ledgerkit import layout, operation, software
from ledgerkit.differences import (
    DIFFERS,
    NOT_COMPARABLE,
    SAME_BYTES,
    SAME_PIXELS,
    WITHIN_TOLERANCE,
    Difference,
    compare,
)
from ledgerkit.errors import LedgerkitError, MissingInput, UsageError
from ledgerkit.events import ASKED
from ledgerkit.reading import Tree
from ledgerkit.records import EVENTS, Input, Output, Run
from ledgerkit.repository import Archive
from ledgerkit.sealing import media_type
from ledgerkit.staging import JSON_LINES, PARQUET, Artifact
from ledgerkit.weights import pinned
from ledgerkit.worker import Result, Task, TaskInput, arguments, perform

SAME_FAILURE = "same failure"
SUCCEEDS = "succeeds now"
PASSED = frozenset({SAME_BYTES, SAME_PIXELS, WITHIN_TOLERANCE, SAME_FAILURE})
OTHER_CODE = "the code, the libraries or the device are other ones"
_MEDIA_TYPES = {"jsonl": JSON_LINES, "parquet": PARQUET}


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one output compares with the recorded one; a line of `verdicts.jsonl`.

    `output` is its name below the run's folder (`outputs/...`) or its cache (`cache/...`), `failure`
    for a run that failed, or `failed items` for those of a run that could not do all of its items.
    `changed` says what of code, libraries, device is another now.
    """

    output: str
    role: str
    verdict: str
    recorded_sha256: str | None
    found_sha256: str | None
    recorded_pixels_sha256: str | None
    found_pixels_sha256: str | None
    max_difference: float | None
    where: str | None
    why: str | None
    changed: list[str]

    @property
    def passed(self) -> bool:
        return self.verdict in PASSED

    @property
    def sentence(self) -> str:
        """The verdict with where and why, and what had changed: for people and for the gate."""
        parts = [self.verdict, *(part for part in (self.where, self.why) if part)]
        joint = "though made with other" if self.passed else "made with other"
        parts += [f"{joint} code or libraries: {', '.join(self.changed)}"] if self.changed else []
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class Trial:
    """A recorded run that is to be executed again."""

    run: Run
    outputs: list[Output]
    task: Task


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of it. `result` is None where nothing could be executed."""

    verdicts: list[Verdict]
    result: Result | None

    def passed(self, prefix: str = "", verdicts: frozenset[str] = PASSED) -> bool:
        """Whether every output whose name begins with `prefix` got one of these verdicts."""
        return all(
            one.verdict in verdicts for one in self.verdicts if one.output.startswith(prefix)
        )


def prepare(archive: Archive, run: Run, staging: str) -> Trial:
    """The trial of a recorded run.

    Raises `UsageError` for an event, `MissingInput` for lost inputs or models, `DigestMismatch` for
    models that changed.
    """
    refuse_event(run)
    inputs = archive.inputs(run)
    for given in inputs:
        if archive.tree.size(given.path) is None:
            _refuse_lost(given)
    task = Task(
        str(archive.root),
        run.operation,
        run.parameters,
        run.subject,
        run.variant,
        tuple(_task_input(given) for given in inputs),
        staging,
        run.task_id,
        _models(run),
    )
    return Trial(run, archive.outputs(run), task)


def _models(run: Run) -> tuple[pinned.Pinned, ...]:
    """The models that the record pins, by the names that its operation has for them."""
    if not run.models or run.operation not in operation.names():
        return ()
    loaded = operation.load(run.operation)
    names = loaded.models(loaded.make_parameters(arguments(run.parameters)))
    if len(names) != len(run.models):
        raise UsageError(
            f"{run.run_id} pins {len(run.models)} models, {run.operation} names {len(names)} now",
            "It was made by another version of the operation.",
        )
    return pinned.take_again(names, run.models)


def refuse_event(run: Run) -> None:
    """Raise `UsageError` for a run that is no operation: there is nothing to execute."""
    if run.operation in ASKED:
        raise UsageError(
            f"{run.run_id} is what a service answered: it cannot be executed again",
            f"Ask once more with: ledgerkit {run.operation} --force",
        )
    if run.operation in EVENTS:
        raise UsageError(
            f"{run.run_id} is the event {run.operation}: it says what happened once, "
            "and cannot be executed again",
            'Name the run of an operation: ledgerkit query "SELECT run_id, operation FROM runs"',
        )


def _task_input(given: Input) -> TaskInput:
    kind = _MEDIA_TYPES.get(given.path.rpartition(".")[2]) or media_type(given.path)
    return TaskInput(given.path, given.role, kind, given.bytes, given.sha256, given.run_id)


def _refuse_lost(given: Input) -> None:
    folder = layout.cached_in(given.path)
    if folder is not None:
        raise MissingInput(
            f"the derived pixels {given.path} are not there",
            f"Bring them back with: ledgerkit cache restore {folder.rpartition('/')[2]}",
        )
    raise MissingInput(f"the input {given.path} is gone", "Restore it from a replica.")


def attempt(trial: Trial) -> Tried:
    """Execute and compare, in a worker. What goes wrong in the operation is a verdict."""
    run = trial.run
    if run.operation not in operation.names():
        why = f"ledgerkit {software.VERSION} has no operation {run.operation}"
        return Tried(
            _all_of(
                trial,
                Difference(NOT_COMPARABLE, why=why),
                _changed(run, {}, run.environment.device),
            ),
            None,
        )
    result = perform(trial.task)
    changed = _changed(run, result.libraries, result.device)
    problem = _failure(result) or _altered_input(trial, result)
    if run.status == "failed":
        return Tried([_verdict_of_failure(run, problem, changed)], result)
    if problem is not None:
        difference = Difference(NOT_COMPARABLE, why=f"it cannot be made again: {problem}")
        return Tried(_all_of(trial, difference, changed), result)
    verdicts = _compared(trial, result.artifacts, changed)
    return Tried([*verdicts, *_of_failed_items(run, result, changed)], result)


def _changed(run: Run, libraries: dict[str, str], device: str) -> list[str]:
    """What of code, libraries, Python, platform and device is not as the record says."""
    then = {"ledgerkit": run.code.ledgerkit, **run.environment.libraries}
    now = {"ledgerkit": software.VERSION, **(libraries or run.environment.libraries)}
    then |= {"python": run.environment.python, "platform": run.environment.platform}
    now |= {"python": software.python_version(), "platform": software.platform_name()}
    then |= {"device": run.environment.device, f"operation {run.operation}": run.version}
    known = run.operation in operation.names()
    version = operation.load(run.operation).version if known else "absent"
    now |= {"device": device, f"operation {run.operation}": version}
    return [
        f"{name} {then.get(name, 'absent')} -> {now.get(name, 'absent')}"
        for name in sorted(then.keys() | now.keys())
        if then.get(name) != now.get(name)
    ]


def _failure(result: Result) -> str | None:
    return f"{result.failure.error}: {result.failure.message}" if result.failure else None


def _altered_input(trial: Trial, result: Result) -> str | None:
    """The first input whose bytes are not the recorded ones, of those that were not read in full."""
    tree = Tree(Path(trial.task.root))
    for given in trial.task.inputs:
        if given.path in result.fully_checked:
            continue
        try:
            found = tree.digest(given.path).sha256
        except LedgerkitError as error:
            return f"{type(error).__name__}: {error.message}"
        if found != given.sha256:
            return f"DigestMismatch: {given.path}: recorded SHA-256 {given.sha256}, found {found}"
    return None


def _verdict_of_failure(run: Run, problem: str | None, changed: list[str]) -> Verdict:
    assert run.failure is not None
    recorded = f"{run.failure.error}: {run.failure.message}"
    if problem is None:
        difference = Difference(SUCCEEDS, why=f"the record says {recorded}")
    elif problem == recorded:
        difference = Difference(SAME_FAILURE, why=recorded)
    else:
        verdict = NOT_COMPARABLE if changed else DIFFERS
        difference = Difference(verdict, None, f"{recorded} recorded, {problem} now")
    return _verdict("failure", None, None, difference, changed)


def _of_failed_items(run: Run, result: Result, changed: list[str]) -> list[Verdict]:
    """One verdict on which items fail and of which class the errors are; none where none ever failed.

    Messages may differ: they may name an amount of memory, or a place in a file of a library.
    """
    then = {one.item: one.error for one in run.failed_items}
    now = {one.item: one.error for one in result.failed_items}
    if not then and not now:
        return []
    if then == now:
        told = [f"{item}: {error}" for item, error in then.items()]
        difference = Difference(SAME_FAILURE, why=_some(told))
    else:
        gone, came = then.keys() - now.keys(), now.keys() - then.keys()
        told = [
            f"{item} succeeds now ({error} recorded)"
            for item, error in then.items()
            if item in gone
        ]
        told += [f"{item} fails now: {now[item]}" for item in now if item in came]
        told += [
            f"{item} fails otherwise: {then[item]} recorded, {now[item]} now"
            for item in then
            if item in now and then[item] != now[item]
        ]
        other = NOT_COMPARABLE if changed else DIFFERS
        difference = Difference(other if now else SUCCEEDS, why=_some(told))
    return [_verdict("failed items", None, None, difference, changed)]


def _some(told: list[str], most: int = 5) -> str:
    more = f", and {len(told) - most} more" if len(told) > most else ""
    return ", ".join(told[:most]) + more


def _all_of(trial: Trial, difference: Difference, changed: list[str]) -> list[Verdict]:
    """The same verdict on every output; on the run itself where it has none."""
    names = _recorded(trial) or {"failure" if trial.run.status == "failed" else "outputs": None}
    return [_verdict(name, output, None, difference, changed) for name, output in names.items()]


def _recorded(trial: Trial) -> dict[str, Output | None]:
    """The recorded outputs by the names that a new execution gives them."""
    run = trial.run
    folders = {
        f"{run.folder}/": "",
        f"{layout.cache_folder(run.subject, run.run_id)}/": f"{layout.CACHE}/",
    }
    return {
        name + output.path.removeprefix(folder): output
        for output in trial.outputs
        for folder, name in folders.items()
        if output.path.startswith(folder)
    }


def _compared(trial: Trial, artifacts: Sequence[Artifact], changed: list[str]) -> list[Verdict]:
    recorded = _recorded(trial)
    found = {artifact.name: artifact for artifact in artifacts}
    renamed = {
        output.sha256: found[name].sha256
        for name, output in recorded.items()
        if output and output.pixels_sha256 and name in found
        if output.pixels_sha256 == found[name].pixels_sha256
    }
    verdicts = []
    for name in sorted(recorded.keys() | found.keys()):
        output, artifact = recorded.get(name), found.get(name)
        difference = _difference(trial, output, artifact, renamed)
        if difference.verdict == DIFFERS and changed:
            difference = replace(difference, verdict=NOT_COMPARABLE, why=OTHER_CODE)
        verdicts.append(_verdict(name, output, artifact, difference, changed))
    return verdicts


def _difference(
    trial: Trial, output: Output | None, artifact: Artifact | None, renamed: dict[str, str]
) -> Difference:
    if artifact is None:
        return Difference(
            NOT_COMPARABLE, why="the record lists it, the new execution did not make it"
        )
    if output is None:
        return Difference(
            NOT_COMPARABLE, why="the new execution made it, the record does not list it"
        )
    if output.sha256 == artifact.sha256:
        return Difference(SAME_BYTES)
    if output.pixels_sha256 and output.pixels_sha256 == artifact.pixels_sha256:
        return Difference(SAME_PIXELS, 0.0)
    tolerance = operation.load(trial.run.operation).tolerance()
    found = f"{trial.task.staging}/{artifact.name}"
    if artifact.name.startswith(f"{layout.CACHE}/"):
        found = f"{cached_below(trial.task)}/{artifact.name.removeprefix(f'{layout.CACHE}/')}"
    return compare(Tree(Path(trial.task.root)), output, found, tolerance, renamed)


def cached_below(task: Task) -> str:
    """The staged folder in which a trial's derived pixels lie."""
    return f"{task.staging}.cache"


def _verdict(
    name: str,
    output: Output | None,
    artifact: Artifact | None,
    difference: Difference,
    changed: list[str],
) -> Verdict:
    role = output.role if output else artifact.role if artifact else "record"
    return Verdict(
        name,
        role,
        difference.verdict,
        output.sha256 if output else None,
        artifact.sha256 if artifact else None,
        output.pixels_sha256 if output else None,
        artifact.pixels_sha256 if artifact else None,
        difference.maximum,
        difference.where,
        difference.why,
        changed,
    )
