"""`policy`: propose, show, diff, accept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ledgerkit.cli.common import common_options, open_repository, print_json, wait_option
from ledgerkit.cli.operations import Placed
from ledgerkit.findings import writable

SHOWN = 8
MOST = 100


@click.group(cls=Placed)
def policy() -> None:
    """Propose, show, compare and accept the preprocessing policy (phase 2).

    \b
    Example:
      ledgerkit policy propose
      ledgerkit policy show --proposed
      ledgerkit policy diff
      ledgerkit policy accept --by "A. Curator" --reason "..."
    """


@policy.command()
@click.option(
    "--proposed", is_flag=True, help="The newest proposal instead of the policy in force."
)
@common_options
def show(proposed: bool, path: Path | None, as_json: bool) -> None:
    """Print the policy in force, or the newest proposal with the plates that each rule touches.

    With --json it is the document alone, to edit and to give to: ledgerkit policy accept --file.
    The proposal's run also holds rules.json and deciding.json, with the rules of every single plate, and a plot of
    the sizes, megapixels.png.

    \b
    Example:
      ledgerkit policy show --proposed
    """
    repository = open_repository(path)
    document = repository.proposed_policy() if proposed else repository.policy()
    _print(document, as_json)
    if proposed and not as_json:
        for rule in repository.policy_rules():
            plates = rule["plates"]
            more = f" and {len(plates) - SHOWN} more" if len(plates) > SHOWN else ""
            click.echo(f"  {len(plates):6} {rule['rule']}: {rule['says']}")
            click.echo(f"         {', '.join(plates[:SHOWN])}{more}")


@policy.command()
@click.argument("old", default="accepted")
@click.argument("new", default="proposed")
@common_options
def diff(old: str, new: str, path: Path | None, as_json: bool) -> None:
    """Say what differs between two policies: their fields, and what becomes of each plate.

    OLD and NEW are `accepted` (the one in force), `proposed` (the newest proposal), the id of a run
    that proposed or accepted one, or a file. Plates are those of the newest proposal.

    \b
    Example:
      ledgerkit policy diff
      ledgerkit policy diff accepted my-policy.json
    """
    view = open_repository(path).policy_difference(old, new)
    if as_json:
        print_json(view)
        return
    for name, before, after in view.fields:
        click.echo(writable(f"  {name}: {_shown(before)} -> {_shown(after)}"))
    for plate, before, after in view.plates[:MOST]:
        click.echo(f"  {plate}  {before} -> {after}")
    if len(view.plates) > MOST:
        click.echo(f"  ... and {len(view.plates) - MOST} more: see --json")
    click.echo(
        f"policy diff: {len(view.fields)} fields differ; "
        f"{len(view.plates)} of {view.judged} plates are treated otherwise"
    )


@policy.command()
@click.option("--by", required=True, help="Who decides.")
@click.option("--reason", required=True, help="Why.")
@click.option(
    "--file",
    "edited",
    type=click.Path(path_type=Path, exists=True),
    help="An edited policy document instead of the proposal as it is.",
)
@click.option("--proposal", metavar="RUN", help="The run of a proposal; else the newest.")
@wait_option
@common_options
def accept(
    by: str,
    reason: str,
    edited: Path | None,
    proposal: str | None,
    wait: float,
    path: Path | None,
    as_json: bool,
) -> None:
    """Put a proposal into force. It is never edited: another decision is another policy.

    \b
    Example:
      ledgerkit policy accept --by "A. Curator" --reason "keeps every plate at full size"
    """
    _print(open_repository(path, wait).accept_policy(by, reason, edited, proposal), as_json)
    if not as_json:
        click.echo("policy accepted. Next: ledgerkit normalize")


def _print(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    for name, value in document.items():
        click.echo(writable(f"  {name}: {_shown(value)}"))


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)
