"""Tables whose rows are records: plates, runs, artifacts, gates, failed items, labels of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ledgerkit import layout, schema
from ledgerkit.canonical import canonical_bytes
from ledgerkit.errors import InvalidRecord
from ledgerkit.labelling import labels_of
from ledgerkit.ledger.derive import HEADER_COLUMNS
from ledgerkit.ledger.gather import Gathered, PlateFacts
from ledgerkit.staging import PART

if TYPE_CHECKING:
    import pyarrow as pa


def as_table(name: str, columns: dict[str, Any]) -> pa.Table:
    """Columns (lists or Arrow arrays) as a table in the schema of a ledger table."""
    import pyarrow as pa

    wanted = schema.arrow_schema(name)
    arrays = []
    for field in wanted:
        try:
            arrays.append(_array(columns[field.name], field.type))
        except (pa.ArrowException, OverflowError) as error:
            raise InvalidRecord(
                f"ledger {name}: a value of {field.name} is no {field.type}: {str(error)[:200]}"
            ) from error
    return pa.Table.from_arrays(arrays, schema=wanted)


def _array(values: Any, kind: Any) -> Any:
    import pyarrow as pa

    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values if values.type.equals(kind) else values.cast(kind)
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.string()).cast(kind)
    return pa.array(values, kind)


def runs_table(gathered: Gathered) -> pa.Table:
    """One row per run."""
    facts = gathered.runs
    runs = [one.run for one in facts]
    return as_table("runs", {
        "run_id": [run.run_id for run in runs],
        "task_id": [run.task_id for run in runs],
        "job_id": [run.job_id for run in runs],
        "subject": [_subject_kind(run.subject) for run in runs],
        "plate_id": [None if run.subject == layout.COLLECTION else run.subject for run in runs],
        "operation": [run.operation for run in runs],
        "version": [run.version for run in runs],
        "event_type": [run.event_type for run in runs],
        "variant": [run.variant for run in runs],
        "status": [run.status for run in runs],
        "current": [False] * len(runs),
        "parameters": [_json(run.parameters) for run in runs],
        "ledgerkit": [run.code.ledgerkit for run in runs],
        "code_commit": [run.code.commit for run in runs],
        "python": [run.environment.python for run in runs],
        "platform": [run.environment.platform for run in runs],
        "device": [run.environment.device for run in runs],
        "libraries": [_json(run.environment.libraries) for run in runs],
        "models": [_json(msgspec.to_builtins(run.models)) for run in runs],
        "input_count": [len(one.inputs) for one in facts],
        "output_count": [len(one.outputs) for one in facts],
        "output_bytes": [sum(output.bytes for output in one.outputs) for one in facts],
        "started_at": [run.started_at for run in runs],
        "ended_at": [run.ended_at for run in runs],
        "seconds": [run.resources.seconds for run in runs],
        "cpu_seconds": [run.resources.cpu_seconds for run in runs],
        "peak_rss_bytes": [run.resources.peak_rss_bytes for run in runs],
        "failed_items": [len(run.failed_items) for run in runs],
        "failure_class": [run.failure.error if run.failure else None for run in runs],
        "failure_message": [run.failure.message if run.failure else None for run in runs],
        "failure_input": [run.failure.input if run.failure else None for run in runs],
        "supersedes": [run.supersedes.run_id if run.supersedes else None for run in runs],
        "supersedes_reason": [run.supersedes.reason if run.supersedes else None for run in runs],
        "agent": [run.agent.software for run in runs],
        "person": [run.agent.person for run in runs],
        "record_path": [f"{run.folder}/{layout.RECORD}" for run in runs],
        "record_sha256": [one.sha256 for one in facts],
        "log_index": [one.log_index for one in facts],
    })  # fmt: skip


def _subject_kind(subject: str) -> str:
    return layout.COLLECTION if subject == layout.COLLECTION else "plate"


def _json(value: Any) -> str:
    if value in ({}, []):
        return "{}" if isinstance(value, dict) else "[]"
    return canonical_bytes(value).decode()


def artifacts_table(gathered: Gathered) -> pa.Table:
    """One row per file that a run read or made; of a pyramid its `info.json` stands for all."""
    inputs = [given for facts in gathered.runs for given in facts.inputs]
    owned = [(facts, made) for facts in gathered.runs for made in facts.outputs]
    owned = [(facts, made) for facts, made in owned if not made.role.startswith(PART)]
    outputs = [made for _, made in owned]
    used, made = len(inputs), len(outputs)
    owners = [facts for facts in gathered.runs for _ in facts.inputs]
    owners += [facts for facts, _ in owned]
    return as_table("artifacts", {
        "run_id": [facts.run.run_id for facts in owners],
        "direction": ["input"] * used + ["output"] * made,
        "path": [one.path for one in inputs] + [one.path for one in outputs],
        "role": [one.role for one in inputs] + [one.role for one in outputs],
        "media_type": [None] * used + [one.media_type for one in outputs],
        "bytes": [one.bytes for one in inputs] + [one.bytes for one in outputs],
        "sha256": [one.sha256 for one in inputs] + [one.sha256 for one in outputs],
        "xxh3_128": [None] * used + [one.xxh3_128 for one in outputs],
        "pixels_sha256": [None] * used + [one.pixels_sha256 for one in outputs],
        "made_by": [one.run_id for one in inputs] + [None] * made,
        "checked": [one.checked for one in inputs] + [None] * made,
        "log_index": [facts.log_index for facts in owners],
    })  # fmt: skip


def gates_table(gathered: Gathered) -> pa.Table:
    """One row per check that a run made of its own result."""
    found = [(facts, gate) for facts in gathered.runs for gate in facts.run.gates]
    return as_table("gates", {
        "run_id": [facts.run.run_id for facts, _ in found],
        "gate": [gate.gate for _, gate in found],
        "check": [gate.check for _, gate in found],
        "passed": [gate.passed for _, gate in found],
        "value": [gate.value for _, gate in found],
        "message": [gate.message for _, gate in found],
        "log_index": [facts.log_index for facts, _ in found],
    })  # fmt: skip


def failed_items_table(gathered: Gathered) -> pa.Table:
    """One row per item that a partial run could not do."""
    found = [(facts, item) for facts in gathered.runs for item in facts.run.failed_items]
    return as_table("failed_items", {
        "run_id": [facts.run.run_id for facts, _ in found],
        "item": [item.item for _, item in found],
        "class": [item.error for _, item in found],
        "message": [item.message for _, item in found],
        "log_index": [facts.log_index for facts, _ in found],
    })  # fmt: skip


_MANIFEST_COLUMNS = (
    "plate_id",
    "plate_number",
    "title",
    "slug",
    "source_image",
    "download_url",
    "license",
    "created_at",
)


def plates_table(gathered: Gathered) -> pa.Table:
    """One row per plate as it came in; corrections and header facts are derived later."""
    plates = gathered.plates
    columns: dict[str, Any] = {
        name: [getattr(plate.manifest, name) for plate in plates] for name in _MANIFEST_COLUMNS
    }
    columns |= {name: [None] * len(plates) for name in (*HEADER_COLUMNS, "headers_run_id")}
    columns |= {
        "source_path": [plate.source_path for plate in plates],
        "source_bytes": [plate.source.bytes if plate.source else None for plate in plates],
        "source_sha256": [plate.source.sha256 if plate.source else None for plate in plates],
        "source_xxh3_128": [plate.source.xxh3_128 if plate.source else None for plate in plates],
        "source_ok": [
            None if plate.seal_run_id is None else plate.source is not None for plate in plates
        ],
        "media_type": [_media_type(plate) for plate in plates],
        "metadata": [plate.metadata for plate in plates],
        "manifest_version": [plate.manifest.version for plate in plates],
        "manifest_sha256": [plate.manifest_sha256 for plate in plates],
        "seal_run_id": [plate.seal_run_id for plate in plates],
        "withdrawn": [False] * len(plates),
        "withdrawn_reason": [None] * len(plates),
        "log_index": [plate.log_index for plate in plates],
        "log_indexes": [None] * len(plates),
    }
    return as_table("plates", columns)


def _media_type(plate: PlateFacts) -> str | None:
    return plate.manifest.source.media_type if plate.manifest.source else None


def catalogue_labels(gathered: Gathered) -> dict[str, list[Any]]:
    """What the catalogue says of the plates beyond their identity, as columns of `labels`."""
    columns: dict[str, list[Any]] = {name: [] for name in schema.columns("labels")}
    for plate in gathered.plates:
        if plate.seal_run_id is None or plate.log_index < gathered.since:
            continue
        for scheme, value in labels_of(plate.manifest.metadata):
            row = {
                "subject_id": plate.manifest.plate_id,
                "subject_kind": "plate",
                "subject_run_id": None,
                "scheme": scheme,
                "value": value,
                "run_id": plate.seal_run_id,
                "log_index": plate.log_index,
            }
            for name, item in row.items():
                columns[name].append(item)
    return columns
