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
from typing import Any

import msgspec

from ledgerkit import layout, software
from ledgerkit.canonical import canonical_lines, sha256_hex
from ledgerkit.durable import Move, Store
from ledgerkit.errors import (
    InvalidRecord,
    LedgerkitError,
    LimitExceeded,
    MissingInput,
    RepositoryNotFound,
    UnsafePath,
)
from ledgerkit.jobs import Job
from ledgerkit.reading import Tree
from ledgerkit.records import (
    EVENTS,
    INLINE_LIMIT,
    Agent,
    Code,
    Environment,
    Input,
    Listing,
    Manifest,
    Output,
    Run,
    decode_inputs,
    decode_manifest,
    decode_outputs,
    decode_run,
    encode,
)
from ledgerkit.staged import Sealed, StagedRun, moves_of, outputs_of

_NEWEST = f"{layout.WORKING}/newest"


class Archive:
    """One repository on disk."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root))
        self.tree = Tree(self.root)
        self.store = Store(self.root)
        if not (self.root / layout.PLATES).is_dir():
            raise RepositoryNotFound(
                f"{self.root} is not a repository: it has no folder {layout.PLATES}",
                "Make one with: ledgerkit init PATH",
            )

    @classmethod
    def find(cls, start: Path) -> Archive:
        """The repository that is `start` or the nearest parent of it. Raises `RepositoryNotFound`."""
        absolute = Path(os.path.abspath(start))
        for folder in (absolute, *absolute.parents):
            if (folder / layout.PLATES).is_dir():
                return cls(folder)
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
        """Ids of all runs of a plate, or of the collection, sorted."""
        folder = os.path.dirname(layout.run_folder(subject, "x"))
        return [name for name in self.tree.folders(folder) if layout.is_run_id(name)]

    def run(self, subject: str, run_id: str) -> Run:
        """One record. Raises `MissingInput`, `InvalidRecord`."""
        path = f"{layout.run_folder(subject, run_id)}/{layout.RECORD}"
        return decode_run(self.tree.read(path), path)

    def runs(self, subject: str) -> list[Run]:
        """All records of a plate, or of the collection, oldest first."""
        return [run for run, _ in self.records(subject)]

    def records(self, subject: str) -> Iterator[tuple[Run, bytes]]:
        """All records of a plate, or of the collection, oldest first, each with its bytes.

        Raises `InvalidRecord` that names the path and the rule.
        """
        names = self.run_ids(subject)
        if not names:
            return
        folder = os.path.dirname(layout.run_folder(subject, "x"))
        for name, data in self.tree.read_each(folder, names, layout.RECORD):
            run = decode_run(data, f"{folder}/{name}/{layout.RECORD}")
            if run.run_id != name or run.subject != subject:
                raise InvalidRecord(
                    f"{folder}/{name}/{layout.RECORD} says it is {run.run_id} of {run.subject}"
                )
            yield run, data

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

    def job(self, wait: float = 60.0) -> Job:
        """A new staging folder, to be used as a context manager."""
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%SZ")
        return Job(self.store, f"job-{stamp}-{secrets.token_hex(4)}", wait)

    def commit(
        self,
        job: Job,
        staged: list[StagedRun],
        moves: Iterable[Move] = (),
        *,
        force: bool = False,
        wait: float = 60.0,
        refused: list[tuple[str, LedgerkitError]] | None = None,
        committed: list[Run] | None = None,
    ) -> list[Run]:
        """Commit a batch: give run ids, write records, move everything to its final name, durably.

        Work that another process completed meanwhile is dropped, unless `force`; events never are.
        `moves` are further staged items, as new plates. Returns the records committed. A subject
        whose folder cannot be written is left out and added to `refused`, or raises without one.
        `committed` gets the records as soon as they are kept, even when Ctrl-C ends the call.
        """
        with self.store.locked(wait):
            moment = self._next_moment()
            present: dict[str, set[str]] = {}
            all_moves, taken = self._still_free(moves)
            if any(one.sealed for one in staged):
                taken |= self.seals().keys()
            runs: list[Run] = []
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
                run, digests = self._record(one, run_id, job.job_id)
                runs.append(run)
                all_moves += moves_of(one, run, digests)
            self._remember_moment(moment)
            self.store.commit(job.job_id, all_moves)
            if committed is not None:
                committed += runs
        return runs

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

    def _next_moment(self) -> datetime:
        """Now, but never earlier than the newest run: clocks go backwards, run ids do not."""
        now = datetime.now(UTC).replace(microsecond=0)
        try:
            newest = layout.run_moment((self.root / _NEWEST).read_text())
        except (OSError, ValueError):
            newest = max(self._all_moments(), default=now)
        return max(now, newest)

    def _all_moments(self) -> Iterator[datetime]:
        """The seconds that run ids name; a name in their form may hold a date that does not exist."""
        for subject in (layout.COLLECTION, *self.plate_ids()):
            for run_id in self.run_ids(subject):
                with contextlib.suppress(ValueError):
                    yield layout.run_moment(run_id)

    def _remember_moment(self, moment: datetime) -> None:
        """A hint for the next writer; without it the names of all runs are read."""
        self.store.replace_working(_NEWEST, layout.run_id(moment, "0" * 12).encode())

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
        while run_id in present or (newest[:20] == run_id[:20] and run_id < newest):
            moment += timedelta(seconds=1)
            run_id = layout.run_id(moment, one.task_id)
        present.add(run_id)
        return run_id, moment

    def _record(self, one: StagedRun, run_id: str, job_id: str) -> tuple[Run, dict[str, str]]:
        """Write `run.json`, listings and `run.sha256` into the staged run; the digests of its files."""
        folder = one.staged
        self.store.make_folder(folder)
        outputs = sorted([*outputs_of(one, run_id), *one.sealed], key=lambda output: output.path)
        inputs = sorted(one.inputs, key=lambda given: given.path)
        inputs_listing = self._listing(folder, "listings/inputs.jsonl", inputs)
        outputs_listing = self._listing(folder, "listings/outputs.jsonl", outputs)
        run = Run(
            schema_version="run.v1",
            run_id=run_id,
            task_id=one.task_id,
            job_id=job_id,
            subject=one.subject,
            operation=one.operation,
            version=one.version,
            event_type=one.event_type,
            variant=one.variant,
            parameters=one.parameters,
            code=Code(software.VERSION, software.commit()),
            environment=Environment(
                software.python_version(), software.platform_name(), one.device, one.libraries
            ),
            models=one.models,
            inputs=[] if inputs_listing else inputs,
            inputs_listing=inputs_listing,
            outputs=[] if outputs_listing else outputs,
            outputs_listing=outputs_listing,
            started_at=one.started_at,
            ended_at=one.ended_at,
            resources=one.resources,
            gates=one.gates,
            status=one.status,  # type: ignore[arg-type]
            failed_items=one.failed_items,
            failure=one.failure,
            supersedes=one.supersedes,
            agent=Agent(software.AGENT, one.person),
        )
        data = encode(run)
        decode_run(data, f"new record of {one.operation} on {one.subject}")
        if len(data) > 16 << 20:
            raise LimitExceeded(
                f"the record of {one.operation} on {one.subject} would have {len(data)} bytes"
            )
        self.store.write_new(f"{folder}/{layout.RECORD}", data)
        digests = {layout.RECORD: sha256_hex(data)}
        digests |= {
            listing.path: listing.sha256 for listing in (inputs_listing, outputs_listing) if listing
        }
        digests |= {
            artifact.name: artifact.sha256
            for artifact in one.artifacts
            if artifact.name.startswith("outputs/")
        }
        text = "".join(f"{digest}  {name}\n" for name, digest in digests.items())
        self.store.write_new(f"{folder}/{layout.RECORD_CHECKSUM}", text.encode())
        return run, digests

    def _listing(self, folder: str, name: str, items: list[Any]) -> Listing | None:
        if len(items) <= INLINE_LIMIT:
            return None
        data = canonical_lines(msgspec.to_builtins(item) for item in items)
        self.store.make_folder(f"{folder}/listings")
        self.store.write_new(f"{folder}/{name}", data)
        return Listing(name, len(items), len(data), sha256_hex(data))


def _is_of_the_subject(error: LedgerkitError) -> bool:
    """Whether only this subject's folder is the matter: a link or permissions, not the whole disk."""
    return isinstance(error, UnsafePath) or isinstance(
        error.__cause__, (PermissionError, FileExistsError, NotADirectoryError)
    )
