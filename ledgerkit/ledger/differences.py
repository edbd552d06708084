"""What differs between the ledgers of two moments of one log, plate by plate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ledgerkit import layout
from ledgerkit.ledger.build import build_frames
from ledgerkit.log import LogIndex
from ledgerkit.repository import Archive
from ledgerkit.views import ChangeView, RunChange

if TYPE_CHECKING:
    import polars as pl

_OF_RUNS = ("headers_run_id", "log_indexes")
"""Columns of `plates` that only name the runs that the changes list anyway."""


def frames_differences(archive: Archive, old: LogIndex, new: LogIndex) -> list[ChangeView]:
    """Changes in the order of plate numbers, the collection last. Raises `LedgerRefused`."""
    before, after = build_frames(archive, old), build_frames(archive, new)
    came = _by_subject(after["runs"].join(before["runs"], on="run_id", how="anti"))
    outdated = _by_subject(_outdated(before["runs"], after["runs"]))
    plates = {row["plate_id"]: row for row in before["plates"].iter_rows(named=True)}
    changes = []
    for row in after["plates"].iter_rows(named=True):
        plate = row["plate_id"]
        known = plates.get(plate)
        changed = {} if known is None else _changed(known, row)
        if known is None or plate in came or plate in outdated or changed:
            changes.append(
                ChangeView(
                    plate, known is None, came.get(plate, []), outdated.get(plate, []), changed
                )
            )
    changes.sort(key=lambda change: (len(change.subject), change.subject))
    if came.keys() | outdated.keys() >= {layout.COLLECTION}:
        changes.append(
            ChangeView(
                layout.COLLECTION,
                False,
                came.get(layout.COLLECTION, []),
                outdated.get(layout.COLLECTION, []),
                {},
            )
        )
    return changes


def _outdated(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Runs that were current and are no more, each with the run that took its place."""
    import polars as pl

    current = after.filter("current").select(
        "plate_id", "operation", "variant", pl.col("run_id").alias("replaced_by")
    )
    return (
        before.filter("current")
        .join(after.filter("current"), on="run_id", how="anti")
        .join(current, on=["plate_id", "operation", "variant"], how="left", nulls_equal=True)
    )


def _by_subject(runs: pl.DataFrame) -> dict[str, list[RunChange]]:
    found: dict[str, list[RunChange]] = {}
    for row in runs.sort("log_index").iter_rows(named=True):
        change = RunChange(
            row["run_id"], row["operation"], row["variant"], row["status"], row.get("replaced_by")
        )
        found.setdefault(row["plate_id"] or layout.COLLECTION, []).append(change)
    return found


def _changed(before: dict[str, Any], after: dict[str, Any]) -> dict[str, list[Any]]:
    """Columns of a plate whose values differ, each with the former and the present value."""
    return {
        name: [
            value if isinstance(value, (int, float, bool, type(None))) else str(value)
            for value in (before[name], after[name])
        ]
        for name in after
        if name not in _OF_RUNS and before[name] != after[name]
    }
