"""Corrections in the ledger `plates`: what later records lay over a manifest, from the rows of runs.

Events are few beside plates, so they are added up one by one, by the rule that plans use too.
A row that was altered before comes out the same when it is altered again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ledgerkit.canonical import parse_json
from ledgerkit.overlay import AMENDABLE, CORRECTIONS, Overlay, laid_over

if TYPE_CHECKING:
    import polars as pl

_SOURCE = {
    "source_path": "path",
    "source_bytes": "bytes",
    "source_sha256": "sha256",
    "source_xxh3_128": "xxh3_128",
    "media_type": "media_type",
}
"""Columns of `plates` and where `artifacts` has them for a source that took another's place."""


def with_corrections(
    plates: pl.DataFrame, runs: pl.DataFrame, artifacts: pl.DataFrame
) -> pl.DataFrame:
    """Plates as corrected, replaced and withdrawn. Raises `InvalidRecord` for an event that says nothing."""
    import polars as pl

    events = runs.filter(
        pl.col("operation").is_in(list(CORRECTIONS)),
        pl.col("status") == "complete",
        pl.col("plate_id").is_not_null(),
    ).sort("log_index")
    if not events.height:
        return plates
    by_plate: dict[str, list[tuple[str, str, dict[str, Any]]]] = {}
    columns = ("plate_id", "operation", "run_id", "parameters")
    for plate, operation, run_id, text in events.select(columns).iter_rows():
        parameters = parse_json(text.encode(), run_id)
        by_plate.setdefault(plate, []).append((operation, run_id, parameters))
    overlays = {plate: laid_over(given) for plate, given in by_plate.items()}
    sources = _replacements(artifacts, {one.replaced_by for one in overlays.values()} - {None})
    touched = plates.filter(pl.col("plate_id").is_in(list(overlays)))
    rows = [_row(row, overlays[row["plate_id"]], sources) for row in touched.iter_rows(named=True)]
    corrected = pl.DataFrame(rows, schema=plates.schema)
    others = plates.join(corrected.select("plate_id"), on="plate_id", how="anti")
    return pl.concat([others, corrected])


def _replacements(artifacts: pl.DataFrame, runs: set[str | None]) -> dict[str, dict[str, Any]]:
    import polars as pl

    found = artifacts.filter(
        pl.col("direction") == "output",
        pl.col("role") == "source",
        pl.col("run_id").is_in(list(runs)),
    )
    return {row["run_id"]: row for row in found.iter_rows(named=True)}


def _row(
    row: dict[str, Any], overlay: Overlay, sources: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    names = (*AMENDABLE, "source_image")
    changed: dict[str, Any] = {name: overlay.fields.get(name, row[name]) for name in names}
    changed |= {"withdrawn": overlay.withdrawn, "withdrawn_reason": overlay.reason}
    if overlay.replaced_by is not None:
        source = sources[overlay.replaced_by]
        changed |= {column: source[name] for column, name in _SOURCE.items()}
    return row | changed


def with_log_indexes(plates: pl.DataFrame, runs: pl.DataFrame) -> pl.DataFrame:
    """`log_indexes`: of the manifest and of every record that altered the row; null where none did."""
    import polars as pl

    altering = runs.filter(
        pl.col("plate_id").is_not_null(),
        pl.col("operation").is_in(list(CORRECTIONS)) & (pl.col("status") == "complete"),
    ).select("plate_id", "log_index")
    headers = plates.select("plate_id", pl.col("headers_run_id").alias("run_id")).join(
        runs.select("run_id", "log_index"), on="run_id"
    )
    found = (
        pl.concat([altering, headers.select("plate_id", "log_index")])
        .group_by("plate_id")
        .agg(pl.col("log_index").alias("later"))
    )
    indexes = pl.concat_list("log_index", pl.col("later")).list.sort()
    return (
        plates.join(found, on="plate_id", how="left", maintain_order="left")
        .with_columns(
            pl.when(pl.col("later").is_not_null())
            .then(indexes)
            .cast(plates.schema["log_indexes"])
            .alias("log_indexes")
        )
        .select(plates.columns)
    )
