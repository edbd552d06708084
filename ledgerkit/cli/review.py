"""`review`: pairs that a sweep leaves open, and what people say of them."""

from __future__ import annotations

from pathlib import Path

import click

from ledgerkit.cli.common import (
    columns,
    common_options,
    open_repository,
    print_json,
    wait_option,
)
from ledgerkit.errors import UsageError
from ledgerkit.findings import writable
from ledgerkit.review import QUESTION, AnsweredView, ReviewView


@click.command()
@click.option("--by", help="Who answers; the page asks where nobody is named.")
@click.option("--collection", default="", help="Whose pairs [default: those chosen last].")
@click.option("--question", default=QUESTION, show_default=True, help="What is asked of each pair.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port of this machine to serve on [default: any that is free].",
)
@click.option(
    "--answers",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Take answers from CSV or JSON with pair, answer and perhaps by; nothing is served.",
)
@click.option("--status", is_flag=True, help="Say who answered how many, and how far they agree.")
@wait_option
@common_options
def review(
    by: str | None,
    collection: str,
    question: str,
    port: int,
    answers: Path | None,
    status: bool,
    wait: float,
    path: Path | None,
    as_json: bool,
) -> None:
    """Show the pairs of `sweep pairs` in a browser, one after the other, and keep the answers.

    The page is served to this machine alone, at the address that is printed, until Ctrl-C. Every
    answer (same, different, unsure) is a record before the next pair comes, so it can be stopped at
    any moment and goes on where it stopped. It shows neither why a pair was chosen nor what others
    said. Another person is another name.

    \b
    Example:
      ledgerkit review --by "A. Curator"
      ledgerkit review --answers answers.csv --by "B. Curator"
      ledgerkit review --status
    """
    if status and answers is not None:
        raise UsageError("--status and --answers are two commands", "Give one after the other.")
    repository = open_repository(path, wait)
    if answers is not None:
        kept = repository.take_answers(answers, by=by, question=question, wait=wait)
        print_json(kept) if as_json else _print_kept(kept)
    elif status:
        view = repository.review_status(collection)
        print_json(view) if as_json else _print_status(view)
    else:
        view = repository.review(
            _tell, by=by or "", collection=collection, question=question, port=port
        )
        print_json(view) if as_json else _print_status(view)


def _tell(address: str) -> None:
    """Where the page is: on stderr, flushed, so that it is seen at once and JSON stays JSON."""
    click.echo(f"Open {address} in a browser of this machine. Ctrl-C ends it.", err=True)


def _print_kept(view: AnsweredView) -> None:
    unchanged = f", {len(view.unchanged)} said so already" if view.unchanged else ""
    click.echo(f"review: {len(view.answered)} answers kept{unchanged}")
    if view.answered:
        click.echo("Next: ledgerkit review --status")


def _print_status(view: ReviewView) -> None:
    click.echo(f"{writable(view.collection)}: {view.pairs} pairs, chosen by {view.run_id}")
    rows = [
        [
            writable(one.name),
            f"{one.answered} answered",
            f"{one.left} left",
            f"same {one.same}, different {one.different}, unsure {one.unsure}",
        ]
        for one in view.persons
    ]
    click.echo(columns(rows, frozenset({1, 2})) or "  Nobody has answered yet.")
    for both in view.agreements:
        told = "not defined" if both.kappa is None else f"{both.kappa:.2f}"
        sure = "not defined" if both.decided_kappa is None else f"{both.decided_kappa:.2f}"
        click.echo(
            f"  {writable(both.first)} and {writable(both.second)}: {both.agreed} of {both.pairs} "
            f"alike, Cohen's kappa {told}; {sure} over the {both.decided} that both decided"
        )
