"""SQL over the ledgers, purely reading: DuckDB in memory, locked down, over views of Parquet files.

Three walls keep a statement from writing or reaching out: only statements that read are let
through (an allowed path alone would let `COPY ... TO` overwrite a ledger), file and network access
is confined to the ledger files, and the configuration is locked. Memory and time are bounded, and
nothing is spilled to disk.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ledgerkit import cluster_names, layout, schema
from ledgerkit.errors import LedgerkitError, MissingInput, QueryRefused, UsageError
from ledgerkit.ledger.document import LEDGER_FILE, ledger_document
from ledgerkit.merkle import EMPTY_ROOT
from ledgerkit.reading import Tree
from ledgerkit.repository import Archive

if TYPE_CHECKING:
    import duckdb
    import polars as pl
    import pyarrow as pa

_READING = frozenset({"SELECT", "RELATION"})
_EXPLAIN = re.compile(r"^\s*explain\s+(analyze\s+)?(\([^)]*\)\s*)?", re.IGNORECASE)
_MEMORY = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([KMGT]i?B)", re.IGNORECASE)
_IN_FORCE = """current AND (variant NOT LIKE 'policy-%' OR starts_with(variant, (
    SELECT 'policy-' || left(sha256, 8) FROM artifacts WHERE direction = 'output' AND role = 'policy'
    ORDER BY run_id DESC LIMIT 1)))"""
"""Current results, and of those that were made under a policy only those of the newest accepted."""
Answer = TypeVar("Answer")
_ATTEMPTS = 25
_HANDLES = "/proc/self/fd"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one statement may use."""

    memory: str = "2GB"
    seconds: float = 300.0
    threads: int = 2


def query(
    archive: Archive, sql: str, parameters: list[Any] | None = None, limits: Limits | None = None
) -> pl.DataFrame:
    """The answer to one reading statement as a polars DataFrame. Raises `QueryRefused`."""
    from ledgerkit.ledger.frame import from_arrow

    return from_arrow(query_arrow(archive, sql, parameters, limits))


def query_arrow(
    archive: Archive, sql: str, parameters: list[Any] | None = None, limits: Limits | None = None
) -> pa.Table:
    """The answer as an Arrow table; asked again when the ledgers were exchanged meanwhile."""
    return query_tree(archive.tree, sql, parameters, limits)


def query_tree(
    tree: Tree, sql: str, parameters: list[Any] | None = None, limits: Limits | None = None
) -> pa.Table:
    """The same of the ledgers in `ledger/` below any folder."""
    return ask(tree, lambda ledgers: ledgers.table(sql, parameters), limits)


@dataclass(frozen=True, slots=True)
class Ledgers:
    """The ledgers of one moment, held open: several statements see the same rows."""

    connection: duckdb.DuckDBPyConnection
    document: dict[str, Any] | None
    """Their `ledger.json`; None where there are none."""
    limits: Limits

    def table(self, sql: str, parameters: list[Any] | None = None) -> pa.Table:
        """The answer to one reading statement. Raises `QueryRefused`."""
        return _execute(self.connection, sql, parameters, self.limits)

    def batches(
        self, sql: str, parameters: list[Any] | None, rows: int
    ) -> Iterator[pa.RecordBatch]:
        """The same, about `rows` rows at a time, each batch made when it is asked for.

        What is not asked for yet is not in memory; the time limit holds for all batches together.
        """
        refuse_unless_reading(self.connection, sql)
        with _watched(self.connection, self.limits):
            yield from self.connection.sql(sql, params=parameters or None).to_arrow_reader(rows)


def ask(tree: Tree, question: Callable[[Ledgers], Answer], limits: Limits | None = None) -> Answer:
    """What `question` makes of the ledgers of one moment.

    It is asked again when they were exchanged meanwhile, so it must change nothing.
    """
    given = limits or Limits()
    _bytes(given.memory)
    for _ in range(_ATTEMPTS):
        before = ledger_document(tree)
        try:
            with connect(tree, before, given) as connection:
                found = question(Ledgers(connection, before, given))
        except QueryRefused:
            if ledger_document(tree) == before:
                raise
            continue
        # What was held open while it was read is of one moment, whatever lies in its place now.
        if os.path.exists(_HANDLES) or ledger_document(tree) == before:
            return found
    raise QueryRefused(
        f"the ledgers were rebuilt while the query ran, {_ATTEMPTS} times over",
        "Try again when consolidate is done.",
    )


@contextlib.contextmanager
def moment(tree: Tree, limits: Limits | None = None) -> Iterator[Ledgers]:
    """The ledgers below a folder for several questions. Raises `MissingInput`, `QueryRefused`."""
    given = limits or Limits()
    with contextlib.ExitStack() as held:
        for attempt in range(_ATTEMPTS):
            document = ledger_document(tree)
            if document is None:
                raise MissingInput("there are no ledgers yet", "Make them: ledgerkit consolidate")
            try:
                connection = held.enter_context(connect(tree, document, given))
                opened = Ledgers(connection, document, given)
                break
            except QueryRefused:
                if attempt == _ATTEMPTS - 1 or ledger_document(tree) == document:
                    raise
        yield opened
        if not os.path.exists(_HANDLES) and ledger_document(tree) != opened.document:
            raise QueryRefused("the ledgers were rebuilt meanwhile", "Try again.")


@contextlib.contextmanager
def connect(
    tree: Tree, document: dict[str, Any] | None, limits: Limits
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A locked in-memory database with a view for each ledger and a `current_` view beside it."""
    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={"threads": limits.threads, "memory_limit": limits.memory, "temp_directory": ""},
    )
    try:
        with contextlib.ExitStack() as opened:
            present = _present(tree, document, opened)
            if ledger_document(tree) != document:
                raise QueryRefused("the ledgers were exchanged while they were opened")
            try:
                _create_views(connection, present)
            except duckdb.Error as error:
                raise QueryRefused(
                    f"the ledgers cannot be read: {_first_line(error)}",
                    "Rebuild the ledgers with: ledgerkit consolidate",
                ) from error
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


def _create_views(connection: duckdb.DuckDBPyConnection, present: dict[str, str]) -> None:
    for name in schema.TABLES:
        _create_view(connection, name, present.get(name))
    for name in schema.TABLES:
        if name != "runs" and "run_id" in schema.columns(name):
            connection.execute(
                f"CREATE VIEW current_{name} AS SELECT * FROM {name} "
                f"WHERE run_id IN (SELECT run_id FROM runs WHERE {_IN_FORCE})"
            )
    connection.execute(f"CREATE VIEW current_runs AS SELECT * FROM runs WHERE {_IN_FORCE}")
    columns = {column for column, *_ in connection.execute("DESCRIBE plates").fetchall()}
    at_work = "WHERE NOT withdrawn" if "withdrawn" in columns else ""  # older ledgers lack it
    connection.execute(f"CREATE VIEW current_plates AS SELECT * FROM plates {at_work}")
    connection.execute(f"CREATE VIEW cluster_names AS {cluster_names.VIEW}")


def _present(
    tree: Tree, document: dict[str, Any] | None, opened: contextlib.ExitStack
) -> dict[str, str]:
    """Where DuckDB finds the ledger files that `ledger.json` lists, by table name.

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
        handle = f"{_HANDLES}/{file.fileno()}"
        found[name] = handle if os.path.exists(handle) else str(tree.root / path)
    return found


def _create_view(connection: duckdb.DuckDBPyConnection, name: str, path: str | None) -> None:
    if path is not None:
        try:
            connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({_quoted(path)})")
        except Exception as error:
            raise QueryRefused(
                f"{layout.LEDGER}/{name}.parquet cannot be read: {_first_line(error)}",
                "Rebuild the ledgers with: ledgerkit consolidate",
            ) from error
        return
    empty = schema.arrow_schema(name).empty_table()
    connection.register("_empty", empty)
    connection.execute(f"CREATE TABLE {name} AS SELECT * FROM _empty")
    connection.unregister("_empty")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _execute(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: list[Any] | None, limits: Limits
) -> pa.Table:
    refuse_unless_reading(connection, sql)
    with _watched(connection, limits):
        relation = connection.sql(sql, params=parameters or None)
        return _fetch(relation, limits.memory, _bytes(limits.memory))


@contextlib.contextmanager
def _watched(connection: duckdb.DuckDBPyConnection, limits: Limits) -> Iterator[None]:
    """Interrupts a statement at its time limit; what DuckDB raises becomes `QueryRefused`."""
    import duckdb

    began = time.monotonic()
    timer = threading.Timer(limits.seconds, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    except duckdb.InterruptException as error:
        raise _interrupted(began, limits) from error
    except duckdb.OutOfMemoryException as error:
        raise _too_large(limits.memory) from error
    except duckdb.PermissionException as error:
        raise QueryRefused(
            f"a query reads the ledgers and nothing else: {_first_line(error)}"
        ) from error
    except (duckdb.Error, RuntimeError) as error:
        raise QueryRefused(
            f"the query failed: {_first_line(error)}",
            "See tables and columns with: ledgerkit query --schema",
        ) from error
    except OSError as error:  # what DuckDB raises while Arrow fetches from it
        if "INTERRUPT" in str(error):
            raise _interrupted(began, limits) from error
        if "Out of Memory" in str(error):
            raise _too_large(limits.memory) from error
        raise QueryRefused(f"the query failed: {_first_line(error)}") from error
    finally:
        timer.cancel()


def _fetch(relation: duckdb.DuckDBPyRelation, memory: str, limit: int) -> pa.Table:
    """All rows, batch after batch: the answer itself is no part of what DuckDB limits."""
    import pyarrow as pa

    reader = relation.to_arrow_reader(1 << 16)
    batches, size = [], 0
    for batch in reader:
        size += batch.nbytes
        if size > limit:
            raise _too_large(memory)
        batches.append(batch)
    table = pa.Table.from_batches(batches, reader.schema)
    return table.rename_columns(_distinct(table.column_names))


def _distinct(names: list[str]) -> list[str]:
    """Column names as given, those that stand twice with `_1`, `_2` behind."""
    found: list[str] = []
    for name in names:
        wanted, number = name, 0
        while wanted in found or (number and wanted in names):
            number += 1
            wanted = f"{name}_{number}"
        found.append(wanted)
    return found


def _bytes(memory: str) -> int:
    """A memory limit as DuckDB reads it, in bytes."""
    units = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
    units |= {"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}
    match = _MEMORY.fullmatch(memory)
    if match is None:
        raise UsageError(f"not an amount of memory: {memory!r}", "Write it like 500MB or 2GB.")
    return int(float(match[1]) * units[match[2].upper()])


def _too_large(memory: str) -> QueryRefused:
    return QueryRefused(
        f"the query needs more than {memory} of memory", "Narrow it, or give --memory, as 8GB."
    )


def _interrupted(began: float, limits: Limits) -> BaseException:
    if time.monotonic() - began < limits.seconds:
        return KeyboardInterrupt()
    return QueryRefused(
        f"the query took longer than {limits.seconds:g} seconds",
        "Narrow it, or give --timeout SECONDS.",
    )


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
    if kinds[0] == "MULTI":
        raise QueryRefused(
            "a PIVOT that has to look for its columns is more than one statement",
            "Name them: PIVOT ... ON column IN (value, value)",
        )
    if kinds[0] not in _READING:
        raise QueryRefused(
            f"a query only reads: {kinds[0]} is not allowed",
            "Write a SELECT; change the repository with the other commands.",
        )


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:500]


def behind(archive: Archive) -> str | None:
    """Why the ledgers do not say all that the log has, or None when they do.

    Compares the checkpoints only; `consolidate --check` compares everything.
    """
    document = ledger_document(archive.tree)
    head = archive.log.checkpoint()
    if document is None:
        plates = len(archive.plate_ids())
        return f"there are no ledgers yet: {plates} plates are not in them" if plates else None
    size = head.size if head else 0
    if document["log_size"] != size:
        return f"the ledgers are behind: {size - (document['log_size'] or 0):+d} entries of the log since they were built"
    root = base64.b64encode(head.root if head else EMPTY_ROOT).decode()
    return None if document["log_root"] == root else "the ledgers are those of another log"
