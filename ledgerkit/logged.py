"""The log against the folders: runs that it does not have, runs that are gone, a log that is no log.

Names and record digests only; `verify` reads and hashes everything.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ledgerkit import layout
from ledgerkit.durable import pending_moves
from ledgerkit.errors import LedgerkitError, LogInvalid
from ledgerkit.findings import Finding, finding
from ledgerkit.log import Log, LogIndex
from ledgerkit.records import decode_run
from ledgerkit.repository import Archive


def log_findings(archive: Archive) -> Iterator[Finding]:
    """What is wrong between `log/` and the run folders. Never writes."""
    log = Log(archive.tree)  # read anew: the archive's own may be from before the damage
    try:
        if log.checkpoint() is None:
            yield from _without_a_log(archive)
            return
        index = log.index()
    except LogInvalid as error:
        yield finding("LOG_INVALID", layout.LOG, error.message)
        return
    promised = pending_moves(archive.root)
    for subject in (layout.COLLECTION, *archive.plate_ids()):
        yield from _of_subject(archive, index, subject, promised)


def _without_a_log(archive: Archive) -> Iterator[Finding]:
    """A seal run proves that a log was there; without one, the first writer begins the log."""
    for run_id in archive.run_folders(layout.COLLECTION):
        path = f"{layout.run_folder(layout.COLLECTION, run_id)}/{layout.RECORD}"
        with contextlib.suppress(LedgerkitError, OSError):
            if decode_run(archive.tree.read(path), path).operation == "seal":
                yield finding("LOG_MISSING", layout.LOG, run_id)
                return


def _of_subject(
    archive: Archive, index: LogIndex, subject: str, promised: set[str]
) -> Iterator[Finding]:
    try:
        there = archive.run_folders(subject)
    except OSError:
        return  # what the system refuses to show is a finding of whoever looks at the folder
    for run_id in there:
        path = layout.run_folder(subject, run_id)
        if index.run(subject, run_id) is None and path not in promised:
            yield finding("UNSEALED_RUN", path)
    lost = {logged.run_id for logged in index.runs(subject)}.difference(there)
    for run_id in sorted(lost):
        yield finding("RUN_MISSING", layout.run_folder(subject, run_id))
