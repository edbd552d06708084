"""Prompts that a person gives for regions of plates: kept as a run of each plate, for `sam --prompted`.

Nothing is kept unless all of a file can be: unknown plates, points outside the plate and whatever
else breaks a rule are all named, with the file, before anything is written. A plate whose prompts
are what it has already is left as it is, so other plates stay as they are when one changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ledgerkit import layout, schema
from ledgerkit.canonical import OF_THE_USER, canonical_bytes, digest_bytes, parse_json
from ledgerkit.errors import InvalidRecord, LedgerkitError, UsageError
from ledgerkit.events import Event, staged_name
from ledgerkit.history import PROMPTS, History
from ledgerkit.records import Input
from ledgerkit.repository import Archive
from ledgerkit.sealing import JSON, seal_new
from ledgerkit.staged import write_staged
from ledgerkit.views import CorrectionView
from ledgerkit.worker import TaskInput

EVENT_TYPE = "annotation"
SHOWN = 10
"""Problems that a message names."""


def take_prompts(
    archive: Archive, file: Path, by: str, reason: str, wait: float = 60.0
) -> CorrectionView:
    """Keep the prompts in `file`, `{"plate-001": [{"points": [[x, y, label]], "box": [...]}]}`.

    One run a plate, all in one commit; they take the place of the plate's former prompts.
    Raises `UsageError` without name or reason, `InvalidRecord` with what is wrong in the file.
    """
    if not by.strip() or not reason.strip():
        raise UsageError(
            "prompts are given by somebody for a reason",
            'Give both: --by "A. Curator" --reason "..."',
        )
    given = _read(file)
    with archive.job(wait) as job:
        seal_new(archive, job)
        history = History(archive)
        staged, unchanged = [], []
        for document in _documents(history, given, file):
            plate, data = document["plate_id"], canonical_bytes(document)
            former = history.prompts(plate)
            if former is not None and former.sha256 == digest_bytes(data).sha256:
                unchanged.append(plate)
                continue
            event = Event(PROMPTS, EVENT_TYPE, {"file": file.name, "reason": reason}, plate)
            folder = job.item(staged_name(PROMPTS))
            kept = write_staged(archive.store, folder, "outputs/prompts.json", PROMPTS, JSON, data)
            source = _read_of(history.source(plate))
            staged.append(event.staged(folder, inputs=[source], artifacts=[kept], person=by))
        runs = archive.commit(job, staged, wait=wait) if staged else []
    return CorrectionView(
        PROMPTS, [run.subject for run in runs], unchanged, [run.run_id for run in runs]
    )


def _read_of(source: TaskInput) -> Input:
    """The scan whose header said how large it is, as the record names it."""
    return Input(source.path, source.role, source.bytes, source.sha256, source.run_id, "size")


def _read(file: Path) -> dict[str, Any]:
    """The plates in a file and what is given for each. Raises `UsageError`, `InvalidRecord`."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    found = parse_json(data.removeprefix(b"\xef\xbb\xbf"), str(file), hint=OF_THE_USER)
    if not isinstance(found, dict) or not found:
        raise InvalidRecord(
            f"{file}: expected an object with a list of regions for each plate",
            'Give {"plate-001": [{"points": [[x, y, 1]]}, {"box": [x0, y0, x1, y1]}]}.',
        )
    return found


def _documents(history: History, given: dict[str, Any], file: Path) -> list[dict[str, Any]]:
    """What is kept for each plate, in the order of plates. Raises `InvalidRecord` with all problems."""
    documents, problems = [], []
    sealed = set(history.sealed_plates())
    for plate in layout.sort_plates(list(given)):
        if plate not in sealed:
            problems.append(f"{plate}: no such plate is sealed here")
            continue
        try:
            document = _document(history, plate, given[plate])
        except LedgerkitError as error:
            problems.append(f"{plate}: {error.message}")
            continue
        documents.append(document)
        problems += [f"{plate}: {problem}" for problem in _problems(document)]
    if problems:
        more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise InvalidRecord(
            f"{file}: {'; '.join(problems[:SHOWN])}{more}",
            "Nothing was kept. Correct the file and give it again.",
        )
    return documents


def _document(history: History, plate: str, regions: Any) -> dict[str, Any]:
    """What is kept for a plate. Raises `LedgerkitError` where its scan cannot be read."""
    from ledgerkit.imaging.geometry import oriented_size
    from ledgerkit.imaging.header import read_header

    source = history.source(plate)
    with history.archive.tree.open(source.path) as file:
        header = read_header(file)
    width, height = oriented_size(header.width, header.height, header.orientation)
    return {
        "schema_version": "prompts.v1",
        "plate_id": plate,
        "source_sha256": source.sha256,
        "width": width,
        "height": height,
        "regions": regions,
    }


def _problems(document: dict[str, Any]) -> Iterator[str]:
    """What breaks the schema; where nothing does, prompts that do not lie on the plate."""
    broken = schema.problems("prompts.v1", document)
    if broken:
        yield from broken
        return
    width, height = document["width"], document["height"]
    for index, region in enumerate(document["regions"]):
        where = f"regions[{index}]"
        points = region.get("points", [])
        for place, (x, y, _) in enumerate(points):
            if not (0 <= x <= width and 0 <= y <= height):
                yield f"{where}.points[{place}]: {x}, {y} lies outside of {width} x {height} pixels"
        if "box" in region:
            x0, y0, x1, y1 = region["box"]
            if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
                yield f"{where}.box: {region['box']} is no box within {width} x {height} pixels"
        elif not any(label for _, _, label in points):
            yield f"{where}: neither a box nor a point with the label 1"
