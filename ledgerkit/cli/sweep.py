"""`sweep`: run, pairs, plots, recommend, report."""

from __future__ import annotations

from pathlib import Path

import click

from ledgerkit.cli.common import common_options, open_repository, print_json
from ledgerkit.cli.operations import Placed


@click.group(cls=Placed)
def sweep() -> None:
    """Try many settings on collections of plates, and find those that hold.

    \b
    Example:
      ledgerkit sweep run --trials 240
      ledgerkit sweep run --collection birds --where "title LIKE '%Warbler%'"
      ledgerkit sweep plots
      ledgerkit consolidate
      ledgerkit sweep recommend -o settings.json
      ledgerkit cluster --settings settings.json
    """


_beside = click.option(
    "--beside",
    multiple=True,
    metavar="REPOSITORY",
    type=click.Path(path_type=Path),
    help="Another repository whose sweeps count too. May be given more than once.",
)


@sweep.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="A new folder. Never written over.",
)
@_beside
@common_options
def report(output: Path, beside: tuple[Path, ...], path: Path | None, as_json: bool) -> None:
    """Write one page about all swept collections, which opens from the disk.

    Leaderboards, the consensus, what to expect of the setting that holds, and its trade-offs.

    \b
    Example:
      ledgerkit sweep report -o sweeps
      ledgerkit sweep report --beside ../birds-of-asia -o sweeps
    """
    view = open_repository(path).sweep_report(
        output, beside=[open_repository(one) for one in beside]
    )
    if as_json:
        print_json(view)
    else:
        click.echo(f"open {view.target}/index.html")


@sweep.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="A new file. Never written over.",
)
@click.option("--collection", help="The best of this collection, not the one that holds in all.")
@_beside
@common_options
def recommend(
    output: Path,
    collection: str | None,
    beside: tuple[Path, ...],
    path: Path | None,
    as_json: bool,
) -> None:
    """Write the setting that holds across collections, for: ledgerkit cluster --settings.

    The file says what it was tried on, how it did there, and by which runs.

    \b
    Example:
      ledgerkit sweep recommend -o settings.json
      ledgerkit sweep recommend --collection birds -o birds.json
    """
    others = [open_repository(one) for one in beside]
    view = open_repository(path).recommend(output, beside=others, collection=collection)
    if as_json:
        print_json(view)
        return
    click.echo(f"{view.kind}: {view.signature}")
    click.echo(
        f"average rank {view.avg_rank:.1f}, worst z {view.worst_z:.2f}, mean z {view.mean_z:.2f}, "
        f"{view.trials} trials in {len(view.collections)} collections"
    )
    click.echo(f"use it with: ledgerkit cluster --settings {view.target}")
