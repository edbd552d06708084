"""The store: plates and runs of one repository, and the commit of a batch of runs.

Reading takes no lock and writes nothing. All writing goes through `commit`, which gives run ids,
writes the records and hands the moves to `durable`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ledgerkit import layout, schema
from ledgerkit.canonical import parse_json, sha256_hex
from ledgerkit.durable import Store
from ledgerkit.errors import (
    DigestMismatch,
    InvalidRecord,
    LedgerkitError,
    LogInvalid,
    MissingInput,
    RepositoryBusy,
    RepositoryNotFound,
    UnsafePath,
)
from ledgerkit.intent import LogStep, Move
from ledgerkit.jobs import Job
from ledgerkit.log import ORIGIN, Entry, Log, Logged, refuse_log_set_back
from ledgerkit.merkle import Checkpoint
from ledgerkit.overlay import PREPROCESSING, refusal
from ledgerkit.reading import Tree
from ledgerkit.recording import write_record
from ledgerkit.records import (
    EVENTS,
    Input,
    Manifest,
    Output,
    Run,
    decode_inputs,
    decode_manifest,
    decode_outputs,
    decode_run,
)
from ledgerkit.staged import (
    Sealed,
    StagedRun,
    manifest_entries,
    moves_of,
    preprocessing_of,
    record_entry,
)

WAIT = 60.0
"""Seconds that a writer waits for another, unless told otherwise."""


class Archive:
    """One repository on disk."""

    def __init__(self, root: Path, wait: float | None = None) -> None:
        self.root = Path(os.path.abspath(root))
        self.tree = Tree(self.root)
        self.log = Log(self.tree)
        self.store = Store(self.root)
        self._looked = 0
        self._frozen: Run | None = None
        self.wait = WAIT if wait is None else wait
        if not (self.root / layout.PLATES).is_dir():
            raise RepositoryNotFound(
                f"{self.root} is not a repository: it has no folder {layout.PLATES}",
                "Make one with: ledgerkit init PATH",
            )

    @classmethod
    def find(cls, start: Path, wait: float | None = None) -> Archive:
        """The repository that is `start` or the nearest parent of it. Raises `RepositoryNotFound`."""
        absolute = Path(os.path.abspath(start))
        for folder in (absolute, *absolute.parents):
            if (folder / layout.PLATES).is_dir():
                return cls(folder, wait)
        raise RepositoryNotFound(
            f"no repository at {absolute} or above it",
            "Make one with: ledgerkit init PATH, or name one with -C PATH.",
        )

    def plate_ids(self) -> list[str]:
        """Ids of all plate folders, in the order of their numbers."""
        return layout.sort_plates(
            [name for name in self.tree.folders(layout.PLATES) if layout.is_plate_id(name)]
        )

    def manifest(self, plate: str) -> Manifest:
        """The manifest of a plate. Raises `MissingInput`, `InvalidRecord`."""
        path = f"{layout.plate_folder(plate)}/{layout.MANIFEST}"
        manifest, _ = decode_manifest(self.tree.read(path, max_bytes=1 << 20), path)
        if manifest.plate_id != plate:
            raise InvalidRecord(
                f"{path} says plate_id {manifest.plate_id}, but lies in the folder of {plate}"
            )
        return manifest

    def source_path(self, plate: str) -> str:
        """Path of the plate's one source image. Raises `MissingInput` when there is not exactly one."""
        folder = f"{layout.plate_folder(plate)}/{layout.SOURCE}"
        files = [entry.name for entry in self.tree.entries(folder)]
        if len(files) != 1:
            raise MissingInput(f"{folder} must hold exactly one file, it holds {len(files)}")
        return f"{folder}/{files[0]}"

    def run_ids(self, subject: str) -> list[str]:
        """Ids of the logged runs of a plate, or of the collection, in log order. Raises `LogInvalid`.

        A folder that the log does not have is no run, whoever put it there.
        """
        return [logged.run_id for logged in self.log.index().runs(subject)]

    def run_folders(self, subject: str) -> list[str]:
        """Names of folders that lie where runs of the subject do and are named like runs, sorted."""
        found = self.tree.folders(os.path.dirname(layout.run_folder(subject, "x")))
        return [name for name in found if layout.is_run_id(name)]

    def run(self, subject: str, run_id: str) -> Run:
        """One logged record. Raises `MissingInput`, `InvalidRecord`, `DigestMismatch`."""
        logged = self.log.index().run(subject, run_id)
        path = f"{layout.run_folder(subject, run_id)}/{layout.RECORD}"
        if logged is None:
            raise MissingInput(f"{subject} has no logged run {run_id}")
        return decode_run(self.tree.read_checked(path, logged.sha256), path)

    def runs(self, subject: str) -> list[Run]:
        """All records of a plate, or of the collection, oldest first."""
        return [run for run, _ in self.records(subject)]

    def records(
        self, subject: str, listed: list[Logged] | None = None
    ) -> Iterator[tuple[Run, Logged]]:
        """All logged records of a plate, or of the collection, oldest first, each with its place.

        `listed` are those wanted, where the caller has the log's index already.
        Raises `InvalidRecord`, `DigestMismatch` that name the path and the rule.
        """
        if listed is None:
            listed = self.log.index().runs(subject)
        if not listed:
            return
        folder = os.path.dirname(layout.run_folder(subject, "x"))
        names = [logged.run_id for logged in listed]
        try:
            for logged, (name, data) in zip(
                listed, self.tree.read_each(folder, names, layout.RECORD), strict=True
            ):
                path = f"{folder}/{name}/{layout.RECORD}"
                if sha256_hex(data) != logged.sha256:
                    raise DigestMismatch(
                        f"{path} is not the record that the log has at {logged.index}",
                        "Restore the run's folder from a replica: a record is never edited.",
                    )
                run = decode_run(data, path)
                if run.run_id != name or run.subject != subject:
                    raise InvalidRecord(f"{path} says it is {run.run_id} of {run.subject}")
                yield run, logged
        except MissingInput as error:
            raise InvalidRecord(
                f"{error.message}, but the log has it",
                "Restore the run's folder from a replica: what is logged is never removed.",
            ) from error

    def outputs(self, run: Run) -> list[Output]:
        """The outputs of a run, from its listing where they stand there."""
        if run.outputs_listing is None:
            return run.outputs
        path = f"{run.folder}/{run.outputs_listing.path}"
        return decode_outputs(self.tree.read_checked(path, run.outputs_listing.sha256), path)

    def inputs(self, run: Run) -> list[Input]:
        """The inputs of a run, from its listing where they stand there."""
        if run.inputs_listing is None:
            return run.inputs
        path = f"{run.folder}/{run.inputs_listing.path}"
        return decode_inputs(self.tree.read_checked(path, run.inputs_listing.sha256), path)

    def seals(self, collection: list[Run] | None = None) -> dict[str, Sealed]:
        """What is sealed, by path: every file that came in and was found sound; the first seal counts.

        `collection` are the collection's runs, where the caller has read them already.
        """
        found: dict[str, Sealed] = {}
        for run in self.runs(layout.COLLECTION) if collection is None else collection:
            if run.operation == "seal":
                for item in self.outputs(run):
                    if item.path not in found:
                        found[item.path] = Sealed(
                            item.sha256, item.xxh3_128, item.bytes, item.media_type, run.run_id
                        )
        return found

    def frozen(self) -> Run | None:
        """The run that froze the repository; only records that are new since last asked are read."""
        listed = self.log.index().runs(layout.COLLECTION)
        for run, _ in self.records(layout.COLLECTION, listed[self._looked :]):
            if run.operation == "freeze" and run.status == "complete":
                self._frozen = self._frozen or run
        self._looked = len(listed)
        return self._frozen

    def refuse_when_frozen(self, operation: str) -> None:
        """Raise `Frozen` for an operation or event of preprocessing when a freeze has ended that."""
        frozen = self.frozen() if operation in PREPROCESSING else None
        if frozen is not None:
            raise refusal(operation, frozen)

    def job(self, wait: float | None = None) -> Job:
        """A new staging folder, a context manager; it waits `wait` seconds for other writers."""
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%SZ")
        name = f"job-{stamp}-{secrets.token_hex(4)}"
        return Job(self.store, name, self.wait if wait is None else wait)

    def commit(
        self,
        job: Job,
        staged: list[StagedRun],
        moves: Iterable[Move] = (),
        *,
        force: bool = False,
        wait: float | None = None,
        refused: list[tuple[str, LedgerkitError]] | None = None,
        committed: list[Run] | None = None,
        on_top_of: Checkpoint | None = None,
    ) -> list[Run]:
        """Commit a batch: give run ids, write records, move everything to its final name, durably.

        Work that another process completed meanwhile is dropped, unless `force`; events never are.
        `moves` are further staged items, as new plates. Returns the records committed. A subject
        whose folder cannot be written is left out and added to `refused`, or raises without one.
        `committed` gets the records as soon as they are kept, even when Ctrl-C ends the call.
        With `on_top_of`, raises `RepositoryBusy` when the log is no longer as it was then.
        """
        with self.store.locked(job.wait if wait is None else wait):
            self._refuse_what_came_too_late(staged, on_top_of)
            moment = self._next_moment()
            present: dict[str, set[str]] = {}
            all_moves, taken = self._still_free(moves)
            if any(one.sealed for one in staged):
                taken |= self.seals().keys()
            runs: list[Run] = []
            entries = self._first_entries()
            for one in staged:
                if one.sealed:
                    left = [output for output in one.sealed if output.path not in taken]
                    if not left and not one.failed_items:
                        continue
                    one = replace(one, sealed=left)
                if one.subject not in present:
                    try:
                        self.store.prepare(layout.run_folder(one.subject, "x"))
                    except LedgerkitError as error:
                        if refused is None or not _is_of_the_subject(error):
                            raise
                        refused.append((one.subject, error))
                        continue
                    present[one.subject] = set(self.run_ids(one.subject))
                if not force and self._done_meanwhile(one, present[one.subject]):
                    continue
                run_id, moment = self._free_run_id(one, moment, present[one.subject])
                run, digests = write_record(self.store, one, run_id, job.job_id)
                runs.append(run)
                all_moves += moves_of(one, run, digests)
                entries += [*manifest_entries(one), record_entry(run, digests)]
            log_moves, step = self._append(job, all_moves, entries if runs else [])
            self.store.commit(job.job_id, [*all_moves, *log_moves], step)
            if committed is not None:
                committed += runs
        return runs

    def _refuse_what_came_too_late(
        self, staged: list[StagedRun], on_top_of: Checkpoint | None
    ) -> None:
        """Raise for work that a freeze or another commit overtook. The lock must be held."""
        if on_top_of is not None and self.log.checkpoint() != on_top_of:
            raise RepositoryBusy(
                f"another process committed records since entry {on_top_of.size} of the log",
                "Give the command again when it is done.",
            )
        for operation in sorted({name for one in staged for name in preprocessing_of(one)}):
            self.refuse_when_frozen(operation)

    def _still_free(self, moves: Iterable[Move]) -> tuple[list[Move], set[str]]:
        """The moves, without single files that another writer put in place meanwhile, and those files.

        Several processes may be the first to write; one of them adds `repository.json`.
        """
        listed = list(moves)
        taken = {
            move.final
            for move in listed
            if "" in move.digests and os.path.lexists(self.root / move.final)
        }
        return [move for move in listed if move.final not in taken], taken

    def _first_entries(self) -> list[Entry]:
        """What the log begins with: what lay there. Raises `LogInvalid` where a log must have been."""
        if self.log.checkpoint() is not None:
            return []
        found: list[tuple[str, Entry]] = []
        for subject in (layout.COLLECTION, *self.plate_ids()):
            for run_id in self.run_folders(subject):
                path = f"{layout.run_folder(subject, run_id)}/{layout.RECORD}"
                data = self.tree.read(path)
                if decode_run(data, path).operation == "seal":
                    raise LogInvalid(
                        f"{path} was sealed into a log, and {layout.LOG}/ is missing",
                        "Restore log/ from a replica: a log never begins anew.",
                    )
                found.append((run_id, Entry("run", path, sha256_hex(data))))
        return [entry for _, entry in sorted(found, key=lambda pair: pair[0])]

    def _append(
        self, job: Job, moves: list[Move], entries: list[Entry]
    ) -> tuple[list[Move], LogStep | None]:
        """Stage what appending writes to the log; its moves and the step for the intent.

        Manifests come first, by plate number, then records in the order of their commit.
        """
        if not entries:
            return [], None
        refuse_log_set_back(self.tree, self.log.index().size)
        entries = sorted(entries, key=lambda entry: entry.kind != "manifest")
        growth = self.log.grow(self._origin(moves), entries)
        folder = job.item(f"log-{secrets.token_hex(4)}")
        found = []
        for path, data in growth.files.items():
            staged = f"{folder}/{path}"
            self.store.make_folder(os.path.dirname(staged))
            self.store.write_new(staged, data)
            found.append(Move(staged, path, {"": sha256_hex(data)}, protect=()))
        return found, LogStep(growth.before, growth.after, growth.superseded)

    def _origin(self, moves: list[Move]) -> str:
        """Origin of the log: the repository's UUID, from `repository.json`, there or staged."""
        head = self.log.checkpoint()
        if head is not None:
            return head.origin
        staged = {move.final: move.staged for move in moves}
        path = staged.get(layout.REPOSITORY_FILE, layout.REPOSITORY_FILE)
        document = parse_json(self.tree.read(path, max_bytes=1 << 16), path)
        schema.check("repository.v1", document, path)
        return f"{ORIGIN}{document['repository_id']}"

    def _next_moment(self) -> datetime:
        """Now, but never earlier than the newest run: clocks go backwards, run ids do not."""
        now = datetime.now(UTC).replace(microsecond=0)
        with contextlib.suppress(ValueError):  # no run yet, or an adopted one of an impossible date
            return max(now, layout.run_moment(self.log.index().newest))
        return now

    def _done_meanwhile(self, one: StagedRun, present: set[str]) -> bool:
        """Whether somebody completed the same work since it was planned; never so for events."""
        if one.operation in EVENTS or one.status == "failed":
            return False
        former = one.supersedes.run_id if one.supersedes else ""
        same = [name for name in present if name.endswith(one.task_id[:12]) and name > former]
        records = (self.run(one.subject, name) for name in same)
        return any(run.task_id == one.task_id and run.status != "failed" for run in records)

    def _free_run_id(
        self, one: StagedRun, moment: datetime, present: set[str]
    ) -> tuple[str, datetime]:
        """A run id greater than all of its subject, so that they sort in the order of their commits.

        The next second is taken where that of this second is not: within one second ids sort by
        task, and the newest run of two would not be the current one.
        """
        newest = max(present, default="")
        run_id = layout.run_id(moment, one.task_id)
        if newest[:20] > run_id[:20]:
            with contextlib.suppress(ValueError):  # a name in the form of an id, with no such date
                moment = layout.run_moment(newest)
                run_id = layout.run_id(moment, one.task_id)
        while (
            run_id in present
            or (newest[:20] == run_id[:20] and run_id < newest)
            or os.path.lexists(f"{self.root}/{layout.run_folder(one.subject, run_id)}")
        ):
            moment += timedelta(seconds=1)
            run_id = layout.run_id(moment, one.task_id)
        present.add(run_id)
        return run_id, moment


def _is_of_the_subject(error: LedgerkitError) -> bool:
    """Whether only this subject's folder is the matter: a link or permissions, not the whole disk."""
    return isinstance(error, UnsafePath) or isinstance(
        error.__cause__, (PermissionError, FileExistsError, NotADirectoryError)
    )
