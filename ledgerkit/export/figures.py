"""`export figures`: the pictures of the current runs in a folder, with an index for other tools.

The index has the columns of workflow W0 (stage, plot_id, title, path, tags, is_core) and what says
how a picture is read and where it is from. `stage` is the operation that drew it.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledgerkit.errors import MissingInput
from ledgerkit.export.ledgers import ledgers_at
from ledgerkit.export.spreadsheet import csv_table
from ledgerkit.export.target import new_folder, put, put_json, refuse
from ledgerkit.query import Limits
from ledgerkit.repository import Archive
from ledgerkit.views import FiguresView

if TYPE_CHECKING:
    import pyarrow as pa

TABLES = ("artifacts", "figures", "runs")
INDEX = "viz_index"
_FIGURES = """
SELECT r.operation AS stage, f.figure_id AS plot_id, f.title,
       r.operation || '/' || f.run_id || '/' || f.file AS path, f.tags, f.is_core,
       f.interpretation, f.warning_signs, f.media_type, f.width, f.height, f.sha256, f.run_id,
       r.variant, r.plate_id, a.path AS stored_path
FROM current_figures f JOIN runs r USING (run_id) JOIN artifacts a ON a.run_id = f.run_id
  AND a.direction = 'output' AND a.sha256 = f.sha256 AND ends_with(a.path, '/outputs/' || f.file)
WHERE (? IS NULL OR list_contains(?::VARCHAR[], r.operation)) AND (f.is_core OR NOT ?)
ORDER BY stage, length(r.plate_id) NULLS FIRST, r.plate_id NULLS FIRST, f.run_id, plot_id"""


def export_figures(
    archive: Archive,
    target: Path,
    *,
    made_by: Sequence[str] | None = None,
    core: bool = False,
    at: str | None = None,
    limits: Limits | None = None,
) -> FiguresView:
    """Copy the current figures into a new folder, each at `operation/run/file`, with `viz_index`.

    `made_by` names operations, `core` leaves out all but core figures; `at` is a checkpoint, as in
    `export_segments`. Every picture is compared with its digest. Raises `UsageError`,
    `MissingInput` without ledgers or figures, `DigestMismatch`, `CommitFailed`; nothing is left
    behind then.
    """
    refuse(target)
    chosen = None if made_by is None else list(made_by)
    with ledgers_at(archive, at, limits, TABLES) as (ledgers, found):
        table = ledgers.table(_FIGURES, [chosen, chosen, core])
        if not table.num_rows:
            raise MissingInput(
                "there is no such current figure",
                "Make some: ledgerkit plots, then: ledgerkit consolidate",
            )
        with new_folder(target) as folder:
            files = []
            for row in table.select(["path", "sha256", "stored_path"]).to_pylist():
                data = archive.tree.read_checked(row["stored_path"], row["sha256"])
                files.append(put(folder, row["path"], data))
            files.append(put(folder, f"{INDEX}.csv", _csv(table)))
            files.append(put(folder, f"{INDEX}.parquet", _parquet(table)))
            selection = {"made_by": "all" if chosen is None else chosen, "core": core}
            told = {"ledgerkit": found.document(selection), "files": files}
            listing = put_json(folder, "export.json", told)
    return FiguresView(
        str(target),
        table.num_rows,
        len(table["run_id"].unique()),
        sum(one["bytes"] for one in [*files, listing]),
        listing["sha256"],
        found.origin,
        found.log_size,
        found.log_root,
        found.ledger_sha256,
    )


def _csv(table: pa.Table) -> bytes:
    """The index as CSV with a header; tags joined by semicolons, true and false in lower case."""
    rows = table.to_pylist()
    return csv_table(table.column_names, ({name: _cell(row[name]) for name in row} for row in rows))


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return ";".join(value) if isinstance(value, list) else value


def _parquet(table: pa.Table) -> bytes:
    import pyarrow.parquet as pq

    output = io.BytesIO()
    pq.write_table(table, output, compression="zstd")
    return output.getvalue()
