"""What a worker does with one task: read and compare, run the operation, stage its outputs.

It never touches the repository's names: it reads through `reading` and writes into its staging
folder. A failure of the operation is an answer, not an exception; only the death of the process
loses a task.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from ledgerkit import operation, schema
from ledgerkit.backends import budget
from ledgerkit.errors import CommitFailed, LedgerkitError, MissingInput
from ledgerkit.reading import RecordedFile, Tree
from ledgerkit.staging import JSON_LINES, Artifact, FailedItem, StagedOutputs
from ledgerkit.weights.pinned import Pinned

if TYPE_CHECKING:
    import pyarrow as pa

    from ledgerkit.handles import Row

TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True, slots=True)
class TaskInput:
    """An input as the plan names it, digest included."""

    path: str
    role: str
    media_type: str
    bytes: int
    sha256: str
    run_id: str | None


@dataclass(frozen=True, slots=True)
class Task:
    """Everything a worker needs to know; paths and digests, never pixels."""

    root: str
    operation: str
    parameters: dict[str, Any]
    subject: str
    variant: str
    inputs: tuple[TaskInput, ...]
    staging: str
    task_id: str
    models: tuple[Pinned, ...] = ()
    kept: Path | None = None
    """Where it finds what an interrupted try had finished."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Why an operation failed."""

    error: str
    message: str
    input: str | None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What a worker answers: staged files, checks, resources, and perhaps a failure."""

    artifacts: list[Artifact]
    gates: list[dict[str, Any]]
    fully_checked: frozenset[str]
    started_at: str
    ended_at: str
    seconds: float
    cpu_seconds: float
    peak_rss_bytes: int
    libraries: dict[str, str]
    failure: Failed | None = None
    failed_items: list[FailedItem] = field(default_factory=list)
    device: str = "cpu"


class _CheckedFile:
    """An input file that remembers whether all its bytes were hashed."""

    def __init__(self, given: TaskInput, root: Path, checked: set[str]) -> None:
        self._file = RecordedFile(
            root, given.path, given.role, given.bytes, given.sha256, given.run_id
        )
        self._checked = checked
        self.path, self.role, self.bytes, self.sha256 = (
            given.path,
            given.role,
            given.bytes,
            given.sha256,
        )

    def open(self) -> BinaryIO:
        file = self._file.open()
        self._checked.add(self.path)
        return file

    def open_header(self) -> BinaryIO:
        return self._file.open_header()


class TaskInputs:
    """The inputs of one task over the repository's files."""

    def __init__(self, task: Task) -> None:
        self.plate_id = None if task.subject == "collection" else task.subject
        self.fully_checked: set[str] = set()
        self._root = Path(task.root)
        self._inputs = sorted(task.inputs, key=lambda given: (len(given.path), given.path))
        self._tree = Tree(self._root)
        self._models = {given.name: given for given in task.models}

    def _model(self, name: str) -> Pinned:
        if name not in self._models:
            raise MissingInput(f"the model {name} is not among those that the operation names")
        return self._models[name]

    def model(self, name: str) -> Path:
        return Path(self._model(name).folder)

    def model_sha256(self, name: str) -> str:
        return self._model(name).pin.sha256

    def _file(self, given: TaskInput) -> _CheckedFile:
        return _CheckedFile(given, self._root, self.fully_checked)

    def files(self, role: str) -> list[_CheckedFile]:
        return [self._file(given) for given in self._inputs if given.role == role]

    def file(self, role: str) -> _CheckedFile:
        found = self.files(role)
        if len(found) != 1:
            raise MissingInput(f"expected one input with the role {role}, got {len(found)}")
        return found[0]

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        import msgspec

        name = table.partition("@")[0]
        for given, data in self._table_bytes(table):
            if given.media_type == JSON_LINES:
                added = dict.fromkeys(schema.later(name))
                for row in msgspec.json.Decoder().decode_lines(data):
                    yield {**added, **row}
            else:
                yield from schema.with_later(name, _parquet(data)).to_pylist()

    def tables(self, table: str) -> Iterator[pa.Table]:
        import msgspec
        import pyarrow as pa

        name = table.partition("@")[0]
        for given, data in self._table_bytes(table):
            if given.media_type == JSON_LINES:
                rows = msgspec.json.Decoder().decode_lines(data)
                yield pa.Table.from_pylist(rows, schema.arrow_schema(name, stored=True))
            else:
                yield schema.with_later(name, _parquet(data))

    def _table_bytes(self, table: str) -> Iterator[tuple[TaskInput, bytes]]:
        found = [given for given in self._inputs if given.role == f"table:{table}"]
        if not found:
            raise MissingInput(f"no table {table} among the inputs")
        for given in found:
            data = self._tree.read_checked(given.path, given.sha256)
            self.fully_checked.add(given.path)
            yield given, data

    def image(self, tile: Row) -> _CheckedFile:
        for given in self._inputs:
            if given.sha256 == tile["image_sha256"] and given.role in ("image", "source"):
                return self._file(given)
        raise MissingInput(f"the image of {tile['tile_id']} is not among the inputs")


def _parquet(data: bytes) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.read_table(pa.BufferReader(data))


def perform(task: Task) -> Result:
    """Run one task. What goes wrong in the operation or with its inputs is in `Result.failure`."""
    return perform_all([task])[0]


def perform_all(tasks: list[Task]) -> list[Result]:
    """Run tasks of one operation with the same parameters: together where it has `run_many`.

    What goes wrong with one is in its `Result.failure`; the others go on. Of tasks that ran together
    each has an equal share of the time.
    """
    began, started, cpu = time.perf_counter(), datetime.now(UTC), time.process_time()
    works = [
        Work(TaskInputs(task), StagedOutputs(Path(task.root) / task.staging, task.kept))
        for task in tasks
    ]
    failures = _attempt(tasks, works)
    artifacts = [
        _closed(work, task) if failure is None else failure
        for work, task, failure in zip(works, tasks, failures, strict=True)
    ]
    ended, share = datetime.now(UTC), 1 / len(tasks)
    seconds = round((time.perf_counter() - began) * share, 6)
    cpu_seconds = round((time.process_time() - cpu) * share, 6)
    libraries = operation.load(tasks[0].operation).environment()
    return [
        Result(
            [] if isinstance(made, Failed) else made,
            [] if isinstance(made, Failed) else work.outputs.gates,
            frozenset(work.inputs.fully_checked),
            started.strftime(TIME_FORMAT),
            ended.strftime(TIME_FORMAT),
            seconds,
            cpu_seconds,
            peak_rss_bytes(),
            libraries,
            made if isinstance(made, Failed) else None,
            [] if isinstance(made, Failed) else work.outputs.failed_items,
            work.outputs.computed_on,
        )
        for work, made in zip(works, artifacts, strict=True)
    ]


class Work(NamedTuple):
    """What an operation reads and where it writes, for one task: what `run_many` gets a list of."""

    inputs: TaskInputs
    outputs: StagedOutputs


def _attempt(tasks: list[Task], works: list[Work]) -> list[Failed | None]:
    """Run the operation. Why it failed is said in words, so that nothing holds on to its pixels."""
    loaded = operation.load(tasks[0].operation)
    try:
        parameters = loaded.make_parameters(arguments(tasks[0].parameters))
        with budget.holding(sum(_needed(loaded, work.inputs, parameters) for work in works)):
            if not loaded.runs_many:
                return [
                    _run(loaded, work, parameters, task)
                    for work, task in zip(works, tasks, strict=True)
                ]
            errors: list[Exception | None] = loaded.module.run_many(works, parameters)
            return [
                None if error is None else _failure(error, task)
                for error, task in zip(errors, tasks, strict=True)
            ]
    except budget.OverBudget:
        raise  # no property of the plate
    except Exception as error:
        return [_failure(error, task) for task in tasks]


def _run(loaded: operation.Operation, work: Work, parameters: Any, task: Task) -> Failed | None:
    try:
        loaded.module.run(work.inputs, parameters, work.outputs)
    except Exception as error:
        return _failure(error, task)
    return None


def _closed(work: Work, task: Task) -> list[Artifact] | Failed:
    try:
        return work.outputs.close()
    except Exception as error:
        return _failure(error, task)


def _needed(loaded: operation.Operation, inputs: TaskInputs, parameters: Any) -> int:
    """Bytes the task may take. 0 where its inputs cannot be judged: `run` says what is wrong."""
    try:
        return loaded.memory(inputs, parameters)
    except (LedgerkitError, OSError):
        return 0


def arguments(parameters: dict[str, Any]) -> dict[str, Any]:
    """Recorded parameters as an operation takes them: lists as tuples."""
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in parameters.items()
    }


def _failure(error: Exception, task: Task) -> Failed:
    if isinstance(error, CommitFailed):
        raise error  # a full or failing disk is no property of the plate
    if os.environ.get("LEDGERKIT_DEBUG"):
        import traceback

        traceback.print_exception(error, file=sys.stderr)
    named = next((given.path for given in task.inputs if given.path in str(error)), None)
    source = next((given.path for given in task.inputs if given.role == "source"), None)
    hint = error.hint if isinstance(error, LedgerkitError) else None
    text = str(error) or type(error).__name__
    return Failed(type(error).__name__, text[:2000], named or source, hint)


def peak_rss_bytes() -> int:
    """Peak resident memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
