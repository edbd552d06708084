"""After a crash or a damage: recover, quarantine, compare with a replica, restore from one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ledgerkit.cli.common import common_options, open_repository, print_json, size
from ledgerkit.findings import writable

if TYPE_CHECKING:
    from ledgerkit.views import ActionView


@click.command()
@click.option("--dry-run", is_flag=True, help="List what would be done; nothing is written.")
@click.option(
    "--set-aside-tail",
    is_flag=True,
    help="Keep log/checkpoint as it is, though entries beyond it are true.",
)
@click.option("--wait", default=60.0, show_default=True, help="Seconds to wait for another writer.")
@common_options
def recover(
    dry_run: bool, set_aside_tail: bool, wait: float, path: Path | None, as_json: bool
) -> None:
    """Finish or set aside what a crash left, and put on record what was done.

    What a flushed commit promised is finished. Everything else that no commit accounts for is moved
    to .ledgerkit/aside/ under its own path; nothing is deleted. Running commands are left alone.

    \b
    Example:
      ledgerkit recover --dry-run
      ledgerkit recover
    """
    view = open_repository(path).recover(dry_run=dry_run, set_aside_tail=set_aside_tail, wait=wait)
    if as_json:
        print_json(view)
        return
    if not view.actions:
        click.echo("Nothing to recover.")
        return
    for action in view.actions:
        _print_action(action)
    if view.dry_run:
        click.echo("Nothing was written. Do it with: ledgerkit recover")
    else:
        click.echo(f"Recorded as {', '.join(view.run_ids)}. Next: ledgerkit verify")


def _print_action(action: ActionView) -> None:
    moved = f" -> {action.moved_to}" if action.moved_to else ""
    path = action.path or "(replica)"
    click.echo(writable(f"  {action.what}: {path} ({size(action.bytes)}){moved}"))
    click.echo(writable(f"    {action.why}"))
