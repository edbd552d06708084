"""`export segments`: the current segments of the ledgers for other tools, as one file or folder."""

from __future__ import annotations

import re
from pathlib import Path

from ledgerkit.errors import MissingInput, UsageError
from ledgerkit.export import coco, geojson, webannotation
from ledgerkit.export.ledgers import Basis, Plate, Selection, ledgers_at, plates_of, rows_of
from ledgerkit.export.target import new_file, new_folder, refuse
from ledgerkit.query import Ledgers, Limits
from ledgerkit.repository import Archive
from ledgerkit.views import ExportView

FORMATS = ("coco", "geojson", "webannotation")
BASE_URI = "http://localhost:8000"


def export_segments(
    archive: Archive,
    form: str,
    target: Path,
    selection: Selection | None = None,
    *,
    base_uri: str = BASE_URI,
    at: str | None = None,
    limits: Limits | None = None,
) -> ExportView:
    """Write the selected current segments to a new file (`coco`, `geojson`) or folder.

    `at` is a checkpoint, as in `asof.known_checkpoint`: then the ledgers of that moment are built in
    a temporary folder. Raises `UsageError`, `MissingInput` without ledgers or segments,
    `DigestMismatch`, `InvalidRecord`, `LogInvalid`, `CommitFailed`; nothing is left behind then.
    """
    if form not in FORMATS:
        raise UsageError(f"no format {form!r}", f"There are: {', '.join(FORMATS)}")
    if not re.fullmatch(r"https?://[^\s?#\"<>]+", base_uri):
        raise UsageError(f"base_uri is {base_uri!r}", "Give http:// or https://, and no query.")
    refuse(target)
    wanted = selection or Selection()
    with ledgers_at(archive, at, limits) as (ledgers, found):
        plates = plates_of(ledgers, wanted)
        if not plates:
            raise MissingInput(
                "there is no current segment to export",
                "Make some: ledgerkit segment, then: ledgerkit consolidate",
            )
        if form == "webannotation":
            return _folder(ledgers, found, target, wanted, plates, base_uri.rstrip("/"))
        return _file(ledgers, found, form, target, wanted, plates)


def _file(
    ledgers: Ledgers,
    found: Basis,
    form: str,
    target: Path,
    selection: Selection,
    plates: list[Plate],
) -> ExportView:
    rows = rows_of(ledgers, plates, selection)
    with new_file(target) as output:
        if form == "coco":
            count = coco.write(output, found, selection, plates, rows)
        else:
            count = geojson.write(output, found, selection, rows)
    return _view(form, target, found, len(plates), count, output.bytes, output.sha256)


def _folder(
    ledgers: Ledgers,
    found: Basis,
    target: Path,
    selection: Selection,
    plates: list[Plate],
    base: str,
) -> ExportView:
    rows = rows_of(ledgers, plates, selection)
    with new_folder(target) as folder:
        made = webannotation.write(folder, base, found, selection, plates, rows)
    form = "webannotation"
    return _view(form, target, found, len(plates), made.annotations, made.bytes, made.sha256)


def _view(
    form: str, target: Path, found: Basis, plates: int, segments: int, size: int, sha256: str
) -> ExportView:
    return ExportView(
        form,
        str(target),
        plates,
        segments,
        size,
        sha256,
        found.origin,
        found.log_size,
        found.log_root,
        found.ledger_sha256,
    )
