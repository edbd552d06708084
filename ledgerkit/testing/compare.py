"""Two repositories that did the same work, made comparable: their tables without what must differ.

Run ids become the task ids they stand for, wherever they occur; job ids, log indexes, times and
resources are left out, and so are digests and sizes of records that hold them. What is left must
agree after a crash and a resume, or when the same work is done on another machine.
"""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ledgerkit import layout, schema
from ledgerkit.canonical import canonical_bytes
from ledgerkit.ledger.build import build
from ledgerkit.repository import Archive

Rows = list[dict[str, Any]]
_RUN_ID = re.compile(layout.RUN_ID.pattern.replace("([", "(?:["), re.ASCII)
_LEFT_OUT = frozenset({
    "job_id", "log_index", "log_indexes", "seconds", "cpu_seconds", "peak_rss_bytes",
    "record_sha256",
})  # fmt: skip


def comparable(repository_root: Path | str) -> dict[str, Rows]:
    """Rows of every ledger table as a rebuild would make them now; nothing is written.

    Rows are sorted by their content, so that the order of run ids does not matter.
    """
    archive = Archive(Path(repository_root))
    files, _ = build(archive, archive.log.index())
    tables = {
        name: pq.read_table(io.BytesIO(files[f"{name}.parquet"])).to_pylist()
        for name in schema.TABLES
    }
    tasks = {run["run_id"]: run["task_id"] for run in tables["runs"]}
    return {name: _comparable_rows(name, rows, tasks) for name, rows in tables.items()}


def _comparable_rows(name: str, rows: Rows, tasks: dict[str, str]) -> Rows:
    times = {
        column for column, kind in schema.columns(name).items() if "timestamp" in kind["x-arrow"]
    }
    kept = [
        {
            column: _with_tasks(value, tasks)
            for column, value in row.items()
            if column not in _LEFT_OUT and column not in times
        }
        for row in rows
    ]
    return sorted(kept, key=canonical_bytes)


def _with_tasks(value: Any, tasks: dict[str, str]) -> Any:
    """`value` with every run id in it, alone or within a path, replaced by its task id."""
    if isinstance(value, str):
        return _RUN_ID.sub(lambda found: f"task-{tasks.get(found[0], 'unknown')}", value)
    if isinstance(value, list):
        return [_with_tasks(item, tasks) for item in value]
    return value
