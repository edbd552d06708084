"""Commands on the ledgers: consolidate, query, lineage."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ledgerkit.cli.common import columns, common_options, open_repository, print_json, repository_option
from ledgerkit.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from ledgerkit.views import LineageNode

FORMATS = ("table", "csv", "json", "jsonl", "parquet", "markdown")
MAX_CELL = 60


@click.command()
@click.option("--check", is_flag=True, help="Compare only: exits with 1 when the ledgers differ from a rebuild.")
@click.option("--wait", default=60.0, show_default=True, help="Seconds to wait for another writer.")
@common_options
def consolidate(check: bool, wait: float, path: Path | None, as_json: bool) -> int:
    """Rebuild the ledgers from manifests and records; the same records give the same bytes.

    A bad record stops the build with its path and the rule it breaks; the former ledgers stay.

    \b
    Example:
      ledgerkit consolidate
    """
    view = open_repository(path).consolidate(check=check, wait=wait)
    if as_json:
        print_json(view)
    else:
        click.echo(columns([[name, str(count)] for name, count in view.rows.items()], frozenset({1})))
        state = "as a rebuild would make them" if not view.changed else f"{'differ in' if check else 'rebuilt:'} {', '.join(view.changed)}"
        click.echo(f"ledgers {state}; {view.manifests} manifests and {view.runs} runs read in {view.seconds:.2f} s")
        if view.moved_aside:
            click.echo(f"files in ledger/ that are not ledgerkit's were moved to {view.moved_aside}")
    return 1 if check and view.changed else 0


@click.command()
@click.argument("sql", required=False)
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True, help="Form of the answer.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the answer to a file outside the repository.")
@click.option("--schema", "show_schema", is_flag=True, help="List all tables and columns with their meaning.")
@click.option("--memory", default="2GB", show_default=True, help="Memory that the query may use.")
@click.option("--timeout", default=300.0, show_default=True, help="Seconds that the query may take.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")
@repository_option
def query(sql: str | None, form: str, output: Path | None, show_schema: bool, memory: str, timeout: float, as_json: bool, path: Path | None) -> None:
    """Ask the ledgers in SQL (DuckDB). Statements that do anything but read are refused.

    Beside every table TABLE with a run there is a view current_TABLE: the newest valid results.

    \b
    Example:
      ledgerkit query "SELECT plate_id, megapixels FROM plates ORDER BY 2 DESC LIMIT 5"
      ledgerkit query --schema
    """
    from ledgerkit.query import Limits, describe, query_arrow

    form = "json" if as_json else form
    if show_schema:
        _print_schema(describe(), form)
        return
    if not sql:
        raise UsageError("no SQL was given", 'As: ledgerkit query "SELECT count(*) FROM plates", or see: ledgerkit query --schema')
    archive = open_repository(path)._archive
    table = query_arrow(archive, sql, limits=Limits(memory, timeout))
    if output is not None and output.resolve().is_relative_to(archive.root.resolve()):
        raise UsageError(f"{output} lies inside the repository, where queries never write")
    _write(table, form, output)
    from ledgerkit.query import behind

    reason = behind(archive)
    if reason:
        click.echo(f"Note: {reason}. Rebuild them with: ledgerkit consolidate", err=True)


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
    data = _rendered(table, form)
    if output is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        output.write_bytes(data)


def _rendered(table: pa.Table, form: str) -> bytes:
    import json

    if form == "parquet":
        import io

        import pyarrow.parquet as pq

        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        return buffer.getvalue()
    rows = table.to_pylist()
    if form == "json":
        return (json.dumps(rows, indent=2, ensure_ascii=False, default=str) + "\n").encode()
    if form == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows).encode()
    if form == "csv":
        return _csv(table.column_names, rows)
    cells = [list(table.column_names), *([_cell(value) for value in row.values()] for row in rows)]
    if form == "markdown":
        lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
        return ("\n".join([lines[0], "|" + " --- |" * len(table.column_names), *lines[1:]]) + "\n").encode()
    widths = [max(len(row[place]) for row in cells) for place in range(len(cells[0]))] if cells[0] else []
    rule = [["-" * width for width in widths]]
    return (columns([cells[0], *rule, *cells[1:]], indent="") + f"\n({len(rows)} rows)\n").encode()


def _csv(names: list[str], rows: list[dict[str, Any]]) -> bytes:
    import csv
    import io
    import json

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([json.dumps(value, default=str) if isinstance(value, (list, dict)) else value for value in row.values()] for row in rows)
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else " ".join(str(value).split())
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 3] + "..."


@click.command()
@click.argument("subject")
@common_options
def lineage(subject: str, path: Path | None, as_json: bool) -> None:
    """Say what something was made from, by which runs: a plate, run, tile, segment, cluster or file.

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
    reason = repository.behind()
    if reason:
        click.echo(f"Note: {reason}. Rebuild them with: ledgerkit consolidate", err=True)


def _print_node(node: LineageNode, depth: int) -> None:
    detail = ", ".join(f"{key} {str(value)[:16] if key.endswith('sha256') else value}" for key, value in node.detail.items())
    click.echo(f"{'  ' * depth}{node.kind} {node.identifier}" + (f"  ({detail})" if detail else ""))
    for one in node.made_from:
        _print_node(one, depth + 1)
