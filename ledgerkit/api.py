"""The public `Repository`: the verbs of the command line, for Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from ledgerkit import layout
from ledgerkit.asking import Asking
from ledgerkit.decisions import Decisions
from ledgerkit.errors import LedgerkitError, UsageError
from ledgerkit.exporting import Exporting
from ledgerkit.looking import Looking
from ledgerkit.mending import Mending
from ledgerkit.repository import Archive
from ledgerkit.views import (
    AsOfView,
    ConsolidateView,
    DifferenceView,
    DryRunView,
    IngestView,
    JobView,
    LineageNode,
    PlateView,
    Progress,
    StatusView,
)

if TYPE_CHECKING:
    import polars as pl

    from ledgerkit.answers import AnswerProofView, CitationView
    from ledgerkit.cache.evict import EvictView
    from ledgerkit.cache.folders import CacheView
    from ledgerkit.cache.restore import RestoreView
    from ledgerkit.fixity import FixityOptions, FixityView
    from ledgerkit.log import Entry
    from ledgerkit.proving import CheckpointView, ConsistencyView, ProofView
    from ledgerkit.query import Limits
    from ledgerkit.rerun import RerunView
    from ledgerkit.verify import VerifyOptions, VerifyView

    Plates = str | list[str] | None


class Repository(Asking, Decisions, Exporting, Looking, Mending):
    """One repository. Everything that reads takes no lock and writes nothing.

    >>> repository = Repository.open("my-archive")          # doctest: +SKIP
    >>> repository.run("headers", workers=2)                # doctest: +SKIP
    >>> repository.query("SELECT plate_id, megapixels FROM plates")  # doctest: +SKIP
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    @classmethod
    def open(cls, path: str | Path | None = None, *, wait: float | None = None) -> Repository:
        """The repository at `path`, else here or above; it waits `wait` seconds for other writers."""
        return cls(Archive.find(Path.cwd(), wait) if path is None else Archive(Path(path), wait))

    @classmethod
    def init(cls, path: str | Path, *, wait: float | None = None) -> Repository:
        """A new, empty repository at `path`; an existing one is completed and kept."""
        from ledgerkit.sealing import init

        return cls(init(Path(path), wait))

    @property
    def root(self) -> Path:
        """The repository's folder."""
        return self._archive.root

    def plates(self) -> list[PlateView]:
        """All plates in the order of their numbers, as corrected.

        Raises `InvalidRecord` for a bad manifest or record.
        """
        from ledgerkit.history import History

        history = History(self._archive)
        seals = history.seals
        found = []
        for plate in self._archive.plate_ids():
            manifest = self._archive.manifest(plate)
            try:
                path: str | None = self._archive.source_path(plate)
            except LedgerkitError:
                path = None
            sealed = seals.get(path or "")
            digest = sealed.sha256 if sealed else None
            overlay = history.overlay(plate)
            if overlay.replaced_by is not None:
                source = history.source(plate)
                path, digest = source.path, source.sha256
            found.append(
                PlateView(
                    plate,
                    manifest.plate_number,
                    str(overlay.fields.get("title", manifest.title)),
                    str(overlay.fields.get("slug", manifest.slug)),
                    path,
                    digest,
                    self._archive.run_ids(plate),
                    overlay.withdrawn,
                )
            )
            history.forget(plate)
        return found

    def ingest(
        self,
        catalogue: str | Path,
        images: str | Path,
        *,
        partial: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> IngestView:
        """Take in the new plates of a catalogue. Raises `IngestRefused` with all findings."""
        from ledgerkit.ingest import ingest

        return ingest(
            self._archive, Path(catalogue), Path(images), partial=partial, progress=progress
        )

    def verify(self, *, plates: Plates = None, **options: Unpack[VerifyOptions]) -> VerifyView:
        """Hold log, records and files against each other, read-only: see `ledgerkit.verify.verify`."""
        from ledgerkit.verify import verify

        return verify(self.root, plates=self.select(plates, None), **options)

    def fixity(self, *, plates: Plates = None, **options: Unpack[FixityOptions]) -> FixityView:
        """Verify, and keep the outcome of every file as a run of its own."""
        from ledgerkit.fixity import record

        return record(self._archive, plates=self.select(plates, None), **options)

    def run(
        self,
        operation: str,
        *,
        plates: str | list[str] | None = None,
        where: str | None = None,
        force: bool = False,
        stale: bool = False,
        retry_failed: bool = False,
        workers: int = 1,
        progress: Callable[[Progress], None] | None = None,
        wait: float | None = None,
        memory: int | None = None,
        **parameters: Any,
    ) -> JobView:
        """Run an operation on the plates that need it; what is done is skipped.

        `plates` is a selection like `plate-001,plate-010..020` or a list, `where` a condition
        over the ledger `plates`, `memory` what all may take together, in bytes. Raises `MissingInput` when a phase before is not done.
        """
        from ledgerkit import engine
        from ledgerkit.planning import Request

        request = Request(
            operation, parameters, self.select(plates, where), force, stale, retry_failed
        )
        return engine.run(
            self._archive, request, workers=workers, progress=progress, wait=wait, memory=memory
        )

    def dry_run(
        self,
        operation: str,
        *,
        plates: str | list[str] | None = None,
        where: str | None = None,
        force: bool = False,
        stale: bool = False,
        retry_failed: bool = False,
        **parameters: Any,
    ) -> DryRunView:
        """What `run` would do, for about how long and with how much disk."""
        from ledgerkit.planning import Request, dry_run

        request = Request(
            operation, parameters, self.select(plates, where), force, stale, retry_failed
        )
        return dry_run(self._archive, request)

    def rerun(
        self,
        *runs: str,
        plates: str | list[str] | None = None,
        operation: str | None = None,
        sample: int | None = None,
        seed: int | None = None,
        workers: int = 1,
        progress: Callable[[Progress], None] | None = None,
        wait: float | None = None,
    ) -> RerunView:
        """Execute recorded runs again and record how each output compares; nothing is replaced.

        Named runs, or the current ones of `plates` and `operation`, or `sample` of them by `seed`.
        """
        from ledgerkit.rerun import Choice, rerun

        choice = Choice(runs, self.select(plates, None), operation, sample, seed)
        return rerun(self._archive, choice, workers=workers, progress=progress, wait=wait)

    def cache(self, plates: str | list[str] | None = None) -> CacheView:
        """The derived pixels of every run: their sizes, whether they are there and can be evicted."""
        from ledgerkit.cache.folders import status

        return status(self._archive, self.select(plates, None))

    def evict(
        self,
        *runs: str,
        plates: str | list[str] | None = None,
        older_than: float | None = None,
        to: int | None = None,
        superseded: bool = False,
        unrecoverable: bool = False,
        reason: str | None = None,
        workers: int = 1,
        progress: Callable[[Progress], None] | None = None,
        wait: float | None = None,
    ) -> EvictView:
        """Take derived pixels away that a trial re-run gives byte for byte; recorded as an event.

        `older_than` in days, `to` in bytes of pixels that may stay. `unrecoverable` takes them
        without a trial, for a `reason`.
        """
        from ledgerkit.cache.evict import Wanted, evict

        wanted = Wanted(
            runs, self.select(plates, None), older_than, to, superseded, unrecoverable, reason
        )
        return evict(self._archive, wanted, workers=workers, progress=progress, wait=wait)

    def restore_cache(
        self,
        *runs: str,
        plates: str | list[str] | None = None,
        workers: int = 1,
        progress: Callable[[Progress], None] | None = None,
        wait: float | None = None,
    ) -> RestoreView:
        """Make derived pixels again that are gone; they count only with the recorded digests."""
        from ledgerkit.cache.restore import restore

        return restore(
            self._archive,
            runs,
            self.select(plates, None),
            workers=workers,
            progress=progress,
            wait=wait,
        )

    def select(self, plates: str | list[str] | None, where: str | None) -> list[str] | None:
        """Plate ids of a selection and a condition together; None for all."""
        chosen = known = self._archive.plate_ids()
        if plates is not None:
            chosen = layout.select_plates(
                plates if isinstance(plates, str) else ",".join(plates), known
            )
        if where is not None:
            reason = self.behind()
            if reason:
                raise UsageError(
                    f"a condition is asked of the ledgers, and {reason}",
                    "Rebuild them first with: ledgerkit consolidate",
                )
            found = self.query(f"SELECT plate_id FROM plates WHERE ({where}\n)")
            listed = set(found["plate_id"].to_list())
            chosen = [plate for plate in chosen if plate in listed]
            if not chosen:
                raise UsageError(
                    f"no plate meets the condition {where!r}",
                    "If the ledgers are behind, run ledgerkit consolidate first.",
                )
        return None if plates is None and where is None else chosen

    def consolidate(
        self, *, check: bool = False, rebuild: bool = False, wait: float | None = None
    ) -> ConsolidateView:
        """Make the ledgers say all that the log has, or compare only.

        What sound ledgers hold already is not read again unless `rebuild`; the bytes are the same.
        Raises `LedgerRefused`; the former ledgers stay.
        """
        from ledgerkit.ledger import build

        if check:
            return build.check(self._archive)
        return build.consolidate(self._archive, rebuild=rebuild, wait=wait)

    def consolidate_at(self, checkpoint: str | Path | int, folder: str | Path) -> AsOfView:
        """The ledgers as they were at a checkpoint (a file, or a number of entries), in a new folder."""
        from ledgerkit.asof import consolidate_at

        return consolidate_at(self._archive, str(checkpoint), Path(folder))

    def diff(self, old: str | Path | int, new: str | Path | int = "now") -> DifferenceView:
        """What came between two checkpoints, and what is no longer current."""
        from ledgerkit.asof import difference

        return difference(self._archive, str(old), str(new))

    def query(
        self,
        sql: str,
        parameters: list[Any] | None = None,
        limits: Limits | None = None,
        at: str | Path | int | None = None,
    ) -> pl.DataFrame:
        """The answer to one reading SQL statement over the ledgers. Raises `QueryRefused`.

        With `at`, a checkpoint, the ledgers are those of that moment.
        """
        if at is not None:
            from ledgerkit.asof import query_at
            from ledgerkit.ledger.frame import from_arrow

            return from_arrow(query_at(self._archive, str(at), sql, parameters, limits))
        from ledgerkit.query import query

        return query(self._archive, sql, parameters, limits)

    def behind(self) -> str | None:
        """Why the ledgers do not say all that the records say; None when they do."""
        from ledgerkit.query import behind

        return behind(self._archive)

    def lineage(self, subject: str) -> LineageNode:
        """What something was made from, by which runs."""
        from ledgerkit.lineage import lineage

        return lineage(self._archive, subject)

    def status(self) -> StatusView:
        """Where the repository stands and what to do next."""
        from ledgerkit.status import status

        return status(self._archive)

    def log(self, start: int = 0, end: int | None = None) -> list[Entry]:
        """What the sealed log holds: its entries from `start` to `end`, in order; none without a log."""
        return list(self._archive.log.entries(start, end))

    def checkpoint(
        self, sign: str | Path | None = None, since: str | Path | None = None
    ) -> CheckpointView:
        """The present checkpoint, to be kept elsewhere; perhaps signed with the key in a file.

        Raises `ProofInvalid` when the log does not continue the checkpoint in the file `since`.
        """
        from ledgerkit import proving

        signer = proving.signer_file(Path(sign)) if sign is not None else None
        old = proving.read_head(Path(since)) if since is not None else None
        return proving.checkpoint(self._archive, signer, old)

    def prove(self, subject: str, sign: str | Path | None = None) -> ProofView:
        """Proof that the record of a run, or the manifest of a plate, is in the log."""
        from ledgerkit import proving

        signer = proving.signer_file(Path(sign)) if sign is not None else None
        return proving.prove(self._archive, subject, signer)

    def consistency(self, since: str | Path) -> ConsistencyView:
        """That today's log continues the checkpoint in a file. Raises `ProofInvalid` if it does not."""
        from ledgerkit import proving

        return proving.consistency(self._archive, proving.read_head(Path(since)))

    def prove_answer(
        self, sql: str, limits: Limits | None = None, sign: str | Path | None = None
    ) -> tuple[pl.DataFrame, AnswerProofView]:
        """An answer, and the proof that the records behind its rows are in the log."""
        from ledgerkit import answers, proving
        from ledgerkit.ledger.frame import from_arrow

        signer = proving.signer_file(Path(sign)) if sign is not None else None
        table, view = answers.prove_answer(self._archive, sql, limits, signer)
        return from_arrow(table), view

    def cite(
        self, sql: str, accessed: str | None = None, limits: Limits | None = None
    ) -> CitationView:
        """What to write down so that somebody else can ask again and compare."""
        from ledgerkit import answers

        return answers.cite(self._archive, sql, accessed, limits)
