"""Freeze: end preprocessing for good, on a repository that was verified in full at that moment.

From then on plates and pixels are what they are; analysis goes on. The store refuses, under its
lock, whatever `overlay.PREPROCESSING` lists. There is no way back, for what was frozen is what
others cite: who must preprocess anew begins another repository from a replica.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

from ledgerkit import schema
from ledgerkit.canonical import canonical_bytes
from ledgerkit.errors import UsageError
from ledgerkit.events import Event, staged_name
from ledgerkit.findings import Finding, finding
from ledgerkit.jobs import Job
from ledgerkit.merkle import Checkpoint
from ledgerkit.overlay import refusal
from ledgerkit.query import behind
from ledgerkit.refusal import RefusedForFindings
from ledgerkit.repository import Archive
from ledgerkit.sealing import JSON, seal_new
from ledgerkit.staged import write_staged
from ledgerkit.verify import VerifyView, verify
from ledgerkit.views import FreezeView

Progress = Callable[[int, int], None]


def freeze(
    archive: Archive,
    by: str,
    reason: str,
    *,
    workers: int = 2,
    wait: float = 60.0,
    progress: Progress | None = None,
) -> FreezeView:
    """Verify everything, then record that preprocessing ends.

    Raises `RefusedForFindings` when the repository is not sound, `Frozen` when it is frozen
    already, `UsageError` without name or reason or when ledgers are behind, `RepositoryBusy` when
    the log grew while it was verified.
    """
    if not by.strip() or not reason.strip():
        raise UsageError(
            "a repository is frozen by somebody for a reason",
            'Give both: --by "A. Curator" --reason "..."',
        )
    _refuse_twice(archive)
    with archive.job(wait) as job:
        seal_new(archive, job)
        stale = behind(archive)
        if stale:
            raise UsageError(
                f"the ledgers are to be frozen with the records, and {stale}",
                "Rebuild them first with: ledgerkit consolidate",
            )
        head = archive.log.checkpoint()
        assert head is not None, "a job seals, and a seal is logged"
        view = verify(archive.root, workers=workers, progress=progress)
        _refuse_unsound(archive, view)
        return _commit(archive, job, by, reason, head, view, wait)


def _commit(
    archive: Archive,
    job: Job,
    by: str,
    reason: str,
    head: Checkpoint,
    view: VerifyView,
    wait: float,
) -> FreezeView:
    """Record the freeze on top of `head`, which was verified. Raises `RepositoryBusy` when it is past."""
    event = Event("freeze", "policy assignment", {"reason": reason, "log_size": head.size})
    folder = job.item(staged_name("freeze"))
    document = _verification(head, view)
    schema.check("freeze.v1", document, "outputs/verification.json")
    artifacts = [
        write_staged(
            archive.store,
            folder,
            "outputs/checkpoint",
            "checkpoint",
            "text/plain",
            head.text().encode(),
        ),
        write_staged(
            archive.store,
            folder,
            "outputs/verification.json",
            "verification",
            JSON,
            canonical_bytes(document),
        ),
    ]
    staged = event.staged(folder, artifacts=artifacts, person=by)
    (run,) = archive.commit(job, [staged], wait=wait, on_top_of=head)
    return FreezeView(
        run.run_id, head.size, base64.b64encode(head.root).decode(), view.files, view.bytes
    )


def _verification(head: Checkpoint, view: VerifyView) -> dict[str, object]:
    """What was read and found, to be kept: no clock, no run id."""
    return {
        "schema_version": "freeze.v1",
        "log_size": head.size,
        "log_root": base64.b64encode(head.root).decode(),
        "files": view.files,
        "bytes": view.bytes,
        "findings": [
            {
                "code": one.code,
                "severity": one.severity,
                "subject": one.subject,
                "message": one.message,
                "remedy": one.remedy,
            }
            for one in view.findings
        ],
    }


def _refuse_twice(archive: Archive) -> None:
    frozen = archive.frozen()
    if frozen is not None:
        raise refusal("freeze", frozen)


def _refuse_unsound(archive: Archive, view: VerifyView) -> None:
    """Raise `RefusedForFindings` for errors, and for plates that no seal vouches for."""
    index = archive.log.index()
    found: list[Finding] = [
        *view.findings,
        *(
            finding("PLATE_NOT_SEALED", plate)
            for plate in archive.plate_ids()
            if index.manifest(plate) is None
        ),
    ]
    if not view.sound or len(found) > len(view.findings):
        raise RefusedForFindings(
            "nothing was frozen",
            found,
            "Put right what is found, and freeze then.",
        )
