"""Seal what came in: list the digests of every new manifest, source and document in a run of its own.

So a source is evidence from the first day, and the input digests of later runs come from there.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from ledgerkit import layout, schema, software
from ledgerkit.canonical import canonical_bytes, digest_bytes
from ledgerkit.errors import InvalidRecord, LedgerkitError, UsageError
from ledgerkit.events import Event, staged_name
from ledgerkit.intent import Move
from ledgerkit.jobs import Job
from ledgerkit.reading import Tree
from ledgerkit.records import FailedItem, Output
from ledgerkit.repository import Archive
from ledgerkit.staged import StagedRun
from ledgerkit.worker import TIME_FORMAT

BATCH = 10_000
"""Plates in a commit, at most."""
JSON = "application/json"
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class PlateSeal:
    """Digests of a plate's files, or why one of them cannot be vouched for."""

    outputs: list[Output]
    failed: FailedItem | None


def seal_new(archive: Archive, job: Job, progress: Progress | None = None) -> int:
    """Seal everything that no seal run lists yet; the number of plates sealed now."""
    collection = archive.runs(layout.COLLECTION)
    known = set(archive.seals(collection))
    told = {
        (item.item, item.message)
        for run in collection
        if run.operation == "seal"
        for item in run.failed_items
    }
    sealed = _sealed_plates(known)
    waiting = [plate for plate in archive.plate_ids() if plate not in sealed]
    if waiting and archive.frozen():
        waiting = []  # a freeze ended the taking in of plates; each stays unsealed, and audit says so
    root_files, moves = missing_root_files(archive, job)
    root_files += [
        seal_file(archive.tree, path, role)
        for path, role in _present_root_files(archive)
        if path not in known
    ]
    done = 0
    batches = _batches(waiting) if waiting else iter([[]])
    for batch in batches:
        event = Event("seal", "message digest calculation", _parameters(batch))
        with ThreadPoolExecutor(4) as pool:
            seals = list(pool.map(lambda plate: seal_plate(archive, plate, known), batch))
        outputs = root_files + [output for seal in seals for output in seal.outputs]
        failed = [seal.failed for seal in seals if seal.failed]
        news = [item for item in failed if (item.item, item.message) not in told]
        if outputs or news:
            staged = event.staged(
                job.item(staged_name("seal")), sealed=outputs, failed_items=failed
            )
            archive.commit(job, [staged], moves)
        done += len(batch)
        root_files, moves = [], []
        if progress:
            progress(done, len(waiting))
    return done


def seal_run(outputs: list[Output], plates: list[str], folder: str) -> StagedRun:
    """A seal run over files whose digests are known already, as those just ingested."""
    return Event("seal", "message digest calculation", _parameters(plates)).staged(
        folder, sealed=outputs
    )


def _parameters(plates: list[str]) -> dict[str, object]:
    if not plates:
        return {"plates": 0, "first_plate": None, "last_plate": None}
    return {"plates": len(plates), "first_plate": plates[0], "last_plate": plates[-1]}


def _batches(plates: list[str]) -> Iterator[list[str]]:
    waiting = iter(plates)
    while batch := list(islice(waiting, BATCH)):
        yield batch


def _sealed_plates(known: set[str]) -> set[str]:
    """Plates whose manifest and source are sealed, from the paths alone."""
    manifests, sources = set(), set()
    for path in known:
        parts = path.split("/")
        if parts[0] == layout.PLATES and len(parts) == 3 and parts[2] == layout.MANIFEST:
            manifests.add(parts[1])
        elif parts[0] == layout.PLATES and len(parts) == 4 and parts[2] == layout.SOURCE:
            sources.add(parts[1])
    return manifests & sources


def seal_plate(archive: Archive, plate: str, known: set[str]) -> PlateSeal:
    """Digests of what is new in a plate's folder; nothing of it when one file is not sound.

    A checksum that contradicts its source proves neither: when it is put right, both are sealed.
    """
    folder = layout.plate_folder(plate)
    outputs: list[Output] = []
    try:
        archive.manifest(plate)
        for name, role in (
            (layout.MANIFEST, "manifest"),
            (layout.SOURCE_CHECKSUM, "source-checksum"),
        ):
            path = f"{folder}/{name}"
            if path not in known and archive.tree.exists(path):
                outputs.append(seal_file(archive.tree, path, role))
        source = archive.source_path(plate)
        if source not in known:
            _refuse_other_than_utf8(source)
            sealed = seal_file(archive.tree, source, "source")
            _compare_checksum(archive, plate, source, sealed.sha256)
            outputs.append(sealed)
    except (LedgerkitError, OSError) as error:
        message = str(error).encode("ascii", "backslashreplace").decode()
        return PlateSeal([], FailedItem(plate, type(error).__name__, message))
    return PlateSeal(outputs, None)


def seal_file(tree: Tree, path: str, role: str) -> Output:
    """One file's size and digests as an output of a seal run."""
    found = tree.digest(path)
    return Output(path, role, media_type(path), found.bytes, found.sha256, found.xxh3_128, None)


def _compare_checksum(archive: Archive, plate: str, source: str, found: str) -> None:
    """Raise `InvalidRecord` when `source.sha256` says something else than the source."""
    path = f"{layout.plate_folder(plate)}/{layout.SOURCE_CHECKSUM}"
    if not archive.tree.exists(path):
        return
    line = layout.checksum_line(
        archive.tree.read(path, max_bytes=1 << 16).decode("utf-8", "replace")
    )
    if line is None:
        raise InvalidRecord(f"{path} is not one line that sha256sum -c accepts")
    name = source.rpartition("/")[2]
    if layout.name_key(line[1]) not in (
        layout.name_key(f"{layout.SOURCE}/{name}"),
        layout.name_key(name),
    ):
        raise InvalidRecord(f"{path} names {line[1]!r}, the source is {name!r}")
    if line[0] != found:
        raise InvalidRecord(f"{source} has SHA-256 {found}, but {path} says {line[0]}")


def _refuse_other_than_utf8(path: str) -> None:
    """Raise `InvalidRecord` for a name whose bytes no record can hold."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidRecord(
            f"the name {path!r} is not valid UTF-8", "Rename the file to a name that is."
        ) from error


def _present_root_files(archive: Archive) -> Iterator[tuple[str, str]]:
    for path, role in (
        (layout.REPOSITORY_FILE, "repository"),
        (layout.CATALOGUE_FILE, "catalogue"),
    ):
        if archive.tree.size(path) is not None:
            yield path, role
    for entry in archive.tree.entries(layout.SCHEMAS):
        if entry.is_file and entry.name.endswith(".json"):
            yield f"{layout.SCHEMAS}/{entry.name}", "schema"


def missing_root_files(archive: Archive, job: Job) -> tuple[list[Output], list[Move]]:
    """`repository.json` and schemas that the first write adds: staged, with their seals."""
    wanted = {
        f"{layout.SCHEMAS}/{name}": (schema.folder() / name).read_bytes() for name in schema.names()
    }
    wanted[layout.REPOSITORY_FILE] = _repository_document()
    outputs: list[Output] = []
    moves: list[Move] = []
    for path, data in sorted(wanted.items()):
        if archive.tree.exists(path):
            continue
        staged = job.item(f"root/{path}")
        archive.store.make_folder(staged.rpartition("/")[0])
        archive.store.write_new(staged, data)
        role = "repository" if path == layout.REPOSITORY_FILE else "schema"
        found = digest_bytes(data)
        outputs.append(Output(path, role, JSON, found.bytes, found.sha256, found.xxh3_128, None))
        moves.append(Move(staged, path, {"": found.sha256}, protect=()))
    return outputs, moves


def _repository_document() -> bytes:
    return canonical_bytes(
        {
            "schema_version": "repository.v1",
            "repository_id": str(uuid.uuid4()),
            "created_at": datetime.now(UTC).strftime(TIME_FORMAT),
            "created_by": software.AGENT,
        }
    )


def media_type(path: str) -> str:
    """Media type by the file's name; the header run says what the bytes are."""
    suffix = path.rpartition(".")[2].lower()
    known = {
        "json": JSON, "jpg": "image/jpeg", "jpeg": "image/jpeg", "tif": "image/tiff", "tiff": "image/tiff",
        "png": "image/png", "webp": "image/webp", "jp2": "image/jp2", "gif": "image/gif", "bmp": "image/bmp",
        "avif": "image/avif", "heic": "image/heic", "sha256": "text/plain", "csv": "text/csv",
    }  # fmt: skip
    return known.get(suffix, "application/octet-stream")


def init(root: Path, wait: float | None = None) -> Archive:
    """A new repository at `root`, or the one there, complete with its own documents and seal."""
    if root.is_file():
        raise UsageError(f"{root} is a file, not a folder")
    (root / layout.PLATES).mkdir(parents=True, exist_ok=True)
    archive = Archive(root)
    with archive.job(wait) as job:
        seal_new(archive, job)
    return archive
