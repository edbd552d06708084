"""What something was made from, by which runs: answered from the ledgers alone.

A subject may be a plate, a run, a tile, a segment, a cluster or a file path.
"""

from __future__ import annotations

import json
from typing import Any

from ledgerkit import layout
from ledgerkit.errors import LedgerkitError, UsageError
from ledgerkit.query import query_arrow
from ledgerkit.repository import Archive
from ledgerkit.views import LineageNode

_RUN = """
    SELECT run_id, operation, version, variant, status, coalesce(plate_id, 'collection') AS subject,
           started_at::VARCHAR AS started_at, ledgerkit, current, person, parameters
    FROM runs WHERE run_id = ?"""
_INPUTS = """
    SELECT path, role, sha256, bytes, made_by FROM artifacts
    WHERE run_id = ? AND direction = 'input' ORDER BY role, path"""
_OUTPUTS = """
    SELECT path, role, sha256, bytes FROM artifacts
    WHERE run_id = ? AND direction = 'output' ORDER BY path"""
_PLATE = """
    SELECT title, source_path, source_sha256, source_bytes, seal_run_id,
           nullif(withdrawn, false) AS withdrawn, withdrawn_reason
    FROM plates WHERE plate_id = ?"""
_COLLECTION_RUNS = """
    SELECT DISTINCT a.run_id FROM artifacts a JOIN runs r USING (run_id)
    WHERE r.plate_id IS NULL AND a.direction = 'input' AND starts_with(a.path, ?) ORDER BY 1"""
_FILE = """
    SELECT run_id, path, role, bytes, sha256 FROM artifacts
    WHERE direction = 'output' AND (path = ? OR sha256 = ?) ORDER BY run_id DESC"""
_PYRAMID = """
    SELECT run_id, path, role, bytes, sha256 FROM artifacts
    WHERE run_id = ? AND direction = 'output' AND role = 'pyramid'"""
_SUBJECTS = {
    "tile-": (
        "tile",
        """
        SELECT tile_id, run_id, plate_id, kind, x0, y0, x1, y1, width, height, source_sha256
        FROM tiles WHERE tile_id = ? ORDER BY run_id DESC""",
    ),
    "segment-": (
        "segment",
        """
        SELECT segment_id, run_id, plate_id, kind, x0, y0, x1, y1, area, tile_id, source_sha256
        FROM segments WHERE segment_id = ? ORDER BY run_id DESC""",
    ),
    "cluster-": (
        "cluster",
        """
        SELECT c.cluster_id, c.run_id, c.level, c.label, c.size, c.medoid_id, n.name, n.source,
               n.since_run_id
        FROM clusters c LEFT JOIN cluster_names n USING (run_id, cluster_id)
        WHERE c.cluster_id = ? ORDER BY c.run_id DESC""",
    ),
}
MAX_INPUTS = 12


def lineage(archive: Archive, subject: str) -> LineageNode:
    """The tree of what `subject` was made from; for a plate, of what was made from it.

    Raises `UsageError` when the ledgers do not know it.
    """
    if layout.is_plate_id(subject):
        return _plate(archive, subject)
    if layout.is_run_id(subject):
        return _run(archive, subject, set())
    for prefix, (kind, sql) in _SUBJECTS.items():
        if subject.startswith(prefix):
            rows = _rows(archive, sql, subject)
            if rows:
                return LineageNode(
                    kind,
                    subject,
                    _detail(rows[0], "run_id"),
                    [_run(archive, str(rows[0]["run_id"]), set())],
                )
    rows = _rows(archive, _FILE, subject, subject) or _whole_of(archive, subject)
    if rows:
        return LineageNode(
            "file",
            str(rows[0]["path"]),
            _detail(rows[0], "run_id", "path"),
            [_run(archive, str(rows[0]["run_id"]), set())],
        )
    raise UsageError(
        f"the ledgers know nothing of {subject!r}",
        "Name a plate, run, tile, segment, cluster or file; if it is new: ledgerkit consolidate",
    )


def _whole_of(archive: Archive, path: str) -> list[dict[str, Any]]:
    """The row of the pyramid that a file belongs to, by the record of its run: tiles have no row."""
    folder = layout.cached_in(path)
    if folder is None:
        return []
    _, plate, _, run_id = folder.split("/")
    try:
        listed = {output.path for output in archive.outputs(archive.run(plate, run_id))}
    except LedgerkitError:
        return []
    return _rows(archive, _PYRAMID, run_id) if path in listed else []


def _rows(archive: Archive, sql: str, *parameters: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = query_arrow(archive, sql, list(parameters)).to_pylist()
    return rows


def _detail(row: dict[str, Any], *without: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in without and value is not None}


def _run_detail(row: dict[str, Any]) -> dict[str, Any]:
    """What is shown of a run: for a person's decision also why, and the fields that it names."""
    said = json.loads(row["parameters"]) if row["person"] else {}
    shown = {name: said.get(name) for name in ("reason", "original_name")}
    fields = said.get("fields")
    for name, value in fields.items() if isinstance(fields, dict) else ():
        shown[name] = "(emptied)" if value is None else value
    return _detail(row | shown, "run_id", "parameters")


def _plate(archive: Archive, plate: str) -> LineageNode:
    """A plate: its source and seal, and every run about it with what it made, oldest first."""
    rows = _rows(
        archive,
        _PLATE,
        plate,
    )
    if not rows:
        raise UsageError(f"the ledgers know no {plate}", "If it is new: ledgerkit consolidate")
    runs = _rows(archive, "SELECT run_id FROM runs WHERE plate_id = ? ORDER BY run_id", plate)
    collection = _rows(
        archive,
        _COLLECTION_RUNS,
        f"{layout.plate_folder(plate)}/",
    )
    children = [_made_by(archive, str(row["run_id"])) for row in [*runs, *collection]]
    return LineageNode("plate", plate, _detail(rows[0]), children)


def _made_by(archive: Archive, run_id: str) -> LineageNode:
    run = _rows(archive, _RUN, run_id)[0]
    outputs = _rows(archive, _OUTPUTS, run_id)
    return LineageNode(
        "run",
        run_id,
        _run_detail(run),
        [
            LineageNode("output", str(row["path"]), _detail(row, "path"), [])
            for row in outputs[:MAX_INPUTS]
        ],
    )


def _run(archive: Archive, run_id: str, seen: set[str]) -> LineageNode:
    """A run with its inputs, each with the run that made it, down to the seal."""
    rows = _rows(archive, _RUN, run_id)
    if not rows:
        raise UsageError(f"the ledgers know no run {run_id}", "If it is new: ledgerkit consolidate")
    if run_id in seen:
        return LineageNode("run", run_id, {"operation": rows[0]["operation"], "see": "above"}, [])
    seen.add(run_id)
    inputs = _rows(archive, _INPUTS, run_id)
    if rows[0]["operation"] == "propose":
        # What a policy was decided on is the headers of every plate: named, but not followed.
        detail = {**_run_detail(rows[0]), "decided_on": f"{len(inputs)} header runs"}
        return LineageNode("run", run_id, detail, [])
    children = []
    for row in inputs[:MAX_INPUTS]:
        makers = [_run(archive, str(row["made_by"]), seen)] if row["made_by"] else []
        children.append(
            LineageNode("input", str(row["path"]), _detail(row, "path", "made_by"), makers)
        )
    if len(inputs) > MAX_INPUTS:
        children.append(LineageNode("input", f"... and {len(inputs) - MAX_INPUTS} more", {}, []))
    return LineageNode("run", run_id, _run_detail(rows[0]), children)
