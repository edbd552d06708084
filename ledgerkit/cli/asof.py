"""`diff`: what came between two checkpoints."""

from __future__ import annotations

from pathlib import Path

import click

from ledgerkit.cli.common import common_options, open_repository, print_json
from ledgerkit.views import ChangeView


@click.command()
@click.argument("old")
@click.argument("new", default="now")
@common_options
def diff(old: str, new: str, path: Path | None, as_json: bool) -> None:
    """Say what came between two checkpoints, plate by plate, and what is no longer current.

    OLD and NEW are checkpoint files or numbers of entries of the log; NEW is today without one.

    \b
    Example:
      ledgerkit diff last-year.checkpoint
      ledgerkit diff 435 870
    """
    view = open_repository(path).diff(old, new)
    if as_json:
        print_json(view)
        return
    for change in view.changes:
        _print(change)
    click.echo(
        f"{len(view.changes)} subjects changed between {view.old_size} and {view.new_size} entries of the log"
    )


def _print(change: ChangeView) -> None:
    click.echo(f"{change.subject}{': new' if change.new else ''}")
    for name, (before, after) in change.changed.items():
        click.echo(f"  {name}: {before} -> {after}")
    for run in change.came:
        click.echo(f"  + {run.operation} {run.run_id} {run.status} ({run.variant})")
    for run in change.no_longer_current:
        instead = f", now {run.replaced_by}" if run.replaced_by else ""
        click.echo(f"  - {run.operation} {run.run_id} no longer current{instead}")
