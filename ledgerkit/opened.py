"""The ledger files of one moment, held open, and the views that a query sees of them.

Beside each table with runs in it there is a view `current_...` of the newest valid results. Names
here are those that DuckDB knows; what may be asked of them is the affair of `query`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from ledgerkit import cluster_names, layout, schema
from ledgerkit.errors import LedgerkitError, QueryRefused
from ledgerkit.ledger.document import LEDGER_FILE
from ledgerkit.reading import Tree

if TYPE_CHECKING:
    import duckdb

HANDLES = "/proc/self/fd"
_IN_FORCE = """current AND (variant NOT LIKE 'policy-%' OR starts_with(variant, (
    SELECT 'policy-' || left(sha256, 8) FROM artifacts WHERE direction = 'output' AND role = 'policy'
    ORDER BY run_id DESC LIMIT 1)))"""
"""Current results, and of those that were made under a policy only those of the newest accepted."""
CURRENT_VECTORS = f"""(run_id, plate_id) IN (
    SELECT run_id, plate_id FROM runs WHERE {_IN_FORCE} AND plate_id IS NOT NULL
    UNION ALL
    SELECT derived.run_id, own.plate_id
    FROM (SELECT * FROM runs WHERE {_IN_FORCE} AND plate_id IS NULL) derived
    JOIN artifacts read ON read.run_id = derived.run_id
        AND read.direction = 'input' AND read.role = 'table:embeddings'
    JOIN (SELECT * FROM runs WHERE {_IN_FORCE}) own ON own.run_id = read.made_by)"""
"""Vectors of current runs; of those derived over the collection only what was made of current ones,
so that a plate that is withdrawn, or whose scan was replaced, is not found by its former vector."""
_POINTED_AT = f"""SELECT r.run_id FROM runs r JOIN artifacts a USING (run_id)
    WHERE {_IN_FORCE} AND a.direction = 'input' AND a.role = 'prompts'"""
_SEGMENTS = f"""run_id IN (SELECT run_id FROM runs WHERE {_IN_FORCE}) AND (
    run_id IN ({_POINTED_AT}) OR segment_id NOT IN (
        SELECT segment_id FROM segments WHERE run_id IN ({_POINTED_AT})))"""
"""Regions in force, each once: one that was found and pointed at is the latter's."""


@dataclass(frozen=True, slots=True)
class OpenLedger:
    """A ledger file held open, and where DuckDB finds it."""

    file: BinaryIO
    path: str


def present(
    tree: Tree, document: dict[str, Any] | None, opened: contextlib.ExitStack
) -> dict[str, OpenLedger]:
    """The ledger files that `ledger.json` lists, by table name.

    They are opened here, without following links, and held open. Where the system names open files
    (`/proc/self/fd`), DuckDB gets those names: what is put in their place meanwhile is never read.
    """
    found = {}
    tables: dict[str, Any] = document["tables"] if document else {}
    for name in tables:
        if name not in schema.TABLES:
            continue
        path = f"{layout.LEDGER}/{name}.parquet"
        try:
            file = opened.enter_context(tree.open(path))
        except LedgerkitError as error:
            raise QueryRefused(
                f"{path} is listed in {LEDGER_FILE}, but is no file that can be read: {error}",
                "Rebuild the ledgers with: ledgerkit consolidate",
            ) from error
        size, listed = os.fstat(file.fileno()).st_size, tables[name]["bytes"]
        if size != listed:
            raise QueryRefused(
                f"{path} has {size} bytes, {LEDGER_FILE} lists {listed}",
                "Rebuild the ledgers with: ledgerkit consolidate",
            )
        handle = f"{HANDLES}/{file.fileno()}"
        at = handle if os.path.exists(handle) else str(tree.root / path)
        found[name] = OpenLedger(file, at)
    return found


def create_views(connection: duckdb.DuckDBPyConnection, files: dict[str, OpenLedger]) -> None:
    """A view for each ledger, empty where it has no file, and a `current_` view beside it."""
    for name in schema.TABLES:
        _create_view(connection, name, files[name].path if name in files else None)
    for name in schema.TABLES:
        if name != "runs" and "run_id" in schema.columns(name):
            condition = f"run_id IN (SELECT run_id FROM runs WHERE {_IN_FORCE})"
            condition = {"embeddings": CURRENT_VECTORS, "segments": _SEGMENTS}.get(name, condition)
            connection.execute(
                f"CREATE VIEW current_{name} AS SELECT * FROM {name} WHERE {condition}"
            )
    connection.execute(f"CREATE VIEW current_runs AS SELECT * FROM runs WHERE {_IN_FORCE}")
    columns = {column for column, *_ in connection.execute("DESCRIBE plates").fetchall()}
    at_work = "WHERE NOT withdrawn" if "withdrawn" in columns else ""  # older ledgers lack it
    connection.execute(f"CREATE VIEW current_plates AS SELECT * FROM plates {at_work}")
    connection.execute(f"CREATE VIEW cluster_names AS {cluster_names.VIEW}")


def _create_view(connection: duckdb.DuckDBPyConnection, name: str, path: str | None) -> None:
    connection.register("_empty", schema.arrow_schema(name).empty_table())
    try:
        if path is None:
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM _empty")
        else:
            file = f"read_parquet({quoted(path)})"
            more = "".join(_lacking(connection, name, file)) if schema.later(name) else ""
            connection.execute(f"CREATE VIEW {name} AS SELECT *{more} FROM {file}")
    except Exception as error:
        raise QueryRefused(
            f"{layout.LEDGER}/{name}.parquet cannot be read: {first_line(error)}",
            "Rebuild the ledgers with: ledgerkit consolidate",
        ) from error
    finally:
        connection.unregister("_empty")


def _lacking(connection: duckdb.DuckDBPyConnection, name: str, file: str) -> Iterator[str]:
    """Columns that ledgers built by an older version lack, as SQL: nulls of the type in `_empty`."""
    there, wanted = (
        {column: kind for column, kind, *_ in connection.execute(f"DESCRIBE {given}").fetchall()}
        for given in (f"SELECT * FROM {file}", "_empty")
    )
    for column in schema.later(name):
        if column not in there:
            yield f", NULL::{wanted[column]} AS {column}"


def quoted(text: str) -> str:
    """A string of SQL."""
    return "'" + text.replace("'", "''") + "'"


def first_line(error: Exception) -> str:
    """What DuckDB says first, without its picture of the place."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:500]
