"""Audit a repository: read-only, header-only, on every plate and not a sample. It never writes.

It reads names, manifests, records and image headers, and says what is missing, broken or odd. It
does not read pixels or hash sources: that is `verify`.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from ledgerkit import layout, query, schema
from ledgerkit.canonical import parse_json, sha256_hex
from ledgerkit.collected import WARNING_MEGAPIXELS, Collected
from ledgerkit.durable import pending_job
from ledgerkit.errors import InvalidRecord, LedgerkitError, LogInvalid, UnsafePath
from ledgerkit.findings import sound, writable
from ledgerkit.imaging.header import read_facts
from ledgerkit.imaging.limits import DEFAULT_LIMITS, bytes_not_streamable
from ledgerkit.ledger.document import LEDGER_FILE, ledger_document
from ledgerkit.logged import log_findings
from ledgerkit.names import check_names, check_paths
from ledgerkit.records import Manifest, Run, decode_manifest, decode_run, evicted_folders
from ledgerkit.repository import Archive
from ledgerkit.staged import Sealed
from ledgerkit.views import AuditView

Progress = Callable[[int, int], None]


def audit(archive: Archive, progress: Progress | None = None) -> AuditView:
    """Look at everything without reading pixels. Never writes, whatever the permissions."""
    found = Collected()
    seals = _collection(archive, found)
    plates = archive.plate_ids()
    _plate_folders(archive, found, plates)
    _sealed(archive, found, set(plates), seals)
    found.findings += log_findings(archive)
    for place, plate in enumerate(plates, 1):
        with found.guarding(layout.plate_folder(plate)):
            _plate(archive, found, plate, seals)
        if progress:
            progress(place, len(plates))
    if found.unprotected:
        found.add("PROTECTION_LOST", layout.PLATES, found.unprotected)
    ledgers: list[dict[str, Any]] = []
    schemas: list[str] = []
    with found.guarding(layout.LEDGER):
        ledgers = _ledgers(archive, found)
    with found.guarding(layout.SCHEMAS):
        schemas = _schemas(archive, found)
    entries = archive.tree.entries()
    return AuditView(
        root=writable(archive.root.name),
        top_level_folders=[writable(entry.name) for entry in entries if entry.is_folder],
        top_level_files=[writable(entry.name) for entry in entries if not entry.is_folder],
        plates=len(plates),
        missing_manifests=found.missing_manifests,
        source_issues=found.source_issues,
        plates_with_runs=found.with_runs,
        plate_runs=found.plate_runs,
        collection_runs=len(archive.run_folders(layout.COLLECTION)),
        runs_by_operation={
            name: dict(sorted(counts.items())) for name, counts in sorted(found.operations.items())
        },
        field_coverage=dict(sorted(found.coverage.items())),
        megapixels=found.megapixels(),
        ledgers=ledgers,
        schemas=schemas,
        findings=found.findings,
        sound=sound(found.findings),
    )


def _collection(archive: Archive, found: Collected) -> dict[str, Sealed]:
    """Runs of the collection; what its seals vouch for."""
    runs: list[Run] = []
    with found.guarding(layout.RUNS):
        _no_link(archive, layout.RUNS)
        runs = _runs(archive, found, layout.COLLECTION)
    found.evicted = evicted_folders(runs)
    found.seal_failures = {
        item.item: item.message
        for run in runs
        if run.operation == "seal"
        for item in run.failed_items
    }
    job = pending_job(archive.root)
    if job is not None:
        found.add("COMMIT_PENDING", layout.INTENT, f"that of {job}")
    try:
        return archive.seals(runs)
    except LedgerkitError as error:
        found.add("RUN_INVALID", layout.RUNS, error.message)
        return {}


def _sealed(archive: Archive, found: Collected, plates: set[str], seals: dict[str, Sealed]) -> None:
    """Plates that were sealed and are gone; documents of the collection that are not as sealed."""
    gone: set[str] = set()
    for path, sealed in sorted(seals.items()):
        parts = path.split("/")
        if parts[0] == layout.PLATES:
            if len(parts) > 1 and parts[1] not in plates | gone:
                gone.add(parts[1])
                found.add("PLATE_MISSING", parts[1])
            continue
        size = archive.tree.size(path)
        if size is None:
            found.add("OUTPUT_MISSING", path, path)
        elif size != sealed.bytes:
            found.add("SIZE_MISMATCH", path, f"{size} bytes, {sealed.bytes} are recorded")


def _plate_folders(archive: Archive, found: Collected, plates: list[str]) -> None:
    found.findings += check_names("", archive.tree.entries())
    entries = archive.tree.entries(layout.PLATES)
    found.findings += check_names(layout.PLATES, entries)
    for entry in entries:
        if entry.is_folder and not layout.is_plate_id(entry.name):
            found.add("PLATE_ID_INVALID", f"{layout.PLATES}/{entry.name}")
    numbers: dict[int, list[str]] = defaultdict(list)
    for plate in plates:
        numbers[int(plate.removeprefix("plate-"))].append(plate)
    for same in numbers.values():
        if len(same) > 1:
            found.add("PLATE_ID_COLLISION", same[0], ", ".join(same))


def _plate(archive: Archive, found: Collected, plate: str, seals: dict[str, Sealed]) -> None:
    folder = layout.plate_folder(plate)
    for name in (layout.SOURCE, layout.RUNS, layout.CACHE):
        _no_link(archive, f"{folder}/{name}")
    found.findings += check_names(folder, archive.tree.entries(folder))
    manifest = _manifest(archive, found, plate, seals)
    source = _source(archive, found, plate, manifest, seals)
    if manifest is not None and source is not None and source not in seals:
        if plate in found.seal_failures:
            found.add("SEAL_FAILED", plate, found.seal_failures[plate])
        else:
            found.add("UNSEALED", plate)
    runs = _runs(archive, found, plate)
    found.plate_runs += len(runs)
    found.with_runs += bool(runs)


def _no_link(archive: Archive, path: str) -> None:
    """Raise `UnsafePath` when a symbolic link lies at `path`: it would be taken for nothing."""
    if archive.tree.is_link(path):
        raise UnsafePath(f"{path} is a symbolic link")


def _manifest(
    archive: Archive, found: Collected, plate: str, seals: dict[str, Sealed]
) -> Manifest | None:
    path = f"{layout.plate_folder(plate)}/{layout.MANIFEST}"
    if not archive.tree.exists(path):
        found.missing_manifests += 1
        found.add("MANIFEST_MISSING", plate)
        return None
    _no_link(archive, path)
    try:
        data = archive.tree.read(path, max_bytes=1 << 20)
        if path in seals and sha256_hex(data) != seals[path].sha256:
            found.add("DIGEST_MISMATCH", path, "it was changed after it was sealed")
        manifest, unknown = decode_manifest(data, path)
    except LedgerkitError as error:
        found.add("MANIFEST_INVALID", path, error.message)
        return None
    found.coverage.update(key for key, value in json.loads(data).items() if value not in (None, ""))
    if unknown:
        found.add("MANIFEST_FIELD_UNKNOWN", path, ", ".join(unknown))
    if manifest.plate_id != plate:
        found.add("MANIFEST_IDENTITY", path, manifest.plate_id)
    return manifest


def _source(
    archive: Archive,
    found: Collected,
    plate: str,
    manifest: Manifest | None,
    seals: dict[str, Sealed],
) -> str | None:
    folder = f"{layout.plate_folder(plate)}/{layout.SOURCE}"
    entries = archive.tree.entries(folder)
    found.findings += check_names(folder, entries)
    for entry in entries:
        if entry.is_folder:
            found.add("SOURCE_COUNT", f"{folder}/{entry.name}", "a folder")
    if len(entries) != 1 or not entries[0].is_file:
        found.source_issues += 1
        if len(entries) != 1:
            found.add("SOURCE_COUNT", plate, f"{len(entries)} files")
        return None
    path = f"{folder}/{entries[0].name}"
    if manifest is not None and layout.name_key(
        os.path.basename(manifest.source_image)
    ) != layout.name_key(entries[0].name):
        found.add("SOURCE_NAME_DISAGREE", path, repr(manifest.source_image))
    _source_checksum(archive, found, plate, entries[0].name)
    sealed = _sealed_as(found, path, seals)
    expected = (
        seals[sealed].bytes
        if sealed in seals
        else manifest.source.bytes
        if manifest and manifest.source
        else None
    )
    if (names := archive.tree.names(path)) > 1:
        found.add("HARD_LINKED", path, names)
    size = archive.tree.size(path)
    if expected is not None and size != expected:
        found.add("SOURCE_SIZE_CHANGED", path, f"{size} bytes, {expected} are recorded")
    _header(archive, found, path)
    return sealed


def _sealed_as(found: Collected, path: str, seals: dict[str, Sealed]) -> str:
    """The path under which a source is sealed: its own, or one that some file system takes for it."""
    if path in seals:
        return path
    key, folder = layout.name_key(path), f"{os.path.dirname(path)}/"
    same = [one for one in seals if one.startswith(folder) and layout.name_key(one) == key]
    if not same:
        return path
    found.add("NAME_FORM_DIFFERS", path, f"{layout.shown(path)} for {layout.shown(same[0])}")
    return same[0]


def _source_checksum(archive: Archive, found: Collected, plate: str, name: str) -> None:
    path = f"{layout.plate_folder(plate)}/{layout.SOURCE_CHECKSUM}"
    if not archive.tree.exists(path):
        found.add("SOURCE_CHECKSUM_MISSING", plate)
        return
    try:
        text = archive.tree.read(path, max_bytes=1 << 16).decode("utf-8", "surrogateescape")
    except LedgerkitError as error:
        found.add("SOURCE_CHECKSUM_INVALID", path, error.message)
        return
    line = layout.checksum_line(text)
    if line is None:
        found.add(
            "SOURCE_CHECKSUM_INVALID", path, "not one line of 64 hex digits, two spaces and a path"
        )
    elif layout.name_key(line[1]) not in (
        layout.name_key(f"{layout.SOURCE}/{name}"),
        layout.name_key(name),
    ):
        found.add("SOURCE_CHECKSUM_INVALID", path, f"it names {line[1]!r}")


def _header(archive: Archive, found: Collected, path: str) -> None:
    try:
        with archive.tree.open(path) as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
                found.unprotected += 1
            facts = read_facts(file)
            needed = bytes_not_streamable(facts)
    except (LedgerkitError, OSError) as error:
        found.unreadable += 1
        found.add("SOURCE_UNREADABLE", path, error)
        return
    megapixels = facts.header.megapixels
    found.sizes.append((megapixels, path))
    if megapixels > WARNING_MEGAPIXELS:
        found.add("LARGE_IMAGE", path, f"{megapixels:.2f}")
    if needed is not None:
        line = f"the default of max_decode_bytes is {DEFAULT_LIMITS.max_decode_bytes}"
        found.add("NOT_STREAMABLE", path, f"decoding it holds {needed} bytes, {line}")


def _runs(archive: Archive, found: Collected, subject: str) -> list[Run]:
    """Records of a subject; a finding for each that cannot be read or lacks a file."""
    folder = os.path.dirname(layout.run_folder(subject, "x"))
    for entry in archive.tree.entries(folder):
        if not entry.is_folder or not layout.is_run_id(entry.name):
            found.add("RUN_ID_INVALID", f"{folder}/{entry.name}")
    runs = []
    for run_id in archive.run_folders(subject):
        path = f"{folder}/{run_id}"
        with found.guarding(path):
            run = _run(archive, found, subject, path)
            if run is not None:
                runs.append(run)
                found.operations[run.operation][run.status] += 1
    return runs


def _run(archive: Archive, found: Collected, subject: str, path: str) -> Run | None:
    try:
        data = archive.tree.read(f"{path}/{layout.RECORD}")
        run = decode_run(data, f"{path}/{layout.RECORD}")
        if run.folder != path or run.subject != subject:
            raise InvalidRecord(f"it says it is {run.run_id} of {run.subject}")
        listed = archive.tree.read(f"{path}/{layout.RECORD_CHECKSUM}").decode()
        recorded = sha256_hex(data)
        if f"{recorded}  {layout.RECORD}" not in listed.splitlines():
            found.add("RUN_CHECKSUM_INVALID", path, f"found SHA-256 {recorded}")
        _outputs(archive, found, run)
    except (LedgerkitError, UnicodeDecodeError, RecursionError) as error:
        found.add("RUN_INVALID", path, error)
        return None
    return run


def _outputs(archive: Archive, found: Collected, run: Run) -> None:
    outputs = archive.outputs(run)
    odd = list(check_paths(run.folder, [output.path for output in outputs]))
    odd += check_paths(run.folder, [given.path for given in archive.inputs(run)])
    found.findings += odd
    if run.operation == "seal" or any(one.code == "PATH_UNSAFE" for one in odd):
        return
    for output in outputs:
        path = archive.tree.alike(output.path)
        size = None if path is None else archive.tree.size(path)
        cached = layout.cached_in(output.path)
        if path is None or size is None:
            if cached in found.evicted:
                continue
            found.add("CACHE_MISSING" if cached else "OUTPUT_MISSING", run.folder, output.path)
        elif size != output.bytes:
            found.add("SIZE_MISMATCH", output.path, f"{size} bytes, {output.bytes} are recorded")
        elif path != output.path:
            said = f"{layout.shown(path)} for {layout.shown(output.path)}"
            found.add("NAME_FORM_DIFFERS", output.path, said)


def _ledgers(archive: Archive, found: Collected) -> list[dict[str, Any]]:
    _no_link(archive, layout.LEDGER)
    document = ledger_document(archive.tree)
    listed = {table["file"]: table for table in document["tables"].values()} if document else {}
    ours = {f"{name}.parquet" for name in schema.TABLES} | {"ledger.json", "ledger.sha256"}
    ledgers = []
    for entry in archive.tree.entries(layout.LEDGER):
        path = f"{layout.LEDGER}/{entry.name}"
        size = archive.tree.size(path)
        ledgers.append(
            {
                "file": writable(entry.name),
                "bytes": size,
                "rows": listed.get(entry.name, {}).get("rows"),
            }
        )
        if entry.name not in ours:
            found.add("LEDGER_FOREIGN", path)
        elif entry.name in listed and size != listed[entry.name]["bytes"]:
            found.add(
                "LEDGER_INVALID", path, f"{size} bytes, {listed[entry.name]['bytes']} are listed"
            )
    for name in sorted(set(listed) - {ledger["file"] for ledger in ledgers}):
        found.add("LEDGER_INVALID", f"{layout.LEDGER}/{name}", "it is missing")
    if document is None and archive.tree.exists(LEDGER_FILE):
        found.add("LEDGER_INVALID", LEDGER_FILE, "it breaks ledger.v1.schema.json")
    reason = None
    with contextlib.suppress(OSError, LogInvalid):  # a finding already
        reason = query.behind(archive)
    if reason:
        found.add("LEDGER_BEHIND", layout.LEDGER, reason[0].upper() + reason[1:])
    return ledgers


def _schemas(archive: Archive, found: Collected) -> list[str]:
    names = [entry.name for entry in archive.tree.entries(layout.SCHEMAS) if entry.is_file]
    published = set(schema.names())
    for name in names:
        path = f"{layout.SCHEMAS}/{name}"
        try:
            data = archive.tree.read(path)
            parse_json(data, path)
        except LedgerkitError as error:
            found.add("SCHEMA_INVALID", path, error)
            continue
        if name in published and data != (schema.folder() / name).read_bytes():
            found.add("SCHEMA_CHANGED", path)
    return names
