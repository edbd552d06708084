"""Commands that look at results: search, duplicates, gates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ledgerkit.cli.common import columns, common_options, open_repository, print_json
from ledgerkit.findings import writable

if TYPE_CHECKING:
    from ledgerkit.api import Repository
    from ledgerkit.duplicates import DuplicatesView

KINDS = ("plates", "tiles", "segments")
TITLE = 60


@click.command()
@click.argument("subject", metavar="ID|FILE")
@click.option(
    "-k", "count", default=10, show_default=True, metavar="N", help="How many neighbours to show."
)
@click.option(
    "--of",
    type=click.Choice(KINDS),
    help="Among what to look; by default what the ID is of, and plates for a file.",
)
@click.option("--space", metavar="ID", help="The vector space, where there are several.")
@common_options
def search(
    subject: str,
    count: int,
    of: str | None,
    space: str | None,
    path: Path | None,
    as_json: bool,
) -> None:
    """Show what is most like a plate, a tile, a segment or an image file, by cosine of vectors.

    Every vector of the space is compared: the answer is exact. An image file is described as a
    plate would be and not taken in. Words in titles and labels are asked for with `query`.

    \b
    Example:
      ledgerkit search plate-001
      ledgerkit search segment-0123456789abcdef0123 -k 20
      ledgerkit search ../found.jpg --of segments
    """
    repository = open_repository(path)
    view = repository.search(subject, count=count, of=of, space=space)
    if as_json:
        print_json(view)
    else:
        rows = [
            [
                f"{hit.similarity:.4f}",
                hit.subject_id,
                *([] if view.of == "plates" else [hit.plate_id]),
                writable(hit.title)[:TITLE],
            ]
            for hit in view.hits
        ]
        click.echo(columns(rows, frozenset({0})))
        click.echo(
            f"nearest {len(view.hits)} of {view.searched} {view.of} in the space {view.space_id} "
            f"({view.dimension} numbers), ledgers at {view.log_size} entries of the log"
        )
    _note(repository)


@click.command()
@click.option(
    "--max-distance",
    type=click.IntRange(0, 256),
    metavar="BITS",
    help="Bits of 256 in which hashes of near copies may differ, by default 56; "
    "12 more where vectors confirm.",
)
@click.option(
    "--min-cosine",
    type=click.FloatRange(0, 1),
    metavar="COSINE",
    help="Cosine from which vectors confirm a pair whose hashes are less near.",
)
@click.option("--space", metavar="ID", help="The vector space, where there are several.")
@common_options
def duplicates(path: Path | None, as_json: bool, **thresholds: Any) -> None:
    """Group plates that show the same picture, with the evidence for each pair.

    Exact: the same bytes of the source, or the same pixels of the normalised image. Near: by
    perceptual hash, and by hash and vector together. Both numbers are shown for every pair, and the
    rule that decided. Nothing is removed: withdraw a plate with `withdraw`.

    \b
    Example:
      ledgerkit hash && ledgerkit consolidate
      ledgerkit duplicates
    """
    repository = open_repository(path)
    view = repository.duplicates(**{k: v for k, v in thresholds.items() if v is not None})
    if as_json:
        print_json(view)
    else:
        _print(view)
    _note(repository)


def _print(view: DuplicatesView) -> None:
    for number, group in enumerate(view.groups, 1):
        click.echo(f"group {number}: {', '.join(group.plates)}")
        head = ["first", "second", "rule", "bits", "cosine"]
        rows = [
            [
                pair.first,
                pair.second,
                pair.rule,
                "-" if pair.distance is None else str(pair.distance),
                "-" if pair.cosine is None else f"{pair.cosine:.4f}",
            ]
            for pair in group.pairs
        ]
        click.echo(columns([head, *rows], frozenset({3, 4})))
    copies = sum(len(group.plates) for group in view.groups)
    click.echo(
        f"{copies} plates in {len(view.groups)} groups, of {view.plates} plates: "
        f"{view.hashed} have hashes, {view.described} have vectors in the space {view.space_id}"
    )
    for gap in view.gaps:
        click.echo(f"  {gap}")


@click.command()
@click.option("--failed", is_flag=True, help="Only checks that did not pass.")
@click.option("--operation", metavar="NAME", help="Only those of one operation.")
@click.option("--run", metavar="RUN", help="Only those of one run, whether current or not.")
@common_options
def gates(
    path: Path | None, as_json: bool, failed: bool, operation: str | None, run: str | None
) -> None:
    """List what runs found when they checked their own work.

    A gate reports and stops nothing, unless the operation was run with --strict. Without --run only
    current runs are looked at. The reports of `cluster` lie beside its tables as critic-*.json.

    \b
    Example:
      ledgerkit consolidate
      ledgerkit gates --failed --operation cluster
    """
    repository = open_repository(path)
    view = repository.gates(failed=failed, operation=operation, run=run)
    if as_json:
        print_json(view)
    else:
        rows = [
            [
                "passed" if one.passed else "FAILED",
                one.plate_id or "collection",
                one.operation,
                f"{one.gate}/{one.check}",
                writable(one.message),
            ]
            for one in view.gates
        ]
        click.echo(columns(rows))
        click.echo(f"{len(view.gates)} checks, {view.failed} failed")
    _note(repository)


def _note(repository: Repository) -> None:
    reason = repository.behind()
    if reason:
        click.echo(f"Note: {reason}. Rebuild them with: ledgerkit consolidate", err=True)
