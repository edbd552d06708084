"""One frozen value per answer: what text, `--json` and Python all print from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ledgerkit.findings import Finding


@dataclass(frozen=True)
class Progress:
    """How far a job is."""

    operation: str
    done: int
    total: int
    failed: int
    message: str = ""


@dataclass(frozen=True)
class FailureView:
    """One subject that could not be done."""

    subject: str
    error: str
    message: str
    hint: str | None = None


@dataclass(frozen=True)
class JobView:
    """What one command did."""

    operation: str
    job_id: str | None
    complete: int = 0
    partial: int = 0
    failed: int = 0
    skipped: int = 0
    not_current: int = 0
    stale: int = 0
    failed_before: int = 0
    seconds: float = 0.0
    output_bytes: int = 0
    failures: list[FailureView] = field(default_factory=list)
    blocked: list[FailureView] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    run_ids: list[str] = field(default_factory=list)
    withdrawn: int = 0
    empty: int = 0
    """Runs that are done and had nothing to describe."""

    @property
    def sound(self) -> bool:
        """Whether everything that was asked for is done."""
        return not (self.failures or self.lost or self.blocked or self.failed_before)


@dataclass(frozen=True)
class DryRunView:
    """What a command would do."""

    operation: str
    would_run: list[str]
    skipped: int
    stale: int
    failed_before: int
    blocked: list[FailureView]
    seconds: float | None
    output_bytes: int | None
    basis: str
    withdrawn: int = 0


@dataclass(frozen=True)
class PlateView:
    """One plate, as its manifest and records say."""

    plate_id: str
    plate_number: int
    title: str
    slug: str
    source_path: str | None
    source_sha256: str | None
    runs: list[str]
    withdrawn: bool = False


@dataclass(frozen=True)
class IngestView:
    """What ingest took in, and what it found."""

    added: list[str]
    present: int
    left_out: int
    findings: list[Finding]
    run_ids: list[str]
    seconds: float
    bytes: int


@dataclass(frozen=True)
class CorrectionView:
    """What a correction did: one run for each plate that it altered."""

    operation: str
    plates: list[str]
    unchanged: list[str]
    run_ids: list[str]


@dataclass(frozen=True)
class FreezeView:
    """A freeze: its run, the log as it was verified, and what was read for it."""

    run_id: str
    log_size: int
    log_root: str
    files: int
    bytes: int


@dataclass(frozen=True)
class ConsolidateView:
    """Ledgers that were built, or compared."""

    rows: dict[str, int]
    manifests: int
    runs: int
    changed: list[str]
    moved_aside: str | None
    seconds: float


@dataclass(frozen=True)
class AsOfView:
    """Ledgers as they were at a checkpoint."""

    origin: str
    log_size: int
    log_root: str
    folder: str
    rows: dict[str, int]


@dataclass(frozen=True)
class ExportView:
    """What was exported, and the checkpoint and ledgers that it is a view of.

    `sha256` is that of the file; of a folder, that of its `export.json`, which lists every other file.
    """

    form: str
    target: str
    plates: int
    segments: int
    bytes: int
    sha256: str
    origin: str
    log_size: int
    log_root: str
    ledger_sha256: str


@dataclass(frozen=True)
class FiguresView:
    """What figures were exported, and the checkpoint and ledgers that they are a view of.

    `sha256` is that of `export.json`, which lists every other file.
    """

    target: str
    figures: int
    runs: int
    bytes: int
    sha256: str
    origin: str
    log_size: int
    log_root: str
    ledger_sha256: str


@dataclass(frozen=True)
class RunChange:
    """A run that came, or that is no longer current (then perhaps with the one that replaced it)."""

    run_id: str
    operation: str
    variant: str
    status: str
    replaced_by: str | None


@dataclass(frozen=True)
class ChangeView:
    """What changed of a plate, or of the collection: `changed` has the former and the present value."""

    subject: str
    new: bool
    came: list[RunChange]
    no_longer_current: list[RunChange]
    changed: dict[str, list[Any]]


@dataclass(frozen=True)
class DifferenceView:
    """What came between two sizes of the log."""

    old_size: int
    new_size: int
    changes: list[ChangeView]


@dataclass(frozen=True)
class LineageNode:
    """One thing in a lineage, and what it was made from."""

    kind: str
    identifier: str
    detail: dict[str, Any]
    made_from: list[LineageNode]


@dataclass(frozen=True)
class PhaseView:
    """How far one phase is."""

    phase: str
    operation: str
    done: int
    failed: int
    stale: int
    missing: int
    partial: int = 0
    """How many of `done` are without some of their items."""


@dataclass(frozen=True)
class StatusView:
    """Where the repository stands and what to do next."""

    root: str
    plates: int
    unsealed: int
    phases: list[PhaseView]
    failures: list[FailureView]
    ledgers: str
    abandoned: list[str]
    pending: str | None
    next_steps: list[str]
    by_plate: dict[str, str]
    withdrawn: int = 0
    frozen: str | None = None
    leftovers: list[str] = field(default_factory=list)
    """What a crash left, as `recover` would finish it or set it aside."""
    stale: list[tuple[str, str, list[str]]] = field(default_factory=list)
    """Results of the collection that are out of date: run, operation, and why."""


@dataclass(frozen=True)
class Megapixels:
    """Distribution of image sizes from the headers, in megapixels."""

    readable: int
    unreadable: int
    minimum: float | None
    maximum: float | None
    mean: float | None
    over_warning_line: int
    largest: list[dict[str, Any]]


@dataclass(frozen=True)
class AuditView:
    """The report, section by section."""

    root: str
    top_level_folders: list[str]
    top_level_files: list[str]
    plates: int
    missing_manifests: int
    source_issues: int
    plates_with_runs: int
    plate_runs: int
    collection_runs: int
    runs_by_operation: dict[str, dict[str, int]]
    field_coverage: dict[str, int]
    megapixels: Megapixels
    ledgers: list[dict[str, Any]]
    schemas: list[str]
    findings: list[Finding]
    sound: bool
    files_written: int = 0
    schema_version: str = "audit.v1"


@dataclass(frozen=True)
class ActionView:
    """One thing that was, or would be, moved, finished or put back; paths relative to the root."""

    what: str
    path: str | None
    moved_to: str | None
    why: str
    bytes: int
    files: int
    sha256: str | None


@dataclass(frozen=True)
class RecoverView:
    """What a crash left, and what became of it. `run_ids` are the records of it."""

    dry_run: bool
    recover_id: str | None
    run_ids: list[str]
    actions: list[ActionView]


@dataclass(frozen=True)
class QuarantineView:
    """Something that was moved into quarantine, or back from it."""

    quarantine_id: str
    path: str
    lies_at: str
    reason: str
    by: str
    bytes: int
    files: int
    sha256: str | None
    sound: bool | None
    run_id: str | None


@dataclass(frozen=True)
class DifferentFile:
    """A file that two repositories do not have alike.

    `state` is one of: only-here, only-there, differs, unreadable. `proved` says whose bytes have the
    recorded digest: here, there, both, neither; unrecorded where no record that holds lists it.
    """

    subject: str
    path: str
    state: str
    proved: str


@dataclass(frozen=True)
class CompareView:
    """Two repositories against each other: their logs first, then their files."""

    here: str
    there: str
    depth: str
    log: str
    entries_here: int | None
    entries_there: int | None
    common_entries: int | None
    files: int
    by_subject: dict[str, int]
    differences: list[DifferentFile]
    equal: bool


@dataclass(frozen=True)
class ReplicaView:
    """What was put back from a replica, what was quarantined for it, and what could not be."""

    checked: int
    restored: list[ActionView]
    quarantined: list[ActionView]
    failures: list[FailureView]
    run_ids: list[str]

    @property
    def sound(self) -> bool:
        return not self.failures


@dataclass(frozen=True)
class PolicyDifferenceView:
    """Two policies compared: fields as (name, old, new), and what becomes of plates otherwise.

    `plates` are (plate, treatment under the old, under the new policy), each treatment in words.
    `judged` is the number of plates, those of the newest proposal's deciding table.
    """

    old: str
    new: str
    fields: list[tuple[str, Any, Any]]
    plates: list[tuple[str, str, str]]
    judged: int
