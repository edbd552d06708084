"""Read everything that ledgers are made from: manifests, seals, records and their table outputs.

Anything that breaks its schema, or whose bytes are not the recorded ones, stops the build with its
path and the rule: a ledger never says less than the records without saying so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ledgerkit import layout, schema
from ledgerkit.canonical import parse_json, sha256_hex
from ledgerkit.errors import DigestMismatch, InvalidRecord, LedgerRefused, LimitExceeded
from ledgerkit.log import Logged
from ledgerkit.records import Input, Manifest, Output, Run, decode_manifest
from ledgerkit.repository import Archive
from ledgerkit.staged import Sealed
from ledgerkit.staging import JSON_LINES

MAX_TABLE_BYTES = 4 << 30
"""What one Parquet output of a run may hold when it is unpacked."""


@dataclass(frozen=True, slots=True)
class PlateFacts:
    """A plate as sealed."""

    manifest: Manifest
    manifest_sha256: str
    metadata: str | None
    seal_run_id: str | None
    source_path: str | None
    source: Sealed | None
    log_index: int


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A record with its digest and its inputs and outputs, wherever they stood."""

    run: Run
    sha256: str
    log_index: int
    inputs: list[Input]
    outputs: list[Output]


@dataclass
class Gathered:
    """All facts of some plates, or of the collection, from entry `since` of the log on."""

    since: int = 0
    plates: list[PlateFacts] = field(default_factory=list)
    runs: list[RunFacts] = field(default_factory=list)
    by_table: dict[str, list[tuple[RunFacts, Output]]] = field(default_factory=dict)


@dataclass(frozen=True)
class LoggedPlate:
    """What the log has of a plate."""

    manifest: Logged
    runs: list[Logged]


@dataclass(frozen=True)
class Seals:
    """What the seal runs vouch for: everything by path, and sources by plate."""

    files: dict[str, Sealed]
    sources: dict[str, tuple[str, Sealed]]

    def of_plates(self, plates: list[str]) -> Seals:
        """Only what concerns these plates: small enough to be sent to a worker."""
        paths = (f"{layout.plate_folder(plate)}/{layout.MANIFEST}" for plate in plates)
        return Seals(
            {path: self.files[path] for path in paths if path in self.files},
            {plate: self.sources[plate] for plate in plates if plate in self.sources},
        )


def gather_collection(
    archive: Archive, listed: list[Logged], known: dict[str, Sealed]
) -> tuple[Gathered, Seals]:
    """Runs of the collection, and what its seals vouch for; `known` was sealed before them.

    Raises `LedgerkitError`.
    """
    gathered = Gathered(runs=list(_run_facts(archive, layout.COLLECTION, listed)))
    files = archive.seals([facts.run for facts in gathered.runs]) | known
    _complete(gathered)
    return gathered, Seals(files, _sources(files))


def gather_plates(
    archive: Archive, plates: dict[str, LoggedPlate], seals: Seals, since: int
) -> Gathered:
    """Manifests and runs of these plates. Raises `LedgerkitError` naming the first bad file."""
    gathered = Gathered(since)
    for plate, logged in plates.items():
        gathered.plates.append(_plate_facts(archive, plate, logged.manifest, seals))
        gathered.runs += _run_facts(archive, plate, logged.runs)
    _complete(gathered)
    return gathered


def _complete(gathered: Gathered) -> None:
    """Which outputs hold rows of which table."""
    for facts in gathered.runs:
        for output in facts.outputs:
            if output.role.startswith("table:"):
                name = output.role.removeprefix("table:")
                gathered.by_table.setdefault(name, []).append((facts, output))


def _sources(seals: dict[str, Sealed]) -> dict[str, tuple[str, Sealed]]:
    found = {}
    for path, sealed in seals.items():
        parts = path.split("/")
        if len(parts) == 4 and parts[0] == layout.PLATES and parts[2] == layout.SOURCE:
            found[parts[1]] = (path, sealed)
    return found


def _plate_facts(archive: Archive, plate: str, logged: Logged, seals: Seals) -> PlateFacts:
    path = f"{layout.plate_folder(plate)}/{layout.MANIFEST}"
    data = archive.tree.read(path, max_bytes=1 << 20)
    digest = sha256_hex(data)
    sealed = seals.files.get(path)
    if logged.sha256 != digest:
        raise DigestMismatch(
            f"{path} was changed after it was sealed: "
            f"sealed SHA-256 {logged.sha256}, found {digest}",
            "Restore it from a replica; a correction is a new run, never an edit.",
        )
    manifest, _ = decode_manifest(data, path)
    if manifest.plate_id != plate:
        raise LedgerRefused(
            f"{path} says plate_id {manifest.plate_id}, but lies in the folder of {plate}"
        )
    metadata = None
    if manifest.metadata is not None:
        from ledgerkit.canonical import canonical_bytes

        metadata = canonical_bytes(parse_json(data, path)["metadata"]).decode()
    source_path, source = seals.sources.get(plate, (None, None))
    return PlateFacts(
        manifest,
        digest,
        metadata,
        sealed.run_id if sealed else None,
        source_path,
        source,
        logged.index,
    )


def _run_facts(archive: Archive, subject: str, listed: list[Logged]) -> Iterator[RunFacts]:
    for run, logged in archive.records(subject, listed):
        yield RunFacts(run, logged.sha256, logged.index, archive.inputs(run), archive.outputs(run))


def stored_rows(archive: Archive, gathered: Gathered, table: str) -> Iterator[tuple[RunFacts, Any]]:
    """Table outputs of all runs, each a list of row structs or an Arrow table, with their run."""
    for facts, output in gathered.by_table.get(table, []):
        data = archive.tree.read_checked(output.path, output.sha256)
        if output.media_type == JSON_LINES:
            yield facts, schema.decode_rows(table, data, output.path)
        else:
            yield facts, _parquet(table, data, output.path)


def _parquet(table: str, data: bytes, path: str) -> Any:
    """A table output, its columns compared before its pages are read, batch after batch.

    Raises `InvalidRecord`, `LimitExceeded`: a few kilobytes may unpack to any size.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        columns = file.schema_arrow
        empty = schema.with_later(table, columns.empty_table())
        schema.check_table(table, empty, path, stored=True)
        batches, size = [], 0
        for batch in file.iter_batches(1 << 16):
            size += batch.nbytes
            if size > MAX_TABLE_BYTES:
                raise LimitExceeded(
                    f"{path} unpacks to more than max_table_bytes = {MAX_TABLE_BYTES}"
                )
            batches.append(batch)
        found = schema.with_later(table, pa.Table.from_batches(batches, columns))
    except (pa.ArrowException, OSError) as error:
        raise InvalidRecord(f"{path} is no Parquet file: {str(error)[:300]}") from error
    if found.num_rows != file.metadata.num_rows:
        raise InvalidRecord(
            f"{path} claims {file.metadata.num_rows} rows and holds {found.num_rows}"
        )
    schema.check_table(table, found, path, stored=True)
    return found
