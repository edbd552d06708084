"""`name` and `names`: what clusters are called, by whom, and what became of a name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ledgerkit.cli.common import common_options, open_repository, print_json
from ledgerkit.errors import UsageError
from ledgerkit.findings import writable
from ledgerkit.naming import NamesView, Naming


@click.command()
@click.argument("cluster", required=False)
@click.option("--name", "called", help="What the cluster is called.")
@click.option("--description", default="", help="What its members have in common.")
@click.option("--representative", help="The member that stands for it [default: the medoid].")
@click.option("--clear", is_flag=True, help="Take back what was said of it before.")
@click.option(
    "--from",
    "from_file",
    type=click.Path(path_type=Path),
    help="Names of many: CSV or JSON with cluster, name, description, representative.",
)
@click.option("--by", required=True, help="Who names it.")
@click.option("--reason", default="", help="Why.")
@click.option("--wait", default=60.0, show_default=True, help="Seconds to wait for another writer.")
@common_options
def name(
    cluster: str | None,
    called: str | None,
    description: str,
    representative: str | None,
    clear: bool,
    from_file: Path | None,
    by: str,
    reason: str,
    wait: float,
    path: Path | None,
    as_json: bool,
) -> None:
    """Name CLUSTER, an id or L1_0 for level and label in the newest clustering.

    A person's name wins over a model's and the rule's. It stays with the same cluster for ever, and
    goes with the cluster of a later run that has more than half of all members in common with it;
    `ledgerkit names` says which, and what became of the others.

    \b
    Example:
      ledgerkit name L1_0 --name "Herons and egrets" --by "A. Curator"
      ledgerkit name --from names.csv --by "A. Curator" --reason "agreed in the meeting of 3 May"
    """
    given: Any = from_file
    if from_file is None:
        if cluster is None or (called is None) != clear:
            raise UsageError(
                "a cluster and its name are needed",
                "Give CLUSTER --name NAME, or --clear, or --from.",
            )
        given = {cluster: Naming(called or "", description, representative)}
    elif cluster or called or clear:
        raise UsageError("names come from the file or from options, not from both")
    view = open_repository(path).name(given, by=by, reason=reason, wait=wait)
    if as_json:
        print_json(view)
        return
    unchanged = f", {len(view.unchanged)} left as they were" if view.unchanged else ""
    click.echo(f"name: {len(view.named)} clusters named{unchanged}")
    if view.named:
        click.echo("Next: ledgerkit consolidate")


@click.command()
@common_options
def names(path: Path | None, as_json: bool) -> None:
    """List the name of every current cluster, where it is from, and names that were lost.

    \b
    Example:
      ledgerkit names
    """
    repository = open_repository(path)
    view = repository.names()
    if as_json:
        print_json(view)
    else:
        _print(view)
    reason = repository.behind()
    if reason:
        click.echo(f"Note: {reason}. Rebuild them with: ledgerkit consolidate", err=True)


def _print(view: NamesView) -> None:
    run_id = None
    for one in view.names:
        if one["run_id"] != run_id:
            run_id = one["run_id"]
            click.echo(f"{run_id}:")
        told = one["source"] or "no name yet: ledgerkit describe"
        if one["overlap"] is not None and one["overlap"] < 1:
            told += f", of {one['named_as']}, overlap {one['overlap']:.2f}"
        if one["named_by"]:
            told += f", {one['named_by']}"
        place = f"L{one['level']}_{one['label']}"
        called = writable(one["name"] or "")
        click.echo(f"  {place:7} {one['size']:6} {one['cluster_id']} {called} ({writable(told)})")
    if not view.names:
        click.echo("There are no clusters in the ledgers: ledgerkit cluster, ledgerkit consolidate")
    for lost in view.lost:
        where = ", ".join(f"{count} in {cluster}" for cluster, count in lost.now[:5])
        click.echo(
            f"Not carried: {writable(lost.name)} ({lost.cluster_id}, {lost.size} members, "
            f"{writable(lost.named_by)}): {lost.kind}{': ' if where else ''}{where}"
        )
