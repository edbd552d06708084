"""What a person corrects after a plate came in: a title, the scan itself, whether it belongs here.

Each correction is an event on its plate with a name and a reason. Nothing that lay there is touched:
`overlay` says what the events mean together. Everything odd is found before anything is written.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ledgerkit import layout
from ledgerkit.canonical import OF_THE_USER, READ_SIZE, parse_json
from ledgerkit.catalogue import csv_rows
from ledgerkit.durable import StagedFile
from ledgerkit.errors import InvalidRecord, LedgerkitError, UnreadableImage, UsageError
from ledgerkit.events import Event, staged_name
from ledgerkit.findings import Finding, finding
from ledgerkit.history import History
from ledgerkit.overlay import AMENDABLE, field_problem
from ledgerkit.refusal import RefusedForFindings
from ledgerkit.repository import Archive
from ledgerkit.sealing import seal_new
from ledgerkit.staged import StagedRun
from ledgerkit.staging import Artifact
from ledgerkit.views import CorrectionView

EVENT_TYPES = {
    "amend": "metadata modification",
    "replace-source": "capture",
    "withdraw": "deaccession",
    "reinstate": "accession",
}
"""PREMIS event types."""
Fields = dict[str, str | None]
MAX_FILE_BYTES = 1 << 28


def amend(
    archive: Archive, corrections: dict[str, Fields], by: str, reason: str, wait: float = 60.0
) -> CorrectionView:
    """Correct catalogue fields of plates: one run a plate, all in one commit.

    A field that says so already is left out, and a plate where all do. Raises `RefusedForFindings`
    with everything that is wrong, `UsageError` without name or reason.
    """
    _require(by, reason)
    found = [
        finding("CORRECTION_INVALID", plate, problem)
        for plate, fields in corrections.items()
        for problem in _problems(fields)
    ]

    def parameters(history: History, plate: str) -> dict[str, Any] | None:
        manifest, laid_over = archive.manifest(plate), history.overlay(plate).fields
        present = {name: laid_over.get(name, getattr(manifest, name)) for name in AMENDABLE}
        fields = {
            name: value for name, value in corrections[plate].items() if value != present[name]
        }
        return {"fields": fields, "reason": reason} if fields else None

    return _record(archive, "amend", list(corrections), by, wait, parameters, found)


def withdraw(
    archive: Archive, plates: list[str], by: str, reason: str, wait: float = 60.0
) -> CorrectionView:
    """Take plates out of all later work; what was made stays. Those withdrawn already are left.

    Raises `RefusedForFindings` for plates that are not there, `UsageError` without name or reason.
    """
    return _set_withdrawn(archive, "withdraw", plates, by, reason, wait)


def reinstate(
    archive: Archive, plates: list[str], by: str, reason: str, wait: float = 60.0
) -> CorrectionView:
    """Take withdrawn plates back into work. Raises as `withdraw`."""
    return _set_withdrawn(archive, "reinstate", plates, by, reason, wait)


def replace_source(
    archive: Archive, plate: str, file: Path, by: str, reason: str, wait: float = 60.0
) -> CorrectionView:
    """Let another scan be the plate's source from now on; the former one stays and is verified.

    Raises `RefusedForFindings` for a file that is no image or whose name some system refuses,
    `UsageError` for one that lies in the repository or is the present source.
    """
    _require(by, reason)
    archive.refuse_when_frozen("replace-source")
    if not file.is_file():
        raise UsageError(f"{file} is no file")
    if file.resolve().is_relative_to(archive.root.resolve()):
        raise UsageError(
            f"{file} lies inside the repository",
            "Give a file outside of it: a rescan is copied in, never linked or moved.",
        )
    name = unicodedata.normalize("NFC", file.name)
    problem = layout.name_problem(name)
    if problem:
        _refuse([finding("SOURCE_NAME_UNSAFE", plate, f"{name!r} {problem}")])
    with archive.job(wait) as job:
        seal_new(archive, job)
        history = History(archive)
        _refuse(_unknown(archive, [plate]))
        event = Event(
            "replace-source",
            EVENT_TYPES["replace-source"],
            {"original_name": name, "reason": reason},
            plate,
        )
        folder = job.item(staged_name("replace-source"))
        artifact = _copied(archive, plate, file, folder, name)
        if artifact.sha256 == history.source(plate).sha256:
            raise UsageError(f"{file} has the bytes of the present source of {plate}")
        runs = archive.commit(
            job, [event.staged(folder, artifacts=[artifact], person=by)], wait=wait
        )
    return CorrectionView("replace-source", [plate], [], [run.run_id for run in runs])


def read_corrections(path: Path) -> dict[str, Fields]:
    """Corrections from JSON (a list of objects) or CSV: a column `plate`, the others are fields.

    An empty cell of CSV says nothing; null in JSON empties a field that may be empty.
    Raises `RefusedForFindings` with all rows that cannot be used, `InvalidRecord` for another file.
    """
    rows = read_rows(path)
    found: dict[str, Fields] = {}
    findings: list[Finding] = []
    for place, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not (plate := _plate_of(row)):
            findings.append(finding("CORRECTION_INVALID", f"entry {place}", "it names no plate"))
            continue
        if plate in found:
            findings.append(finding("CORRECTION_INVALID", plate, "it stands twice"))
        found[plate] = {name: row[name] for name in row if name not in ("plate", "plate_id")}
    _refuse(findings)
    if not found:
        raise InvalidRecord(f"{path} holds no corrections")
    return found


def read_rows(path: Path) -> list[Any]:
    """What a person wrote as JSON (a list) or CSV (an empty cell says nothing).

    Raises `UsageError`, `InvalidRecord`.
    """
    try:
        if path.is_file() and path.stat().st_size > MAX_FILE_BYTES:
            raise UsageError(f"{path} is larger than {MAX_FILE_BYTES} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if path.suffix.lower() in (".csv", ".tsv"):
        rows = csv_rows(data, path.name)
        return [{name: cell for name, cell in row.items() if cell} for row in rows]
    value = parse_json(data.removeprefix(b"\xef\xbb\xbf"), path.name, hint=OF_THE_USER)
    if not isinstance(value, list):
        raise InvalidRecord(
            f"{path.name} is no list", 'Give a list of objects: [{"...": "..."}, ...].'
        )
    return value


def _plate_of(row: dict[str, Any]) -> str | None:
    text = str(row.get("plate_id") or row.get("plate") or "").strip()
    if text.isascii() and text.isdigit() and len(text) <= 16:
        return layout.plate_id(int(text))
    return text if layout.is_plate_id(text) else None


def _problems(fields: Fields) -> list[str]:
    found = [field_problem(name, value) for name, value in fields.items()]
    return [one for one in found if one] if fields else ["it names no field to correct"]


def _set_withdrawn(
    archive: Archive, operation: str, plates: list[str], by: str, reason: str, wait: float
) -> CorrectionView:
    _require(by, reason)

    def parameters(history: History, plate: str) -> dict[str, Any] | None:
        done = history.overlay(plate).withdrawn == (operation == "withdraw")
        return None if done else {"reason": reason}

    return _record(archive, operation, plates, by, wait, parameters, [])


def _record(
    archive: Archive,
    operation: str,
    plates: list[str],
    by: str,
    wait: float,
    parameters: Callable[[History, str], dict[str, Any] | None],
    found: list[Finding],
) -> CorrectionView:
    """An event on every plate for which there are parameters, all in one commit."""
    with archive.job(wait) as job:
        seal_new(archive, job)
        _refuse([*_unknown(archive, plates), *found])
        history = History(archive)
        staged: list[StagedRun] = []
        unchanged: list[str] = []
        for plate in layout.sort_plates(list(dict.fromkeys(plates))):
            given = parameters(history, plate)
            if given is None:
                unchanged.append(plate)
                continue
            event = Event(operation, EVENT_TYPES[operation], given, plate)
            staged.append(event.staged(job.item(staged_name(operation)), person=by))
        runs = archive.commit(job, staged, wait=wait) if staged else []
    return CorrectionView(
        operation, [run.subject for run in runs], unchanged, [run.run_id for run in runs]
    )


def _require(by: str, reason: str) -> None:
    """Raise `UsageError` unless somebody gives a reason."""
    if not by.strip() or not reason.strip():
        raise UsageError(
            "a correction is made by somebody for a reason",
            'Give both: --by "A. Curator" --reason "..."',
        )


def _unknown(archive: Archive, plates: list[str]) -> list[Finding]:
    """Plates that are not there, or whose manifest could not be sealed."""
    index = archive.log.index()
    return [
        finding("CORRECTION_PLATE_UNKNOWN", plate)
        for plate in dict.fromkeys(plates)
        if index.manifest(plate) is None
    ]


def _refuse(found: list[Finding]) -> None:
    if found:
        raise RefusedForFindings(
            "nothing was corrected", found, "Correct what is found, and give the command again."
        )


def _copied(archive: Archive, plate: str, file: Path, folder: str, name: str) -> Artifact:
    """The rescan in staging, digested while it is copied; its header must be readable."""
    from ledgerkit.imaging.header import read_header

    path = layout.written_path(f"{folder}/outputs/{name}")
    target = StagedFile(archive.root / path)
    try:
        with file.open("rb") as source:
            while chunk := source.read(READ_SIZE):
                target.write(chunk)
    except OSError as error:
        raise UnreadableImage(
            f"{file} could be read no further: {error.strerror}", "Check the disk it lies on."
        ) from error
    finally:
        digests = target.close()
    try:
        with archive.tree.open(path) as copy:
            kind = str(read_header(copy).media_type)
    except LedgerkitError as error:
        _refuse([finding("SOURCE_UNREADABLE", plate, f"{name}: {error.message}")])
        raise
    return Artifact(
        f"outputs/{name}", layout.SOURCE, kind, digests.bytes, digests.sha256, digests.xxh3_128
    )
