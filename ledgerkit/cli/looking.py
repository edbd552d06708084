"""Commands that look at results: search, index, duplicates, gates, stale."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ledgerkit.cli.common import (
    columns,
    common_options,
    counting,
    decimals,
    note_behind,
    open_repository,
    print_json,
    print_stale,
    size,
)
from ledgerkit.findings import writable

if TYPE_CHECKING:
    from ledgerkit.duplicates import DuplicatesView

KINDS = ("plates", "tiles", "segments", "texts")
TITLE = 60


@click.command()
@click.argument("subject", metavar="ID|FILE|WORDS")
@click.option(
    "-k", "count", default=10, show_default=True, metavar="N", help="How many neighbours to show."
)
@click.option(
    "--of",
    type=click.Choice(KINDS),
    help="Among what to look; by default what the ID is of, and plates for a file or words.",
)
@click.option("--space", metavar="ID", help="The vector space, where there are several.")
@click.option(
    "--approximate",
    is_flag=True,
    help="Compare only what the index of the space proposes: see ledgerkit index.",
)
@common_options
def search(
    subject: str,
    count: int,
    of: str | None,
    space: str | None,
    approximate: bool,
    path: Path | None,
    as_json: bool,
) -> None:
    """Show what is most like a plate, a tile, a segment, an image file or words, by cosine of vectors.

    Every vector of the space is compared: the answer is exact, but with --approximate. An image file is described as a
    plate would be and not taken in. Words describe a picture, and need vectors that `encode` made
    with a CLIP or SigLIP model; words in titles and labels are asked for with `query`.

    \b
    Example:
      ledgerkit search plate-001
      ledgerkit search segment-0123456789abcdef0123 -k 20
      ledgerkit search ../found.jpg --of segments
      ledgerkit search "a bird with long legs"
    """
    repository = open_repository(path)
    view = repository.search(subject, count=count, of=of, space=space, approximate=approximate)
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
        if view.approximate is not None:
            index = view.approximate
            click.echo(
                f"approximate, by an index of {index.vectors} vectors: of the true nearest "
                f"{100 * index.recall:.1f} % were found for {index.sample} of them"
            )
    note_behind(repository)


@click.command()
@click.option("--of", type=click.Choice(KINDS), default="plates", show_default=True, help="Whose.")
@click.option("--space", metavar="ID", required=True, help="The vector space.")
@common_options
def index(of: str, space: str, path: Path | None, as_json: bool) -> None:
    """Make an approximate index of the vectors of a space, for `search --approximate`.

    It lies outside of the repository (in LEDGERKIT_INDEXES, else your cache folder), belongs to the
    present ledgers and is refused for others. Deleting it loses nothing.

    \b
    Example:
      ledgerkit index --of plates --space classical-3-6eff7b30
      ledgerkit search plate-001 --approximate
    """
    repository = open_repository(path)
    with counting("vectors", as_json) as progress:
        view = repository.index(space, of, progress)
    if as_json:
        print_json(view)
    else:
        click.echo(
            f"{view.vectors} vectors of {view.of} in the space {view.space_id}: {size(view.bytes)} "
            f"in {view.seconds:.1f} s\nof the true 10 nearest {100 * view.recall:.1f} % are found, "
            f"measured for {view.sample} vectors\n{view.path}"
        )
    note_behind(repository)


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
    note_behind(repository)


def _print(view: DuplicatesView) -> None:
    for number, group in enumerate(view.groups, 1):
        click.echo(f"group {number}: {', '.join(group.plates)}")
        head = ["first", "second", "rule", "bits", "cosine"]
        rows = [
            [
                pair.first,
                pair.second,
                pair.rule,
                decimals(pair.distance, "d"),
                decimals(pair.cosine, ".4f"),
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
    note_behind(repository)


@click.command()
@click.argument("exports", nargs=-1, type=click.Path(path_type=Path, exists=True))
@common_options
def stale(exports: tuple[Path, ...], path: Path | None, as_json: bool) -> int:
    """Say which results of the collection are out of date and why, and which EXPORTS are.

    A result is stale when code or libraries, the policy, or what it was made from have changed,
    through all steps: from vectors to clusters, and from there to figures and descriptions. An
    export is a file or folder that `ledgerkit export` wrote. Exits with 1 when anything is stale.

    \b
    Example:
      ledgerkit stale
      ledgerkit stale clusters.json visualizer/public/data
    """
    view = open_repository(path).stale(*exports)
    if as_json:
        print_json(view)
        return 0 if view.fresh else 1
    for one in view.stale:
        print_stale(one.run_id, one.operation, one.reasons)
    click.echo(f"{len(view.stale)} of {view.judged} results of the collection are stale")
    for export in view.exports:
        click.echo(f"{export.path}: {'stale' if export.reasons else 'up to date'}")
        for reason in export.reasons:
            click.echo(f"    {reason}")
    return 0 if view.fresh else 1
