"""`cache`: what derived pixels there are, taking them away, bringing them back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ledgerkit.cli.common import (
    Size,
    columns,
    common_options,
    job_progress,
    open_repository,
    print_json,
    size,
)
from ledgerkit.cli.operations import default_workers

if TYPE_CHECKING:
    from ledgerkit.views import FailureView

SHOWN = 50


def _plates(function: Any) -> Any:
    return click.option(
        "--plates", metavar="SELECTION", help="Only these: plate-001,plate-010..020"
    )(function)


def _job_options(function: Any) -> Any:
    function = click.option(
        "--wait", default=60.0, show_default=True, help="Seconds to wait for another writer."
    )(function)
    return click.option(
        "--workers",
        type=click.IntRange(1),
        help="Processes at once; by default one for each processor.",
    )(function)


@click.group()
def cache() -> None:
    """Derived pixels: see what there is, take them away, bring them back.

    \b
    Example:
      ledgerkit cache status
      ledgerkit cache evict --superseded
      ledgerkit cache restore --plates plate-001
    """


@cache.command()
@_plates
@common_options
def status(plates: str | None, path: Path | None, as_json: bool) -> None:
    """Say how large the derived pixels of each run and plate are, which could be evicted, and why.

    \b
    Example:
      ledgerkit cache status --plates plate-001..010
    """
    view = open_repository(path).cache(plates)
    if as_json:
        print_json(view)
        return
    rows = [
        [
            one.plate_id,
            one.run_id,
            "current" if one.current else "not current",
            one.state,
            size(one.present_bytes if one.present_files else one.bytes),
            "evictable" if one.evictable else "not evictable",
            one.why,
        ]
        for one in view.folders[:SHOWN]
    ]
    if rows:
        click.echo(columns(rows, frozenset({4})))
    if len(view.folders) > SHOWN:
        click.echo(f"  ... and {len(view.folders) - SHOWN} more: see --json")
    if len(view.plates) < len(view.folders):
        click.echo("by plate:")
        sums = [
            [one.plate_id, f"{one.folders} folders", size(one.present_bytes)]
            for one in view.plates[:SHOWN]
        ]
        click.echo(columns(sums, frozenset({1, 2})))
        if len(view.plates) > SHOWN:
            click.echo(f"  ... and {len(view.plates) - SHOWN} more: see --json")
    there = sum(1 for one in view.folders if one.present_files)
    click.echo(f"cache: {size(view.present_bytes)} in {there} of {len(view.folders)} folders")


@cache.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@_plates
@click.option("--older-than", type=float, metavar="DAYS", help="Only of runs older than this.")
@click.option(
    "--to",
    type=Size(),
    metavar="SIZE",
    help="Until so much is left: what is not current goes first, then the oldest. 200MB, 1.5G",
)
@click.option("--superseded", is_flag=True, help="Only of runs that are not current.")
@click.option(
    "--unrecoverable",
    is_flag=True,
    help="Without a trial re-run: the pixels may be lost for ever. Needs --reason.",
)
@click.option("--reason", help="Why, kept in the event.")
@_job_options
@common_options
def evict(
    runs: tuple[str, ...], workers: int | None, path: Path | None, as_json: bool, **wanted: Any
) -> int:
    """Take derived pixels away that a re-run, done now, gives byte for byte.

    Every trial is recorded, and the eviction is an event that names the folders. Digests stay in the
    records. Only files that a record lists are removed.

    \b
    Example:
      ledgerkit cache evict --superseded
      ledgerkit cache evict --older-than 365 --to 200GB
      ledgerkit cache evict --plates plate-007 --unrecoverable --reason "the scanner was at fault"
    """
    repository = open_repository(path)
    with job_progress("evict", as_json) as progress:
        view = repository.evict(
            *runs, workers=workers or default_workers(), progress=progress, **wanted
        )
    if as_json:
        print_json(view)
        return 0 if view.sound else 1
    for folder in view.finished:
        click.echo(f"  removed what an earlier eviction had left: {folder}")
    _print_refused(view.refused)
    for name in view.left[:SHOWN]:
        click.echo(f"  left alone, for no record lists it: {name}", err=True)
    click.echo(f"evict: {len(view.folders)} folders, {size(view.bytes)}; {view.seconds:.1f} s")
    return 0 if view.sound else 1


@cache.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@_plates
@_job_options
@common_options
def restore(
    runs: tuple[str, ...],
    plates: str | None,
    workers: int | None,
    wait: float,
    path: Path | None,
    as_json: bool,
) -> int:
    """Make derived pixels that are gone again, and accept them with their recorded digests only.

    Without a run, those of all current runs. Equal pixels in other bytes become a run that supersedes
    the current one.

    \b
    Example:
      ledgerkit cache restore --plates plate-001..010
      ledgerkit cache restore run-20261101-120000Z-0123456789ab
    """
    repository = open_repository(path)
    with job_progress("restore", as_json) as progress:
        view = repository.restore_cache(
            *runs,
            plates=plates,
            workers=workers or default_workers(),
            progress=progress,
            wait=wait,
        )
    if as_json:
        print_json(view)
        return 0 if view.sound else 1
    _print_refused(view.refused)
    for old, new in view.superseded.items():
        click.echo(f"  equal pixels in other bytes: {new} supersedes {old}")
    click.echo(f"restore: {len(view.folders)} folders, {size(view.bytes)}; {view.seconds:.1f} s")
    return 0 if view.sound else 1


def _print_refused(refused: list[FailureView]) -> None:
    for one in refused[:SHOWN]:
        hint = f" ({one.hint})" if one.hint else ""
        click.echo(f"  refused {one.subject}: {one.message}{hint}", err=True)
    if len(refused) > SHOWN:
        click.echo(f"  ... and {len(refused) - SHOWN} more refused", err=True)
