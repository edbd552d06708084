"""Read everything that ledgers are made from: manifests, seals, records and their table outputs.

Anything that breaks its schema, or whose bytes are not the recorded ones, stops the build with its
path and the rule: a ledger never says less than the records without saying so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ledgerkit import layout, schema
from ledgerkit.canonical import parse_json, sha256_hex
from ledgerkit.errors import DigestMismatch, LedgerkitError, LedgerRefused
from ledgerkit.records import Input, Manifest, Output, Run, current_runs, decode_manifest
from ledgerkit.repository import Archive, Sealed
from ledgerkit.staging import JSON_LINES


@dataclass(frozen=True, slots=True)
class PlateFacts:
    """A plate as sealed."""

    manifest: Manifest
    manifest_sha256: str
    metadata: str | None
    seal_run_id: str | None
    source_path: str | None
    source: Sealed | None


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A record with its digest and its inputs and outputs, wherever they stood."""

    run: Run
    sha256: str
    inputs: list[Input]
    outputs: list[Output]


@dataclass
class Gathered:
    """All facts of a repository, in order."""

    plates: list[PlateFacts] = field(default_factory=list)
    runs: list[RunFacts] = field(default_factory=list)
    current: set[str] = field(default_factory=set)
    records_sha256: str = ""


def gather(archive: Archive) -> Gathered:
    """Read the repository. Raises `LedgerRefused` that names the first bad file and the rule."""
    gathered = Gathered()
    try:
        collection = list(_run_facts(archive, layout.COLLECTION))
        seals = archive.seals([facts.run for facts in collection])
        sources = _sources(seals)
        for plate in archive.plate_ids():
            gathered.plates.append(_plate_facts(archive, plate, seals, sources))
            gathered.runs += _run_facts(archive, plate)
        gathered.runs += collection
    except LedgerkitError as error:
        if isinstance(error, LedgerRefused):
            raise
        raise LedgerRefused(
            f"the ledgers were not rebuilt: {error.message}",
            error.hint or "The former ledgers stay. See what is wrong with: ledgerkit audit",
        ) from error
    gathered.runs.sort(key=lambda facts: facts.run.run_id)
    digests = {plate: sealed.sha256 for plate, (_, sealed) in sources.items()}
    gathered.current = current_runs((facts.run for facts in gathered.runs), digests)
    listed = sorted([*(plate.manifest_sha256 for plate in gathered.plates), *(facts.sha256 for facts in gathered.runs)])
    gathered.records_sha256 = hashlib.sha256("".join(listed).encode()).hexdigest()
    return gathered


def _sources(seals: dict[str, Sealed]) -> dict[str, tuple[str, Sealed]]:
    found = {}
    for path, sealed in seals.items():
        parts = path.split("/")
        if len(parts) == 4 and parts[0] == layout.PLATES and parts[2] == layout.SOURCE:
            found[parts[1]] = (path, sealed)
    return found


def _plate_facts(archive: Archive, plate: str, seals: dict[str, Sealed], sources: dict[str, tuple[str, Sealed]]) -> PlateFacts:
    path = f"{layout.plate_folder(plate)}/{layout.MANIFEST}"
    data = archive.tree.read(path, max_bytes=1 << 20)
    digest = sha256_hex(data)
    sealed = seals.get(path)
    if sealed is not None and sealed.sha256 != digest:
        raise DigestMismatch(
            f"{path} was changed after it was sealed: sealed SHA-256 {sealed.sha256}, found {digest}",
            "Restore it from a replica; a correction is a new run, never an edit.",
        )
    manifest, _ = decode_manifest(data, path)
    if manifest.plate_id != plate:
        raise LedgerRefused(f"{path} says plate_id {manifest.plate_id}, but lies in the folder of {plate}")
    metadata = None
    if manifest.metadata is not None:
        from ledgerkit.canonical import canonical_bytes

        metadata = canonical_bytes(parse_json(data, path)["metadata"]).decode()
    source_path, source = sources.get(plate, (None, None))
    return PlateFacts(manifest, digest, metadata, sealed.run_id if sealed else None, source_path, source)


def _run_facts(archive: Archive, subject: str) -> Iterator[RunFacts]:
    for run, data in archive.records(subject):
        yield RunFacts(run, sha256_hex(data), archive.inputs(run), archive.outputs(run))


def stored_rows(archive: Archive, gathered: Gathered, table: str) -> Iterator[tuple[RunFacts, Any]]:
    """Table outputs of all runs: a list of row structs, or an Arrow table, with the run they are from."""
    role = f"table:{table}"
    for facts in gathered.runs:
        for output in facts.outputs:
            if output.role != role:
                continue
            data = archive.tree.read_checked(output.path, output.sha256)
            if output.media_type == JSON_LINES:
                yield facts, schema.decode_rows(table, data, output.path)
            else:
                yield facts, _parquet(table, data, output.path)


def _parquet(table: str, data: bytes, path: str) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = pq.read_table(pa.BufferReader(data))
    schema.check_table(table, found, path, stored=True)
    return found
