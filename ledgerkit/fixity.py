"""Keep what a verification found as a run of its own: a PREMIS fixity check of every single file.

The run's `ended_at` is the time of reading. Its table names the files by their paths, those of records
included: it is about what lies there, and is never compared with the output of another run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from ledgerkit import schema
from ledgerkit.errors import CommitFailed
from ledgerkit.events import Event, staged_name
from ledgerkit.findings import ERROR
from ledgerkit.records import FailedItem
from ledgerkit.repository import Archive
from ledgerkit.sealing import seal_new
from ledgerkit.staging import StagedOutputs
from ledgerkit.verify import FileResult, ReadingOptions, VerifyView, verify

if TYPE_CHECKING:
    import pyarrow as pa

OPERATION = "fixity"
EVENT_TYPE = "fixity check"
MOST_FAILED_ITEMS = 1000
"""Failed items in the record itself; all of them are in `findings.json`."""


class FixityOptions(ReadingOptions, total=False):
    """Options of a fixity check beside the plates."""

    wait: float | None


@dataclass(frozen=True)
class FixityView:
    """The run that keeps the outcome, and the outcome."""

    run_id: str
    files: int
    verified: VerifyView


def record(
    archive: Archive,
    *,
    depth: str = "full",
    sample: int | None = None,
    seed: int | None = None,
    plates: list[str] | None = None,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
    wait: float | None = None,
) -> FixityView:
    """Verify and record the outcome. Raises what `verify` raises, and `CommitFailed`."""
    with archive.job(wait) as job:
        seal_new(archive, job)
        event = Event(OPERATION, EVENT_TYPE, {})
        rows: list[FileResult] = []
        view = verify(
            archive.root,
            depth=depth,
            sample=sample,
            seed=seed,
            plates=plates,
            workers=workers,
            progress=progress,
            each=rows.extend,
        )
        event.parameters = {
            "depth": depth,
            "sample": sample,
            "seed": view.seed,
            "plates": plates,
            "log_size": view.log_size,
            "log_root": view.log_root,
        }
        folder = job.item(staged_name(OPERATION))
        outputs = StagedOutputs(archive.root / folder)
        outputs.table("fixity", _table(rows))
        document = {"schema_version": "findings.v1", "findings": view.findings}
        outputs.document("findings.json", "findings", msgspec.to_builtins(document))
        failed = [
            FailedItem(one.subject, one.code, one.message)
            for one in view.findings
            if one.severity == ERROR
        ]
        staged = event.staged(
            folder, artifacts=outputs.close(), failed_items=failed[:MOST_FAILED_ITEMS]
        )
        committed = archive.commit(job, [staged])
    if not committed:
        raise CommitFailed("the fixity check was not recorded")
    return FixityView(committed[0].run_id, len(rows), view)


def _table(rows: list[FileResult]) -> pa.Table:
    """The outcome of every file as an Arrow table, each path once."""
    import pyarrow as pa

    by_path: dict[str, FileResult] = {}
    for row in rows:
        former = by_path.get(row.path)
        if former is None or row.outcome == "wrong":
            by_path[row.path] = row
    kept = [by_path[path] for path in sorted(by_path)]
    columns = {
        "path": [row.path for row in kept],
        "depth": [row.read_as for row in kept],
        "outcome": [row.outcome for row in kept],
        "bytes": [row.bytes for row in kept],
        "sha256": [row.sha256 for row in kept],
        "message": [row.message for row in kept],
    }
    return pa.table(columns, schema=schema.arrow_schema("fixity", stored=True))
