"""`atlas`: pages for people."""

from __future__ import annotations

from pathlib import Path

import click

from ledgerkit.cli.common import (
    common_options,
    counting,
    note_behind,
    open_repository,
    output_option,
    print_json,
    size,
)

MOST_NAMED = 20


@click.command()
@output_option("folder outside of the repository")
@click.option(
    "--pictures",
    type=click.Choice(("tiles", "whole", "thumbnails")),
    default="tiles",
    show_default=True,
    help="Of each plate: its pyramid's tiles, else one picture; one picture; only a small one.",
)
@common_options
def atlas(output: Path, pictures: str, path: Path | None, as_json: bool) -> int:
    """Write pages about the current results: maps, clusters, plates, segments, checks, figures.

    Open FOLDER/index.html in a browser: no server and no network are needed. The same ledgers and
    images give the same bytes. A picture that is missing is said on its page and named here, and
    the command ends with 1.

    \b
    Example:
      ledgerkit consolidate
      ledgerkit atlas -o ../atlas
    """
    repository = open_repository(path)
    with counting("images", as_json) as progress:
        view = repository.atlas(output, pictures=pictures, progress=progress)
    if as_json:
        print_json(view)
    else:
        click.echo(
            f"{view.plates} plates, {view.maps} maps of {view.points} points, {view.clusters} "
            f"clusters, {view.segments} segments in {view.target}: {view.files} files, "
            f"{size(view.bytes)}, SHA-256 {view.sha256}"
        )
        click.echo(f"of {view.origin} at log size {view.log_size}, root {view.log_root}")
    _tell(view.missing, "pictures of plates")
    _tell(view.figures_missing, "figures")
    note_behind(repository)
    return 1 if view.missing or view.figures_missing else 0


def _tell(missing: dict[str, str], what: str) -> None:
    """How many are not what they should be, and of the first of them why, on standard error."""
    if not missing:
        return
    click.echo(f"{len(missing)} {what} are missing or replaced:", err=True)
    for name, why in list(missing.items())[:MOST_NAMED]:
        click.echo(f"  {name}: {why}", err=True)
    if len(missing) > MOST_NAMED:
        click.echo(f"  and {len(missing) - MOST_NAMED} more, as the pages say", err=True)
