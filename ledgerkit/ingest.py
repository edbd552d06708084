"""Take new plates in: from a catalogue and a folder of images, copied and digested in one pass.

Everything odd is found before anything is written. Errors stop the ingest unless `partial` takes
what is good; warnings do not. What came in is sealed in the same commit.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ledgerkit import layout
from ledgerkit.canonical import READ_SIZE, canonical_bytes, digest_bytes
from ledgerkit.catalogue import Entry, check_entries, read_catalogue
from ledgerkit.durable import StagedFile
from ledgerkit.errors import LedgerkitError, UnreadableImage, UsageError
from ledgerkit.events import Event, staged_name
from ledgerkit.findings import ERROR, Finding, finding
from ledgerkit.intent import Move
from ledgerkit.jobs import Job
from ledgerkit.records import Manifest, Output, Source, encode
from ledgerkit.repository import Archive
from ledgerkit.sealing import BATCH, JSON, missing_root_files, seal_new, seal_run
from ledgerkit.staged import StagedRun, write_staged
from ledgerkit.views import IngestView
from ledgerkit.worker import TIME_FORMAT

IGNORED = frozenset({"sources.tsv", "readme.md", "readme.txt", "thumbs.db", ".ds_store"})
BATCH_BYTES = 2 << 30
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry with the image that it names."""

    entry: Entry
    file: Path

    @property
    def stored_name(self) -> str:
        """Name of the source in the repository: NFC, whatever form the file system gave."""
        import unicodedata

        return unicodedata.normalize("NFC", self.file.name)


def ingest(
    archive: Archive,
    catalogue: Path,
    images: Path,
    *,
    partial: bool = False,
    progress: Progress | None = None,
) -> IngestView:
    """Add every plate of `catalogue` that the repository has not yet, with its file from `images`.

    Raises `UsageError` for a missing file or folder, `IngestRefused` with all findings when there
    are errors and not `partial`.
    """
    began = time.monotonic()
    archive.refuse_when_frozen("ingest")
    event = Event("ingest", "ingestion", {"catalogue": catalogue.name, "partial": partial})
    data = _read(catalogue)
    entries, findings = read_catalogue(data, catalogue.name)
    files, collided, found = _index_images(images, catalogue)
    findings += found + check_entries(entries)
    new, present, found = _new_entries(archive, entries)
    findings += found
    candidates, found = _match(new, entries, files, collided)
    findings += found
    candidates, found = _readable(candidates)
    findings = sorted([*findings, *found], key=lambda one: (one.severity, one.code, one.subject))
    if not partial and any(one.severity == ERROR for one in findings):
        raise IngestRefused(findings)
    run_ids, size = (
        _take_in(archive, candidates, event, (catalogue.name, data), findings, progress)
        if candidates
        else ([], 0)
    )
    return IngestView(
        [candidate.entry.plate_id for candidate in candidates],
        present,
        len(new) - len(candidates),
        findings,
        run_ids,
        round(time.monotonic() - began, 3),
        size,
    )


class IngestRefused(LedgerkitError):
    """Nothing was taken in because of errors among the findings."""

    def __init__(self, findings: list[Finding]) -> None:
        errors = [one for one in findings if one.severity == ERROR]
        first = errors[0]
        super().__init__(
            f"nothing was taken in: {len(errors)} error{'s' * (len(errors) > 1)}, "
            f"the first: {first.code} {first.subject}: {first.message}",
            "Correct what is found, or take what is good with --partial.",
        )
        self.findings = findings

    def __reduce__(self) -> Any:
        return (IngestRefused, (self.findings,))


def _read(catalogue: Path) -> bytes:
    try:
        return catalogue.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the catalogue {catalogue}: {error.strerror}") from error


def _index_images(images: Path, catalogue: Path) -> tuple[dict[str, Path], set[str], list[Finding]]:
    """Files below `images` by the key of their name; the keys that several share, with findings."""
    if not images.is_dir():
        raise UsageError(f"{images} is not a folder of images")
    by_key: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(images.rglob("*")):
        if path.name.startswith(".") or path.name.casefold() in IGNORED:
            continue
        if path.is_file() and not path.samefile(catalogue):
            by_key[layout.name_key(path.name)].append(path)
    collided = {key for key, same in by_key.items() if len(same) > 1}
    findings = []
    for key in sorted(collided):
        listed = ", ".join(repr(str(path.relative_to(images))) for path in by_key[key])
        findings.append(finding("NAME_COLLISION", by_key[key][0].name, listed))
    alone = {key: same[0] for key, same in by_key.items() if len(same) == 1}
    return alone, collided, findings


def _new_entries(archive: Archive, entries: list[Entry]) -> tuple[list[Entry], int, list[Finding]]:
    """Entries whose plate is not there yet, how many are, and which of those changed since."""
    known = set(archive.plate_ids())
    new: list[Entry] = []
    findings: list[Finding] = []
    present = 0
    for entry in entries:
        if entry.plate_id not in known:
            new.append(entry)
            continue
        present += 1
        manifest = archive.manifest(entry.plate_id)
        changed = [
            f"{name} was {before!r}, is {after!r}"
            for name, before, after in (
                ("title", manifest.title, entry.name),
                ("slug", manifest.slug, entry.slug),
            )
            if before != after
        ]
        if changed:
            findings.append(finding("ENTRY_CHANGED", entry.plate_id, "; ".join(changed)))
    return new, present, findings


def _match(
    new: list[Entry], entries: list[Entry], files: dict[str, Path], collided: set[str]
) -> tuple[list[Candidate], list[Finding]]:
    """New entries with their files; what is missing, unsafe, used twice or named by nobody."""
    findings: list[Finding] = []
    named: dict[str, list[Entry]] = defaultdict(list)
    numbers: dict[int, int] = defaultdict(int)
    for entry in entries:
        numbers[entry.plate] += 1
        if entry.file_name:
            named[layout.name_key(entry.file_name)].append(entry)
    for same in named.values():
        if len(same) > 1:
            listed = ", ".join(f"{entry.file_name!r} of plate {entry.plate}" for entry in same)
            findings.append(finding("NAME_COLLISION", same[0].plate_id, listed))
    candidates = []
    for entry in new:
        key = layout.name_key(entry.file_name) if entry.file_name else ""
        if key in collided:
            continue
        if key not in files:
            named_file = f"the file {entry.file_name!r}" if entry.file_name else "no file"
            findings.append(finding("SOURCE_MISSING", entry.plate_id, named_file))
            continue
        candidate = Candidate(entry, files[key])
        problem = layout.name_problem(candidate.stored_name)
        if problem:
            said = f"{candidate.stored_name!r} {problem}"
            findings.append(finding("SOURCE_NAME_UNSAFE", entry.plate_id, said))
        elif numbers[entry.plate] == 1 and len(named[key]) == 1:
            candidates.append(candidate)
    findings += [
        finding("FILE_WITHOUT_ENTRY", path.name)
        for key, path in sorted(files.items())
        if key not in named
    ]
    return candidates, findings


def _readable(candidates: list[Candidate]) -> tuple[list[Candidate], list[Finding]]:
    """Candidates whose header can be read, and a finding for each of the others."""
    from ledgerkit.imaging.header import read_header

    good: list[Candidate] = []
    bad: list[Finding] = []
    for candidate in candidates:
        try:
            with candidate.file.open("rb") as file:
                read_header(file)
        except LedgerkitError as error:
            reason = error.message
        except OSError as error:
            reason = str(error.strerror)
        else:
            good.append(candidate)
            continue
        said = f"{candidate.file.name}: {reason}"
        bad.append(finding("SOURCE_UNREADABLE", candidate.entry.plate_id, said))
    return good, bad


def _take_in(
    archive: Archive,
    candidates: list[Candidate],
    event: Event,
    catalogue: tuple[str, bytes],
    findings: list[Finding],
    progress: Progress | None,
) -> tuple[list[str], int]:
    """Copy, digest, commit, in batches; the ids of the runs made and the bytes copied."""
    run_ids: list[str] = []
    size = done = 0
    with archive.job() as job:
        seal_new(archive, job)
        first = True
        for batch in _batches(candidates):
            outputs: list[Output] = []
            moves: list[Move] = []
            with ThreadPoolExecutor(4) as pool:
                for made, move in pool.map(lambda one: _stage_plate(archive, job, one), batch):
                    outputs += made
                    moves.append(move)
                    done += 1
                    if progress:
                        progress(done, len(candidates))
            staged: list[StagedRun] = []
            if first:
                made, root_moves = _stage_catalogue(archive, job, catalogue)
                outputs, moves = [*made, *outputs], [*root_moves, *moves]
                staged.append(_ingest_run(archive, job, event, catalogue, findings))
                first = False
            staged.append(
                seal_run(
                    outputs, [one.entry.plate_id for one in batch], job.item(staged_name("seal"))
                )
            )
            run_ids += [run.run_id for run in archive.commit(job, staged, moves)]
            size += sum(output.bytes for output in outputs)
    return run_ids, size


def _batches(candidates: list[Candidate]) -> Iterator[list[Candidate]]:
    """At most `BATCH` plates or about `BATCH_BYTES` a commit: a kill costs no more than one batch."""
    batch: list[Candidate] = []
    size = 0
    for candidate in candidates:
        batch.append(candidate)
        size += candidate.file.stat().st_size
        if len(batch) >= BATCH or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _stage_plate(archive: Archive, job: Job, candidate: Candidate) -> tuple[list[Output], Move]:
    """One plate's folder in staging: source copied and digested in one pass, checksum, manifest."""
    entry = candidate.entry
    staged = job.item(f"plates/{entry.plate_id}")
    name = candidate.stored_name
    source_path = layout.written_path(
        f"{layout.plate_folder(entry.plate_id)}/{layout.SOURCE}/{name}"
    )
    target = StagedFile(archive.root / staged / layout.SOURCE / name)
    try:
        with candidate.file.open("rb") as file:
            while chunk := file.read(READ_SIZE):
                target.write(chunk)
    except OSError as error:
        raise UnreadableImage(
            f"{candidate.file} could be read no further: {error.strerror}",
            "Nothing of this batch was taken in. Check the disk it lies on, then run it again.",
        ) from error
    source = target.close()
    kind = _media_type(candidate.file)
    manifest = encode(
        _manifest(entry, name, Source(source.bytes, kind, source.sha256, source.xxh3_128))
    )
    checksum = f"{source.sha256}  {layout.SOURCE}/{name}\n".encode()
    for file_name, data in ((layout.MANIFEST, manifest), (layout.SOURCE_CHECKSUM, checksum)):
        archive.store.write_new(f"{staged}/{file_name}", data)
    folder = layout.plate_folder(entry.plate_id)
    outputs = [
        Output(source_path, "source", kind, source.bytes, source.sha256, source.xxh3_128, None)
    ]
    outputs += [
        _document(f"{folder}/{layout.MANIFEST}", "manifest", JSON, manifest),
        _document(f"{folder}/{layout.SOURCE_CHECKSUM}", "source-checksum", "text/plain", checksum),
    ]
    digests = {output.path.removeprefix(f"{folder}/"): output.sha256 for output in outputs}
    return outputs, Move(staged, folder, digests, protect=(layout.SOURCE,))


def _manifest(entry: Entry, name: str, source: Source) -> Manifest:
    return Manifest(
        schema_version="plate.manifest.v2",
        plate_id=entry.plate_id,
        plate_number=entry.plate,
        title=entry.name,
        slug=entry.slug,
        source_image=name,
        download_url=entry.download,
        license=text if isinstance(text := entry.verbatim.get("license"), str) else None,
        created_at=datetime.now(UTC).strftime(TIME_FORMAT),
        source=source,
        metadata=entry.verbatim,
    )


def _document(path: str, role: str, kind: str, data: bytes) -> Output:
    digests = digest_bytes(data)
    return Output(path, role, kind, digests.bytes, digests.sha256, digests.xxh3_128, None)


def _media_type(path: Path) -> str:
    from ledgerkit.imaging.header import read_header

    with path.open("rb") as file:
        return str(read_header(file).media_type)


def _stage_catalogue(
    archive: Archive, job: Job, catalogue: tuple[str, bytes]
) -> tuple[list[Output], list[Move]]:
    """The first catalogue becomes `data.json`, as it came; later ones lie in their ingest runs."""
    name, data = catalogue
    outputs, moves = missing_root_files(archive, job)
    if name.lower().endswith(".json") and not archive.tree.exists(layout.CATALOGUE_FILE):
        staged = job.item(layout.CATALOGUE_FILE)
        archive.store.write_new(staged, data)
        outputs.append(_document(layout.CATALOGUE_FILE, "catalogue", JSON, data))
        moves.append(Move(staged, layout.CATALOGUE_FILE, {"": outputs[-1].sha256}, protect=()))
    return outputs, moves


def _ingest_run(
    archive: Archive, job: Job, event: Event, catalogue: tuple[str, bytes], findings: list[Finding]
) -> StagedRun:
    """The ingest itself as a run: the catalogue as it came, and what was found."""
    name, data = catalogue
    folder = job.item(staged_name("ingest"))
    suffix = name.rpartition(".")[2].lower() if "." in name else "txt"
    kind = JSON if suffix == "json" else "text/csv"
    document = {
        "schema_version": "findings.v1",
        "findings": [
            {
                "code": one.code,
                "severity": one.severity,
                "subject": one.subject,
                "message": one.message,
                "remedy": one.remedy,
            }
            for one in findings
        ],
    }
    artifacts = [
        write_staged(
            archive.store,
            folder,
            f"outputs/catalogue.{suffix if suffix in ('json', 'csv', 'tsv') else 'txt'}",
            "catalogue",
            kind,
            data,
        ),
        write_staged(
            archive.store,
            folder,
            "outputs/findings.json",
            "findings",
            JSON,
            canonical_bytes(document),
        ),
    ]
    return event.staged(folder, artifacts=artifacts)
