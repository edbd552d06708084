"""`sweep`: run, pairs, plots, recommend, report, judge, weigh."""

from __future__ import annotations

from pathlib import Path

import click

from ledgerkit.cli.common import (
    beside_option,
    columns,
    common_options,
    decimals,
    note_behind,
    note_missing,
    open_all,
    open_repository,
    output_option,
    print_json,
    said_sweeps,
)
from ledgerkit.cli.operations import Placed
from ledgerkit.findings import writable
from ledgerkit.sweeping.reweighing import LOGISTIC, METHODS


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


@sweep.command()
@output_option("folder")
@beside_option
@common_options
def report(output: Path, beside: tuple[Path, ...], path: Path | None, as_json: bool) -> None:
    """Write one page about all swept collections, which opens from the disk.

    Leaderboards, the consensus, what to expect of the setting that holds, and its trade-offs.

    \b
    Example:
      ledgerkit sweep report -o sweeps
      ledgerkit sweep report --beside ../birds-of-asia -o sweeps
    """
    repository, others = open_repository(path), open_all(beside)
    view = repository.sweep_report(output, beside=others)
    if as_json:
        print_json(view)
    else:
        click.echo(said_sweeps(view))
    for figure, why in view.figures_missing.items():
        click.echo(f"figure {figure} is left out: {writable(why)}", err=True)
    note_missing(view.missing)
    for one in (repository, *others):
        note_behind(one)


@sweep.command()
@output_option("file")
@click.option("--collection", help="The best of this collection, not the one that holds in all.")
@beside_option
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
    repository, others = open_repository(path), open_all(beside)
    view = repository.recommend(output, beside=others, collection=collection)
    for one in (repository, *others):
        note_behind(one)
    if as_json:
        print_json(view)
        return
    click.echo(f"{view.kind}: {view.signature}")
    click.echo(
        f"average rank {view.avg_rank:.1f}, worst z {view.worst_z:.2f}, mean z {view.mean_z:.2f}, "
        f"{view.trials} trials in {len(view.collections)} collections"
    )
    if view.ranked_down:
        click.echo(
            f"ranked down in {view.ranked_down} collections, as all others in as many or more: it holds "
            "badly there"
        )
    of = "" if view.of == "plates" else f" --of {view.of}"
    click.echo(f"use it with: ledgerkit cluster{of} --settings {view.target}")


_of = click.option("--collection", default="", help="Whose pairs [default: those chosen last].")
_said_by = click.option("--by", help="One person's answers alone [default: what most persons say].")


@sweep.command()
@_of
@_said_by
@click.option(
    "--top", type=click.IntRange(1), default=20, show_default=True, help="Trials that are listed."
)
@common_options
def judge(collection: str, by: str | None, top: int, path: Path | None, as_json: bool) -> None:
    """Hold every trial against what people said of pairs: precision, recall, Matthews correlation.

    A trial says that two belong together where it has them in one cluster; what is in no cluster is
    with nobody. Answers that are unsure, and ties, are counted and left out.

    \b
    Example:
      ledgerkit sweep judge
      ledgerkit sweep judge --collection birds --by "A. Curator"
    """
    view = open_repository(path).judge(collection, by=by)
    if as_json:
        print_json(view)
        return
    click.echo(
        f"{writable(view.collection)}: {view.judged} pairs decided, {view.unsure} left open, by "
        f"{writable(', '.join(view.persons))}"
    )
    head = ["Matthews", "precision", "recall", "outside", "rank", "trial"]
    rows = [
        [
            *map(decimals, (one.matthews, one.precision, one.recall)),
            str(one.outside),
            str(one.rank or "-"),
            f"{one.trial} {one.signature}",
        ]
        for one in view.trials[:top]
    ]
    click.echo(columns([head, *rows], frozenset(range(5))))


@sweep.command()
@output_option("file")
@_of
@_said_by
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default=LOGISTIC,
    show_default=True,
    help="Regression on comparisons of trials, or on a strength of each.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=1337,
    show_default=True,
    help="Seed of the resampled pairs.",
)
@common_options
def weigh(
    output: Path,
    collection: str,
    by: str | None,
    method: str,
    seed: int,
    path: Path | None,
    as_json: bool,
) -> None:
    """Write weights of the composite by which trials come first that people agree with.

    With each weight stands its interval (95 %), from resampled pairs. The weights of sweeps stay as
    they are; the file says what these would change. Too few answers are refused.

    \b
    Example:
      ledgerkit sweep weigh -o weights.json
      ledgerkit sweep weigh --method bradley-terry -o weights.json
    """
    view = open_repository(path).weigh(
        output, collection=collection, by=by, method=method, seed=seed
    )
    if as_json:
        print_json(view)
        return
    rows = [["term", "default", "weight", "from", "to"]]
    for one in view.terms:
        rows.append([one.name, *(f"{x:.2f}" for x in (one.default, one.weight, one.low, one.high))])
    click.echo(columns(rows, frozenset({1, 2, 3, 4})))
    for name, why in view.left_out.items():
        click.echo(f"  {name} keeps its weight: {why}")
    click.echo(
        f"{view.decisive} answers tell trials apart; of the comparisons by answers that were held "
        f"out {decimals(view.held_out)} are ordered rightly, by the default weights "
        f"{decimals(view.held_out_default)}"
    )
    click.echo(f"first: trial {view.first}; by the default weights trial {view.first_default}")
    click.echo(f"use them with: ledgerkit sweep run --weights {view.target}")
