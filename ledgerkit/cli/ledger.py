"""Commands on the ledgers: consolidate, query, lineage."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ledgerkit.cli.common import (
    columns,
    common_options,
    note_behind,
    open_repository,
    print_json,
    repository_option,
    wait_option,
)
from ledgerkit.errors import QueryRefused, UsageError
from ledgerkit.findings import writable

if TYPE_CHECKING:
    import pyarrow as pa

    from ledgerkit.query import Limits
    from ledgerkit.repository import Archive
    from ledgerkit.views import AsOfView, LineageNode

FORMATS = ("table", "csv", "json", "jsonl", "parquet", "markdown", "canonical")
MAX_CELL = 60


@click.command()
@click.option(
    "--check",
    is_flag=True,
    help="Compare only: exits with 1 when the ledgers differ from a rebuild.",
)
@click.option("--rebuild", is_flag=True, help="Read every record again, not only what came since.")
@click.option(
    "--at",
    metavar="CHECKPOINT",
    help="The ledgers as they were at a checkpoint (a file, or a number of entries); needs -o.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="With --at: a new folder outside the repository.",
)
@wait_option
@common_options
def consolidate(
    check: bool,
    rebuild: bool,
    at: str | None,
    output: Path | None,
    wait: float,
    path: Path | None,
    as_json: bool,
) -> int:
    """Rebuild the ledgers from manifests and records; the same records give the same bytes.

    What is in the ledgers already is not read again where they are sound; --check and --rebuild
    read everything. A bad record stops the build with its path and the rule it breaks; the former
    ledgers stay.

    \b
    Example:
      ledgerkit consolidate
      ledgerkit consolidate --at last-year.checkpoint -o ledger-of-last-year
    """
    if (at is None) != (output is None) or (at is not None and (check or rebuild)):
        raise UsageError("--at CHECKPOINT and -o FOLDER belong together, and stand alone")
    if at is not None and output is not None:
        _print_as_of(open_repository(path).consolidate_at(at, output), as_json)
        return 0
    view = open_repository(path).consolidate(check=check, rebuild=rebuild, wait=wait)
    if as_json:
        print_json(view)
    else:
        click.echo(
            columns([[name, str(count)] for name, count in view.rows.items()], frozenset({1}))
        )
        state = (
            "as a rebuild would make them"
            if not view.changed
            else f"{'differ in' if check else 'rebuilt:'} {', '.join(view.changed)}"
        )
        click.echo(
            f"ledgers {state}; {view.manifests} manifests and {view.runs} runs read "
            f"in {view.seconds:.2f} s"
        )
        if view.moved_aside:
            click.echo(
                f"files in ledger/ that are not ledgerkit's were moved to {view.moved_aside}"
            )
    return 1 if check and view.changed else 0


def _print_as_of(view: AsOfView, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    click.echo(columns([[name, str(count)] for name, count in view.rows.items()], frozenset({1})))
    click.echo(f"ledgers at {view.log_size} entries of {view.origin} in {view.folder}")


@click.command()
@click.argument("sql", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="Form of the answer.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Write the answer to a file outside the repository.",
)
@click.option(
    "--schema", "show_schema", is_flag=True, help="List all tables and columns with their meaning."
)
@click.option(
    "--at",
    metavar="CHECKPOINT",
    help="Ask the ledgers as they were at a checkpoint: a file, or a number of entries.",
)
@click.option(
    "--prove",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a proof that the records behind the rows are in the log.",
)
@click.option(
    "--sign",
    type=click.Path(path_type=Path),
    metavar="KEYFILE",
    help="With --prove: sign the checkpoint with the key in this file.",
)
@click.option("--memory", default="2GB", show_default=True, help="Memory that the query may use.")
@click.option(
    "--timeout", default=300.0, show_default=True, help="Seconds that the query may take."
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")
@repository_option
def query(
    sql: str | None,
    form: str,
    output: Path | None,
    show_schema: bool,
    at: str | None,
    prove: Path | None,
    sign: Path | None,
    memory: str,
    timeout: float,
    as_json: bool,
    path: Path | None,
) -> None:
    """Ask the ledgers in SQL (DuckDB). Statements that do anything but read are refused.

    Beside every table TABLE with a run there is a view current_TABLE: the newest valid results.
    With --prove the answer needs a column log_index, log_indexes, run_id or plate_id. An aggregate
    itself is proved only by rebuilding the ledgers at the checkpoint.

    \b
    Example:
      ledgerkit query "SELECT plate_id, megapixels FROM plates ORDER BY 2 DESC LIMIT 5"
      ledgerkit query "SELECT plate_id, width, log_index FROM headers" --prove widths.proof
      ledgerkit query --schema
    """
    from ledgerkit.query import Limits, behind, query_arrow
    from ledgerkit.schema import describe

    form = "json" if as_json else form
    if show_schema:
        _print_schema(describe(), form)
        return
    if not sql:
        raise UsageError(
            "no SQL was given",
            'As: ledgerkit query "SELECT count(*) FROM plates", or see: ledgerkit query --schema',
        )
    archive = open_repository(path)._archive
    if output is not None and output.resolve().is_relative_to(archive.root.resolve()):
        raise UsageError(f"{output} lies inside the repository, where queries never write")
    limits = Limits(memory, timeout)
    if sign is not None and prove is None:
        raise UsageError("--sign signs the checkpoint of a proof: give --prove FILE too")
    if at is not None:
        if prove is not None:
            raise UsageError("--prove is of the present ledgers: give it without --at")
        from ledgerkit.asof import query_at

        _write(query_at(archive, at, sql, limits=limits), form, output)
        return
    if prove is not None:
        _write(_proved(archive, sql, limits, prove, sign), form, output)
        return
    _write(query_arrow(archive, sql, limits=limits), form, output)
    reason = behind(archive)
    if reason:
        click.echo(f"Note: {reason}. Rebuild them with: ledgerkit consolidate", err=True)


def _proved(archive: Archive, sql: str, limits: Limits, prove: Path, sign: Path | None) -> pa.Table:
    """The answer, its proof written and what it covers said on standard error."""
    from ledgerkit.answers import prove_answer
    from ledgerkit.proving import refuse_inside, signer_file, write_outside

    refuse_inside(prove)
    table, view = prove_answer(archive, sql, limits, signer_file(sign) if sign else None)
    write_outside(prove, view.text.encode())
    click.echo(
        f"Proof of {view.records} records, found by {', '.join(view.found_by)}, written to {prove}. "
        "It proves that they are in the log; that they give this answer is shown by rebuilding the "
        "ledgers at the checkpoint. Check it with: ledgerkit log verify",
        err=True,
    )
    return table


def _print_schema(rows: list[dict[str, str]], form: str) -> None:
    if form != "table":
        print_json(rows)
        return
    last = ""
    for row in rows:
        if row["table"] != last:
            last = row["table"]
            click.echo(f"\n{last}")
        click.echo(f"  {row['column']:28} {row['type']:26} {row['description']}")


def _write(table: pa.Table, form: str, output: Path | None) -> None:
    try:
        data = _encoded(table, form)
    except (OverflowError, ValueError) as error:
        raise QueryRefused(
            f"a value cannot be written as {form}: {error}", "Turn it into text: column::VARCHAR"
        ) from error
    if output is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        output.write_bytes(data)
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}") from error


def _encoded(table: pa.Table, form: str) -> bytes:
    if form == "canonical":
        from ledgerkit.answers import canonical_answer

        return canonical_answer(table)
    return _parquet(table) if form == "parquet" else _rendered(table, form).encode()


def _parquet(table: pa.Table) -> bytes:
    import io

    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _rendered(table: pa.Table, form: str) -> str:
    names = list(table.column_names)
    rows = [[_plain(value) for value in row.values()] for row in table.to_pylist()]
    if form == "json":
        return _json([dict(zip(names, row, strict=True)) for row in rows], indent=2) + "\n"
    if form == "jsonl":
        return "".join(_json(dict(zip(names, row, strict=True))) + "\n" for row in rows)
    if form == "csv":
        return _csv(names, rows)
    cells = [names, *([_cell(value) for value in row] for row in rows)]
    if form == "markdown":
        lines = [
            "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells
        ]
        return "\n".join([lines[0], "|" + " --- |" * len(names), *lines[1:]]) + "\n"
    widths = [max(len(row[place]) for row in cells) for place in range(len(names))]
    rule = ["-" * width for width in widths]
    count = "1 row" if len(rows) == 1 else f"{len(rows)} rows"
    return columns([names, rule, *cells[1:]], indent="") + f"\n({count})\n"


def _plain(value: Any) -> Any:
    """A value as JSON can hold it: no NaN, bytes as hex digits, times as ISO 8601."""
    import datetime
    import decimal

    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value if isinstance(value, (str, int, type(None))) else str(value)


def _json(value: Any, indent: int | None = None) -> str:
    import json

    return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)


def _csv(names: list[str], rows: list[list[Any]]) -> str:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_json(one) if isinstance(one, (list, dict)) else one for one in row])
    return text.getvalue()


def _cell(value: Any) -> str:
    """One value on one line; what could steer a terminal is shown as it is written in Python."""
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else " ".join(str(value).split())
    text = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 3] + "..."


@click.command()
@click.argument("subject")
@common_options
def lineage(subject: str, path: Path | None, as_json: bool) -> None:
    """Say what a plate, run, tile, segment, cluster or file was made from, by which runs.

    \b
    Example:
      ledgerkit lineage plate-001
    """
    repository = open_repository(path)
    node = repository.lineage(subject)
    if as_json:
        print_json(node)
    else:
        _print_node(node, 0)
    note_behind(repository)


def _print_node(node: LineageNode, depth: int) -> None:
    detail = ", ".join(
        f"{key} {str(value)[:16] if key.endswith('sha256') else value}"
        for key, value in node.detail.items()
    )
    text = writable(f"{node.kind} {node.identifier}" + (f"  ({detail})" if detail else ""))
    click.echo("  " * depth + text)
    for one in node.made_from:
        _print_node(one, depth + 1)
