"""SQL over the ledgers, purely reading: DuckDB in memory, locked down, over views of the Parquet files.

Three walls keep a statement from writing or reaching out: only statements that read are let
through (an allowed path alone would let `COPY ... TO` overwrite a ledger), file and network access
is confined to the ledger files, and the configuration is locked. Memory and time are bounded, and
nothing is spilled to disk.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledgerkit import layout, schema
from ledgerkit.errors import QueryRefused
from ledgerkit.reading import Tree
from ledgerkit.repository import Archive

if TYPE_CHECKING:
    import duckdb
    import polars as pl
    import pyarrow as pa

LEDGER_FILE = f"{layout.LEDGER}/ledger.json"
_READING = frozenset({"SELECT", "RELATION"})
_EXPLAIN = re.compile(r"^\s*explain\s+(analyze\s+)?(\([^)]*\)\s*)?", re.IGNORECASE)
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """What one statement may use."""

    memory: str = "2GB"
    seconds: float = 300.0
    threads: int = 2


def query(archive: Archive, sql: str, parameters: list[Any] | None = None, limits: Limits | None = None) -> pl.DataFrame:
    """The answer to one reading statement as a polars DataFrame. Raises `QueryRefused`."""
    from ledgerkit.ledger.frame import from_arrow

    return from_arrow(query_arrow(archive, sql, parameters, limits))


def query_arrow(archive: Archive, sql: str, parameters: list[Any] | None = None, limits: Limits | None = None) -> pa.Table:
    """The answer as an Arrow table; asked again when the ledgers were exchanged meanwhile."""
    for _ in range(_ATTEMPTS):
        before = ledger_document(archive.tree)
        try:
            with connect(archive.tree, before, limits or Limits()) as connection:
                found = _execute(connection, sql, parameters, limits or Limits())
        except QueryRefused:
            if ledger_document(archive.tree) == before:
                raise
            continue
        if ledger_document(archive.tree) == before:
            return found
    raise QueryRefused("the ledgers were rebuilt while the query ran, three times over", "Try again when consolidate is done.")


def ledger_document(tree: Tree) -> dict[str, Any] | None:
    """The content of `ledger/ledger.json`; None when there is none of ours."""
    if tree.size(LEDGER_FILE) is None:
        return None
    try:
        document = json.loads(tree.read(LEDGER_FILE, max_bytes=1 << 20))
    except ValueError:
        return None
    return document if isinstance(document, dict) and document.get("schema_version") == "ledger.v1" else None


@contextlib.contextmanager
def connect(tree: Tree, document: dict[str, Any] | None, limits: Limits) -> Iterator[duckdb.DuckDBPyConnection]:
    """A locked in-memory database with a view for each ledger and a `current_` view beside it."""
    import duckdb

    connection = duckdb.connect(":memory:", config={"threads": limits.threads, "memory_limit": limits.memory, "temp_directory": ""})
    try:
        present = _present(tree, document)
        for name in schema.TABLES:
            _create_view(connection, name, present.get(name))
        for name in schema.TABLES:
            if name != "runs" and "run_id" in schema.columns(name):
                connection.execute(f"CREATE VIEW current_{name} AS SELECT * FROM {name} WHERE run_id IN (SELECT run_id FROM runs WHERE current)")
        connection.execute("CREATE VIEW current_runs AS SELECT * FROM runs WHERE current")
        connection.execute("CREATE VIEW current_plates AS SELECT * FROM plates")
        paths = ", ".join(_quoted(path) for path in present.values())
        for setting in (
            f"SET allowed_paths = [{paths}]",
            "SET python_enable_replacements = false",
            "SET autoinstall_known_extensions = false",
            "SET autoload_known_extensions = false",
            "SET enable_external_access = false",
            "SET lock_configuration = true",
        ):
            connection.execute(setting)
        yield connection
    finally:
        connection.close()


def _present(tree: Tree, document: dict[str, Any] | None) -> dict[str, str]:
    """Absolute paths of the ledger files that `ledger.json` lists, by table name."""
    if document is None:
        return {}
    return {name: str(tree.root / layout.LEDGER / f"{name}.parquet") for name in document["tables"] if name in schema.TABLES and tree.size(f"{layout.LEDGER}/{name}.parquet")}


def _create_view(connection: duckdb.DuckDBPyConnection, name: str, path: str | None) -> None:
    if path is not None:
        try:
            connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({_quoted(path)})")
        except Exception as error:
            raise QueryRefused(f"{path} cannot be read: {error}", "Rebuild the ledgers with: ledgerkit consolidate") from error
        return
    empty = schema.arrow_schema(name).empty_table()
    connection.register("_empty", empty)
    connection.execute(f"CREATE TABLE {name} AS SELECT * FROM _empty")
    connection.unregister("_empty")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _execute(connection: duckdb.DuckDBPyConnection, sql: str, parameters: list[Any] | None, limits: Limits) -> pa.Table:
    import duckdb

    refuse_unless_reading(connection, sql)
    began = time.monotonic()
    timer = threading.Timer(limits.seconds, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        relation = connection.sql(sql, params=parameters or None)
        return relation.to_arrow_table()
    except duckdb.InterruptException as error:
        if time.monotonic() - began < limits.seconds:
            raise KeyboardInterrupt from error
        raise QueryRefused(f"the query took longer than {limits.seconds:g} seconds", "Narrow it, or give --timeout SECONDS.") from error
    except duckdb.OutOfMemoryException as error:
        raise QueryRefused(f"the query needs more than {limits.memory} of memory", "Narrow it, or give --memory, as 8GB.") from error
    except duckdb.PermissionException as error:
        raise QueryRefused(f"a query reads the ledgers and nothing else: {_first_line(error)}") from error
    except duckdb.Error as error:
        raise QueryRefused(f"the query failed: {_first_line(error)}", "See tables and columns with: ledgerkit query --schema") from error
    finally:
        timer.cancel()


def refuse_unless_reading(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise `QueryRefused` unless `sql` is exactly one statement that only reads."""
    import duckdb

    try:
        statements = connection.extract_statements(sql)
        kinds = [str(statement.type).rpartition(".")[2] for statement in statements]
        if kinds == ["EXPLAIN"]:
            inner = connection.extract_statements(_EXPLAIN.sub("", sql, count=1))
            kinds = [str(statement.type).rpartition(".")[2] for statement in inner]
    except duckdb.Error as error:
        raise QueryRefused(f"not SQL that DuckDB understands: {_first_line(error)}") from error
    if len(kinds) != 1:
        raise QueryRefused(f"expected one statement, got {len(kinds)}")
    if kinds[0] not in _READING:
        raise QueryRefused(f"a query only reads: {kinds[0]} is not allowed", "Write a SELECT; change the repository with the other commands.")


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:500]


def behind(archive: Archive) -> str | None:
    """Why the ledgers do not say all that the records say, or None when they do.

    Counts folders only; `consolidate --check` compares everything.
    """
    document = ledger_document(archive.tree)
    plates = archive.plate_ids()
    runs = sum(len(archive.run_ids(subject)) for subject in (layout.COLLECTION, *plates))
    if document is None:
        return f"there are no ledgers yet: {len(plates)} plates and {runs} runs are not in them" if plates or runs else None
    new_plates, new_runs = len(plates) - document["manifests"], runs - document["runs"]
    if new_plates or new_runs:
        return f"the ledgers are behind: {new_plates:+d} plates and {new_runs:+d} runs since they were built"
    return None


def describe() -> list[dict[str, str]]:
    """Every table and column with type and description, from the schemas."""
    rows = []
    for name in schema.TABLES:
        for column, kind in schema.columns(name).items():
            rows.append({"table": name, "column": column, "type": kind["x-arrow"] + ("" if not schema.nullable(kind) else ", nullable"), "description": kind["description"]})
    return rows
