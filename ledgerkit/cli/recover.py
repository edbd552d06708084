"""After a crash or a damage: recover, quarantine, compare with a replica, restore from one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ledgerkit.cli.common import common_options, counting, open_repository, print_json, size
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


@click.command()
@click.argument("target", required=False, metavar="[PATH]")
@click.option("--reason", default="", help="Why it is moved.")
@click.option("--by", default="", help="Who moves it.")
@click.option("--list", "listing", is_flag=True, help="Say what lies in quarantine.")
@click.option("--release", "released", metavar="ID", help="Move what lies there as ID back.")
@click.option("--even-if-sound", is_flag=True, help="Also evidence that has its recorded bytes.")
@click.option("--wait", default=60.0, show_default=True, help="Seconds to wait for another writer.")
@common_options
def quarantine(
    target: str | None,
    reason: str,
    by: str,
    listing: bool,
    released: str | None,
    even_if_sound: bool,
    wait: float,
    path: Path | None,
    as_json: bool,
) -> None:
    """Move a damaged or unlisted file out of the way, reversibly, on record.

    PATH is relative to the repository; a folder moves as a whole. It lies then in
    .ledgerkit/quarantine/ID/ under its own path, until --release moves it back, never over a name.
    Evidence that has its recorded bytes stays, unless --even-if-sound. Nothing is ever purged.

    \b
    Example:
      ledgerkit quarantine plates_structured/plate-001/notes.txt --by "A. Curator" --reason "..."
      ledgerkit quarantine --list
      ledgerkit quarantine --release ID --by "A. Curator" --reason "..."
    """
    if sum((target is not None, listing, released is not None)) != 1:
        raise click.UsageError("give one of: PATH, --list, --release ID")
    repository = open_repository(path)
    if listing:
        found = repository.quarantined()
    elif released is not None:
        found = [repository.release(released, reason=reason, by=by, wait=wait)]
    else:
        found = [
            repository.quarantine(
                target or "", reason=reason, by=by, even_if_sound=even_if_sound, wait=wait
            )
        ]
    if as_json:
        print_json(found if listing else found[0])
        return
    for one in found:
        state = " (sound)" if one.sound else ""
        click.echo(writable(f"{one.quarantine_id}: {one.path}{state} ({size(one.bytes)})"))
        click.echo(writable(f"  lies at {one.lies_at}; {one.by}: {one.reason}"))
    if not found:
        click.echo("Nothing lies in quarantine.")


@click.command()
@click.argument("other", type=click.Path(path_type=Path))
@click.option(
    "--depth",
    type=click.Choice(["quick", "full"]),
    default="quick",
    show_default=True,
    help="By names and sizes, or by the SHA-256 of every file.",
)
@common_options
def compare(other: Path, depth: str, path: Path | None, as_json: bool) -> int:
    """Say what differs from a replica at OTHER, and which side the log proves right.

    Read-only on both sides. Exits with 0 when they are equal, with 1 when they differ.

    \b
    Example:
      ledgerkit compare /mnt/replica --depth full
    """
    repository = open_repository(path)
    with counting("compare", as_json) as progress:
        view = repository.compare(other, depth=depth, progress=progress)
    if as_json:
        print_json(view)
        return 0 if view.equal else 1
    click.echo(
        f"logs: {view.log}; entries here {view.entries_here}, there {view.entries_there}, "
        f"in common {view.common_entries}"
    )
    for one in view.differences:
        click.echo(writable(f"  {one.subject}: {one.path} {one.state}; proved: {one.proved}"))
    click.echo(
        f"{'Equal' if view.equal else 'DIFFERENT'}: {view.files} files ({view.depth}), "
        f"{len(view.differences)} differ"
    )
    return 0 if view.equal else 1


@click.command("restore-source")
@click.argument("subjects", nargs=-1, required=True, metavar="PLATE...")
@click.option(
    "--from",
    "replica",
    required=True,
    type=click.Path(path_type=Path),
    help="The replica's root folder.",
)
@click.option("--cache", is_flag=True, help="Derived pixels too.")
@click.option("--by", help="Who does it.")
@click.option("--wait", default=60.0, show_default=True, help="Seconds to wait for another writer.")
@common_options
def restore_source(
    subjects: tuple[str, ...],
    replica: Path,
    cache: bool,
    by: str | None,
    wait: float,
    path: Path | None,
    as_json: bool,
) -> int:
    """Put back from a replica what is missing or damaged, only with its recorded bytes.

    PLATE is a plate id, or the path of a run, a file or a folder. A damaged file is quarantined
    first. Exits with 1 when something could not be restored.

    \b
    Example:
      ledgerkit restore-source plate-001 --from /mnt/replica
    """
    view = open_repository(path).restore_source(
        list(subjects), replica, cache=cache, by=by, wait=wait
    )
    if as_json:
        print_json(view)
        return 0 if view.sound else 1
    for action in (*view.quarantined, *view.restored):
        _print_action(action)
    for failure in view.failures:
        click.echo(writable(f"  not restored {failure.subject}: {failure.message}"))
    click.echo(
        f"{view.checked} files checked, {len(view.quarantined)} quarantined, "
        f"{len(view.restored)} restored, {len(view.failures)} could not be"
    )
    return 0 if view.sound else 1
