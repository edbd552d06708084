"""Commands on the archive as a whole: init, ingest, audit, status."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ledgerkit.cli.common import (
    columns,
    common_options,
    counting,
    open_repository,
    print_findings,
    print_json,
    print_stale,
    size,
    wait_option,
)
from ledgerkit.findings import writable

if TYPE_CHECKING:
    from ledgerkit.views import AuditView, Megapixels


@click.command()
@click.argument("path", type=click.Path(path_type=Path), default=".")
@wait_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")
def init(path: Path, wait: float, as_json: bool) -> None:
    """Make a new, empty repository at PATH; an existing one is kept and completed.

    \b
    Example:
      ledgerkit init my-archive
    """
    from ledgerkit.api import Repository

    repository = Repository.init(path, wait=wait)
    if as_json:
        print_json({"root": str(repository.root), "plates": len(repository.plates())})
        return
    click.echo(f"Repository at {repository.root}")
    click.echo("Next: ledgerkit ingest --catalogue data.json --images scans/")


@click.command()
@click.option(
    "--catalogue",
    required=True,
    type=click.Path(path_type=Path),
    help="JSON list or CSV with plate, name, slug, fileName, download.",
)
@click.option(
    "--images",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder with the files that the catalogue names.",
)
@click.option("--partial", is_flag=True, help="Take what is good and leave out what has errors.")
@wait_option
@common_options
def ingest(
    catalogue: Path, images: Path, partial: bool, wait: float, path: Path | None, as_json: bool
) -> int:
    """Take in new plates from a catalogue and a folder of images.

    Files are copied, never linked, and digested while they are copied. Errors stop the ingest
    unless --partial; warnings do not. Giving it again adds only what is new.

    \b
    Example:
      ledgerkit ingest --catalogue data.json --images scans/
    """
    from ledgerkit.ingest import IngestRefused

    repository = open_repository(path, wait)
    try:
        with counting("ingest", as_json) as progress:
            view = repository.ingest(catalogue, images, partial=partial, progress=progress)
    except IngestRefused as refused:
        if as_json:
            print_json({"error": refused.message, "findings": refused.findings})
            return refused.exit_code
        print_findings(refused.findings)
        raise
    if as_json:
        print_json(view)
        return 0
    print_findings(view.findings)
    rate = view.bytes / view.seconds if view.seconds else 0
    click.echo(
        f"{len(view.added)} plates added, {view.present} were there, {view.left_out} left out; "
        f"{size(view.bytes)} in {view.seconds:.1f} s ({size(round(rate))}/s)"
    )
    return 0


@click.command()
@common_options
def audit(path: Path | None, as_json: bool) -> int:
    """Report on everything, read-only and header-only: nothing is ever written.

    Exits with 0 when the repository is sound (warnings included), with 1 when there are errors.

    \b
    Example:
      ledgerkit audit --json > audit.json
    """
    repository = open_repository(path)
    with counting("audit", as_json) as progress:
        view = repository.audit(progress)
    if as_json:
        print_json(view)
    else:
        _print_audit(view)
    return 0 if view.sound else 1


def _print_audit(view: AuditView) -> None:
    click.echo(f"Audit of {view.root}\n\n[1] Top level")
    click.echo(f"  folders: {', '.join(view.top_level_folders) or 'none'}")
    click.echo(f"  files: {', '.join(view.top_level_files) or 'none'}")
    click.echo("\n[2] Plate inventory")
    inventory = [
        ("plates", view.plates),
        ("missing manifests", view.missing_manifests),
        ("missing or several sources", view.source_issues),
        ("plates with runs", view.plates_with_runs),
        ("runs on plates", view.plate_runs),
        ("runs on the collection", view.collection_runs),
    ]
    click.echo(_counts(inventory))
    for name, counts in view.runs_by_operation.items():
        listed = ", ".join(f"{count} {status}" for status, count in counts.items())
        click.echo(f"    {name}: {listed}")
    click.echo(f"\n[3] Manifest fields (present in / of {view.plates})")
    coverage = [
        [writable(name), f"{count}/{view.plates}"] for name, count in view.field_coverage.items()
    ]
    click.echo(columns(coverage) or "  none")
    _print_headers(view.megapixels)
    click.echo("\n[5] Ledgers and schemas")
    ledgers = [
        [
            one["file"],
            f"{(one['bytes'] or 0) / 1024:.1f} KB",
            "" if one["rows"] is None else f"{one['rows']} rows",
        ]
        for one in view.ledgers
    ]
    click.echo(columns(ledgers, frozenset({1, 2})) or "  no ledgers")
    click.echo(f"  schemas: {writable(', '.join(view.schemas)) or 'none'}")
    click.echo("\n[6] Findings")
    print_findings(view.findings, limit=5)
    _print_summary(view)


def _counts(rows: list[tuple[str, int]]) -> str:
    return columns([[name, str(count)] for name, count in rows], frozenset({1}))


def _print_headers(sizes: Megapixels) -> None:
    click.echo("\n[4] Image headers")
    if sizes.minimum is not None and sizes.maximum is not None and sizes.mean is not None:
        click.echo(
            f"  megapixels: min {sizes.minimum:.2f}, max {sizes.maximum:.2f}, mean {sizes.mean:.2f}"
        )
    click.echo(
        f"  readable {sizes.readable}, unreadable {sizes.unreadable}; "
        f"over 90 megapixels (PIL warning risk): {sizes.over_warning_line}"
    )
    for one in sizes.largest[:5]:
        click.echo(f"    {one['megapixels']:.2f}  {one['path']}")


def _print_summary(view: AuditView) -> None:
    severities = [one.severity for one in view.findings]
    click.echo(f"\n[7] Summary: {'sound' if view.sound else 'NOT SOUND'}")
    summary = [
        ("Plates", view.plates),
        ("Total runs", view.plate_runs + view.collection_runs),
        ("Images > 90 MP", view.megapixels.over_warning_line),
        ("Headers unreadable", view.megapixels.unreadable),
        ("Manifests missing", view.missing_manifests),
        ("Source issues", view.source_issues),
        ("Schemas present", len(view.schemas)),
        ("Ledgers present", len(view.ledgers)),
        ("Errors", severities.count("error")),
        ("Warnings", severities.count("warning")),
    ]
    click.echo(_counts(summary))
    click.echo("\nAudit complete. No files written.")


@click.command()
@click.option("--plates", "show_plates", is_flag=True, help="Say how far each single plate is.")
@click.option("--why", is_flag=True, help="Say why results of the collection are stale.")
@common_options
def status(show_plates: bool, why: bool, path: Path | None, as_json: bool) -> None:
    """Say how far each phase is, what failed, what is stale, and what to do next.

    \b
    Example:
      ledgerkit status
    """
    view = open_repository(path).status()
    if as_json:
        print_json(view)
        return
    click.echo(
        f"{view.plates} plates in {view.root}"
        + (f", {view.unsealed} not sealed" if view.unsealed else "")
        + (f", {view.withdrawn} withdrawn" if view.withdrawn else "")
    )
    if view.frozen:
        click.echo(f"Frozen {view.frozen}")
    rows = [["phase", "operation", "done", "failed", "stale", "to do"]]
    rows += [
        [one.phase, one.operation, str(one.done), str(one.failed), str(one.stale), str(one.missing)]
        for one in view.phases
    ]
    click.echo(columns(rows, frozenset({2, 3, 4, 5})))
    click.echo(f"ledgers: {view.ledgers}")
    for failure in view.failures[:20]:
        click.echo(f"  failed {failure.subject}: {writable(failure.message)}")
    if len(view.failures) > 20:
        click.echo(f"  ... and {len(view.failures) - 20} more failures: see --json")
    if view.leftovers:
        click.echo("left over by a crash; finished or set aside by: ledgerkit recover")
    for one in view.leftovers[:20]:
        click.echo(f"  {writable(one)}")
    if len(view.leftovers) > 20:
        click.echo(f"  ... and {len(view.leftovers) - 20} more: ledgerkit recover --dry-run")
    if view.stale:
        told = "" if why else "; why: ledgerkit status --why"
        click.echo(f"stale: {len(view.stale)} results of the collection{told}")
    for run_id, operation, reasons in view.stale if why else ():
        print_stale(run_id, operation, reasons)
    if show_plates:
        click.echo(columns([[plate, reached] for plate, reached in view.by_plate.items()]))
    click.echo("Next:")
    for step in view.next_steps:
        click.echo(f"  {step}")
