"""`name`, `names`, `describe-by-model`: what clusters are called, by whom, and what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ledgerkit.cli.common import common_options, counting, note_behind, open_repository, print_json
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
    note_behind(repository)


@click.command("describe-by-model")
@click.option("--endpoint", required=True, help="Where the model is served, up to /v1.")
@click.option("--model", required=True, help="Name of the model there.")
@click.option(
    "--of",
    type=click.Choice(("plates", "tiles", "segments")),
    default="plates",
    show_default=True,
    help="What was grouped.",
)
@click.option("--min-size", default=3, show_default=True, help="Least members of a cluster.")
@click.option("--sample", default=20, show_default=True, help="Most members that are quoted.")
@click.option("--seed", default=1337, show_default=True, help="Seed of the sample.")
@click.option("--pictures", is_flag=True, help="Show contact sheets instead of quoting titles.")
@click.option("--again", is_flag=True, help="Also those that a model described before.")
@click.option("--wait", default=60.0, show_default=True, help="Seconds to wait for another writer.")
@common_options
def describe_by_model(
    endpoint: str, model: str, path: Path | None, as_json: bool, wait: float, **wanted: Any
) -> int:
    """Let a language model describe the clusters of the newest clustering, largest first.

    Any endpoint that speaks OpenAI's chat protocol will do, one on this machine too. Titles and
    labels of members are sent to it, or contact sheets with --pictures. A key is read from the
    environment variable LEDGERKIT_CHAT_KEY and never kept. Questions and answers are kept as they
    were. Given again, the command goes on where it stopped.

    \b
    Example:
      ledgerkit describe-by-model --endpoint http://localhost:8080/v1 --model qwen3
    """
    with counting("describe", as_json) as progress:
        view = open_repository(path).describe_by_model(
            endpoint, model, wait=wait, progress=progress, **wanted
        )
    if as_json:
        print_json(view)
        return 1 if view.errors else 0
    for error in view.errors:
        click.echo(f"  {error.subject}: {writable(error.message)}", err=True)
    before = f", {view.present} described before" if view.present else ""
    click.echo(
        f"Described: {len(view.described)}  Skipped: {view.skipped}  Errors: {len(view.errors)}{before}"
    )
    if view.left:
        hint = view.errors[-1].hint
        click.echo(f"Stopped: {view.left} clusters were not asked about. {hint or ''}", err=True)
    if view.described:
        click.echo("Next: ledgerkit consolidate")
    return 1 if view.errors else 0


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
